"""The folders of a program's modules, told to engines."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from steer import importpath


def test_own_folders_are_told_and_installed_ones_are_not(monkeypatch, tmp_path):
    """Engines find what is installed by themselves."""
    paths = sysconfig.get_paths()
    gone = str(tmp_path / "gone")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "path", ["", str(tmp_path), gone, paths["stdlib"], paths["purelib"]]
    )
    told: dict[str, str] = {}
    importpath.tell(told)
    assert told == {"STEER_PATH": str(tmp_path)}


def test_what_is_told_is_looked_at_last(monkeypatch, tmp_path):
    """And what was there already stays where it was."""
    first = str(tmp_path / "first")
    told = os.pathsep.join([str(tmp_path), first])
    monkeypatch.setattr(sys, "path", [first, "other"])
    monkeypatch.setenv("STEER_PATH", told)
    importpath.adopt()
    assert sys.path == [first, "other", str(tmp_path)]


SCRIPT = """
import steer, beside
if __name__ == "__main__":
    with steer.Executor(n=1, engines="local") as ex:
        print(ex.submit(beside.double, 21).result(30))
"""


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_a_module_beside_the_script_is_found(private_home: Path, tmp_path: Path):
    """From wherever the script is started."""
    (tmp_path / "beside.py").write_text("def double(x):\n    return 2 * x\n")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "42\n", done.stderr

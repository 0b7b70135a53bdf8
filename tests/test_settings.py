"""A profile's steer_config.py: what it sets counts, what is wrong in it is said."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from steer.client.cluster import Cluster
from steer.configurables import ALL
from steer.errors import UsageError
from steer.settings import FILE, load, template


def write(folder: Path, text: str) -> Path:
    (folder / FILE).write_text(text)
    return folder


def test_only_what_is_set_counts(tmp_path: Path) -> None:
    text = 'c.Cluster.engines = "local"\nc.Cluster.options.update({"hosts": "a"})\n'
    folder = write(tmp_path, f"c = get_config()\n{text}c.Hub.port = 5555\n")
    assert load(folder=folder) == {
        "engines": "local",
        "options": {"hosts": "a"},
        "port": 5555,
    }


def test_is_found_in_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    (tmp_path / "profile_mpi").mkdir()
    write(tmp_path / "profile_mpi", "c.Cluster.n = 4")
    assert load("mpi") == {"n": 4}
    assert load() == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("c.Hub.port = 'high'", "expected an int, not the str 'high'"),
        ("c.Hub.port = 70000", "Hub"),
        ("c.Hub.prot = 1", r"sets c\.Hub\.prot, which does not exist; .* Hub\.port"),
        ("c.Hup.port = 1", r"sets c\.Hup, .* there are Cluster, Hub\.$"),
        ("\n1/0", r"in line 2, ZeroDivisionError: division by zero\.$"),
        ("\nc.Hub port", r"in line 2, SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", r"in line 1, SystemExit: 3\.$"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        load(folder=write(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / FILE))


def test_every_setting_is_an_argument_of_cluster() -> None:
    arguments = inspect.signature(Cluster).parameters
    for cls in ALL:
        for name in cls.class_trait_names(config=True):
            assert name in arguments
            assert cls.class_traits()[name].help


def test_the_template_sets_nothing_and_names_everything(tmp_path: Path) -> None:
    text = template()
    ast.parse(text)
    assert load(folder=write(tmp_path, text)) == {}
    assert "# c.Hub.port = 0" in text


def test_costs_nothing_without_a_file(tmp_path: Path) -> None:
    command = (
        "import sys, steer.settings as s; assert s.load(folder=s.Path(sys.argv[1])) "
        "== {}; assert 'traitlets' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", command, str(tmp_path)], check=True)

"""What `steer run` refuses before it starts anything."""

from __future__ import annotations

import pytest

from steer.cli import main
from steer.client import running


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The programs that would have been started; here is a folder `there` with one."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "sim.py").write_text("for step in range(3):\n    x = step\n")
    scripts = []

    def run_program(script, named, settings, **_):
        scripts.append(script)
        return 0

    monkeypatch.setattr(running, "run_program", run_program)
    return scripts


def test_a_program_is_looked_for_where_it_will_run(started, capsys):
    assert main(["run", "sim.py"]) == 1
    assert "can't open file 'sim.py'" in capsys.readouterr().err
    assert main(["run", "--cwd", "there", "sim.py"]) == 0
    assert [script.argv for script in started] == [("sim.py",)]
    assert main(["run", "--cwd", "there", "there/sim.py"]) == 1
    assert "can't open file 'there/there/sim.py'" in capsys.readouterr().err


def test_the_folder_may_be_that_of_the_profile(started, tmp_path, capsys):
    folder = tmp_path / "ipython" / "profile_default"
    folder.mkdir(parents=True)
    (folder / "steer_config.py").write_text("c.Cluster.cwd = 'there'\n")
    assert main(["run", "sim.py"]) == 0


def test_so_are_the_places_of_points(started, capsys):
    assert main(["run", "--cwd", "there", "--point", "sim.py:99", "sim.py"]) == 1
    assert "--point sim.py:99" in capsys.readouterr().err
    assert main(["run", "--cwd", "there", "--point", "sim.py:2", "sim.py"]) == 0


@pytest.mark.parametrize("how", [["sim.py"], ["-m", "sim"]])
def test_what_is_no_place_is_said_whatever_is_run(started, capsys, how):
    words = ["run", "-n", "4", "--cwd", "there", "--point", "Solver step"]
    assert main([*words, *how]) == 1
    assert "--point Solver step is no place in a program" in capsys.readouterr().err
    assert not started

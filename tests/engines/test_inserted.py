"""Points in imported modules and in the program, put there while they are loaded."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from steer.engines import points
from steer.engines.inserted import Inserter
from steer.errors import UsageError

SOLVER = """\
'''A package's solver.'''
class Solver:
    def step(self):
        '''Do one.'''
        self.n = getattr(self, "n", 0) + 1
        return self.n

class Fast(Solver):
    pass
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that nothing of ours knows."""
    name = f"pack_{os.path.basename(tmp_path).replace('-', '_')}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "solver.py").write_text(SOLVER)
    (folder / "other.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(sys.modules)
    yield name
    for module in set(sys.modules) - set(before):
        del sys.modules[module]


@pytest.fixture
def counted(monkeypatch):
    """Calls of the point."""
    calls = []
    monkeypatch.setattr(points, "point", lambda: calls.append(sys._getframe(1)))
    return calls


@pytest.fixture
def insert():
    """Put points into what is imported, until the test is over."""
    made = []

    def begin(*places):
        one = Inserter(places)
        one.install()
        made.append(one)
        return one

    yield begin
    for one in made:
        one.remove()


def test_a_method_of_an_imported_module_gets_a_point(package, counted, insert):
    one = insert("Solver.step")
    module = importlib.import_module(f"{package}.solver")
    solver = module.Fast()
    assert [solver.step(), solver.step()] == [1, 2]
    assert [frame.f_locals["self"] for frame in counted] == [solver, solver]
    assert one.placed == {"Solver.step": ["solver.py:3"]}
    assert one.missing() == []
    assert module.Solver.step.__doc__ == "Do one."


def test_other_modules_keep_their_loader(package, counted, insert):
    insert("Solver.step", "nothere.py:4")
    other = importlib.import_module(f"{package}.other")
    solver = importlib.import_module(f"{package}.solver")
    assert type(other.__loader__).__name__ == "SourceFileLoader"
    assert "steer" in type(solver.__loader__).__module__


def test_byte_code_with_points_is_not_kept(package, counted, insert):
    importlib.import_module(f"{package}.solver").Solver().step()  # cached, without
    del sys.modules[f"{package}.solver"]
    one = insert("solver.py:5")
    importlib.import_module(f"{package}.solver").Solver().step()
    assert len(counted) == 1
    one.remove()
    del sys.modules[f"{package}.solver"]
    importlib.import_module(f"{package}.solver").Solver().step()
    assert len(counted) == 1


def test_a_file_that_is_there_means_no_other_of_that_name(
    package, counted, insert, tmp_path, monkeypatch
):
    (tmp_path / "solver.py").write_text("pass\n")
    monkeypatch.chdir(tmp_path)
    one = insert("solver.py:1")
    importlib.import_module(f"{package}.solver")
    assert one.placed == {"solver.py:1": []}
    one.compile_script(b"pass\n", "solver.py")
    assert one.placed == {"solver.py:1": ["solver.py:1"]}


def test_the_program_itself(counted, insert):
    one = insert("sim.py:1")
    code = one.compile_script(b"for i in range(3): pass\n", "/where/ever/sim.py")
    exec(code, {})
    assert len(counted) == 3
    with pytest.raises(SyntaxError):
        one.compile_script(b"for in", "/where/ever/sim.py")


def test_what_is_nowhere_is_told_and_why(package, counted, insert):
    one = insert("Fast.step", "sim.py:99", "absent.py:3", "Nobody.step")
    one.compile_script(b"pass\n", "sim.py")
    importlib.import_module(f"{package}.solver")
    assert "the last statement of that file is on line 1" in one.problems[0]
    fast, absent, nobody = one.missing()
    assert "--point Solver.step" in fast
    assert "absent.py:3" in absent
    assert "no module with such a function was imported" in nobody


def test_a_wrong_place_is_refused_at_once():
    with pytest.raises(UsageError):
        Inserter(["sim.py"])


def test_an_inserted_point_costs_what_a_written_one_costs(tmp_path):
    """A call of a builtin by name, against an attribute of a module."""
    program = (
        "import builtins, timeit; from steer.engines import points\n"
        "import steer.engines.points as steer\n"
        "builtins.__steer_point__ = points.point\n"
        "n = 200_000\n"
        "def mine():\n    for i in range(n): __steer_point__()\n"
        "def theirs():\n    for i in range(n): steer.point()\n"
        "print(min(timeit.repeat(mine, number=1, repeat=7)) /"
        " min(timeit.repeat(theirs, number=1, repeat=7)))\n"
    )
    ratio = float(subprocess.check_output([sys.executable, "-c", program]))
    assert ratio < 1.5

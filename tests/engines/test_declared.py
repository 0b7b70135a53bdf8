"""What a program declares with `steer.params`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import steer
from steer.engines import declared
from steer.errors import UsageError


@pytest.fixture(autouse=True)
def _nothing_is_declared():
    declared.forget()
    yield
    declared.forget()
    declared.on_declared = None


def test_what_is_declared_is_known_by_its_name_and_group():
    p = steer.params(dt=steer.Float(0.1, 0, 1), out=steer.Bool(True))
    ocean = steer.params("ocean", dt=steer.Float(60.0), levels=steer.Int(10, 1))
    assert declared.values() == {
        "dt": 0.1, "out": True, "ocean.dt": 60.0, "ocean.levels": 10,
    }  # fmt: skip
    declared.change({"dt": 0.2, "ocean.levels": 20})
    assert (p.dt, ocean.levels, ocean.dt) == (0.2, 20, 60.0)
    assert declared.describe()["ocean.levels"]["value"] == 20


def test_all_is_changed_or_nothing():
    p = steer.params(dt=steer.Float(0.1, 0, 1))
    ocean = steer.params("ocean", dt=steer.Float(60.0, 1, 100))
    with pytest.raises(UsageError, match="dt is from 1 to 100"):
        declared.change({"dt": 0.5, "ocean.dt": 0.5})
    assert (p.dt, ocean.dt) == (0.1, 60.0)
    assert declared.try_change({"dt": 0.5, "ocean.dt": 5}) == ""
    assert declared.try_change({"dt": 3}) == "dt is from 0 to 1, not 3.0."
    assert declared.try_change({"du": 3}).startswith("There is no parameter du; there")
    assert p.dt == 0.1


def test_who_declares_a_name_again_means_the_new_one():
    old = steer.params(dt=steer.Float(0.1), n=steer.Int(3))
    new = steer.params(dt=steer.Float(0.3))
    declared.change({"dt": 0.7, "n": 4})
    assert (old.dt, old.n, new.dt) == (0.1, 4, 0.7)


def test_a_program_that_declares_none_is_told_how():
    said = declared.try_change({"dt": 1})
    assert "p = steer.params(dt=steer.Float(0.1))" in said


def test_somebody_hears_of_new_ones():
    heard = []
    declared.on_declared = lambda: heard.append(list(declared.values()))
    steer.params(dt=steer.Float(0.1))
    assert heard == [["dt"]]


@pytest.mark.parametrize("group", [steer.Float(0.1), "a b", "a.b"])
def test_a_group_is_a_word(group):
    with pytest.raises(UsageError, match="name of a group"):
        steer.params(group, dt=steer.Float(0.1))


def test_a_program_without_a_session_needs_nothing():
    script = (
        "import sys, steer\n"
        "p = steer.params(dt=steer.Float(0.1, 1e-6, 1.0), out=steer.Bool(True))\n"
        "assert p.dt == 0.1\n"
        "heavy = {'zmq', 'numpy', 'IPython', 'mpi4py', 'traitlets', 'cloudpickle'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)

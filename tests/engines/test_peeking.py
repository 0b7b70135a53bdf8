"""Peek reads, and refuses what could change the program or wait."""

from __future__ import annotations

import sys
import time
import types

import numpy as np
import pytest

from steer.engines.peeking import LONGEST, peek


class Solver:
    kind = "explicit"

    def __init__(self):
        self.dt = 0.1
        self.steps = [1, 2, 3]
        self.calls = 0

    @property
    def energy(self):
        self.calls += 1
        return 1.0

    def advance(self):
        self.calls += 1

    def __add__(self, other):
        self.calls += 1
        return self

    def __getitem__(self, key):
        self.calls += 1
        return key

    def __repr__(self):
        self.calls += 1
        return "Solver()"


class Slots:
    __slots__ = ("left",)

    def __init__(self):
        self.left = 3


@pytest.fixture
def names():
    solver = Solver()
    return {
        "solver": solver,
        "slots": Slots(),
        "u": np.arange(6.0).reshape(2, 3),
        "np": np,
        "left": 2,
        "params": {"dt": 0.5, "names": ["a", "b"]},
        "step": solver.advance,
        "sys": sys,
    }


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("left + 1", "3"),
        ("solver.dt * 2", "0.2"),
        ("solver.kind", "'explicit'"),
        ("slots.left", "3"),
        ("solver.steps[-1]", "3"),
        ("params['names'][0].upper()", "'A'"),
        ("u.mean()", str(np.float64(2.5).__repr__())),
        ("u.shape", "(2, 3)"),
        ("u[0, 1:].tolist()", "[1.0, 2.0]"),
        ("int(np.abs(u).max())", "5"),
        ("bool(np.isnan(u).any())", "False"),
        ("len([x for x in solver.steps if x > 1])", "2"),
        ("{k: len(k) for k in params}", "{'dt': 2, 'names': 5}"),
        ("max(x * y for x, y in zip(solver.steps, range(3)))", "6"),
        ("1 < left <= 2 and not solver.steps == []", "True"),
        ("f'{solver.dt:.3f} {left!r}'", "'0.100 2'"),
        ("'yes' if left else 'no'", "'yes'"),
        ("sorted(params)", "['dt', 'names']"),
        ("solver", "<Solver object>"),
        ("type(solver).__name__", "'Solver'"),
        ("left is None", "False"),
        ("len([solver, solver])", "2"),
        ("isinstance(solver, int)", "False"),
        ("sorted(['b', 'a'], key=len)", "['b', 'a']"),
    ],
)
def test_what_only_looks_is_answered(names, expression, text):
    answer = peek(expression, None, names)
    assert (answer.text, answer.refused) == (text, "")
    assert names["solver"].calls == 0


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("solver.advance()", "nobody knows"),
        ("step()", "nobody knows"),
        ("solver.energy", "property"),
        ("solver + 1", "its own __add__"),
        ("solver[0]", "written in Python"),
        ("solver.steps.append(4)", "may change"),
        ("params.pop('dt')", "may change"),
        ("params.setdefault('x', 1)", "may change"),
        ("u.sort()", "may change the array"),
        ("u.fill(0)", "may change the array"),
        ("np.save('x', u)", "nobody knows"),
        ("open('/etc/passwd')", "nobody knows"),
        ("exec('left = 3')", "nobody knows"),
        ("__import__('os')", "nobody knows"),
        ("sys.exit()", "nobody knows"),
        ("setattr(solver, 'dt', 1)", "nobody knows"),
        ("getattr(solver, 'energy')", "nobody knows"),
        ("sorted(params, key=step)", "nobody"),
        ("(left := 3)", "assignment"),
        ("lambda: 1", "lambda"),
        ("left = 3", "is a statement"),
        ("del left", "is a statement"),
        ("left +", "is not an expression"),
        ("nothing", "not defined"),
        ("9 ** 9 ** 9", "too large"),
        ("1 << 10**9", "too large"),
        ("'a' * 10**9", "too long"),
        ("solver.__class__.__init__(solver)", "nobody knows"),
        ("sum(range(10**12))", "too long"),
        ("max([solver])", "its own"),
        ("solver in [1]", "its own"),
        ("[[solver]] == [[1]]", "its own"),
        ("f'{[solver]}'", "its own"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_could_do_something_is_refused(names, expression, why):
    answer = peek(expression, None, names)
    assert answer.text == ""
    assert why in answer.refused
    assert names["solver"].calls == 0
    assert names["left"] == 2
    assert names["u"][1, 2] == 5.0


def test_the_frame_is_seen_before_the_namespace(names):
    def inner():
        left = 77
        return sys._getframe(), left

    frame, _ = inner()
    assert peek("left", frame, names).text == "77"
    assert peek("u.size", frame, names).text == "6"


def test_an_answer_comes_in_time_and_is_bounded(names):
    began = time.monotonic()
    answer = peek("[x for x in range(10**7) for y in range(10**7)]", None, names)
    assert "time is up" in answer.refused
    assert time.monotonic() - began < 5
    long = peek("'x' * 100000", None, names)
    assert len(long.text) <= LONGEST
    names["u"] = np.zeros((5000, 100))
    assert len(peek("u", None, names).text) < LONGEST


def test_a_large_array_is_not_asked_in_the_io_thread(names):
    names["u"] = np.lib.stride_tricks.as_strided(np.zeros(1), (10**9,), (0,))
    assert "8,000 MB" in peek("u.sum()", None, names).refused
    assert "8,000 MB" in peek("np.abs(u)", None, names).refused
    assert "8,000 MB" in peek("u + 1", None, names).refused
    assert "8,000 MB" in peek("u", None, names).text
    assert peek("float(u[0])", None, names).text == "0.0"


def test_calls_of_mpi_are_refused(names):
    comm = types.new_class("Intracomm", exec_body=lambda ns: ns.update(rank=3))
    comm.__module__ = "mpi4py.MPI"
    comm.barrier = lambda self: None
    names["comm"] = comm()
    answer = peek("comm.barrier()", None, names)
    assert "call of MPI" in answer.refused

"""Functions are pickled once, but never as they were before."""

from __future__ import annotations

import functools
import math
import pickle
import types

import cloudpickle
import pytest

from steer.client import called
from steer.client.called import Functions
from steer.wire.payload import Unpicklable
from steer.wire.wraps import Batch


@pytest.fixture
def dumped(monkeypatch):
    """The functions that were really pickled."""
    seen = []

    def dumps(function):
        seen.append(function)
        return real(function)

    real = called._dumps
    monkeypatch.setattr(called, "_dumps", dumps)
    return seen


def program(code: str) -> dict[str, object]:
    """What a user's own program defines."""
    names: dict[str, object] = {"__name__": "__main__"}
    exec(code, names)
    return names


def test_what_a_module_names_is_pickled_once_by_its_name(dumped):
    functions = Functions()
    for function in (math.sqrt, math.hypot, functools.reduce):
        digest, body = functions.pickled(function)
        assert functions.pickled(function) == (digest, body)
        assert pickle.loads(body) is function
    assert dumped == [math.sqrt, math.hypot, functools.reduce]


def test_equal_functions_have_equal_digests():
    assert Functions().pickled(math.sqrt) == Functions().pickled(math.sqrt)
    assert Functions().pickled(math.sqrt) != Functions().pickled(math.cos)


@pytest.mark.parametrize(
    ("code", "change", "before", "after"),
    [
        ("x = 1\ndef f(): return x", "x = 2", 1, 2),
        ("x = 1\ndef f(): return x", "x = True", 1, True),
        ("x = [1]\ndef f(): return x", "x.append(2)", [1], [1, 2]),
        ("def f(): return g()\ndef g(): return 1", "def g(): return 2", 1, 2),
        ("def f(a=1): return a", "f.__defaults__ = (2,)", 1, 2),
        ("def f(): return (lambda: x)()\nx = 1", "x = 2", 1, 2),
        ("def f(): return f.mark\nf.mark = 1", "f.mark = 2", 1, 2),
    ],
)
def test_what_a_program_changes_is_pickled_again(code, change, before, after):
    names, functions = program(code), Functions()
    value = pickle.loads(functions.pickled(names["f"])[1])()
    assert (type(value), value) == (type(before), before)
    exec(change, names)
    value = pickle.loads(functions.pickled(names["f"])[1])()
    assert (type(value), value) == (type(after), after)


def test_what_cannot_change_is_pickled_once_by_value_too(dumped):
    f = program("x = 1\nimport math\ndef f(y): return math.sqrt(x) + y")["f"]
    functions = Functions()
    assert functions.pickled(f) == functions.pickled(f)
    assert dumped == [f]


def test_closures_are_those_of_now():
    def outer():
        value = 1

        def inner():
            return value

        def change():
            nonlocal value
            value = 2

        return inner, change

    inner, change = outer()
    functions = Functions()
    assert cloudpickle.loads(functions.pickled(inner)[1])() == 1
    change()
    assert cloudpickle.loads(functions.pickled(inner)[1])() == 2


def test_what_carries_a_function_changes_with_it():
    names, functions = program("x = 1\ndef f(y): return x + y"), Functions()
    batch = Batch(names["f"])
    first = functions.pickled(batch)
    assert functions.pickled(batch) == first
    names["x"] = 2
    assert functions.pickled(batch) != first


def test_only_so_many_are_kept(monkeypatch):
    monkeypatch.setattr(called, "KEPT", 8)
    functions = Functions()
    for _ in range(16):
        functions.pickled(types.FunctionType((lambda: None).__code__, {}))
    assert 0 < len(functions._kept) <= 8


def test_one_that_cannot_be_sent_is_named():
    import threading

    lock = threading.Lock()

    def locked():
        return lock

    with pytest.raises(Unpicklable, match=r"The function .*locked cannot be sent: "):
        Functions().pickled(locked)

"""User objects there and back, and what is said when one cannot be sent."""

from __future__ import annotations

import array
import operator
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from steer.wire import payload
from steer.wire.payload import APART, Unpicklable


def travel(value):
    """The value, as the other end gets it: in buffers that are its own."""
    return payload.loads([bytearray(frame) for frame in payload.dumps(value)])


@pytest.mark.parametrize("value", [None, 1, "ä", b"x", [1, {"a": (2,)}], operator.add])
def test_plain(value):
    assert travel(value) == value
    assert payload.dumps(value) == [pickle.dumps(value, protocol=5)]


def test_lambda():
    assert travel(lambda x: x + 1)(1) == 2


def test_closure():
    step = 10

    def add(x):
        return x + step

    assert travel(add)(1) == 11


def test_the_main_module_travels_by_value():
    script = """
import sys
class Point:
    def __init__(self, x): self.x = x
    def double(self): return self.x * 2
def call(p): return p.double() + offset
offset = 1
from steer.wire import payload
sys.stdout.buffer.write(b"".join(payload.dumps((call, Point(4)))))
"""
    body = subprocess.run(
        [sys.executable, "-c", script], check=True, stdout=subprocess.PIPE
    ).stdout
    function, point = payload.loads([body])
    assert function(point) == 9


def test_the_word_main_inside_data_is_only_a_false_alarm():
    assert travel("__main__") == "__main__"


def test_large_buffers_travel_apart_uncopied_and_come_out_writable():
    sent = np.arange(APART, dtype=float)
    frames = payload.dumps({"a": sent, "b": 1})
    assert len(frames) == 2
    assert np.shares_memory(np.frombuffer(frames[1]), sent)
    got = payload.loads([frames[0], bytearray(frames[1])])["a"]
    np.testing.assert_array_equal(got, sent)
    got[0] = 5
    assert sent[0] == 0


def test_small_buffers_stay_inside_and_come_out_writable():
    frames = payload.dumps(np.zeros(4))
    assert len(frames) == 1
    payload.loads([bytes(frames[0])])[0] = 1


@pytest.mark.parametrize("make", [
    lambda a: a[::2], lambda a: a.T, lambda a: a.reshape(2, -1)[:, ::3],
    lambda a: a[:0], lambda a: np.array(3.0),
        lambda a: np.asfortranarray(a.reshape(8, -1)),
])  # fmt: skip
def test_arrays_of_any_layout(make):
    sent = make(np.arange(4 * APART, dtype=float))
    got = travel(sent)
    np.testing.assert_array_equal(got, sent)
    assert got.dtype == sent.dtype


def test_buffers_survive_the_second_pickler():
    sent = np.arange(APART, dtype=float)
    function, got = travel((lambda: 3, sent))
    assert function() == 3
    np.testing.assert_array_equal(got, sent)
    assert len(payload.dumps((lambda: 3, sent))) == 2


def test_bytes_and_arrays_of_the_standard_library():
    for value in (bytes(APART * 2), bytearray(APART * 2), array.array("d", [1.0] * 4)):
        assert travel(value) == value


def f(*args, **kwargs):
    """Stands for a user's function."""


@pytest.mark.parametrize(
    ("args", "kwargs", "where"),
    [
        ((1, threading.Lock()), {}, "Argument 1 of f"),
        ((1,), {"key": threading.Lock()}, "Argument 'key' of f"),
        (([threading.Lock()],), {"key": 1}, "Argument 0 of f"),
    ],
)
def test_an_argument_that_cannot_be_sent_is_named(args, kwargs, where):
    with pytest.raises(Unpicklable) as caught:
        payload.dumps_call(f, args, kwargs)
    assert caught.value.where == where
    assert str(caught.value).startswith(f"{where} cannot be sent: ")
    assert "lock" in str(caught.value)
    assert isinstance(caught.value, TypeError)


def test_a_function_that_cannot_be_sent_is_named():
    lock = threading.Lock()

    def hold():
        return lock

    with pytest.raises(Unpicklable, match=r"The function .*hold cannot be sent"):
        payload.dumps_call(hold, (), {})


def test_a_value_that_cannot_be_pushed_is_named():
    with pytest.raises(Unpicklable, match=r"^The value of 'b' cannot be sent"):
        payload.dumps_names({"a": 1, "b": threading.Lock()})


def test_a_result_that_cannot_be_sent_says_whose_it_is():
    with pytest.raises(Unpicklable, match=r"^The result of f cannot be sent"):
        payload.dumps_result(threading.Lock(), "f")


def test_a_class_may_raise_anything_when_it_is_pickled():
    class Odd:
        def __reduce__(self):
            raise ZeroDivisionError("odd")

    with pytest.raises(Unpicklable, match="ZeroDivisionError: odd"):
        payload.dumps_call(f, (Odd(),), {})


def test_a_recursive_value_too_deep_to_pickle_is_named():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Unpicklable, match="Argument 0 of f"):
        payload.dumps_call(f, (deep,), {})


class TwoArguments(Exception):
    """Can be pickled, but not unpickled: the usual mistake."""

    def __init__(self, a, b):
        super().__init__(a)


def test_errors_travel_if_they_can():
    assert pickle.loads(payload.dumps_error(KeyError("a"))).args == ("a",)
    assert payload.dumps_error(TwoArguments(1, 2)) == b""
    assert payload.dumps_error(ValueError(threading.Lock())) == b""


def test_an_error_with_a_large_array_travels_or_is_told_in_text():
    error = ValueError(np.zeros(APART))
    body = payload.dumps_error(error)
    if body:
        np.testing.assert_array_equal(pickle.loads(body).args[0], error.args[0])


def test_a_dump_of_the_users_choice_is_used():
    import cloudpickle

    frames = payload.dumps_names({"a": lambda: 1}, cloudpickle.dumps)
    assert payload.loads(frames)["a"]() == 1

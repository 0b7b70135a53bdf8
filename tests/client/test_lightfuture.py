"""A light future is a future like all others, and light while nobody waits."""

from __future__ import annotations

import threading
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    InvalidStateError,
    as_completed,
    wait,
)
from concurrent.futures import TimeoutError as FutureTimeout

import pytest

from steer.client.lightfuture import LightFuture


def test_what_ends_unseen_never_had_a_lock() -> None:
    future = LightFuture()
    assert not future.done()
    assert future._begin_unseen()
    assert future.running()
    assert future._end_unseen(3, None)

    assert future.done()
    assert future._audience is None
    assert future.result() == 3


def test_an_error_that_came_unseen_is_raised() -> None:
    future = LightFuture()
    future._end_unseen(None, ValueError("no"))

    assert isinstance(future.exception(), ValueError)
    with pytest.raises(ValueError, match="no"):
        future.result()


def test_who_waits_is_not_passed_by() -> None:
    """A future with an audience has to be ended the usual way."""
    future = LightFuture()
    called: list[object] = []
    future.add_done_callback(called.append)

    assert not future._begin_unseen()
    assert not future._end_unseen(3, None)
    assert not future.done()
    future.set_result(4)
    assert called == [future]
    assert future.result() == 4


def test_callbacks_behind_the_end_are_called_at_once() -> None:
    future = LightFuture()
    future._end_unseen(3, None)
    called: list[object] = []
    future.add_done_callback(called.append)

    assert called == [future]


def test_what_has_ended_does_not_end_again() -> None:
    future = LightFuture()
    assert future.cancel()
    assert future.cancelled()
    future.set_running_or_notify_cancel()
    assert not future._end_unseen(3, None)
    with pytest.raises(CancelledError):
        future.result()
    other = LightFuture()
    other._end_unseen(3, None)
    assert other._end_unseen(4, None)
    assert other.result() == 3
    assert not other.cancel()
    with pytest.raises(InvalidStateError):
        other.set_result(5)


def test_the_standard_librarys_functions_work() -> None:
    quick, slow = LightFuture(), LightFuture()
    quick._end_unseen(1, None)

    done, left = wait([quick, slow], timeout=5, return_when=FIRST_COMPLETED)
    assert (done, left) == ({quick}, {slow})
    with pytest.raises(FutureTimeout):
        slow.result(timeout=0.001)
    threading.Timer(0.01, slow.set_result, [2]).start()
    both: list[Future[int]] = [quick, slow]
    assert [f.result() for f in as_completed(both, timeout=5)] == [1, 2]


def test_who_waits_and_who_ends_always_meet() -> None:
    """Neither a lost wake-up nor a result that nobody sees, whoever is first."""
    for _ in range(300):
        future = LightFuture()
        got: list[int] = []
        waiter = threading.Thread(target=lambda: got.append(future.result(5)))  # noqa: B023
        waiter.start()
        if not future._end_unseen(7, None):
            future.set_result(7)
        waiter.join(10)
        assert got == [7]

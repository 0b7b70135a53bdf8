"""Futures and iterators with a bar."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from steer.client.tracking import track

Capture = pytest.CaptureFixture[str]
"""The bar's last line is there when it is over: this is no terminal."""


def finished(value: object) -> Future[object]:
    future: Future[object] = Future()
    if isinstance(value, BaseException):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


def test_futures_come_as_they_end(capsys: Capture) -> None:
    slow: Future[object] = Future()
    failed, quick = finished(ValueError()), finished(1)

    tracked = track([slow, failed, quick, quick], "solve")
    first, second = next(tracked), next(tracked)
    slow.set_result(2)
    rest = list(tracked)

    assert {first, second} == {failed, quick}
    assert rest == [slow]
    assert capsys.readouterr().err.startswith(
        "solve ▕██████████▏ 3 of 3 tasks, 1 failed  0.0 s"
    )


def test_who_stops_looking_leaves_the_count(capsys: Capture) -> None:
    for _ in track([finished(1), Future(), finished(2)]):
        break

    assert capsys.readouterr().err.startswith("▕███▍      ▏ 1 of 3 tasks")


def test_waiting_has_an_end() -> None:
    with pytest.raises(TimeoutError, match="1 of 2 futures are unfinished"):
        list(track([finished(1), Future()], timeout=0.01))


def test_cancelled_ones_have_failed(capsys: Capture) -> None:
    future: Future[object] = Future()
    future.cancel()
    future.set_running_or_notify_cancel()

    assert list(track({future})) == [future]
    assert "1 failed" in capsys.readouterr().err


def test_a_future_that_was_given_is_not_kept() -> None:
    futures = [finished(1), finished(2)]
    known = weakref.ref(futures[0])
    tracked = track(futures)
    futures.clear()

    assert {next(tracked).result(), next(tracked).result()} == {1, 2}
    gc.collect()
    assert known() is None


def test_items_come_in_their_order(capsys: Capture) -> None:
    def items() -> Iterator[int]:
        yield from range(5)

    assert list(track(items(), "read")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err.startswith("read 5 items  0.0 s")


def test_how_many_there_are_is_found_out(capsys: Capture) -> None:
    assert list(track(iter([1, 2, 3]))) == [1, 2, 3]
    assert list(track((x for x in "ab"), total=2)) == ["a", "b"]

    first, second = capsys.readouterr().err.splitlines()
    assert "3 of 3 items" in first
    assert "2 of 2 items" in second


def test_any_executors_map(capsys: Capture) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert list(track(pool.map(str, range(3)), total=3)) == ["0", "1", "2"]
    assert "3 of 3 items" in capsys.readouterr().err


def test_nothing_to_wait_for(capsys: Capture) -> None:
    assert list(track([])) == []
    assert "0 of 0 tasks" in capsys.readouterr().err

"""Futures and iterators with a bar: `for future in steer.track(futures)`.

The bar says how many are done, how many failed, how fast it goes and how long it will
take. It is drawn while the caller waits, by the caller's own thread.
"""

from __future__ import annotations

import operator
import queue
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar, overload

from steer.client import bars, live
from steer.client.bars import REFRESH

Item = TypeVar("Item")


@overload
def track(
    work: Collection[Future[Item]],
    label: str = ...,
    total: int | None = ...,
    *,
    timeout: float | None = ...,
) -> Iterator[Future[Item]]: ...
@overload
def track(
    work: Iterable[Item], label: str = ..., total: int | None = ...
) -> Iterator[Item]: ...
def track(
    work: Iterable[Any],
    label: str = "",
    total: int | None = None,
    *,
    timeout: float | None = None,
) -> Iterator[Any]:
    """Futures as they end, or the items of anything else in their order, with a bar.

    Args:
        work: a collection of futures, or what to iterate over: `ex.map(f, xs)`.
        total: how many there will be, if `work` does not know it.
        timeout: seconds after which waiting for futures raises TimeoutError.
    """
    if isinstance(work, Collection) and all(_is_future(item) for item in work):
        return _as_completed(list(dict.fromkeys(work)), label, timeout)
    if total is None:
        total = operator.length_hint(work, -1)
        total = None if total < 0 else total
    return _in_order(work, label, total)


def _is_future(item: object) -> bool:
    return isinstance(item, Future)


class _Bar:
    """The line under way, and what it counts."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._began = time.monotonic()
        self._pace = bars.Pace(self._began)
        self._region = live.open_region()
        self.done = self.failed = 0

    @property
    def due(self) -> float:
        """When it will be drawn again; not before."""
        return self._region.pace

    def draw(self) -> None:
        """Show how far it is now."""
        self._region.update(self._line())

    def close(self) -> None:
        """Leave the last line there."""
        self._region.close(self._line())

    def _line(self) -> str:
        now = time.monotonic()
        return bars.counted(
            self._label,
            self.done,
            self._total,
            self._unit,
            now - self._began,
            rate=self._pace.rate(self.done, now),
            failed=self.failed,
        )


def _in_order(items: Iterable[Item], label: str, total: int | None) -> Iterator[Item]:
    bar = _Bar(label, total, "items")
    due = 0.0
    try:
        bar.draw()
        for item in items:
            bar.done += 1
            if time.monotonic() >= due:
                bar.draw()
                due = bar.due
            yield item
    finally:
        bar.close()


def _as_completed(
    futures: list[Future[Item]], label: str, timeout: float | None
) -> Iterator[Future[Item]]:
    ended: queue.SimpleQueue[Future[Item]] = queue.SimpleQueue()
    deadline = None if timeout is None else time.monotonic() + timeout
    bar = _Bar(label, len(futures), "tasks")
    left = len(futures)
    for future in futures:
        future.add_done_callback(ended.put)
    futures.clear()  # who has been told of a future need not find it here
    due = 0.0
    try:
        while left:
            if time.monotonic() >= due:
                bar.draw()
                due = bar.due
            future = _next(ended, deadline, bar, left)
            left -= 1
            bar.done += 1
            bar.failed += future.cancelled() or future.exception() is not None
            yield future
            del future
    finally:
        bar.close()


def _next(
    ended: queue.SimpleQueue[Future[Item]],
    deadline: float | None,
    bar: _Bar,
    left: int,
) -> Future[Item]:
    """The next one that has ended; the bar's time goes on meanwhile."""
    while True:
        wait = REFRESH
        if deadline is not None:
            wait = min(wait, max(0.0, deadline - time.monotonic()))
        try:
            return ended.get(timeout=wait)
        except queue.Empty:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(
                    f"{left} of {bar.done + left} futures are unfinished."
                ) from None
            bar.draw()

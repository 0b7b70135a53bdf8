"""`Executor.map`: items in, values out in their order, one task for one item or many.

Items are taken at once, as PEP 3148 has it, unless a `buffersize` says how many may be
under way. "auto" begins with small chunks, measures, and makes the next ones as large
as take CHUNK_SECONDS.
"""

from __future__ import annotations

import collections
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from steer.errors import original
from steer.wire.wraps import Batch, Broken

if TYPE_CHECKING:
    from steer.client.executor import Executor
    from steer.client.futures import TaskFuture

CHUNK_SECONDS = (0.002, 0.02)
"""How long a chunk may take: less costs more to send than to run, and more leaves ranks
idle at the end."""
AHEAD = 2
"""Chunks under way for each rank."""

Row = tuple[Any, ...]


def map_items(
    executor: Executor,
    function: Callable[..., Any],
    iterables: Sequence[Iterable[Any]],
    timeout: float | None,
    chunksize: int | str,
    buffersize: int | None,
) -> Iterator[Any]:
    """The values, as they are asked for."""
    _check(chunksize, buffersize)
    deadline = None if timeout is None else time.monotonic() + timeout
    rows: Iterator[Row] = zip(*iterables, strict=False)
    if chunksize == "auto" and buffersize is None:
        auto = _Auto(executor, function, list(rows))
        return _Values(auto.next, auto.cancel, deadline)
    size = _default_size(executor) if isinstance(chunksize, str) else chunksize
    some = _Some(executor, function, rows, size, buffersize)
    return _Values(some.next, some.cancel, deadline)


def _check(chunksize: int | str, buffersize: int | None) -> None:
    if isinstance(chunksize, str):
        if chunksize != "auto":
            raise ValueError(f"chunksize is a number or 'auto', not {chunksize!r}.")
    elif chunksize < 1:
        raise ValueError("chunksize must be >= 1.")
    if buffersize is not None:
        if not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize < 1:
            raise ValueError("buffersize must be None or > 0")


def _default_size(executor: Executor) -> int:
    return 1


class _Values:
    """The values of the tasks that `take` gives, each a future and whether it is that
    of many items."""

    def __init__(
        self,
        take: Callable[[float | None], tuple[TaskFuture, bool] | None],
        cancel: Callable[[], None],
        deadline: float | None,
    ) -> None:
        self._take, self._cancel, self._deadline = take, cancel, deadline
        self._here: Iterator[Any] = iter(())
        self._error: BaseException | None = None

    def __iter__(self) -> _Values:
        return self

    def __next__(self) -> Any:
        while True:
            for value in self._here:
                return value
            if self._error is not None:
                error, self._error = self._error, None
                self.close()
                raise error
            try:
                more = self._fetch()
            except BaseException:
                self.close()
                raise
            if not more:
                raise StopIteration

    def _fetch(self) -> bool:
        left = None
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
        taken = self._take(left)
        if taken is None:
            return False
        future, many = taken
        value = future.result(left)
        if not many:
            self._here = iter((value,))
        elif isinstance(value, Broken):
            self._here = iter(value.values)
            self._error = original(value.error, future.facts(future.engine))
        else:
            self._here = iter(value)
        return True

    def close(self) -> None:
        """Cancel what has not begun; nobody will ask for it."""
        self._take = lambda left: None
        self._here = iter(())
        self._cancel()

    def __del__(self) -> None:
        self._cancel()


class _Some:
    """Tasks of a given number of items."""

    def __init__(
        self,
        executor: Executor,
        function: Callable[..., Any],
        rows: Iterator[Row],
        size: int,
        most: int | None,
    ) -> None:
        self._executor, self._rows, self._size = executor, rows, size
        whole = bool(executor._settings.options.retries)
        self._function = Batch(function, whole=whole) if size > 1 else function
        self._futures: collections.deque[TaskFuture] = collections.deque()
        self._most = most
        while (most is None or len(self._futures) < most) and self._submit():
            pass

    def _submit(self) -> bool:
        if self._size == 1:
            row = next(self._rows, None)
            if row is not None:
                self._futures.append(self._executor._submit(self._function, row, {}))
            return row is not None
        rows = list(itertools.islice(self._rows, self._size))
        if rows:
            columns = tuple(map(list, zip(*rows, strict=True)))
            self._futures.append(self._executor._submit(self._function, columns, {}))
        return bool(rows)

    def next(self, left: float | None) -> tuple[TaskFuture, bool] | None:
        """The next of the tasks."""
        if self._most is not None:
            self._submit()
        if not self._futures:
            return None
        return self._futures.popleft(), self._size > 1

    def cancel(self) -> None:
        """Cancel what has not begun."""
        _cancel(self._futures)


class _Auto:
    """Tasks of as many items as take CHUNK_SECONDS."""

    def __init__(
        self, executor: Executor, function: Callable[..., Any], rows: list[Row]
    ) -> None:
        self._executor, self._rows = executor, rows
        whole = bool(executor._settings.options.retries)
        self._function = Batch(function, whole=whole)
        self._workers = executor._max_workers
        self._at = 0
        self._futures: collections.deque[TaskFuture] = collections.deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        first = max(1, len(rows) // (500 * self._workers))
        with self._changed:
            for _ in range(AHEAD * self._workers):
                self._submit(first)

    def _submit(self, size: int) -> None:
        rows = self._rows[self._at : self._at + size]
        if not rows:
            return
        self._at += len(rows)
        columns = tuple(map(list, zip(*rows, strict=True)))
        future = self._executor._submit(self._function, columns, {})
        self._futures.append(future)
        count = len(rows)
        future.add_done_callback(lambda future: self._ended(future, count))

    def _ended(self, future: Any, count: int) -> None:
        """A chunk has ended: one more, of the size that was measured."""
        with self._changed:
            if self._at < len(self._rows):
                left = len(self._rows) - self._at
                fair = -(-left // (AHEAD * self._workers))
                each = max(future.took / count, 1e-9)
                try:
                    least, most = (int(s / each) for s in CHUNK_SECONDS)
                    self._submit(max(1, least, min(most, fair)))
                except Exception as error:  # noqa: BLE001  the executor was shut down
                    self._error, self._at = error, len(self._rows)
            self._changed.notify_all()

    def next(self, left: float | None) -> tuple[TaskFuture, bool] | None:
        """The next of the tasks, as soon as there is one."""
        with self._changed:
            ready = self._changed.wait_for(
                lambda: self._futures or self._at >= len(self._rows), left
            )
            if not ready:
                raise TimeoutError
            if self._futures:
                return self._futures.popleft(), True
            if self._error is not None:
                raise self._error
            return None

    def cancel(self) -> None:
        """Cancel what has not begun, and begin no more."""
        with self._changed:
            self._at = len(self._rows)
            futures = list(self._futures)
        _cancel(futures)


def _cancel(futures: Iterable[TaskFuture]) -> None:
    unfinished = [future for future in futures if not future.done()]
    if unfinished:
        unfinished[0]._tasks.cancel(unfinished)

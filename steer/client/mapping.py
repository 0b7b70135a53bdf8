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
PACES = 1000
"""Functions whose pace is remembered."""

Columns = tuple[list[Any], ...]
"""The items of a chunk, a list for each argument; empty if there are none."""


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
    if chunksize == "auto" and buffersize is None:
        auto = _Auto(executor, function, _whole(iterables))
        return _Values(auto.next, auto.cancel, deadline)
    size = _default_size(executor) if isinstance(chunksize, str) else chunksize
    some = _Some(executor, function, _reader(iterables), size, buffersize)
    return _Values(some.next, some.cancel, deadline)


def _whole(iterables: Sequence[Iterable[Any]]) -> Columns:
    """All items, a list for each argument."""
    if len(iterables) == 1:
        return (list(iterables[0]),)
    return tuple(map(list, zip(*zip(*iterables, strict=False), strict=True)))


def _reader(iterables: Sequence[Iterable[Any]]) -> Callable[[int], Columns]:
    """Gives the next so many items, a list for each argument; none at the end."""
    if len(iterables) == 1:
        items = iter(iterables[0])

        def read(count: int) -> Columns:
            some = list(itertools.islice(items, count))
            return (some,) if some else ()

        return read
    rows = zip(*iterables, strict=False)
    return lambda count: tuple(
        map(list, zip(*itertools.islice(rows, count), strict=True))
    )


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
        self._here: list[Any] = []
        """The next one last: what is given out is referred to no longer."""
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[Any]:
        # Loops and list() take the values from a generator, four times as fast.
        while True:
            here = self._here
            while here:
                yield here.pop()
            if not self._more():
                return

    def __next__(self) -> Any:
        while True:
            if self._here:
                return self._here.pop()
            if not self._more():
                raise StopIteration

    def _more(self) -> bool:
        """Have more values here, or say that there are none; raises what went wrong
        behind those before."""
        if self._error is not None:
            error, self._error = self._error, None
            self.close()
            raise error
        try:
            return self._fetch()
        except BaseException:
            self.close()
            raise

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
            self._here = [value]
        elif isinstance(value, Broken):
            self._here = value.values[::-1]
            self._error = original(value.error, future.facts(future.engine))
        else:
            self._here = value[::-1]
        return True

    def close(self) -> None:
        """Cancel what has not begun; nobody will ask for it."""
        self._take = lambda left: None
        self._here = []
        self._cancel()

    def __del__(self) -> None:
        self._cancel()


class _Some:
    """Tasks of a given number of items."""

    def __init__(
        self,
        executor: Executor,
        function: Callable[..., Any],
        read: Callable[[int], Columns],
        size: int,
        most: int | None,
    ) -> None:
        self._executor, self._read, self._size = executor, read, size
        whole = bool(executor._settings.options.retries)
        self._function = Batch(function, whole=whole) if size > 1 else function
        self._futures: collections.deque[TaskFuture] = collections.deque()
        self._most = most
        while (most is None or len(self._futures) < most) and self._submit():
            pass

    def _submit(self) -> bool:
        columns = self._read(self._size)
        if not columns:
            return False
        if self._size == 1:
            columns = tuple([column[0] for column in columns])
        self._futures.append(self._executor._submit(self._function, columns, {}))
        return True

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
        self, executor: Executor, function: Callable[..., Any], columns: Columns
    ) -> None:
        self._executor, self._columns = executor, columns
        self._left = self._count = len(columns[0]) if columns else 0
        whole = bool(executor._settings.options.retries)
        self._function = Batch(function, whole=whole)
        self._workers = executor._max_workers
        self._under_way = 0
        self._futures: collections.deque[TaskFuture] = collections.deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._paces = executor._state.paces
        self._name = _name(function)
        each = self._paces.get(self._name)
        probe = max(1, self._count // (500 * self._workers))
        with self._changed:
            while self._left and self._under_way < AHEAD * self._workers:
                self._submit(probe if each is None else self._size(each))

    def _submit(self, size: int) -> None:
        at = self._count - self._left
        columns = tuple([column[at : at + size] for column in self._columns])
        count = len(columns[0])
        future = self._executor._submit(self._function, columns, {})
        self._left -= count
        self._under_way += 1
        self._futures.append(future)
        future.add_done_callback(lambda future: self._ended(future, count))

    def _size(self, each: float) -> int:
        """How many items next, if one takes so long: enough to be worth a message, but
        never more than a rank's share of what there is."""
        least, most = (int(s / each) for s in CHUNK_SECONDS)
        fair = -(-self._left // (AHEAD * self._workers))
        share = -(-self._count // self._workers)
        return max(1, min(share, max(least, min(most, fair))))

    def _ended(self, future: Any, count: int) -> None:
        """A chunk has ended: more, of the size that was measured."""
        with self._changed:
            self._under_way -= 1
            each = max(future.took / count, 1e-9)
            if len(self._paces) > PACES:
                self._paces.clear()
            self._paces[self._name] = each
            try:
                while self._left and self._under_way < AHEAD * self._workers:
                    self._submit(self._size(each))
            except Exception as error:  # noqa: BLE001  the executor was shut down
                self._error, self._left = error, 0
            self._changed.notify_all()

    def next(self, left: float | None) -> tuple[TaskFuture, bool] | None:
        """The next of the tasks, as soon as there is one."""
        with self._changed:
            ready = self._changed.wait_for(
                lambda: self._futures or not self._left, left
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
            self._left = 0
            futures = list(self._futures)
        _cancel(futures)


def _name(function: Any) -> object:
    """What a function is known by: cells define the same one anew again and again."""
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    line = code.co_firstlineno if code is not None else 0
    return getattr(function, "__module__", ""), name, line


def _cancel(futures: Iterable[TaskFuture]) -> None:
    unfinished = [future for future in futures if not future.done()]
    if unfinished:
        unfinished[0]._tasks.cancel(unfinished)

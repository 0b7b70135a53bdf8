"""`multiprocessing.Pool` on ranks: `with Pool(4) as pool: pool.map(f, items)`.

Everything goes through an executor's `submit`, so any `concurrent.futures.Executor`
will do; with none given the pool starts a cluster of its own and stops it with itself.
A sequence travels in chunks, each of them one task, as in the standard library.
"""

from __future__ import annotations

import collections
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from multiprocessing import TimeoutError as PoolTimeout
from typing import Any

from steer.bridges import nested
from steer.errors import UsageError

__all__ = ["AsyncResult", "MapResult", "Pool"]

CHUNKS_PER_WORKER = 4
AHEAD = 8
"""Chunks for each worker that an iterator keeps under way or ready."""


class Each:
    """Calls a function with each item of a chunk; `star`: with its parts."""

    def __init__(self, function: Callable[..., Any], star: bool) -> None:
        self.function = function
        self.star = star
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        if self.star:
            return [self.function(*item) for item in items]
        return [self.function(item) for item in items]


class AsyncResult:
    """The outcome of one call, as `apply_async` gives it."""

    def __init__(
        self,
        future: Future[Any],
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._future = future
        if callback is not None or error_callback is not None:
            future.add_done_callback(lambda done: _tell(done, callback, error_callback))

    def get(self, timeout: float | None = None) -> Any:
        """The value; raises what the function raised, or multiprocessing's
        TimeoutError."""
        self.wait(timeout)
        if not self.ready():
            raise PoolTimeout(f"There is no result after {timeout:g} s.")
        return self._future.result()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the result is there, or the time is over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        nested.wait_until(self.ready, timeout)
        wait([self._future], _left(deadline))

    def ready(self) -> bool:
        """Whether the call has ended."""
        return self._future.done()

    def successful(self) -> bool:
        """Whether it ended without an exception."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return not self._future.cancelled() and self._future.exception() is None


class MapResult(AsyncResult):
    """The outcome of many calls, in the order of their items."""

    def __init__(
        self,
        chunks: Sequence[Future[Any]],
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        self._whole: Future[Any] = Future()
        self._chunks = list(chunks)
        self._left = len(self._chunks)
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        super().__init__(self._whole, callback, error_callback)
        for chunk in chunks:
            chunk.add_done_callback(self._ended)
        if not chunks:
            self._whole.set_result([])

    def _ended(self, chunk: Future[Any]) -> None:
        error = _error(chunk)
        with self._lock:
            self._left -= 1
            self._error = self._error or error
            if self._left:
                return
            chunks, self._chunks = self._chunks, []
        if self._error is not None:
            self._whole.set_exception(self._error)
        else:
            self._whole.set_result([v for c in chunks for v in c.result()])
        nested.wake()


class Results:
    """An iterator over values as they come, in order or not, with a timeout."""

    def __init__(
        self, chunks: Iterator[Future[Any]], ahead: int, ordered: bool
    ) -> None:
        self._chunks = chunks
        self._ahead = ahead
        self._ordered = ordered
        self._changed = threading.Condition()
        self._under_way: collections.deque[Future[Any]] = collections.deque()
        self._ready: collections.deque[Future[Any]] = collections.deque()
        self._values: Iterator[Any] = iter(())
        self._fill()

    def __iter__(self) -> Results:
        return self

    def __next__(self) -> Any:
        return self.next()

    def next(self, timeout: float | None = None) -> Any:
        """The next value; raises multiprocessing's TimeoutError if it does not come."""
        for value in self._values:
            return value
        chunk = self._next_chunk(timeout)
        self._fill()
        self._values = iter(chunk.result())
        return self.next(timeout)

    def _next_chunk(self, timeout: float | None) -> Future[Any]:
        if not self._under_way and not self._ready:
            raise StopIteration
        if self._ordered:
            first = self._under_way[0]
            if not wait([first], timeout).done:
                raise PoolTimeout(f"There is no next result after {timeout:g} s.")
            return self._under_way.popleft()
        deadline = None if timeout is None else time.monotonic() + timeout
        nested.wait_until(lambda: bool(self._ready), timeout)
        with self._changed:
            if not self._changed.wait_for(lambda: self._ready, _left(deadline)):
                raise PoolTimeout(f"There is no next result after {timeout:g} s.")
            return self._ready.popleft()

    def _fill(self) -> None:
        missing = self._ahead - len(self._under_way) - len(self._ready)
        for chunk in itertools.islice(self._chunks, max(missing, 0)):
            self._under_way.append(chunk)
            if not self._ordered:
                chunk.add_done_callback(self._came)

    def _came(self, chunk: Future[Any]) -> None:
        with self._changed:
            self._under_way.remove(chunk)
            self._ready.append(chunk)
            self._changed.notify()
        nested.wake()


class Pool:
    """The methods of `multiprocessing.Pool`, on the ranks behind an executor."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        executor: Executor | None = None,
    ) -> None:
        if processes is not None and processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._owns = executor is None
        if executor is None:
            executor = _start(processes, initializer, tuple(initargs))
        elif initializer is not None:
            raise UsageError(
                "A pool on an executor takes no initializer: give it to the executor."
            )
        self._executor = executor
        self._processes = processes or getattr(executor, "_max_workers", None) or 1
        self._under_way: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        self._closed = False

    # -- one call

    def apply(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] | None = None,
    ) -> Any:
        """Call the function on a rank and wait for its value."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: dict[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Call the function on a rank; the value comes later."""
        self._check_running()
        future = self._submit(func, *args, **(kwds or {}))
        return AsyncResult(future, callback, error_callback)

    # -- sequences

    def map(
        self, func: Callable[[Any], Any], iterable: Iterable[Any],
        chunksize: int | None = None,
    ) -> list[Any]:  # fmt: skip
        """Call the function with each item; the values in their order."""
        values: list[Any] = self.map_async(func, iterable, chunksize).get()
        return values

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult:
        """As `map`, but does not wait."""
        return self._map(
            Each(func, False), iterable, chunksize, callback, error_callback
        )

    def starmap(
        self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
    ) -> list[Any]:  # fmt: skip
        """Call the function with the parts of each item."""
        values: list[Any] = self.starmap_async(func, iterable, chunksize).get()
        return values

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> MapResult:
        """As `starmap`, but does not wait."""
        return self._map(
            Each(func, True), iterable, chunksize, callback, error_callback
        )

    def imap(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1
    ) -> Results:
        """The values in order, as they come.

        Unlike in the standard library the items are read as they are needed, so that
        there may be no end of them.
        """
        return self._iterate(func, iterable, chunksize, ordered=True)

    def imap_unordered(
        self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1
    ) -> Results:
        """The values as they come, whichever is first."""
        return self._iterate(func, iterable, chunksize, ordered=False)

    # -- the end

    def close(self) -> None:
        """Take no more work; what there is goes on."""
        self._closed = True

    def terminate(self) -> None:
        """Take no more work, and give up what has not begun."""
        self._closed = True
        for future in list(self._under_way):
            future.cancel()
        if self._owns:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def join(self) -> None:
        """Wait until all work has ended, after `close` or `terminate`."""
        if not self._closed:
            raise ValueError("Pool is still running")
        wait(list(self._under_way))
        if self._owns:
            self._executor.shutdown(wait=True)

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(self, *exception: object) -> None:
        self.terminate()

    def __repr__(self) -> str:
        state = "CLOSE" if self._closed else "RUN"
        return f"<{type(self).__name__} state={state} pool_size={self._processes}>"

    # -- how

    def _check_running(self) -> None:
        if self._closed:
            raise ValueError("Pool not running")

    def _submit(
        self, func: Callable[..., Any], /, *args: Any, **kw: Any
    ) -> Future[Any]:
        future = self._executor.submit(func, *args, **kw)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future

    def _map(
        self,
        each: Each,
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> MapResult:
        self._check_running()
        items = iterable if isinstance(iterable, list | tuple) else list(iterable)
        if chunksize is None:
            chunksize = -(-len(items) // (self._processes * CHUNKS_PER_WORKER)) or 1
        chunks = [self._submit(each, chunk) for chunk in _cut(items, chunksize)]
        return MapResult(chunks, callback, error_callback)

    def _iterate(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int,
        ordered: bool,
    ) -> Results:
        self._check_running()
        each = Each(func, False)
        chunks = (self._submit(each, chunk) for chunk in _cut(iterable, chunksize))
        return Results(chunks, self._processes * AHEAD, ordered)


def _start(
    processes: int | None, initializer: Any, initargs: tuple[Any, ...]
) -> Executor:
    import steer

    n = processes or len(os.sched_getaffinity(0))
    started: Executor = steer.Executor(n, initializer=initializer, initargs=initargs)
    return started


def _cut(items: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    if size < 1:
        raise ValueError(f"Chunksize must be 1+, not {size:n}")
    rest = iter(items)
    return iter(lambda: tuple(itertools.islice(rest, size)), ())


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _error(future: Future[Any]) -> BaseException | None:
    try:
        return future.exception()
    except BaseException as cancelled:  # noqa: BLE001  CancelledError, of either kind
        return cancelled


def _tell(
    done: Future[Any],
    callback: Callable[[Any], object] | None,
    error_callback: Callable[[BaseException], object] | None,
) -> None:
    error = _error(done)
    if error is None:
        if callback is not None:
            callback(done.result())
    elif error_callback is not None:
        error_callback(error)

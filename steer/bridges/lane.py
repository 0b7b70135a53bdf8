"""How joblib's batches reach an executor: a few at a time, and what runs them there."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from steer.bridges import nested
from steer.bridges.sharing import Shared, shares_memory

__all__ = ["Lane", "run_batch"]


class Lane:
    """Sends tasks so that at most `width` are under way: `n_jobs` is a promise.

    Where that is all ranks, twice as many may be: the next one is at its rank already
    when one ends.
    """

    def __init__(self, executor: Executor, width: int) -> None:
        self._executor = executor
        whole = width >= getattr(executor, "_max_workers", width)
        self._width = 2 * width if whole else width
        self._lock = threading.Lock()
        self._shares = shares_memory(executor)
        self._shared: tuple[str, Shared] | None = None
        self._waiting: collections.deque[Job] = collections.deque()
        self._under_way: set[Job] = set()
        self._open = 0
        self._failed = self._given_up = False

    @property
    def over(self) -> bool:
        """Whether all have ended, or one has failed."""
        return self._failed or not self._open

    def submit(
        self,
        callback: Callable[[Any], object] | None,
        call: str,
        batch: Any,
        threads: int | None,
    ) -> Future[Any]:
        """Send a batch of a call, or keep it until another one has ended."""
        job = Job(Future(), batch, threads, self._shared_of(call))
        if callback is not None:
            job.future.add_done_callback(callback)
        with self._lock:
            self._open += 1
            self._waiting.append(job)
        self._advance()
        return job.future

    def close(self) -> None:
        """A call has ended: what its batches share goes with the last of them."""
        with self._lock:
            last, self._shared = self._shared, None
        if last is not None:
            last[1].close()

    def cancel(self) -> None:
        """Give up what has not begun; nothing more will come."""
        with self._lock:
            self._given_up = True
            waiting, under_way = list(self._waiting), list(self._under_way)
            self._waiting.clear()
        for job in waiting:
            job.future.cancel()
            self._closed(job)
        for job in under_way:
            if job.sent is not None:
                job.sent.cancel()

    def _shared_of(self, call: str) -> Shared | None:
        if not self._shares:
            return None
        if self._shared is None or self._shared[0] != call:
            self.close()
            self._shared = (call, Shared())
        self._shared[1].begun()
        return self._shared[1]

    def _advance(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or len(self._under_way) >= self._width:
                    return
                job = self._waiting.popleft()
                self._under_way.add(job)
            sent = self._send(job)
            job.sent = sent
            if self._given_up:
                sent.cancel()
            sent.add_done_callback(functools.partial(self._ended, job))

    def _send(self, job: Job) -> Future[Any]:
        """Never raises: this may be the thread of callbacks, where nobody listens."""
        try:
            batch = job.batch if job.shared is None else job.shared.pack(job.batch)
            return self._executor.submit(run_batch, batch, job.threads)
        except Exception as error:  # noqa: BLE001  it is this batch's error
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed

    def _ended(self, job: Job, sent: Future[Any]) -> None:
        with self._lock:
            self._under_way.discard(job)
        error: BaseException | None = None
        try:
            error = sent.exception()
        except BaseException:  # noqa: BLE001  CancelledError, of either kind
            job.future.cancel()
        if job.future.set_running_or_notify_cancel():
            if error is not None:
                self._failed = True
                job.future.set_exception(error)
            else:
                job.future.set_result(sent.result())
        self._advance()
        self._closed(job)

    def _closed(self, job: Job) -> None:
        if job.shared is not None:
            job.shared.ended()
        with self._lock:
            self._open -= 1
        nested.wake()


@dataclasses.dataclass(eq=False)
class Job:
    """A batch that waits or is under way."""

    future: Future[Any]
    batch: Any
    threads: int | None
    shared: Shared | None
    sent: Future[Any] | None = None


# -- on a rank


def run_batch(batch: Callable[[], list[Any]], threads: int | None) -> list[Any]:
    """Run a batch with so many threads for each library that has some."""
    limit = threads or _fair_share()
    if limit is None:
        return batch()
    with _limited(limit, must=threads is not None):
        return batch()


def _fair_share() -> int | None:
    """Threads of a rank that shares its host's cores; None if the user has chosen."""
    if "OMP_NUM_THREADS" in os.environ:
        return None
    here = os.environ.get("MPI_LOCALNRANKS") or os.environ.get(
        "OMPI_COMM_WORLD_LOCAL_SIZE"
    )
    neighbours = int(here or os.environ.get("STEER_SIZE") or 1)
    return max(len(os.sched_getaffinity(0)) // neighbours, 1)


_controller: tuple[int, Any] = (-1, None)


def _limited(threads: int, must: bool) -> Any:
    """threadpoolctl's limits; it looks for libraries only if modules have come."""
    global _controller
    try:
        import threadpoolctl
    except ImportError:
        if must:
            raise
        return contextlib.nullcontext()
    known, controller = _controller
    if known != len(sys.modules):
        controller = threadpoolctl.ThreadpoolController()
        _controller = (len(sys.modules), controller)
    return controller.limit(limits=threads)

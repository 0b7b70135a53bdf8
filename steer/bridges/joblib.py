"""The joblib backend "steer": loops of joblib, and so of scikit-learn, run on ranks.

    import steer.bridges.joblib
    with joblib.parallel_config("steer", executor=rc.executor()):
        GridSearchCV(...).fit(X, y)

Importing this module registers the backend. joblib gathers calls in batches; each batch
is one task. Arrays of a megabyte and more that several calls have in common lie once in
the memory of a host (`steer.bridges.sharing`).
A loop inside a task runs in place unless it asks for more (`n_jobs=-1`); then its calls
are tasks too, and its rank runs others while it waits.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

import joblib
from joblib.parallel import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from steer.bridges import nested
from steer.bridges.lane import Lane
from steer.errors import UsageError

__all__ = ["SteerBackend", "register"]

DEEPEST = 2
"""Loops in loops in loops run in place: there are enough tasks by then."""


def register(
    name: str = "steer", executor: Executor | None = None, make_default: bool = False
) -> None:
    """Let joblib know the backend by a name, perhaps with an executor of its own."""
    factory = functools.partial(SteerBackend, executor=executor)
    joblib.register_parallel_backend(name, factory, make_default=make_default)


class SteerBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Batches of joblib as tasks of an executor."""

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    supports_sharedmem = False
    uses_threads = False
    default_n_jobs = -1

    # A task costs a tenth of what it does with joblib's processes; smaller batches
    # leave less of a tail.
    MIN_IDEAL_BATCH_DURATION = 0.05
    MAX_IDEAL_BATCH_DURATION = 0.5

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        executor: Executor | None = None,
        client: Any = None,
        cluster: Any = None,
        **others: Any,
    ) -> None:
        if others:
            raise UsageError(
                f"The joblib backend steer does not know {', '.join(others)}: it takes "
                "executor, client or cluster."
            )
        super().__init__(
            nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads
        )
        self.parallel: Any = None
        self._executor = executor
        self._source = (client, cluster)
        # All Parallels of one `with parallel_config` have the same backend, and several
        # may be under way: generators, or in threads.
        self._lanes: weakref.WeakKeyDictionary[Any, Lane] = weakref.WeakKeyDictionary()

    def __reduce__(self) -> Any:
        # It travels with each batch, as the backend of loops inside.
        return type(self), (self.nesting_level, self.inner_max_num_threads)

    @property
    def executor(self) -> Executor:
        """Where the batches run."""
        if self._executor is None:
            self._executor = _find_executor(*self._source)
        return self._executor

    # -- what joblib asks for

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls run at a time: -1 is all ranks, -2 all but one."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None or n_jobs == 1:
            return 1
        workers: int = getattr(self.executor, "_max_workers", 0) or 0
        return min(n_jobs, workers) if n_jobs > 0 else max(workers + 1 + n_jobs, 1)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        **_: Any,
    ) -> int:
        """Make ready for a call; one job needs no rank."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        if parallel is not None:
            self._lanes[parallel] = Lane(self.executor, n_jobs)
        return n_jobs

    def start_call(self) -> None:
        """A call begins."""
        _forget_batches(self.parallel)

    def submit(
        self, func: Any, callback: Callable[[Any], object] | None = None
    ) -> Future[Any]:
        """Run a batch; the callback hears of its end."""
        lane = self._lanes[getattr(callback, "parallel", self.parallel)]
        call = getattr(callback, "parallel_call_id", "")
        return lane.submit(callback, call, func, self.inner_max_num_threads)

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The results of a batch, or what it raised."""
        return out.result()

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """What loops inside a batch use: in place, unless they ask for more."""
        level = (self.nesting_level or 0) + 1
        if level >= DEEPEST:
            return SequentialBackend(nesting_level=level), None
        return SteerBackend(level, self.inner_max_num_threads), 1

    @contextlib.contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """In a task: let the rank run others until these batches have ended."""
        lanes = list(self._lanes.values())
        if lanes:
            nested.wait_until(
                lambda: all(lane.over for lane in lanes), self.parallel.timeout
            )
        yield

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Give up what has not begun; what runs on ranks ends by itself."""
        for parallel, lane in list(self._lanes.items()):
            if parallel._aborting:
                lane.cancel()
                lane.close()
                _forget_batches(parallel)
                if ensure_ready:
                    self.configure(n_jobs=parallel.n_jobs, parallel=parallel)

    def terminate(self) -> None:
        """A call has ended; the executor is the user's."""
        for parallel, lane in list(self._lanes.items()):
            if not parallel._running:
                lane.close()
        self.reset_batch_stats()


def _forget_batches(parallel: Any) -> None:
    """Drop what a failed call has cut and not sent: joblib 1.6 would give the next call
    of the same Parallel its results (with its own "multiprocessing" backend it does).
    """
    with parallel._lock, contextlib.suppress(queue.Empty):
        while True:
            parallel._ready_batches.get_nowait()


# -- which executor


def _find_executor(client: Any, cluster: Any) -> Executor:
    if cluster is not None:
        client = cluster.connect_client_sync()
    if client is not None:
        executor: Executor = client.executor()
        return executor
    if nested.in_task():
        return nested.get_executor()
    raise UsageError(
        "The joblib backend steer needs to know where to run: "
        'joblib.parallel_config("steer", executor=rc.executor()).'
    )


register()

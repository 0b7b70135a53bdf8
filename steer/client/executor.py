"""An executor of PEP 3148 whose workers are ranks.

    ex = rc.executor()
    ex.submit(f, 3).result()
    list(ex.map(f, xs))
    ex.options(retries=3, timeout=60).submit(f, x)
    ex.options(ranks=4).submit(simulate, mesh)      # simulate(mesh, comm)

What `submit` is given is the function's, all of it: options have a method of their own,
which gives a face of the same executor.
"""

from __future__ import annotations

import atexit
import copy
import functools
import os
import threading
import types
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures import Executor as StandardExecutor
from typing import TYPE_CHECKING, Any, Self

from steer.client.awaited import futures_in, settled
from steer.client.futures import TaskFuture
from steer.client.mapping import map_items
from steer.client.settings import Settings
from steer.wire.wraps import Initialized

if TYPE_CHECKING:
    from steer.client.client import Client
    from steer.client.cluster import Cluster
    from steer.client.farmstats import FarmStats

__all__ = ["Executor"]


class _State:
    """What an executor and its faces share."""

    def __init__(self, client: Client, workers: Callable[[], int]) -> None:
        self.client = client
        self.tasks = client.link.tasks
        self.workers = workers
        self.lock = threading.Condition()
        self.pending: dict[TaskFuture, None] = {}
        self.closed = ""
        """Why it takes no more calls."""
        self.broken = ""
        self.cluster: Cluster | None = None
        self.wrap: Callable[[Any], Any] | None = None
        self.paces: dict[object, float] = {}
        """Seconds that an item of a map took, for each function."""

    def is_alone(self) -> bool:
        """Whether nobody is there who could end its calls."""
        link = self.client.link
        return link.trouble is not None or not link.core.engines

    def ended(self, future: TaskFuture) -> None:
        """One of its tasks has an outcome; in the I/O thread."""
        if self.wrap is not None and not self.broken:
            self.broken = future.said("BrokenExecutor")
        with self.lock:
            self.pending.pop(future, None)
            if not self.pending:
                self.lock.notify_all()


class Executor(StandardExecutor):
    """Runs calls on the ranks of a cluster; without one it starts its own.

    Args:
        n: how many ranks to start, if no client is given; default: one for each core.
        max_workers: the standard library's name for n.
        client: the client of a running cluster, which goes on without the executor.
        targets: the ranks to use, like "0-3"; all if left out.
        initializer: is called on each rank before its first task, with `initargs`.
        engines: how ranks are started, as `Cluster` takes it.
    """

    def __init__(
        self,
        n: int | None = None,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
        client: Client | None = None,
        targets: Any = None,
        engines: Any = None,
        max_workers: int | None = None,
        **cluster_options: Any,
    ) -> None:
        n = max_workers if n is None else n
        if n is not None and n <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        cluster = None
        if client is None:
            from steer.client.cluster import Cluster

            options = {**cluster_options, "n": n}
            if engines is not None:
                options["engines"] = engines
            cluster = Cluster(**options)
            client = cluster.start_and_connect_sync()
        ids = client._resolve(targets)[0] if targets is not None else None
        chosen = client
        self._state = _State(
            client, lambda: len(ids) if ids is not None else len(chosen.ids)
        )
        self._state.cluster = cluster
        self._settings = Settings()
        if ids is not None:
            self._settings = self._settings.changed({"targets": ids})
        if initializer is not None:
            self._state.wrap = _wrapper(initializer, initargs)
        _end_with_python(self._state)

    # -- options

    def options(self, **changes: Any) -> Self:
        """The same executor, with options for what is submitted by this face.

        Args:
            priority: higher goes first; 0 is the default.
            retries: how often to run it again, if its rank dies or it raises one of
                `retry_on`.
            retry_on: exception classes; all exceptions if left out.
            timeout: seconds that it may run; then it is ended.
            wait: seconds that it may wait for others.
            targets: the ranks that may run it, like "0-3".
            ranks: so many ranks run it together; a parameter named `comm` gets their
                communicator, and the value is the list of what they return.
            gather: "list", "root", "dict" or a callable: what to make of that list.
            memo: give the value of an equal earlier call, if there was one.
            name: what it is called in pictures and errors.
        """
        face = copy.copy(self)
        face._settings = self._settings.changed(changes)
        face._settings.check(self._state.client)
        return face

    @property
    def _max_workers(self) -> int:
        return max(1, self._state.workers())

    @property
    def client(self) -> Client:
        """The client of the cluster that it uses."""
        return self._state.client

    @property
    def num_workers(self) -> int:
        """How many ranks there are."""
        return self._state.workers()

    def stats(self) -> FarmStats:
        """What the farm does now, in numbers and in words."""
        from steer.client.farmstats import farm_stats

        return farm_stats(self._state.client.link)

    # -- PEP 3148

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> TaskFuture:
        """Have a rank call `fn(*args, **kwargs)`; returns a future."""
        return self._submit(fn, args, kwargs)

    def _submit(
        self, fn: Any, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> TaskFuture:
        state, settings = self._state, self._settings
        if state.closed or state.broken:
            self._refuse()
        tasks = state.tasks
        future = tasks.future_class(tasks)
        future.gather = settings.gather
        future.name = settings.name or getattr(fn, "__qualname__", type(fn).__name__)
        awaited = futures_in((args, kwargs))
        if not settings.memo:  # which knows a call by the values of its arguments
            awaited = [f for f in awaited if _is_foreign(f, tasks)]
        with state.lock:
            if state.closed:
                self._refuse()
            state.pending[future] = None
        future._on_end = state.ended
        if awaited:
            _when_all(awaited, lambda: self._send(future, fn, args, kwargs))
        else:
            self._send(future, fn, args, kwargs)
        return future

    def _send(
        self, future: TaskFuture, fn: Any, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> None:
        state, settings = self._state, self._settings
        try:
            if settings.memo and self._is_known(future, fn, args, kwargs):
                return
            wrapped = state.wrap(fn) if state.wrap is not None else fn
            state.tasks.submit(wrapped, args, kwargs, settings.options, future=future)
        except Exception as error:  # noqa: BLE001  whatever pickling raises
            future.fail(error)

    def _is_known(
        self, future: TaskFuture, fn: Any, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> bool:
        """Whether the call was made before; its value is then the future's."""
        from steer.client.memo import recalled

        call = args, kwargs
        (args, kwargs), _ = settled(call, futures_in(call))
        return recalled(self._state.client, fn, args, kwargs, future)

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | str = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """The values of `fn` for the items, in their order.

        Args:
            timeout: seconds from now until which a value has to be there.
            chunksize: items in a task; "auto" measures how long one takes.
            buffersize: how many tasks may be unfinished; then items are taken from
                the iterables as values are taken from here. Without it all are taken
                at once.
        """
        if self._state.closed or self._state.broken:
            self._refuse()
        return map_items(self, fn, iterables, timeout, chunksize, buffersize)

    def mpiexec(
        self,
        argv: str | Sequence[str],
        ranks: int = 1,
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        input: str | bytes | None = None,
        check: bool = True,
        text: bool = True,
    ) -> TaskFuture:
        """Run a program under an mpiexec of its own, on the places of k ranks.

        Its environment is the ranks' own without what launchers put there. The value
        is a `subprocess.CompletedProcess`.

        Args:
            argv: the program and its arguments.
            ranks: how many processes; so many ranks of one world are held meanwhile.
            cwd: where it runs; where the rank runs if left out.
            env: variables to set besides.
            input: what the first process reads.
            check: raise `CalledProcessError` if it fails.
            text: give its outputs as text and not as bytes.
        """
        from steer.launch.program import first_of, program_of, run_program

        program = program_of(argv, ranks, cwd, env, input, check, text)
        name = self._settings.name or os.path.basename(program.argv[0])
        held = {"ranks": ranks, "gather": first_of} if ranks > 1 else {}
        return self.options(name=name, **held).submit(run_program, program)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with `wait`, return when all have ended."""
        state = self._state
        with state.lock:
            state.closed = state.closed or "shutdown"
            pending = list(state.pending)
        if cancel_futures and pending:
            state.tasks.cancel(pending)
        if wait:
            for future in pending:
                future.wait_for(state.tasks.in_vain, None)
            with state.lock:
                state.lock.wait_for(lambda: not state.pending or state.tasks.in_vain())
        if state.cluster is not None and wait:
            state.client.close()
            state.cluster.stop_cluster_sync()
            state.cluster = None

    def _refuse(self) -> None:
        if self._state.broken:
            raise BrokenExecutor(self._state.broken)
        raise RuntimeError(f"cannot schedule new futures after {self._state.closed}")

    def __repr__(self) -> str:
        return f"<Executor: {self._state.workers()} ranks>"


_alive: weakref.WeakSet[_State] = weakref.WeakSet()
"""Executors that a program may end without shutting down."""


def _end_with_python(state: _State) -> None:
    """Let a program end when its calls have, as the standard library does."""
    _alive.add(state)
    # Once more behind what its cluster has registered: the last one goes first.
    atexit.unregister(_end_all)
    atexit.register(_end_all)


def _end_all() -> None:
    for state in list(_alive):
        with state.lock:
            state.closed = state.closed or "interpreter shutdown"
            pending = list(state.pending) if state.tasks.outlives_calls else []
        for future in pending:
            future.wait_for(state.is_alone, None)


def _wrapper(
    initializer: Callable[..., object], initargs: Sequence[Any]
) -> Callable[[Any], Any]:
    """What makes calls wait for an initializer; the same for the same function, so
    that it is pickled once."""
    name = uuid.uuid4().hex

    def wrap(fn: Any) -> Any:
        return Initialized(name, initializer, initargs, fn)

    wrap_once = functools.lru_cache(maxsize=256)(wrap)

    def wrap_any(fn: Any) -> Any:
        return wrap_once(fn) if isinstance(fn, types.FunctionType) else wrap(fn)

    return wrap_any


def _is_foreign(future: Future[Any], tasks: Any) -> bool:
    if not isinstance(future, TaskFuture) or future._tasks is not tasks:
        return True
    return future.id < 0 and not future.done()  # it waits for others itself


def _when_all(futures: Sequence[Future[Any]], job: Callable[[], object]) -> None:
    """Do the job when all of these have ended."""
    left = len(futures)
    lock = threading.Lock()

    def one(_: Any) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            job()

    for future in futures:
        future.add_done_callback(one)

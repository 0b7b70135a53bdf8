"""The load-balanced view: each call is a task that runs on one engine, whichever is
free.

    view = rc.load_balanced_view()
    view.apply_sync(f, 3)
    view.map(f, range(1000), ordered=False)
    with view.temp_flags(after=first, retries=3):
        view.apply_async(g)
"""

from __future__ import annotations

import importlib
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from steer.client import partition
from steer.client.asyncresult import AsyncResult
from steer.client.batches import Batch
from steer.client.dependency import Waits, checked
from steer.client.futures import TaskFuture
from steer.client.lazymap import AUTO, LazyMapIterator
from steer.client.mapresult import TaskMapResult
from steer.client.viewing import Targets, View
from steer.errors import UsageError
from steer.ranks import RankSet
from steer.wire import payload
from steer.wire.messages import TaskOptions
from steer.wire.wraps import Batch as OnEach

if TYPE_CHECKING:
    from steer.client.client import Client
    from steer.client.executor import Executor
    from steer.client.remote import ParallelFunction, RemoteFunction

CHUNKS_EACH = 8
"""Chunks for each engine when a map chooses their size."""

JOBLIB_NAMES = ("steer", "ipyparallel")


class LoadBalancedView(View):
    """Calls that run on one engine each.

    Flags, for all calls to come or with `temp_flags` for those in a block:
        targets: the engines that may run them; all if None.
        after: what has to end before: messages, results, or a `Dependency`.
        follow: the same, and they run where these ran.
        timeout: seconds that they may wait for those.
        retries: how often one that failed, or lost its engine, is run again elsewhere.
    """

    _flag_names = (*View._flag_names, "after", "follow", "timeout", "retries")

    def __init__(self, client: Client, targets: Targets = None, **flags: Any) -> None:
        self.after: Any = None
        self.follow: Any = None
        self.timeout: float | None = None
        self.retries = 0
        super().__init__(client, targets, **flags)

    def set_flags(self, **flags: Any) -> Any:
        """Set attributes for all calls to come; returns the view."""
        for name in ("after", "follow"):
            if name in flags:
                checked(flags[name])
        if "timeout" in flags:
            _check_timeout(flags["timeout"])
        if "retries" in flags:
            _check_retries(flags["retries"])
        return super().set_flags(**flags)

    # -- sending

    def _options(self, label: str) -> TaskOptions:
        targets = ""
        if self.targets is not None and self.targets != "all":
            targets = str(RankSet(self._ids()[0]))
        else:
            self._ids()  # says if there is nobody
        return TaskOptions(
            retries=int(self.retries),
            retry_on=_any_error() if self.retries else b"",
            wait=self.timeout or None,
            targets=targets,
            name=label,
        )

    def _waits(self) -> Waits | None:
        after, follow = checked(self.after), checked(self.follow)
        return Waits(after, follow, self.client._task) if after or follow else None

    def _submit(
        self, result: AsyncResult, f: Any, calls: Iterable[tuple[Sequence[Any], Any]],
        count: int,
    ) -> None:  # fmt: skip
        """Send calls whose outcomes belong to a result."""
        tasks, options = self.client.link.tasks, self._options(result._about.label)
        waits = self._waits()
        batch = Batch(result, result._about, count)
        if waits is not None:
            batch.after, batch.follow = waits.after, waits.follow
        result._requests.append(batch)
        try:
            for args, kwargs in calls:
                future = batch.expect(tasks)
                tasks.submit(f, args, kwargs, options, waits, future=future)
                batch.add(future)
        except BaseException:
            batch.abort(batch.keys)  # nobody will have the result
            raise
        self.client._note(batch)
        self._sent.add(batch)

    def _apply(
        self, f: Any, args: Sequence[Any], kwargs: dict[str, Any], block: bool | None
    ) -> Any:
        result = AsyncResult(
            self.client, "apply", fname=_name(f), single=True, label=self.label
        )
        self._submit(result, f, [(args, kwargs)], 1)
        return self._finish(result, block)

    # -- sequences

    def map(self, f: Any, *sequences: Any, **options: Any) -> Any:
        """Call f on the elements; waits if the view blocks.

        Options:
            block: whether to wait for the list of values.
            chunksize: elements in a task, 1 if left out; "auto" makes a few chunks for
                each engine.
            ordered: whether iterating gives values in the order of the elements, or
                as they come.
            return_exceptions: whether errors stand among the values.
            label: what the tasks are called.
        """
        block = options.pop("block", None)
        return self._finish(self._map(f, sequences, **options), block)

    def map_async(self, f: Any, *sequences: Any, **options: Any) -> TaskMapResult:
        """The same, returning at once."""
        if "block" in options:
            raise TypeError("map_async doesn't take a `block` keyword argument.")
        return self._map(f, sequences, **options)

    def map_sync(self, f: Any, *sequences: Any, **options: Any) -> list[Any]:
        """The same, waiting."""
        if "block" in options:
            raise TypeError("map_sync doesn't take a `block` keyword argument.")
        values: list[Any] = self._finish(self._map(f, sequences, **options), True)
        return values

    def _map(
        self,
        f: Any,
        sequences: Sequence[Any],
        *,
        chunksize: int | str | None = 1,
        ordered: bool = True,
        return_exceptions: bool = False,
        label: str | None = None,
    ) -> TaskMapResult:
        if not sequences:
            raise TypeError("must have some sequences to map onto!")
        columns = [partition.sliceable(sequence) for sequence in sequences]
        total = min(map(len, columns))
        size = self._chunksize(chunksize, total)
        firsts = range(0, total, size)
        result = TaskMapResult(
            self.client, "apply", fname=_name(f), label=label or self.label,
            return_exceptions=return_exceptions, ordered=ordered, chunked=size > 1,
            lengths=[min(size, total - first) for first in firsts],
        )  # fmt: skip
        if not total:
            result.set_result(None)
            return result
        calls: Iterable[Sequence[Any]] = zip(*columns, strict=False)
        if size > 1:
            f = OnEach(f, whole=True)
            calls = ([c[first:min(first + size, total)] for c in columns]
                     for first in firsts)  # fmt: skip
        self._submit(result, f, ((args, {}) for args in calls), len(firsts))
        return result

    def _chunksize(self, chunksize: int | str | None, length: int) -> int:
        if chunksize is None:
            return 1
        if chunksize == "auto":
            return max(1, length // (CHUNKS_EACH * len(self)))
        if isinstance(chunksize, str) or chunksize < 1:
            raise UsageError(f"chunksize is 1 or more, or 'auto', not {chunksize!r}.")
        return int(chunksize)

    def imap(
        self,
        f: Any,
        *sequences: Any,
        ordered: bool = True,
        max_outstanding: int | str | None = AUTO,
        return_exceptions: bool = False,
    ) -> LazyMapIterator:
        """Call f on the elements, which may be endless, and give values as they come.

        At most `max_outstanding` tasks are under way at a time: by default two for each
        engine; 0 is as many as there are elements.
        """
        if not sequences:
            raise TypeError("must have some sequences to map onto!")
        if max_outstanding == AUTO:
            max_outstanding = 2 * len(self)
        if isinstance(max_outstanding, str) or (max_outstanding or 0) < 0:
            raise UsageError(
                f"max_outstanding is 0 or more, or 'auto', not {max_outstanding!r}."
            )
        options, waits = self._options(self.label), self._waits()
        link = self.client.link

        def submit(row: Sequence[Any], future: TaskFuture) -> None:
            link.tasks.submit(f, row, {}, options, waits, future=future)

        return LazyMapIterator(
            link, submit, zip(*sequences, strict=False), ordered=ordered,
            limit=max_outstanding or 0, return_exceptions=return_exceptions,
        )  # fmt: skip

    def _divide(self, f: ParallelFunction, whole: Sequence[Any], length: int) -> Any:
        """Call a function on parts of the sequences, each a task."""
        size = self._chunksize(f.chunksize, length)
        firsts = range(0, length, size)
        result = TaskMapResult(
            self.client, "apply", fname=_name(f.func), label=self.label,
            ordered=f.ordered, chunked=True,
        )  # fmt: skip
        if not length:
            result.set_result(None)
        else:
            parts = ([s[i : i + size] for s in whole] for i in firsts)
            self._submit(result, f.func, ((part, {}) for part in parts), len(firsts))
        return self._finish(result, None)

    def _map_parallel(self, f: ParallelFunction, sequences: Sequence[Any]) -> Any:
        return self.map(f.func, *sequences, ordered=f.ordered, chunksize=f.chunksize)

    # -- decorators

    def remote(
        self, block: bool | None = None, **flags: Any
    ) -> Callable[[Any], RemoteFunction]:
        """A decorator: calls are tasks."""
        from steer.client.remote import remote

        return remote(self, block=block, **flags)

    def parallel(
        self,
        dist: str = "b",
        block: bool | None = None,
        ordered: bool = True,
        chunksize: int | None = None,
        **flags: Any,
    ) -> Callable[[Any], ParallelFunction]:
        """A decorator: a call's sequences are divided, each part is a task."""
        from steer.client.remote import parallel

        return parallel(
            self, dist=dist, block=block, ordered=ordered, chunksize=chunksize, **flags
        )

    # -- what work there is

    def abort(
        self, jobs: Any = None, targets: Targets = None, block: Any = None
    ) -> None:
        """Do not start these tasks, or any that this view has sent."""
        mine = set(self._sent.requests())
        if jobs is None:
            self.client._abort(self.client._memory.waiting(mine))
        else:
            self.client.abort(jobs, targets)

    # -- other faces

    @property
    def executor(self) -> Executor:
        """An executor on the same engines."""
        return self.client.executor(self.targets)

    def register_joblib_backend(
        self, name: str = "", make_default: bool = False
    ) -> None:
        """Let joblib run its calls on this view's engines, as the backend of this name;
        "steer" and "ipyparallel" if left out."""
        register_joblib_backend(name, make_default, self.executor)


def register_joblib_backend(
    name: str = "", make_default: bool = False, executor: Executor | None = None
) -> None:
    """Let joblib run its calls on ranks, as the backend of this name; "steer" and
    "ipyparallel" if left out."""
    bridge = importlib.import_module("steer.bridges.joblib")
    for one in (name,) if name else JOBLIB_NAMES:
        bridge.register(one, executor, make_default=make_default)


def _name(f: Any) -> str:
    return getattr(f, "__name__", None) or repr(f)


def _any_error() -> bytes:
    return payload.dumps_whole((Exception,))


def _check_timeout(timeout: Any) -> None:
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, numbers.Real):
        raise TypeError(f"timeout is a number of seconds, not {timeout!r}")
    if timeout < 0:
        raise ValueError(f"timeout is not negative, but {timeout!r} is")


def _check_retries(retries: Any) -> None:
    if isinstance(retries, bool) or not isinstance(retries, numbers.Integral):
        raise TypeError(f"retries is a whole number, not {retries!r}")
    if retries < 0:
        raise ValueError(f"retries is not negative, but {retries!r} is")

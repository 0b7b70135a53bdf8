"""The client: what a program holds to reach its engines.

rc = steer.Client()
rc.ids                  # [0, 1, 2, 3]
view = rc[:]            # a DirectView of all of them
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from steer.client import bars, live
from steer.client.arrival import wait_for_engines
from steer.client.connecting import find_connection
from steer.client.described import Place
from steer.client.filed import About, Filed
from steer.client.history import History, Memory, parsed
from steer.client.link import Link
from steer.client.metadata import Metadata
from steer.client.queries import Queries
from steer.client.results import AsyncHubResult, AsyncResult, Recorded
from steer.client.views import BroadcastView, DirectView
from steer.errors import HubUnreachable, NoEnginesRegistered, UsageError
from steer.ranks import RankSet

if TYPE_CHECKING:
    from steer.client.balanced import LoadBalancedView
    from steer.client.executor import Executor
    from steer.client.futures import TaskFuture

CLOSED = (
    "The client was closed before the answer came; another client gets it by its id "
    "with `get_result`."
)


class Client(Queries):
    """A connection to a cluster, and everything one can ask of it."""

    def __init__(
        self,
        connection_info: Any = None,
        *,
        profile: str = "",
        profile_dir: Any = None,
        cluster_id: str = "",
        cluster: Any = None,
        timeout: float = 10.0,
        block: bool = False,
        debug: bool = False,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise UsageError(
                f"Client has no option {', '.join(map(repr, unknown))}; it takes a "
                "connection file, or profile= and cluster_id=."
            )
        connection = find_connection(connection_info, profile, profile_dir, cluster_id)
        self._begin(Link(connection, timeout), cluster, block, debug)

    @classmethod
    def over(cls, link: Any) -> Self:
        """A client over a link that is there already, or something that acts as one."""
        client = cls.__new__(cls)
        client._begin(link, None, False, False)
        return client

    def _begin(self, link: Link, cluster: Any, block: bool, debug: bool) -> None:
        self._link = link
        self.cluster = cluster
        self.profile = link.connection.profile or "default"
        self.block = block
        self.debug = debug
        self.groups: dict[str, list[int]] = {}
        """Names for engines, to be used as targets of `%px`."""
        self.run: Any = None
        """The `Run` whose ranks it reaches, if it came from `steer.connect`."""
        self.at_close: list[Callable[[], object]] = []
        """What ends with it."""
        self._sent = History()
        self._memory = Memory()
        self._dump: Callable[..., bytes] | None = None

    @property
    def link(self) -> Link:
        """The connection."""
        return self._link

    def close(self, linger: float | None = None) -> None:
        """Disconnect; work goes on, and another client may get what it gives."""
        while self.at_close:
            self.at_close.pop()()
        self._link.close()
        for request in self._memory.open():
            request.fail(HubUnreachable(CLOSED))

    def spin(self) -> None:
        """Do nothing: answers come by themselves. Old notebooks call it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- engines

    @property
    def ids(self) -> list[int]:
        """The engines that are here."""
        return list(self._link.core.engines)

    def __len__(self) -> int:
        return len(self._link.core.engines)

    def __getitem__(self, key: Any) -> DirectView:
        """A view: of one engine by its id, or of several; -1 is the last of `ids`."""
        if isinstance(key, bool) or not isinstance(
            key, int | slice | tuple | list | range
        ):
            raise TypeError(f"key by int/slice/iterable of ints only, not {type(key)}")
        return self.direct_view(self._pick(key))

    def _pick(self, key: Any) -> Any:
        if isinstance(key, slice):
            return self.ids[key]
        if isinstance(key, int):
            return self._pick_one(key)
        return [self._pick_one(one) for one in key]

    def _pick_one(self, key: Any) -> int:
        engines = self._link.core.engines
        if not isinstance(key, int):
            raise TypeError(f"key by int/slice/iterable of ints only, not {type(key)}")
        if key in engines:
            return key
        if key >= 0 or -key > len(engines):
            raise IndexError(f"No such engine: {key}")
        return list(engines)[key]

    def __iter__(self) -> Iterator[DirectView]:
        for engine in self.ids:
            yield self.direct_view(engine)

    def _resolve(self, targets: Any) -> tuple[list[int], bool]:
        """Engine ids of a target, and whether it means one engine."""
        single = isinstance(targets, int)
        if targets is None or targets == "all":
            ids = self.ids
        elif single:
            ids = [self._pick_one(targets)]
        elif isinstance(targets, str):
            ids = [self._pick_one(engine) for engine in _ranks(targets)]
        elif isinstance(targets, slice):
            ids = self.ids[targets]
        elif isinstance(targets, Iterable):
            ids = [self._pick_one(engine) for engine in targets]
        else:
            raise TypeError(
                f"targets by int/slice/iterable of ints only, not {type(targets)}"
            )
        if not ids:
            raise NoEnginesRegistered
        return ids, single

    def direct_view(self, targets: Any = "all", **flags: Any) -> DirectView:
        """A view; "all" means whoever is there at each call."""
        if targets != "all" and targets != []:  # a view of none says so when it is used
            ids, single = self._resolve(targets)
            targets = ids[0] if single else ids
        return DirectView(self, targets, **flags)

    def broadcast_view(
        self, targets: Any = "all", is_coalescing: bool = False, **flags: Any
    ) -> BroadcastView:
        """The same fan-out by ipyparallel's other name."""
        return BroadcastView(self, targets, is_coalescing, **flags)

    def load_balanced_view(self, targets: Any = None, **flags: Any) -> LoadBalancedView:
        """A view whose calls are tasks: each runs on one engine, whichever is free."""
        from steer.client.balanced import LoadBalancedView

        if targets is not None and targets != "all":
            targets = self._resolve(targets)[0]
        return LoadBalancedView(self, targets, **flags)

    def executor(self, targets: Any = None, **options: Any) -> Executor:
        """A PEP 3148 executor on these ranks, or on all; the cluster goes on without
        it."""
        from steer.client.executor import Executor

        return Executor(client=self, targets=targets, **options)

    def activate(self, targets: Any = "all", suffix: str = "") -> DirectView:
        """A blocking view that IPython's `%px`, with a suffix, works on."""
        view = self.direct_view(targets, block=True)
        view.activate(suffix)
        return view

    def wait_for_engines(
        self,
        n: int | None = None,
        *,
        timeout: float | None = -1,
        block: bool = True,
        interactive: bool | None = None,
        widget: Any = None,
    ) -> Any:
        """Wait until n engines are here; says at once why they will not come."""
        n = n if n is not None else getattr(self.cluster, "n", None)
        if n is None:
            raise TypeError("n engines to wait for must be specified")
        if block:
            return wait_for_engines(self._link, n, timeout, interactive)
        pool = ThreadPoolExecutor(1, thread_name_prefix="steer-wait")
        future: Future[None] = pool.submit(
            wait_for_engines, self._link, n, timeout, bool(interactive)
        )
        pool.shutdown(wait=False)
        return future

    def send_signal(
        self, sig: int | str, targets: Any = None, block: bool | None = None
    ) -> Any:
        """Send a signal, by number or name, to the engines' processes."""
        return self._asked(
            self._link.signal(_signal_number(sig), self._text(targets)), block
        )

    def shutdown(
        self, targets: Any = "all", restart: bool = False, hub: bool = False,
        block: bool | None = None,
    ) -> None:  # fmt: skip
        """End engines; with `hub` the whole cluster."""
        if restart:
            raise UsageError("Engines restart as a set: use cluster.restart_engines().")
        targets = "" if hub else self._text(targets)
        self._asked(self._link.shutdown(targets, hub=hub), True)

    def _text(self, targets: Any) -> str:
        return str(RankSet(self._resolve(targets)[0]))

    def _asked(self, future: Future[Any], block: bool | None) -> Any:
        if block is False:
            return future
        return self._link.wait(future)

    def clear(self, targets: Any = None, block: bool | None = None) -> Any:
        """Forget the user's names on the engines."""
        everyone = "all" if targets is None else targets
        return self.direct_view(everyone).clear(block=block)

    # -- requests

    def _note(self, request: Filed) -> None:
        """A view has sent this."""
        self._sent.add(request)
        self._memory.sent(request)

    def _finished(self, result: AsyncResult) -> None:
        for request in result._requests:
            self._memory.finished(request)

    def _consumed(self, result: AsyncResult) -> None:
        for request in result._requests:
            self._memory.consumed(request)

    @property
    def history(self) -> list[str]:
        """The ids of the messages it has sent, the latest last."""
        return self._sent.msg_ids()

    @property
    def outstanding(self) -> set[str]:
        """The messages that are not answered yet."""
        return self._memory.outstanding()

    @property
    def results(self) -> dict[str, Any]:
        """The values that have come and are still kept, by message."""
        return {r.msg_id(key): r.value(key) for r, key in self._memory.answered()}

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known about messages, as far as they are still kept."""
        return {r.msg_id(key): Metadata(r, key) for r, key in self._memory.answered()}

    def _msg_ids(self, jobs: Any) -> list[str]:
        """The messages of ids, places in the history, results, or many of these."""
        if isinstance(jobs, str):
            return [jobs]
        if isinstance(jobs, AsyncResult):
            return jobs.msg_ids
        if isinstance(jobs, int):
            return [self.history[jobs]]
        if not isinstance(jobs, Iterable):
            raise TypeError(f"Expected msg_id, int, or AsyncResult, got {jobs!r}")
        found: list[str] = []
        for job in jobs:
            if not isinstance(job, str | int | AsyncResult):
                raise TypeError(f"Expected msg_id, int, or AsyncResult, got {job!r}")
            found += self._msg_ids(job)
        return found

    def _jobs(self, jobs: Any) -> list[Future[Any]]:
        """The results to wait for."""
        if jobs is None:
            return list(self._memory.unfinished())
        if isinstance(jobs, str | int | Future):
            jobs = [jobs]
        found: list[Future[Any]] = []
        for job in jobs:
            future = job if isinstance(job, Future) else None
            found.append(future or self.get_result(job, block=False))
        return found

    def wait(self, jobs: Any = None, timeout: float | None = -1) -> bool:
        """Whether these, or all requests under way, are finished in time."""
        deadline = (
            None if timeout is None or timeout < 0 else time.monotonic() + timeout
        )
        for job in self._jobs(jobs):
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not _is_done(job, left):
                return False
        return True

    def wait_interactive(
        self, jobs: Any = None, interval: float = 1.0, timeout: float | None = -1
    ) -> None:
        """The same, saying how far it is."""
        every = self._jobs(jobs)
        deadline = (
            None if timeout is None or timeout < 0 else time.monotonic() + timeout
        )
        if not every:
            return

        def line() -> str:
            done, total = sum(job.done() for job in every), len(every)
            return f"{bars.bar(done / total)} {done}/{total} requests finished"

        region = live.open_region()
        try:
            for job in every:
                region.update(line())
                left = None if deadline is None else deadline - time.monotonic()
                _is_done(job, left if left is None else max(left, 0.0))
        finally:
            region.close(line())

    def abort(self, jobs: Any = None, targets: Any = None, block: Any = None) -> None:
        """Do not start these, or anything under way; what runs goes on."""
        if jobs is None:
            places = self._memory.waiting()
        elif isinstance(jobs, AsyncResult):
            places = jobs._places
        else:
            places = [self._place(msg_id) for msg_id in self._msg_ids(jobs)]
        if targets is not None:
            wanted = set(self._resolve(targets)[0])
            places = [(r, key) for r, key in places if r.engine_of(key) in wanted]
        self._abort(places)

    def _place(self, msg_id: str) -> Place:
        """Where a message is filed; one of another client, as if it were."""
        found = self._memory.find(msg_id)
        if found is not None:
            return found
        about = About(self, "unknown", "", None, threading.Condition())
        return Recorded(None, about, [msg_id]), parsed(msg_id)[2]

    def _task(self, msg_id: str) -> TaskFuture | None:
        """The task of that name, if a view of this client has sent it."""
        found = self._memory.find(msg_id)
        return None if found is None else found[0].task(found[1])

    def _abort(self, places: Iterable[Place]) -> None:
        """Do not start these: requests that go to the same engines together."""
        its: dict[Filed, list[int]] = {}
        for request, key in places:
            its.setdefault(request, []).append(key)
        alike: dict[str, list[str]] = {}
        for request, keys in its.items():
            if request.together:
                alike.setdefault(str(RankSet(keys)), []).append(request.id)
            else:
                request.abort(keys)
        for ranks, requests in alike.items():
            self._link.abort(requests, ranks)

    def get_result(
        self, ids: Any = None, block: bool | None = None, owner: bool = True
    ) -> AsyncResult:
        """A result by its id or ids, from here or from the hub's journal."""
        single = isinstance(ids, str | int) or ids is None
        msg_ids = self._msg_ids(-1 if ids is None else ids)
        found = [self._memory.find(msg_id) for msg_id in msg_ids]
        places = [place for place in found if place is not None]
        result: AsyncResult
        if places and len(places) == len(found):
            whole = AsyncResult(self, places[0][0].about.kind, fname="get_result")
            result = whole._part(places, single=single)
        else:
            result = AsyncHubResult(self, msg_ids, single=single, owner=owner)
        if self.block if block is None else block:
            result.wait()
        return result

    def __repr__(self) -> str:
        cluster = self._link.connection.cluster_id or "default"
        return f"<{type(self).__name__} of {cluster!r}: {RankSet(self.ids)}>"


def _ranks(text: str) -> Sequence[int]:
    try:
        return list(RankSet.parse(text))
    except ValueError:
        raise TypeError(
            f"{text!r} not valid str target, must be 'all' or ranks like '0-3,5'"
        ) from None


def _signal_number(sig: int | str) -> int:
    """The number of a signal; 0 only asks whether one could be sent."""
    if sig == 0:
        return 0
    try:
        return int(signal.Signals[sig] if isinstance(sig, str) else signal.Signals(sig))
    except (KeyError, ValueError):
        raise UsageError(f"{sig!r} is no signal; SIGINT or 2 are.") from None


def _is_done(job: Future[Any], timeout: float | None) -> bool:
    if isinstance(job, AsyncResult):
        return bool(job.wait(timeout))
    try:
        job.exception(timeout)
    except TimeoutError:
        return False
    return True

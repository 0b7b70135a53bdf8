"""The client: what a program holds to reach its engines.

rc = steer.Client()
rc.ids                  # [0, 1, 2, 3]
view = rc[:]            # a DirectView of all of them
"""

from __future__ import annotations

import collections
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from steer.client.connecting import find_connection
from steer.client.link import Link
from steer.client.records import from_journal, seconds
from steer.client.results import AsyncHubResult, AsyncResult
from steer.client.views import BroadcastView, DirectView, View
from steer.errors import EngineError, LaunchError, NoEnginesRegistered, UsageError
from steer.ranks import RankSet

REMEMBERED = 10_000
"""Requests that `history`, `results` and `metadata` go back."""

ALREADY = (str, AsyncResult, int)


class Client:
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
        self.cluster = cluster
        self.profile = connection.profile or "default"
        self.block = block
        self.debug = debug
        self.history: collections.deque[str] = collections.deque(maxlen=REMEMBERED)
        self._results: collections.OrderedDict[str, AsyncResult] = (
            collections.OrderedDict()
        )
        self._pending: dict[AsyncResult, None] = {}
        self._dump: Callable[..., bytes] | None = None
        self._link = Link(connection, timeout)

    @property
    def link(self) -> Link:
        """The connection."""
        return self._link

    def close(self, linger: float | None = None) -> None:
        """Disconnect; work goes on."""
        self._link.close()

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
        """A view: of one engine by its place among `ids`' values, or of several."""
        if isinstance(key, bool) or not isinstance(
            key, int | slice | tuple | list | range
        ):
            raise TypeError(
                f"key by int/slice/iterable of ints only, not {type(key).__name__}"
            )
        return DirectView(self, self._pick(key))

    def _pick(self, key: Any) -> Any:
        ids = self.ids
        if isinstance(key, slice):
            return ids[key]
        if isinstance(key, int):
            if key < 0:
                if -key > len(ids):
                    raise IndexError(f"No such engine: {key}; there are {len(ids)}.")
                return ids[key]
            if key not in ids:
                raise IndexError(f"No such engine: {key}")
            return key
        picked = [self._pick(k) for k in key]
        if not all(isinstance(k, int) for k in picked):
            raise TypeError("a list of engines holds numbers only")
        return picked

    def __iter__(self) -> Iterator[DirectView]:
        for engine in self.ids:
            yield self.direct_view(engine)

    def _resolve(self, targets: Any) -> tuple[list[int], bool]:
        """Engine ids of a target, and whether it means one engine."""
        if targets is None or targets == "all":
            ids = self.ids
            if not ids:
                raise NoEnginesRegistered()
            return ids, False
        if isinstance(targets, int):
            return [self._pick(targets)], True
        if isinstance(targets, str):
            targets = RankSet.parse(targets)
        if not isinstance(targets, Iterable):
            raise TypeError(f"{targets!r} does not name engines")
        ids = [self._pick(t) for t in targets]
        if not ids:
            raise NoEnginesRegistered()
        return ids, False

    def direct_view(self, targets: Any = "all", **flags: Any) -> DirectView:
        """A view; "all" means whoever is there at each call."""
        if targets != "all":
            ids, single = self._resolve(targets)
            targets = ids[0] if single else ids
        return DirectView(self, targets, **flags)

    def broadcast_view(
        self, targets: Any = "all", is_coalescing: bool = False, **flags: Any
    ) -> BroadcastView:
        """The same fan-out by ipyparallel's other name."""
        return BroadcastView(self, targets, is_coalescing, **flags)

    def load_balanced_view(self, *_: Any, **__: Any) -> Any:
        """Not yet."""
        raise UsageError(
            "Load-balanced views are not in this version; use a DirectView."
        )

    def executor(self, *_: Any, **__: Any) -> Any:
        """Not yet."""
        raise UsageError("The executor is not in this version; use a DirectView.")

    def activate(self, targets: Any = "all", suffix: str = "") -> DirectView:
        """A blocking view. The %px magics are not in this version."""
        return self.direct_view(targets, block=True)

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
        wanted = self._expected(n)
        if not block:
            pool = ThreadPoolExecutor(1, thread_name_prefix="steer-wait")
            future: Future[Any] = pool.submit(self._wait_for_engines, wanted, timeout)
            pool.shutdown(wait=False)
            return future
        return self._wait_for_engines(wanted, timeout)

    def _expected(self, n: int | None) -> int:
        n = n if n is not None else getattr(self.cluster, "n", None)
        if n is None:
            raise TypeError("wait_for_engines needs the number of engines")
        return n

    def _wait_for_engines(self, n: int, timeout: float | None) -> None:
        link = self._link
        deadline = (
            None if timeout is None or timeout < 0 else time.monotonic() + timeout
        )
        with link.changed:
            while len(link.core.engines) < n:
                self._check_notices(n)
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(
                        f"{len(link.core.engines)} of {n} engines came in {timeout} s."
                    )
                link.changed.wait(left)

    def _check_notices(self, n: int) -> None:
        link = self._link
        if link.trouble is not None:
            raise link.trouble
        for what, content in link.notices:
            if what in ("job_ended", "problem"):
                raise LaunchError(str(content.get("text") or content.get("how")))
        if link.gone and not link.core.engines:
            raise EngineError(next(iter(link.gone.values())))

    def send_signal(
        self, sig: int | str, targets: Any = None, block: bool | None = None
    ) -> Any:
        """Send a signal, by number or name, to the engines' processes."""
        try:
            number = (
                signal.Signals[sig] if isinstance(sig, str) else signal.Signals(sig)
            )
        except (KeyError, ValueError):
            raise UsageError(f"{sig!r} is no signal; SIGINT or 2 are.") from None
        return self._asked(self._link.signal(int(number), self._text(targets)), block)

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
        return self.direct_view(targets or "all").clear(block=block)

    # -- requests

    def _sent(self, result: AsyncResult, view: View) -> None:
        for msg_id in result.msg_ids[-len(view) :]:
            self.history.append(msg_id)
            view.history.append(msg_id)
            self._results[msg_id] = result
        while len(self._results) > REMEMBERED:
            self._results.popitem(last=False)
        if len(view.history) > REMEMBERED:
            del view.history[: REMEMBERED // 2]
        if not result.done():
            self._pending[result] = None

    def _finished(self, result: AsyncResult) -> None:
        self._pending.pop(result, None)

    @property
    def outstanding(self) -> set[str]:
        """Requests without an answer."""
        return {
            slot.msg_id
            for r in list(self._pending)
            for slot in r._slots
            if not slot.status
        }

    @property
    def results(self) -> dict[str, Any]:
        """The values that have come, by request and engine."""
        return {
            slot.msg_id: r._value(slot)
            for r in dict.fromkeys(self._results.values())
            for slot in r._slots
            if slot.status
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known about requests, by request and engine."""
        found = {}
        for msg_id, result in self._results.items():
            for part in result.split():
                if part.msg_ids[0] == msg_id:
                    found[msg_id] = part.metadata
        return found

    def _jobs(self, jobs: Any) -> list[Any]:
        if jobs is None:
            return list(self._pending)
        if isinstance(jobs, str | int | Future):
            jobs = [jobs]
        found: list[Any] = []
        for job in jobs:
            if isinstance(job, int):
                job = self.history[job]
            if isinstance(job, str):
                job = self._results.get(job) or self.get_result(job, block=False)
            found.append(job)
        return list(dict.fromkeys(found))

    def wait(self, jobs: Any = None, timeout: float | None = -1) -> bool:
        """Whether these, or all requests under way, are finished in time."""
        deadline = (
            None if timeout is None or timeout < 0 else time.monotonic() + timeout
        )
        for job in self._jobs(jobs):
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not job.wait(left):
                return False
        return True

    def wait_interactive(
        self, jobs: Any = None, interval: float = 1.0, timeout: float | None = -1
    ) -> None:
        """The same, saying how far it is."""
        every = self._jobs(jobs)
        for i, job in enumerate(every):
            sys.stderr.write(f"\r{i}/{len(every)} requests")
            job.wait(timeout)
        sys.stderr.write(f"\r{len(every)}/{len(every)} requests\n")

    def abort(self, jobs: Any = None, targets: Any = None, block: Any = None) -> None:
        """Do not start these, or anything under way; what runs goes on."""
        ids: list[str] = []
        if jobs is not None:
            if isinstance(jobs, str | Future):
                jobs = [jobs]
            for job in jobs:
                ids += job.msg_ids if isinstance(job, AsyncResult) else [job]
            if not ids:
                return
        requests = sorted({i.rpartition("_")[0] or i for i in ids})
        self._link.abort(requests, self._text(targets))

    def get_result(
        self, ids: Any, block: bool | None = None, owner: bool = True
    ) -> Any:
        """A result by its id or ids, from here or from the hub's journal."""
        single = isinstance(ids, str | int | AsyncResult)
        found: list[str] = []
        for one in [ids] if single else ids:
            if isinstance(one, AsyncResult):
                found += one.msg_ids
            elif isinstance(one, int):
                found.append(self.history[one])
            elif isinstance(one, str):
                found.append(one)
            else:
                raise TypeError(f"indices must be str or int, not {one!r}")
        known = [self._results[i] for i in found if i in self._results]
        if len(known) == len(found) and found:
            parts = {p.msg_ids[0]: p for r in dict.fromkeys(known) for p in r.split()}
            result: AsyncResult = parts[found[0]]
            if len(found) > 1:
                result = AsyncResult.join(*(parts[i] for i in found))
        else:
            alone = single and len(found) == 1
            result = AsyncHubResult(self, found, single=alone)
        if self.block if block is None else block:
            result.wait()
        return result

    def result_status(self, msg_ids: Any, status_only: bool = True) -> dict[str, Any]:
        """Which requests are pending and which completed, with results if wanted."""
        ids = [msg_ids] if isinstance(msg_ids, str | int) else list(msg_ids)
        named = [self.history[i] if isinstance(i, int) else i for i in ids]
        requests = sorted({i.rpartition("_")[0] for i in named})
        answer = self._link.wait(self._link.ask("status", ids=requests))
        pending = [i for i in named if i.rpartition("_")[0] in answer["pending"]]
        done = [i for i in named if i not in pending]
        status: dict[str, Any] = {"pending": pending, "completed": done}
        if not status_only:
            for msg_id in done:
                status[msg_id] = self.get_result(msg_id, block=True)
        return status

    def queue_status(
        self, targets: Any = "all", verbose: bool = False
    ) -> dict[Any, Any]:
        """For each engine what it has to do, and how many it has done."""
        ids, single = self._resolve(targets)
        answer = self._link.wait(self._link.ask("queue"))
        owed = {engine: queue for engine, queue in answer["engines"]}
        done = {engine: ids_ for engine, ids_ in self._completed(ids).items()}
        status: dict[Any, Any] = {}
        for engine in ids:
            facts = {
                "queue": owed.get(engine, []),
                "tasks": [],
                "completed": done[engine],
            }
            status[engine] = facts if verbose else {k: len(v) for k, v in facts.items()}
        if single:
            return dict(status[ids[0]])
        status["unassigned"] = [] if verbose else 0
        return status

    def _completed(self, ids: Sequence[int]) -> dict[int, list[str]]:
        query = {"engine_id": {"$in": list(ids)}, "status": {"$ne": "pending"}}
        records = self.db_query(query, ["engine_id"])
        done: dict[int, list[str]] = {engine: [] for engine in ids}
        for record in records:
            done[record["engine_id"]].append(record["msg_id"])
        return done

    # -- the journal

    def hub_history(self) -> list[str]:
        """The ids of all requests the hub knows, of all clients."""
        answer = self._link.wait(self._link.ask("history"))
        return list(answer["msg_ids"])

    def db_query(
        self, query: dict[str, Any], keys: Iterable[str] | str | None = None
    ) -> list[dict[str, Any]]:
        """Task records that match a Mongo-like query."""
        wanted = (
            [keys] if isinstance(keys, str) else None if keys is None else list(keys)
        )
        asked = self._link.ask("query", query=seconds(query), keys=wanted)
        records = self._link.wait(asked)["records"]
        return [from_journal(record) for record in records]

    def resubmit(
        self, indices_or_msg_ids: Any, block: bool | None = None
    ) -> AsyncResult:
        """Send requests again, as they were, to the engines they went to."""
        ids = indices_or_msg_ids
        ids = [ids] if isinstance(ids, str | int) else list(ids)
        named = [self.history[i] if isinstance(i, int) else i for i in ids]
        records = self._link.wait(self._link.ask("fetch", msg_ids=named))["records"]
        missing = set(named) - {record["msg_id"] for record in records}
        if missing:
            raise KeyError(f"The hub does not know {', '.join(sorted(missing))}.")
        lost = [r["msg_id"] for r in records if r["buffers"] is None]
        if lost:
            raise UsageError(f"The arguments of {lost[0]} were too large to be kept.")
        kind = records[0]["kind"]
        single = len(records) == 1
        result = AsyncResult(self, kind, fname="resubmit", single=single)
        for record in records:
            view = DirectView(self, record["engine_id"])
            view._request(
                result, record["kind"], [record["engine_id"]], record["buffers"],
                name=(record["header"] or {}).get("name", ""), expected=len(records),
                silent=(record["header"] or {}).get("silent", True),
            )  # fmt: skip
        if self.block if block is None else block:
            result.wait()
        return result

    def purge_local_results(self, jobs: Any = (), targets: Any = ()) -> None:
        """Forget results here."""
        if not jobs and not targets and targets != 0:
            raise ValueError("Must specify at least one of `targets` and `jobs`")
        if jobs == "all":
            if self._pending:
                raise RuntimeError("Can't purge outstanding tasks: wait for them first")
            self._results.clear()
            self.history.clear()
            return
        doomed = set(self._named(jobs))
        if targets or targets == 0:
            engines = set(self._resolve(targets)[0])
            doomed |= {i for i in self._results if int(i.rpartition("_")[2]) in engines}
        if doomed & self.outstanding:
            raise RuntimeError("Can't purge outstanding tasks: wait for them first")
        for msg_id in doomed:
            self._results.pop(msg_id, None)

    def _named(self, jobs: Any) -> list[str]:
        if isinstance(jobs, str | AsyncResult):
            jobs = [jobs]
        found: list[str] = []
        for job in jobs or ():
            found += job.msg_ids if isinstance(job, AsyncResult) else [job]
        return found

    def purge_hub_results(self, jobs: Any = (), targets: Any = ()) -> None:
        """Forget results in the journal."""
        if not jobs and not targets and targets != 0:
            raise ValueError("Must specify at least one of `targets` and `jobs`")
        arguments: dict[str, Any] = {
            "msg_ids": self._named([] if jobs == "all" else jobs)
        }
        if jobs == "all":
            arguments = {"all": True}
        elif targets or targets == 0:
            arguments["engines"] = self._resolve(targets)[0]
        self._link.wait(self._link.ask("purge", **arguments))

    def purge_results(self, jobs: Any = (), targets: Any = ()) -> None:
        """Forget results here and in the journal."""
        self.purge_local_results(jobs, targets)
        self.purge_hub_results(jobs, targets)

    def purge_everything(self) -> None:
        """Forget all results everywhere."""
        self.purge_results("all")

    def __repr__(self) -> str:
        name = self._link.connection.cluster_id or "default"
        return f"<Client of {name!r}: {RankSet(self.ids)}>"

"""What a client asks its hub about work: queues, records, and forgetting them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from steer.client.asyncresult import AsyncResult
from steer.client.history import History, Memory, is_task, parsed
from steer.client.records import from_journal, seconds
from steer.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from steer.client.client import Client
    from steer.client.link import Link

NEITHER = "Must specify at least one of `targets` and `jobs`"


class Queries:
    """The part of `Client` that is about the hub's records."""

    block: bool
    _link: Link
    _sent: History
    _memory: Memory

    if TYPE_CHECKING:

        @property
        def outstanding(self) -> set[str]: ...  # noqa: D102
        def _resolve(self, targets: Any) -> tuple[list[int], bool]: ...
        def _msg_ids(self, jobs: Any) -> list[str]: ...
        def get_result(self, ids: Any, block: bool | None) -> AsyncResult: ...  # noqa: D102

    def _answer(self, question: Future[Any]) -> Any:
        return self._link.wait(question)

    def result_status(self, msg_ids: Any, status_only: bool = True) -> dict[str, Any]:
        """Which messages are pending and which completed, with results if wanted."""
        named = self._msg_ids(msg_ids)
        requests = {i: parsed(i)[0] for i in named}
        ids = list(dict.fromkeys(requests.values()))
        waiting = set(self._answer(self._link.ask("status", ids=ids))["pending"])
        waiting |= self.outstanding  # tasks may not have left
        pending = [i for i in named if {i, requests[i]} & waiting]
        if not all(map(is_task, pending)):  # some engines may have answered a request
            answers = self._answer(self._link.ask("queue"))["engines"]
            owed = {msg_id for _, queue in answers for msg_id in queue}
            pending = [i for i in pending if i in owed or is_task(i)]
        done = [i for i in named if i not in set(pending)]
        status: dict[str, Any] = {"pending": pending, "completed": done}
        if not status_only:
            status |= {i: self.get_result(i, block=True).get() for i in done}
        return status

    def queue_status(
        self, targets: Any = "all", verbose: bool = False
    ) -> dict[Any, Any]:
        """For each engine what it has to do, and what it has done; `unassigned` are
        tasks that no engine has yet."""
        ids, single = self._resolve(targets)
        owed = dict(self._answer(self._link.ask("queue"))["engines"])
        farm = self._answer(self._link.ask("tasks"))
        held = {facts["engine"]: facts["tasks"] for facts in farm["engines"]}
        done: dict[int, list[str]] = {engine: [] for engine in ids}
        query = {"engine_id": {"$in": list(ids)}, "status": {"$ne": "pending"}}
        for record in self.db_query(query, ["engine_id"]):
            done[record["engine_id"]].append(record["msg_id"])
        given = {msg_id for its in held.values() for msg_id in its}
        waiting = sorted(i for i in self.outstanding if is_task(i) and i not in given)
        status: dict[Any, Any] = {
            "unassigned": waiting if verbose else max(farm["ready"], len(waiting))
        }
        for engine in ids:
            queue, tasks = owed.get(engine, []), held.get(engine, [])
            facts = {"queue": queue, "completed": done[engine], "tasks": tasks}
            status[engine] = facts if verbose else {k: len(v) for k, v in facts.items()}
        return dict(status[ids[0]]) if single else status

    def hub_history(self) -> list[str]:
        """The ids of all messages the hub knows, of all clients."""
        return list(self._answer(self._link.ask("history"))["msg_ids"])

    def db_query(
        self, query: dict[str, Any], keys: Iterable[str] | str | None = None
    ) -> list[dict[str, Any]]:
        """Task records that match a Mongo-like query."""
        if keys is not None:
            keys = [keys] if isinstance(keys, str) else list(keys)
        question = self._link.ask("query", query=seconds(query), keys=keys)
        return [from_journal(record) for record in self._answer(question)["records"]]

    def resubmit(
        self, indices_or_msg_ids: Any = None, block: bool | None = None
    ) -> AsyncResult:
        """Send messages again, as they were, to the engines they went to."""
        wanted = -1 if indices_or_msg_ids is None else indices_or_msg_ids
        named = self._msg_ids(wanted)
        tasks = [msg_id for msg_id in named if is_task(msg_id)]
        if tasks:
            raise UsageError(
                f"The arguments of tasks are not kept, so {tasks[0]} cannot be sent "
                "again; set `retries`, or apply the function anew."
            )
        question = self._link.ask("fetch", msg_ids=named)
        found = {r["msg_id"]: r for r in self._answer(question)["records"]}
        records = _whole(named, found)
        client = cast("Client", self)
        result = AsyncResult(
            client, records[0]["kind"], fname="resubmit", requests=len(records),
            single=isinstance(wanted, str | int), label=records[0]["label"] or "",
            code=records[0]["execute_input"],
        )  # fmt: skip
        for record in records:
            header = record["header"] or {}
            client[record["engine_id"]]._request(
                result, record["kind"], [record["engine_id"]], record["buffers"],
                name=header.get("name", ""), silent=header.get("silent", True),
                store_history=header.get("store_history", False),
            )  # fmt: skip
        if self.block if block is None else block:
            result.wait()
        return result

    def purge_local_results(self, jobs: Any = (), targets: Any = ()) -> None:
        """Forget results here."""
        doomed = self._doomed(jobs, targets)
        outstanding = self.outstanding
        if (doomed is None and outstanding) or outstanding & (doomed or set()):
            raise RuntimeError(f"Can't purge outstanding tasks: {sorted(outstanding)}")
        for msg_id in self._sent.msg_ids() if doomed is None else doomed:
            self._memory.forget(parsed(msg_id)[0])
        self._sent.forget(doomed)

    def _doomed(self, jobs: Any, targets: Any) -> set[str] | None:
        """The messages of these jobs and of these engines; None for all."""
        if _is_nothing(jobs) and _is_nothing(targets):
            raise ValueError(NEITHER)
        if isinstance(jobs, str) and jobs == "all":
            return None
        doomed = set() if _is_nothing(jobs) else set(self._msg_ids(jobs))
        if not _is_nothing(targets):
            engines = set(self._resolve(targets)[0])
            doomed |= {i for i in self._sent.msg_ids() if self._engine_of(i) in engines}
        return doomed

    def _engine_of(self, msg_id: str) -> int | None:
        place = self._memory.find(msg_id)
        if place is not None:
            return place[0].engine_of(place[1])
        return None if is_task(msg_id) else parsed(msg_id)[2]

    def purge_hub_results(self, jobs: Any = (), targets: Any = ()) -> None:
        """Forget results in the journal."""
        if _is_nothing(jobs) and _is_nothing(targets):
            raise ValueError(NEITHER)
        if isinstance(jobs, str) and jobs == "all":
            self._answer(self._link.ask("purge", all=True))
            return
        if not _is_nothing(jobs):
            self._answer(self._link.ask("purge", msg_ids=self._msg_ids(jobs)))
        if not _is_nothing(targets):
            self._answer(self._link.ask("purge", engines=self._resolve(targets)[0]))

    def purge_results(self, jobs: Any = (), targets: Any = ()) -> None:
        """Forget results here and in the journal."""
        self.purge_local_results(jobs, targets)
        self.purge_hub_results(jobs, targets)

    def purge_everything(self) -> None:
        """Forget all results everywhere."""
        self.purge_results("all")


def _is_nothing(wanted: Any) -> bool:
    return wanted is None or (not isinstance(wanted, int | AsyncResult) and not wanted)


def _whole(
    named: Sequence[str], found: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The records of these messages, with their arguments."""
    missing = [msg_id for msg_id in named if msg_id not in found]
    if missing:
        raise KeyError(f"No such msg(s): {missing}")
    lost = [msg_id for msg_id in named if found[msg_id]["buffers"] is None]
    if lost:
        raise UsageError(
            f"The arguments of {lost[0]} were too large to be kept; send it anew."
        )
    return [found[msg_id] for msg_id in named]

"""The kinds of results: of a call, of a sequence divided among engines, of the hub."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from steer.client import partition
from steer.client.asyncresult import AsyncResult, PartialResult
from steer.client.filed import About, Printed
from steer.client.history import is_task, parsed
from steer.client.requests import Answer, Request
from steer.errors import HubUnreachable, UsageError
from steer.wire.messages import Part

if TYPE_CHECKING:
    from steer.client.client import Client

__all__ = ["AsyncHubResult", "AsyncMapResult", "AsyncResult", "PartialResult"]


class AsyncMapResult(AsyncResult):
    """The result of a map or a gather: the engines' shares as one sequence."""

    def __init__(
        self,
        *args: Any,
        dist: str = "b",
        lengths: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._dist = dist
        self._lengths = lengths
        """How many elements each share has, if that is known beforehand."""

    def _joined(self, values: list[Any]) -> Any:
        if self._lengths is not None:
            return partition.join_lists(values, self._dist)
        return partition.join(values, self._dist)

    def __len__(self) -> int:
        if self._lengths is not None:
            return sum(self._lengths)
        return len(self._places)

    def __iter__(self) -> Iterator[Any]:
        return self._iterate()

    def _iterate(self) -> Iterator[Any]:
        """Element after element, each share as soon as it is here."""
        if self._dist != "b":  # the second element is in the second share
            yield from self.get()
            return
        for share in super()._iterate():
            yield from share if partition.is_share(share) else [share]


class AsyncHubResult(AsyncResult):
    """A result that another client asked for, or this one in an earlier life.

    The hub says when the request is finished, then its records are fetched. If the
    hub goes away in between, it is asked again when somebody waits and it is back.
    """

    def __init__(
        self, client: Client, msg_ids: Sequence[str], *, single: bool, **options: Any
    ) -> None:
        named: dict[str, list[str]] = {}
        for msg_id in msg_ids:
            named.setdefault(parsed(msg_id)[0], []).append(msg_id)
        super().__init__(
            client, "unknown", fname="get_result", single=single,
            requests=len(named), **options,
        )  # fmt: skip
        requests = [Recorded(self, self._about, its) for its in named.values()]
        self._requests += requests
        self._unasked = requests
        self._ask()

    def _ask(self) -> None:
        asking, self._unasked = self._unasked, []
        for request in asking:
            question = self._client.link.ask("watch", id=request.id)
            question.add_done_callback(lambda f, r=request: self._fetch(f, r))  # type: ignore[misc]

    def _check_connection(self) -> None:
        super()._check_connection()
        self._ask()

    def _fetch(self, question: Future[Any], request: Recorded) -> None:
        if self._failed_to_ask(question, request):
            return
        ids = [request.msg_id(key) for key in request.keys]
        records = self._client.link.ask("fetch", msg_ids=ids)
        records.add_done_callback(lambda f: self._fill(f, request))

    def _failed_to_ask(self, question: Future[Any], request: Recorded) -> bool:
        error = question.exception()
        if isinstance(error, HubUnreachable):
            self._unasked.append(request)
            self._wake()
        elif error is not None:
            request.fail(error)
        return error is not None

    def _fill(self, question: Future[Any], request: Recorded) -> None:
        if self._failed_to_ask(question, request):
            return
        found = {record["msg_id"]: record for record in question.result()["records"]}
        for key in request.keys:
            record = found.get(request.msg_id(key))
            if record is None:
                request.values[key] = KeyError(
                    f"No such message: {request.msg_id(key)}"
                )
            else:
                self._take(request, key, record)
        request.fail_missing()
        request.done()

    def _take(self, request: Recorded, key: int, record: Mapping[str, Any]) -> None:
        """Make the journal's record what it was: an answer and some output."""
        self._about.kind = record["kind"] or self._about.kind
        self._about.label = record["label"] or ""
        self._about.code = record.get("execute_input")
        request.submitted = record["submitted"] or 0.0
        request.ran[key] = record["engine_id"]
        printed = request.printed[key] = Printed()
        for name in ("stdout", "stderr"):
            if record.get(name):
                printed.streams[name] = [record[name]]
        frames = record["result_buffers"]
        if frames is None:
            request.values[key] = UsageError(
                f"The result of {request.msg_id(key)} was too large to be kept; "
                "only the client that asked for it has got it."
            )
            return
        count = (record["result_content"] or {}).get("count", 0)
        times = (record["started"] or 0.0,), (record["completed"] or 0.0,)
        part = Part(str(key), record["status"], len(frames), *times, count)
        received = record["received"] or 0.0
        with self._condition:
            request.answers[key] = Answer(part, frames, [key], received)
            self._news()


class Recorded(Request):
    """A request or a task as the journal has it: another client's, or from an earlier
    life of this one."""

    def __init__(
        self, result: AsyncResult | None, about: About, msg_ids: Sequence[str]
    ) -> None:
        places = [parsed(msg_id) for msg_id in msg_ids]
        super().__init__(result, about, [key for _, _, key in places], 0.0)
        self.id, self._prefix, _ = places[0]
        self.together = not is_task(msg_ids[0])
        self.ran: dict[int, int | None] = {}
        """The engines, as far as the records say them."""

    @property
    def prefix(self) -> str:
        """What stands before the number of a place."""
        return self._prefix

    def engine_of(self, key: int) -> int | None:
        """The engine that the record names."""
        return key if self.together else self.ran.get(key)

    def abort(self, keys: Collection[int]) -> None:
        """Nobody else can cancel a client's tasks."""
        raise UsageError(
            f"Task {self.id} has ended, or belongs to another client: only the client "
            "that sent a task can abort it."
        )

"""What goes into the journal, and when: the hub's requests as task records.

A record is one request on one engine. Most requests live shorter than a journal's
batch, so a request is written once, finished, and its record is made in the journal's
own thread. Only what takes longer is written first as unfinished, so that `hub_history`
shows it and a new hub knows it. When a batch is on disk, engines may forget their
results (`Saved`).

An answer in shared memory is large, and its client is about to take it: it is written
without its data, and is not safe by that. With its data it is written only if the
client is gone.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from steer import shm
from steer.core.events import NoteTasks
from steer.core.fanout import Answered, Request
from steer.core.query import Record
from steer.eventloop import Loop
from steer.hub.journal import Journal
from steer.ranks import RankSet
from steer.wire.messages import Part, Result, Submit

FLEETING = frozenset({"complete", "inspect"})
"""Kinds that are asked at every key: nobody looks for them later."""

BATCH_SECONDS = 0.1
MOST_UNWRITTEN = 200_000
"""Tasks that wait for the disk."""

KEPT_REQUEST = 1 << 20
"""Bytes of arguments that are kept for `resubmit`; larger ones are not."""


@dataclasses.dataclass(slots=True)
class Snapshot:
    """A request as it was when the batch was made; nothing in it changes any more."""

    submit: Submit
    client: str
    frames: Sequence[Any]
    uuids: dict[int, str]
    answers: list[Answered]
    kept: dict[int, dict[str, list[bytes]]]
    unfinished: tuple[int, ...]

    def results(self) -> list[tuple[str, int]]:
        """What engines may forget once this is on disk."""
        whole = [a for a in self.answers if a.store is None]
        return [(self.submit.id, e) for a in whole for e in a.engines]

    def records(self) -> Iterator[Record]:
        """A record for each engine; in the journal's thread."""
        common = self._common()
        for answered in self.answers:
            for i, engine in enumerate(answered.engines):
                yield common | {
                    "msg_id": f"{self.submit.id}_{engine}",
                    "engine_id": engine,
                    "engine_uuid": self.uuids.get(engine, ""),
                    "status": answered.status,
                    "started": answered.started[i],
                    "completed": answered.completed[i],
                    "received": answered.completed[i],
                    "result_content": {"count": answered.count},
                    "result_buffers": [bytes(f) for f in answered.frames]
                    if answered.store is None
                    else None,
                    **self._printed(engine),
                }
        for engine in self.unfinished:
            yield common | {
                "msg_id": f"{self.submit.id}_{engine}",
                "engine_id": engine,
                "engine_uuid": self.uuids.get(engine, ""),
                "status": "pending",
            }

    def _common(self) -> dict[str, Any]:
        submit = self.submit
        size = sum(map(shm.length, self.frames))
        buffers = [bytes(f) for f in self.frames] if size <= KEPT_REQUEST else None
        executes = submit.kind == "execute"
        return {
            "request": submit.id,
            "client_uuid": self.client,
            "kind": submit.kind,
            "label": submit.label,
            "submitted": submit.submitted,
            "header": {
                "targets": submit.targets,
                "silent": submit.silent,
                "store_history": submit.store_history,
                "name": submit.name,
            },
            "buffers": buffers if submit.store is None else None,
            "execute_input": bytes(self.frames[0]).decode(errors="replace")
            if executes and self.frames
            else None,
        }

    def _printed(self, engine: int) -> dict[str, Any]:
        streams = self.kept.get(engine, {})
        return {
            name: b"".join(streams[name]).decode(errors="replace")
            for name in ("stdout", "stderr")
            if name in streams
        }


class Ledger:
    """Between the hub's loop and the journal's thread."""

    def __init__(self, journal: Journal, loop: Loop) -> None:
        self.journal = journal
        self._loop = loop
        self._open: dict[str, Request] = {}
        self._full: set[str] = set()
        self._scheduled = False
        self._tasks: list[NoteTasks] = []
        self._unwritten = 0
        """Tasks that were noted and are not on the disk."""
        self.saved: Callable[[Sequence[tuple[str, int]]], None] = lambda results: None
        self.saved_tasks: Callable[[str, int], None] = lambda client, number: None

    # -- writing, in the loop's thread

    def note(self, request: Request, *, keep: bool) -> None:
        """Write this request with the next batch; with its shared memory if `keep`."""
        self._open[request.submit.id] = request
        if keep and request.lent:
            self._full.add(request.submit.id)
        self._schedule()

    def note_tasks(self, note: NoteTasks) -> None:
        """Write with the next batch how these tasks ended.

        A disk that is too slow for them must not fill our memory: then those are left
        out that their client has.
        """
        if self._unwritten > MOST_UNWRITTEN and not note.keep:
            return
        self._unwritten += len(note.tasks)
        self._tasks.append(note)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_later(BATCH_SECONDS, self.flush)

    def flush(self) -> None:
        """Hand the batch to the journal."""
        self._scheduled = False
        batch = [self._snapshot(request) for request in self._open.values()]
        self._open.clear()
        self._full.clear()
        if batch:
            self._write(batch)
        if self._tasks:
            notes, self._tasks = self._tasks, []
            self._write_tasks(notes)

    def _write_tasks(self, notes: list[NoteTasks]) -> None:
        offset = time.time() - time.monotonic()
        kept = {note.client: note.number for note in notes if note.keep}
        count = sum(len(note.tasks) for note in notes)

        def written() -> None:
            self._unwritten -= count

        def committed() -> None:
            self._loop.call_soon(written)
            for client, number in kept.items():
                self._loop.call_soon(lambda c=client, n=number: self.saved_tasks(c, n))  # type: ignore[misc]

        self.journal.put_tasks(notes, offset, committed)

    def _snapshot(self, request: Request) -> Snapshot:
        full = request.submit.id in self._full
        answers = [
            self._copy(answered, full)
            for answered in request.answers
            if answered.taken or not request.saved.issuperset(answered.engines)
        ]
        kept = {engine: dict(streams) for engine, streams in request.kept.items()}
        return Snapshot(
            request.submit, request.client, request.frames, request.uuids,
            answers, kept, tuple(request.pending),
        )  # fmt: skip

    def _copy(self, answered: Answered, full: bool) -> Answered:
        frames, store = answered.frames, answered.store
        if full and store is not None and not answered.taken:
            frames, store = shm.take(store, frames), None
        return dataclasses.replace(
            answered,
            store=store,
            engines=list(answered.engines),
            started=list(answered.started),
            completed=list(answered.completed),
            frames=frames,
        )

    def _write(self, batch: list[Snapshot]) -> None:
        saved = [result for snapshot in batch for result in snapshot.results()]
        kept = [s for s in batch if s.submit.kind not in FLEETING]
        if not kept:
            self._loop.call_soon(lambda: self.saved(saved))
            return

        def records() -> Iterator[Record]:
            for snapshot in kept:
                yield from snapshot.records()

        def committed() -> None:
            self._loop.call_soon(lambda: self.saved(saved))

        self.journal.put(records, committed)

    def late(self, engine: int, result: Result, frames: Sequence[Any]) -> None:
        """An answer whose request only the journal knows."""
        whole = shm.take(result.store, frames)
        fields = {
            "status": result.status,
            "started": result.started,
            "completed": result.completed,
            "received": result.completed,
            "result_content": {"count": result.count},
            "result_buffers": [bytes(f) for f in whole],
        }
        done = [(result.id, engine)]
        self.journal.update(
            f"{result.id}_{engine}",
            fields,
            lambda: self._loop.call_soon(lambda: self.saved(done)),
        )

    # -- reading

    def recall(
        self, submit: Submit, found: Callable[[list[tuple[Part, list[Any]]]], None]
    ) -> None:
        """The answers that the journal holds of this request, in the loop's thread."""
        self.flush()
        ids = [f"{submit.id}_{engine}" for engine in RankSet.parse(submit.targets)]

        def fetched(records: list[Record]) -> None:
            parts = [_part(r) for r in records if r.get("result_buffers") is not None]
            self._loop.call_soon(lambda: found(parts))

        self.journal.fetch(ids, fetched, lambda error: fetched([]))

    def look(
        self,
        what: str,
        arguments: dict[str, Any],
        answer: Callable[[Any], None],
        refuse: Callable[[Exception], None],
    ) -> None:
        """Answer a client's question from the journal."""
        self.flush()
        soon = self._loop.call_soon

        def failed(error: Exception) -> None:
            soon(lambda: refuse(error))

        def found(key: str) -> Callable[[Any], None]:
            return lambda content: soon(lambda: answer({key: content}))

        match what:
            case "query":
                query, keys = arguments.get("query") or {}, arguments.get("keys")
                self.journal.query(query, keys, found("records"), failed)
            case "history":
                self.journal.history(found("msg_ids"), failed)
            case "fetch":
                self.journal.fetch(arguments["msg_ids"], found("records"), failed)
            case "purge":
                self.journal.purge(arguments, found("purged"), failed)
            case _:
                raise KeyError(what)


def _part(record: Record) -> tuple[Part, list[Any]]:
    frames = list(record["result_buffers"])
    content = record.get("result_content") or {}
    part = Part(
        ranks=str(record["engine_id"]),
        status=record["status"],
        frames=len(frames),
        started=(record.get("started") or 0.0,),
        completed=(record.get("completed") or 0.0,),
        count=int(content.get("count", 0)),
    )
    return part, frames

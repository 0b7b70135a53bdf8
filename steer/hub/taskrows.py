"""Tasks in the journal: many in one row, since tens of thousands end in a second.

A row holds tasks of one client that ended at about the same time. Whoever asks for
records gets one for each task, made when asked.
"""

from __future__ import annotations

import collections
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from steer import shm
from steer.core.events import NoteTasks
from steer.core.query import Record
from steer.wire.frames import pack, unpack
from steer.wire.messages import ErrorInfo, TaskStatus

TOGETHER = 1000
"""Tasks in a row at most."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS bundles (
    client, first INTEGER, last INTEGER, count INTEGER, size INTEGER, ended, body
);
CREATE INDEX IF NOT EXISTS by_task ON bundles (client, first);
"""
WRITE = "INSERT INTO bundles VALUES (?, ?, ?, ?, ?, ?, ?)"

ERRORS = {
    TaskStatus.CANCELLED: "CancelledError",
    TaskStatus.LOST: "EngineError",
    TaskStatus.TIMED_OUT: "TaskTimeout",
    TaskStatus.OVERRAN: "TaskTimeout",
    TaskStatus.IMPOSSIBLE: "ImpossibleDependency",
    TaskStatus.INVALID: "InvalidDependency",
    TaskStatus.DEPENDENCY: "DependencyError",
    TaskStatus.REFUSED: "UsageError",
}
"""What the hub's own words are called."""


def rows(notes: Sequence[NoteTasks], offset: float) -> Iterator[tuple[Any, ...]]:
    """The rows for some notes; `offset` makes a time of the core one of the world."""
    by_client: dict[str, list[NoteTasks]] = collections.defaultdict(list)
    for note in notes:
        by_client[note.client].append(note)
    for client, its in by_client.items():
        engines = {note.engine: note.uuid for note in its}
        tasks = [_whole(note, task, offset) for note in its for task in note.tasks]
        for at in range(0, len(tasks), TOGETHER):
            some = tasks[at : at + TOGETHER]
            ids = [task[0] for task in some]
            body = pack((engines, some))
            ended = max(task[3] + task[4] for task in some)
            yield client, min(ids), max(ids), len(some), len(body), ended, body


def write(
    db: sqlite3.Connection, notes: Sequence[NoteTasks], offset: float
) -> tuple[int, int]:
    """Write what is noted, over what was noted before without its value; returns how
    many tasks that is, and their bytes."""
    for note in notes:
        if note.again:
            for task in note.tasks:
                _forget(db, note.client, task[0])
    made = list(rows(notes, offset))
    db.executemany(WRITE, made)
    return sum(row[3] for row in made), sum(row[4] for row in made)


def _whole(note: NoteTasks, task: Any, offset: float) -> tuple[Any, ...]:
    """A task as it is written; what lay in shared memory is copied."""
    number, status, started, took, submitted, name, function, value, printed = task
    if value is not None and not isinstance(value, bytes):
        value = [bytes(f) for f in shm.take(value.store, value.frames)]
    return (
        number, int(status), note.engine, started, took, submitted + offset, name,
        function, value, printed,
    )  # fmt: skip


def task_id(msg_id: str) -> tuple[str, int] | None:
    """The client and the number of a task that is named like a message."""
    client, _, number = msg_id.rpartition("-t")
    return (client, int(number)) if client and number.isdecimal() else None


def msg_id(client: str, number: int) -> str:
    """How a task is named among messages."""
    return f"{client}-t{number}"


def read(db: sqlite3.Connection, query: Mapping[str, Any]) -> Iterator[Record]:
    """Records of tasks, those that a query can mean among them."""
    where, values = "", []
    named = query.get("msg_id")
    key = task_id(named) if isinstance(named, str) else None
    if key is not None:
        where = "WHERE client = ? AND first <= ? AND last >= ?"
        values = [key[0], key[1], key[1]]
    elif isinstance(named, str):
        return
    elif isinstance(query.get("client_uuid"), str):
        where, values = "WHERE client = ?", [query["client_uuid"]]
    command = f"SELECT client, body FROM bundles {where} ORDER BY rowid"
    for client, body in db.execute(command, values):
        engines, tasks = unpack(body, strict=False)
        for task in tasks:
            if key is None or task[0] == key[1]:
                yield _record(client, engines, task)


def _record(client: str, engines: Mapping[Any, str], task: Sequence[Any]) -> Record:
    number, status, engine, started, took, submitted, name, function, value, out = task
    status = TaskStatus(status)
    ended = started + took if started else None
    buffers = value if isinstance(value, list) else None
    if isinstance(value, bytes):
        buffers = [_told(status, value)]
    return {
        "msg_id": msg_id(client, number),
        "request": msg_id(client, number),
        "engine_id": engine if engine >= 0 else None,
        "engine_uuid": engines.get(engine, ""),
        "client_uuid": client,
        "kind": "apply",
        "label": name,
        "status": _status(status),
        "submitted": submitted,
        "started": started or None,
        "completed": ended,
        "received": ended,
        "header": {"name": name, "task": True, "function": function.hex()},
        "result_content": {"count": 0, "task": status.name},
        "result_buffers": buffers,
        **(out or {}),
    }


def _status(status: TaskStatus) -> str:
    if status is TaskStatus.DONE:
        return "ok"
    return "aborted" if status is TaskStatus.CANCELLED else "error"


def _told(status: TaskStatus, value: bytes) -> bytes:
    """The hub's own words as an error like all others."""
    name = ERRORS.get(status)
    return value if name is None else pack(ErrorInfo(name, value.decode()))


def ids(db: sqlite3.Connection) -> Iterator[tuple[float, str]]:
    """The names of all tasks, with the times of their submission."""
    for record in read(db, {}):
        yield record["submitted"] or 0.0, record["msg_id"]


def purge(db: sqlite3.Connection, doomed: Iterable[str] | None) -> int:
    """Forget these tasks, or all of them."""
    if doomed is None:
        count = db.execute("SELECT TOTAL(count) FROM bundles").fetchone()[0]
        db.execute("DELETE FROM bundles")
        return int(count)
    keys = [key for key in map(task_id, doomed) if key is not None]
    return sum(_forget(db, client, number) for client, number in keys)


def _forget(db: sqlite3.Connection, client: str, number: int) -> int:
    where = "client = ? AND first <= ? AND last >= ?"
    found = db.execute(
        f"SELECT rowid, body FROM bundles WHERE {where}", [client, number, number]
    ).fetchall()
    gone = 0
    for row, body in found:
        engines, tasks = unpack(body, strict=False)
        left = [task for task in tasks if task[0] != number]
        gone += len(tasks) - len(left)
        if not left:
            db.execute("DELETE FROM bundles WHERE rowid = ?", [row])
        elif len(left) < len(tasks):
            packed = pack((engines, left))
            db.execute(
                "UPDATE bundles SET body = ?, count = ?, size = ? WHERE rowid = ?",
                [packed, len(left), len(packed), row],
            )
    return gone


def cull(db: sqlite3.Connection, most: int, size: int) -> tuple[int, int]:
    """Drop the oldest rows beyond these limits; returns what is left."""
    tasks, total = measure(db)
    doomed = []
    for row, count, its in db.execute(
        "SELECT rowid, count, size FROM bundles ORDER BY rowid"
    ):
        if tasks <= most * 0.9 and total <= size * 0.9:
            break
        doomed.append([row])
        tasks -= count
        total -= its
    db.executemany("DELETE FROM bundles WHERE rowid = ?", doomed)
    return tasks, total


def measure(db: sqlite3.Connection) -> tuple[int, int]:
    """How many tasks there are, and their bytes."""
    command = "SELECT TOTAL(count), TOTAL(size) FROM bundles"
    tasks, size = db.execute(command).fetchone()
    return int(tasks), int(size)

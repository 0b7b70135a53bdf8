"""The journal: task records in SQLite, so that what is finished is not lost.

A thread of its own owns the file, because the hub's loop must never wait for a disk (homes
lie on network file systems). Jobs come through a queue and run in order; those that are
there together share a transaction, and their callbacks are called, in the journal's thread,
when it is committed. `synchronous=OFF`: a killed process loses nothing, since the kernel has
the data; only a host's crash may lose the last seconds. No WAL: it does not work on NFS.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steer.core.query import Record, matches, project, validate
from steer.errors import UsageError
from steer.wire.frames import pack, unpack

RECORD_LIMIT = 100_000
SIZE_LIMIT = 1 << 30
CULL_EVERY = 1000
"""Records written between two looks at the limits."""

COLUMNS = (
    "msg_id", "request", "engine_id", "engine_uuid", "client_uuid", "kind", "label",
    "status", "submitted", "started", "completed", "received", "resubmitted",
)  # fmt: skip
BLOBS = ("buffers", "result_buffers")
KEYS = (
    *COLUMNS, "header", "metadata", "content", "result_header", "result_metadata",
    "result_content", "queue", "execute_input", "execute_result", "error", "stdout",
    "stderr", *BLOBS,
)  # fmt: skip

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS tasks (
    {", ".join(f"{c} PRIMARY KEY" if c == "msg_id" else c for c in COLUMNS)},
    rest BLOB, buffers BLOB, result_buffers BLOB, size INTEGER
);
CREATE INDEX IF NOT EXISTS by_request ON tasks (request);
"""
ALL = (*COLUMNS, "rest", *BLOBS, "size")
WRITE = f"INSERT OR REPLACE INTO tasks ({', '.join(ALL)}) VALUES ({', '.join('?' * len(ALL))})"

Job = Callable[[sqlite3.Connection], Callable[[], object] | None]
Failed = Callable[[Exception], object]


class Journal:
    """Task records on disk. Every method but `close` returns at once."""

    def __init__(
        self,
        path: Path,
        *,
        on_error: Callable[[Exception], object],
        record_limit: int = RECORD_LIMIT,
        size_limit: int = SIZE_LIMIT,
    ) -> None:
        self._path = path
        self._on_error = on_error
        self._limits = (record_limit, size_limit)
        self._written = 0
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="steer-journal")
        self._thread.start()

    # -- writing

    def put(
        self, records: Callable[[], Iterable[Record]], done: Callable[[], object]
    ) -> None:
        """Write the records, over earlier ones of the same msg_id."""

        def job(db: sqlite3.Connection) -> Callable[[], object]:
            rows = [_row(record) for record in records()]
            db.executemany(WRITE, rows)
            self._written += len(rows)
            return done

        self._jobs.put(job)

    def update(
        self, msg_id: str, fields: Mapping[str, Any], done: Callable[[], object]
    ) -> None:
        """Change some fields of a record, or make it."""

        def job(db: sqlite3.Connection) -> Callable[[], object]:
            old = next(_read(db, "WHERE msg_id = ?", [msg_id]), {"msg_id": msg_id})
            request, _, engine = msg_id.rpartition("_")
            known = {"request": request, "engine_id": int(engine)}
            db.execute(WRITE, _row(known | old | dict(fields)))
            return done

        self._jobs.put(job)

    # -- reading

    def fetch(
        self,
        msg_ids: Sequence[str],
        found: Callable[[list[Record]], object],
        failed: Failed,
    ) -> None:
        """The records of these, buffers and all, in their order."""

        def answer(db: sqlite3.Connection) -> list[Record]:
            records = (
                next(_read(db, "WHERE msg_id = ?", [msg_id]), None)
                for msg_id in msg_ids
            )
            return [record for record in records if record is not None]

        self._ask(answer, found, failed)

    def query(
        self,
        query: Mapping[str, Any],
        keys: Sequence[str] | None,
        found: Callable[[list[Record]], object],
        failed: Failed,
    ) -> None:
        """The records that a query means (`steer.core.query`)."""

        def answer(db: sqlite3.Connection) -> list[Record]:
            validate(query)
            where, values = _narrow(query)
            return [
                project(record, keys)
                for record in _read(db, where, values)
                if matches(record, query)
            ]

        self._ask(answer, found, failed)

    def history(self, found: Callable[[list[str]], object], failed: Failed) -> None:
        """All msg_ids in order of submission."""

        def answer(db: sqlite3.Connection) -> list[str]:
            rows = db.execute("SELECT msg_id FROM tasks ORDER BY submitted, rowid")
            return [row[0] for row in rows]

        self._ask(answer, found, failed)

    def purge(
        self, what: Mapping[str, Any], found: Callable[[int], object], failed: Failed
    ) -> None:
        """Forget finished records: by `msg_ids`, by `engines`, or `all`."""

        def answer(db: sqlite3.Connection) -> int:
            finished = "status != 'pending'"
            if what.get("all"):
                return db.execute(f"DELETE FROM tasks WHERE {finished}").rowcount
            column, values = ("msg_id", what.get("msg_ids") or [])
            if what.get("engines"):
                column, values = "engine_id", what["engines"]
            command = f"DELETE FROM tasks WHERE {finished} AND {column} = ?"
            return sum(db.execute(command, [value]).rowcount for value in values)

        self._ask(answer, found, failed)

    def _ask(
        self,
        answer: Callable[[sqlite3.Connection], Any],
        found: Callable[[Any], object],
        failed: Failed,
    ) -> None:
        def job(db: sqlite3.Connection) -> Callable[[], object]:
            try:
                content = answer(db)
            except (UsageError, sqlite3.Error) as error:
                problem = error
                return lambda: failed(problem)
            return lambda: found(content)

        self._jobs.put(job)

    # -- the thread

    def close(self, timeout: float) -> None:
        """Write what is left and end."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        db = self._open()
        with contextlib.closing(db):
            going = True
            while going:
                jobs = [self._jobs.get()]
                while not self._jobs.empty():
                    jobs.append(self._jobs.get())
                going = None not in jobs
                self._transact(db, [job for job in jobs if job is not None])

    def _transact(self, db: sqlite3.Connection, jobs: list[Job]) -> None:
        """Run jobs in one transaction, or one by one if that fails."""
        try:
            with db:
                callbacks = [job(db) for job in jobs]
                self._cull(db)
        except sqlite3.Error as error:
            if len(jobs) > 1:
                for job in jobs:
                    self._transact(db, [job])
                return
            # Engines keep their results until a later hub has a disk that works.
            self._on_error(error)
            return
        for callback in callbacks:
            if callback is not None:
                callback()

    def _open(self) -> sqlite3.Connection:
        """The file, or a new one if it is damaged, or memory if there can be none."""
        try:
            return _connect(self._path)
        except sqlite3.DatabaseError as error:
            self._on_error(error)
        with contextlib.suppress(OSError, sqlite3.Error):
            aside = self._path.with_suffix(f".damaged-{int(time.time())}")
            self._path.rename(aside)
            return _connect(self._path)
        return _connect(":memory:")

    def _cull(self, db: sqlite3.Connection) -> None:
        """Drop the oldest finished records beyond the limits."""
        if self._written < CULL_EVERY:
            return
        self._written = 0
        count, size = db.execute("SELECT COUNT(*), TOTAL(size) FROM tasks").fetchone()
        records, total = self._limits
        if count <= records and size <= total:
            return
        oldest = db.execute(
            "SELECT rowid, size FROM tasks WHERE status != 'pending' ORDER BY submitted"
        )
        doomed = []
        for row, its in oldest:
            if count <= records * 0.9 and size <= total * 0.9:
                break
            doomed.append([row])
            count, size = count - 1, size - its
        db.executemany("DELETE FROM tasks WHERE rowid = ?", doomed)


def _connect(path: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=5.0)
    try:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA journal_mode = TRUNCATE")
        db.executescript(SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _row(record: Mapping[str, Any]) -> list[Any]:
    rest = pack(
        {k: v for k, v in record.items() if k not in COLUMNS and k not in BLOBS}
    )
    blobs = [None if record.get(k) is None else pack(record[k]) for k in BLOBS]
    size = len(rest) + sum(len(blob) for blob in blobs if blob is not None)
    return [*(record.get(column) for column in COLUMNS), rest, *blobs, size]


def _read(
    db: sqlite3.Connection, where: str = "", values: Sequence[Any] = ()
) -> Iterator[Record]:
    command = (
        f"SELECT {', '.join(ALL[:-1])} FROM tasks {where} ORDER BY submitted, rowid"
    )
    for row in db.execute(command, values):
        record: Record = dict.fromkeys(KEYS)
        record.update(zip(COLUMNS, row, strict=False))
        record.update(unpack(row[len(COLUMNS)]))
        for key, blob in zip(BLOBS, row[len(COLUMNS) + 1 :], strict=True):
            record[key] = None if blob is None else unpack(blob)
        yield record


def _narrow(query: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """What SQLite can decide by itself, faster: equality of plain columns."""
    plain = {
        key: value
        for key, value in query.items()
        if key in COLUMNS and isinstance(value, str | int | float)
    }
    if not plain:
        return "", []
    return "WHERE " + " AND ".join(f"{key} = ?" for key in plain), list(plain.values())

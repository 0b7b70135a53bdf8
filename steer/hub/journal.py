"""The journal: task records in SQLite, so that what is finished is not lost.

A thread of its own owns the file, because the hub's loop must never wait for a disk
(homes lie on network file systems). Jobs come through a queue and run in order; those
that are there together share a transaction, and their callbacks are called, in this
thread, when it is committed.

`synchronous=OFF`: a killed process loses nothing, since the kernel has the data; only a
host's crash may lose the last seconds. No WAL: it does not work on NFS. The file is
locked while it is open: somebody who looks into it with another program would make our
writes fail for as long as he looks.

Nothing that goes wrong here ends the hub: it is told (`on_error`), a job that cannot be
done calls nothing or its `failed`, and a file that cannot be read is moved aside.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from steer.core.events import NoteTasks
from steer.core.query import BUFFERS, Record, matches, project, validate
from steer.errors import SteerError, UsageError
from steer.hub import taskrows
from steer.wire.frames import pack, unpack

RECORD_LIMIT = 100_000
SIZE_LIMIT = 1 << 30
VERSION = 1
"""Of the tables. A file of another version is moved aside like a damaged one."""
LOCK_SECONDS = 5.0
"""How long to wait for a hub that is just being killed to let go of the file."""

COLUMNS = (
    "msg_id", "request", "engine_id", "engine_uuid", "client_uuid", "kind", "label",
    "status", "submitted", "started", "completed", "received", "resubmitted",
)  # fmt: skip
KEYS = (
    *COLUMNS, "header", "metadata", "content", "result_header", "result_metadata",
    "result_content", "queue", "execute_input", "execute_result", "error", "stdout",
    "stderr", *BUFFERS,
)  # fmt: skip
ALL = (*COLUMNS, "size", "rest", *BUFFERS)
"""The table's columns: `size` before those that are long, so that SQLite skips them."""

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS tasks (
    {", ".join(f"{c} PRIMARY KEY" if c == "msg_id" else c for c in ALL)}
);
CREATE INDEX IF NOT EXISTS by_request ON tasks (request);
PRAGMA user_version = {VERSION};
"""
WRITE = (
    f"INSERT OR REPLACE INTO tasks ({', '.join(ALL)}) "
    f"VALUES ({', '.join('?' * len(ALL))})"
)

Work = Callable[[sqlite3.Connection], Callable[[], object] | None]
"""Does something in a transaction; what it returns is called after the commit."""
Failed = Callable[[Exception], object]


class _Job(NamedTuple):
    work: Work
    failed: Failed | None = None
    """Called instead; without it the error is the journal's own."""


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
        self._count = self._size = 0
        """What may be in the file; more than there is, if records were written over."""
        self._tasks = self._tasks_size = 0
        self._reported = ""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # A daemon: a file server that hangs must not keep the hub from ending.
        self._thread = threading.Thread(
            target=self._run, name="steer-journal", daemon=True
        )
        self._thread.start()

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._path.parent

    # -- writing

    def put(
        self, records: Callable[[], Iterable[Record]], done: Callable[[], object]
    ) -> None:
        """Write the records, over earlier ones of the same msg_id."""

        def job(db: sqlite3.Connection) -> Callable[[], object]:
            rows = [_row(record) for record in records()]
            db.executemany(WRITE, rows)
            self._grow(rows)
            return done

        self._jobs.put(_Job(job))

    def update(
        self, msg_id: str, fields: Mapping[str, Any], done: Callable[[], object]
    ) -> None:
        """Change some fields of a record, or make it."""

        def job(db: sqlite3.Connection) -> Callable[[], object]:
            old = next(_read(db, "WHERE msg_id = ?", [msg_id]), _named(msg_id))
            row = _row(old | dict(fields))
            db.execute(WRITE, row)
            self._grow([row])
            return done

        self._jobs.put(_Job(job))

    def put_tasks(
        self, notes: Sequence[NoteTasks], offset: float, done: Callable[[], object]
    ) -> None:
        """Write how tasks ended, as `steer.hub.taskrows` has it."""

        def job(db: sqlite3.Connection) -> Callable[[], object]:
            tasks, size = taskrows.write(db, notes, offset)
            self._tasks += tasks
            self._tasks_size += size
            return done

        self._jobs.put(_Job(job))

    def soon(self, job: Callable[[], object]) -> None:
        """Do something else in this thread, because it may wait for a disk; behind all
        that was asked for before."""
        self._jobs.put(_Job(lambda db: job))

    # -- reading

    def fetch(
        self,
        msg_ids: Sequence[str],
        found: Callable[[list[Record]], object],
        failed: Failed,
    ) -> None:
        """The records of these, buffers and all, in their order."""

        def answer(db: sqlite3.Connection) -> list[Record]:
            records = (_find(db, msg_id) for msg_id in msg_ids)
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
            where, values = _narrow(query)
            found = itertools.chain(
                _read(db, where, values, blobs=blobs), _read_tasks(db, query)
            )
            return [project(r, keys) for r in found if matches(r, query)]

        try:
            validate(query, keys)
        except UsageError as error:
            problem = error  # the name of an except clause ends with it
            self._jobs.put(_Job(lambda db: lambda: failed(problem)))
            return
        roots = {key.partition(".")[0] for key in (*query, *(keys or ()))}
        blobs = not roots.isdisjoint(BUFFERS)

        self._ask(answer, found, failed)

    def history(self, found: Callable[[list[str]], object], failed: Failed) -> None:
        """All msg_ids in order of submission."""

        def answer(db: sqlite3.Connection) -> list[str]:
            rows = db.execute(
                "SELECT submitted, msg_id FROM tasks ORDER BY submitted, rowid"
            ).fetchall()
            tasks = list(taskrows.ids(db))
            if tasks:
                rows = sorted([*rows, *tasks], key=lambda row: row[0] or 0.0)
            return [row[1] for row in rows]

        self._ask(answer, found, failed)

    def purge(
        self, what: Mapping[str, Any], found: Callable[[int], object], failed: Failed
    ) -> None:
        """Forget finished records: by `msg_ids`, by `engines`, or `all`."""

        def answer(db: sqlite3.Connection) -> int:
            finished = "status != 'pending'"
            if what.get("all"):
                gone = db.execute(f"DELETE FROM tasks WHERE {finished}").rowcount
                return gone + taskrows.purge(db, None)
            column, values = ("msg_id", what.get("msg_ids") or [])
            if what.get("engines"):
                column, values = "engine_id", what["engines"]
            command = f"DELETE FROM tasks WHERE {finished} AND {column} = ?"
            gone = sum(db.execute(command, [value]).rowcount for value in values)
            named = values if column == "msg_id" else _tasks_of(db, values)
            return gone + taskrows.purge(db, named)

        self._ask(answer, found, failed)

    def _ask(
        self,
        answer: Callable[[sqlite3.Connection], Any],
        found: Callable[[Any], object],
        failed: Failed,
    ) -> None:
        def job(db: sqlite3.Connection) -> Callable[[], object]:
            content = answer(db)
            return lambda: found(content)

        self._jobs.put(_Job(job, failed))

    # -- the end

    def flush(self, timeout: float) -> bool:
        """Wait until all that was asked for is done; whether it was."""
        done = threading.Event()
        self._jobs.put(_Job(lambda db: done.set))
        return done.wait(timeout)

    def close(self, timeout: float) -> bool:
        """Write what is left and end; whether there was time for it."""
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -- the thread

    def _run(self) -> None:
        self._open()
        going = True
        while going:
            jobs = [self._jobs.get()]
            while not self._jobs.empty():
                jobs.append(self._jobs.get())
            going = None not in jobs
            self._transact([job for job in jobs if job is not None])
        self._db.close()

    def _transact(self, jobs: list[_Job], *, again: bool = False) -> None:
        """Run jobs in one transaction, or one by one if that fails."""
        before = self._db.total_changes
        try:
            with self._db:
                callbacks = [job.work(self._db) for job in jobs]
                self._cull()
        except Exception as error:  # noqa: BLE001  whatever it is, the hub lives on
            if _is_damage(error) and not again:
                self._begin_anew(error)
                self._transact(jobs, again=True)
            elif len(jobs) > 1:
                for job in jobs:
                    self._transact([job], again=again)
            else:
                self._fail(jobs[0], error)
            return
        if self._db.total_changes > before:
            self._reported = ""
        for callback in callbacks:
            try:
                if callback is not None:
                    callback()
            except Exception as error:  # noqa: BLE001  the next jobs are not to blame
                self._on_error(error)

    def _fail(self, job: _Job, error: Exception) -> None:
        if job.failed is not None:
            job.failed(SteerError(f"The journal {self._path} has no answer: {error}."))
        else:
            # Engines keep their results until a later hub has a disk that works.
            self._report(f"The journal {self._path} could not be written: {error}.")

    def _report(self, text: str) -> None:
        """Say it once, not with each batch on a full disk."""
        if text != self._reported:
            self._reported = text
            self._on_error(SteerError(text))

    def _open(self) -> None:
        """Open the file, a new one if it is damaged, memory if there can be none."""
        try:
            self._db = _connect(self._path)
            self._measure()
        except sqlite3.Error as error:
            if _is_damage(error):
                self._begin_anew(error)
            else:
                self._do_without(error)

    def _begin_anew(self, damage: Exception) -> None:
        """Move the file aside and open a new one."""
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._db.close()
        aside = self._path.with_suffix(f".damaged-{time.time():.0f}")
        try:
            self._path.rename(aside)
            self._db = _connect(self._path)
        except (OSError, sqlite3.Error) as error:
            self._do_without(error)
            return
        self._count = self._size = self._tasks = self._tasks_size = 0
        self._report(
            f"The journal {self._path} cannot be read ({damage}); "
            f"it is now {aside.name}, and a new one is begun."
        )

    def _do_without(self, error: Exception) -> None:
        """Go on in memory."""
        self._report(
            f"The journal {self._path} cannot be used: {error}. "
            "What is finished is only kept until the hub ends."
        )
        self._db = _connect(":memory:")
        self._count = self._size = self._tasks = self._tasks_size = 0

    # -- the limits

    def _grow(self, rows: Sequence[Sequence[Any]]) -> None:
        self._count += len(rows)
        self._size += sum(row[len(COLUMNS)] for row in rows)

    def _measure(self) -> None:
        command = "SELECT COUNT(*), TOTAL(size) FROM tasks"
        self._count, self._size = self._db.execute(command).fetchone()
        self._tasks, self._tasks_size = taskrows.measure(self._db)

    def _cull(self) -> None:
        """Drop the oldest finished records beyond the limits, and some more."""
        records, total = self._limits
        if self._tasks > records or self._tasks_size > total:
            self._tasks, self._tasks_size = taskrows.cull(self._db, records, total)
        if self._count <= records and self._size <= total:
            return
        self._measure()
        if self._count <= records and self._size <= total:
            return
        oldest = self._db.execute(
            "SELECT rowid, size FROM tasks WHERE status != 'pending' ORDER BY submitted"
        )
        doomed = []
        for row, size in oldest:
            if self._count <= records * 0.9 and self._size <= total * 0.9:
                break
            doomed.append([row])
            self._count -= 1
            self._size -= size
        self._db.executemany("DELETE FROM tasks WHERE rowid = ?", doomed)


def _is_damage(error: Exception) -> bool:
    """Whether the file is none of ours, or not any more."""
    if isinstance(error, sqlite3.NotSupportedError):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _connect(path: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=LOCK_SECONDS, check_same_thread=False)
    try:
        db.execute("PRAGMA auto_vacuum = FULL")  # what is purged leaves the disk
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA journal_mode = TRUNCATE")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise sqlite3.NotSupportedError(f"its version is {version}, not {VERSION}")
        db.executescript(f"BEGIN EXCLUSIVE; {SCHEMA}{taskrows.SCHEMA} COMMIT;")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _find(db: sqlite3.Connection, msg_id: str) -> Record | None:
    if taskrows.task_id(msg_id) is not None:
        return next(_read_tasks(db, {"msg_id": msg_id}), None)
    return next(_read(db, "WHERE msg_id = ?", [msg_id]), None)


def _read_tasks(db: sqlite3.Connection, query: Mapping[str, Any]) -> Iterator[Record]:
    empty: Record = dict.fromkeys(KEYS)
    return (empty | record for record in taskrows.read(db, query))


def _tasks_of(db: sqlite3.Connection, engines: Sequence[Any]) -> list[str]:
    """The tasks that ended on these engines."""
    records = taskrows.read(db, {})
    return [r["msg_id"] for r in records if r["engine_id"] in engines]


def _named(msg_id: str) -> Record:
    """What the name of a record says of it."""
    request, _, engine = msg_id.rpartition("_")
    return {
        "msg_id": msg_id,
        "request": request,
        "engine_id": int(engine) if engine.isdecimal() else None,
    }


def _row(record: Mapping[str, Any]) -> list[Any]:
    rest = pack(
        {k: v for k, v in record.items() if k not in COLUMNS and k not in BUFFERS}
    )
    blobs = [None if record.get(k) is None else pack(record[k]) for k in BUFFERS]
    size = len(rest) + sum(len(blob) for blob in blobs if blob is not None)
    return [*(record.get(column) for column in COLUMNS), size, rest, *blobs]


def _read(
    db: sqlite3.Connection,
    where: str = "",
    values: Sequence[Any] = (),
    *,
    blobs: bool = True,
) -> Iterator[Record]:
    columns = (*COLUMNS, "rest", *(BUFFERS if blobs else ()))
    command = (
        f"SELECT {', '.join(columns)} FROM tasks {where} ORDER BY submitted, rowid"
    )
    for row in db.execute(command, values):
        record: Record = dict.fromkeys(KEYS)
        record.update(zip(COLUMNS, row, strict=False))
        record.update(unpack(row[len(COLUMNS)]))
        for key, blob in zip(BUFFERS, row[len(COLUMNS) + 1 :], strict=False):
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

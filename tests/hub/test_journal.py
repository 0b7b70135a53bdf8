"""The journal keeps what it was given, whatever happens to its file or its process."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from steer.hub.journal import KEYS, Journal

SECONDS = 20.0


def record(number: int, engine: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "msg_id": f"r{number}_{engine}",
        "request": f"r{number}",
        "engine_id": engine,
        "submitted": float(number),
        "status": "ok",
        **fields,
    }


class Asker:
    """A journal whose answers are waited for."""

    def __init__(self, path: Path, **limits: int) -> None:
        self.errors: list[str] = []
        self.journal = Journal(
            path, on_error=lambda error: self.errors.append(str(error)), **limits
        )

    def put(self, *records: dict[str, Any]) -> None:
        committed = threading.Event()
        self.journal.put(lambda: records, committed.set)
        assert committed.wait(SECONDS), self.errors

    def ask(self, name: str, *args: Any) -> Any:
        """The answer, or the exception that came in its place."""
        came = threading.Event()
        answers: list[Any] = []

        def answered(answer: Any) -> None:
            answers.append(answer)
            came.set()

        method: Callable[..., None] = getattr(self.journal, name)
        method(*args, answered, answered)
        assert came.wait(SECONDS), self.errors
        return answers[0]

    def history(self) -> list[str]:
        answer = self.ask("history")
        assert isinstance(answer, list), answer
        return answer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def open_journal(path: Path) -> Iterator[Callable[..., Asker]]:
    opened: list[Asker] = []

    def make(where: Path = path, **limits: int) -> Asker:
        opened.append(Asker(where, **limits))
        return opened[-1]

    yield make
    for asker in opened:
        assert asker.journal.close(SECONDS)


@pytest.fixture
def asker(open_journal: Callable[..., Asker]) -> Asker:
    return open_journal()


# -- keeping and finding


def test_gives_back_what_it_was_given(asker: Asker) -> None:
    given = record(
        1,
        3,
        kind="execute",
        label="sim",
        started=1.5,
        header={"name": "f", "deep": [1, None, "x"]},
        stdout="hello\n",
        buffers=[b"a", b"\x00" * 100],
        result_buffers=[b"r"],
    )
    asker.put(given)
    [found] = asker.ask("fetch", ["r1_3", "nobody_0"])
    assert set(found) == set(KEYS)
    assert {key: value for key, value in found.items() if value is not None} == given


def test_writes_over_what_was_there(asker: Asker) -> None:
    asker.put(record(1, status="pending"))
    asker.put(record(1, status="ok", stdout="done"))
    [found] = asker.ask("query", {}, None)
    assert (found["status"], found["stdout"]) == ("ok", "done")


def test_updates_some_fields(asker: Asker) -> None:
    asker.put(record(1, 2, status="pending", header={"name": "f"}, buffers=[b"in"]))
    done = threading.Event()
    asker.journal.update("r1_2", {"status": "ok", "result_buffers": [b"x"]}, done.set)
    assert done.wait(SECONDS)
    [found] = asker.ask("fetch", ["r1_2"])
    assert (found["status"], found["result_buffers"]) == ("ok", [b"x"])
    assert (found["header"], found["buffers"]) == ({"name": "f"}, [b"in"])


def test_updates_what_it_did_not_know(asker: Asker) -> None:
    done = threading.Event()
    asker.journal.update("r9_2", {"status": "ok"}, lambda: None)
    asker.journal.update("odd", {"status": "ok"}, done.set)
    assert done.wait(SECONDS)
    first, odd = asker.ask("fetch", ["r9_2", "odd"])
    assert (first["request"], first["engine_id"]) == ("r9", 2)
    assert (odd["msg_id"], odd["engine_id"]) == ("odd", None)


def test_answers_queries(asker: Asker) -> None:
    asker.put(*(record(n, n % 2, header={"n": n}, buffers=[b"b"]) for n in range(6)))

    def ids(query: dict[str, Any]) -> list[str]:
        return [found["msg_id"] for found in asker.ask("query", query, [])]

    assert ids({"engine_id": 1}) == ["r1_1", "r3_1", "r5_1"]
    assert ids({"engine_id": 1, "submitted": {"$gt": 2}}) == ["r3_1", "r5_1"]
    assert ids({"header.n": {"$in": [0, 5]}}) == ["r0_0", "r5_1"]
    assert ids({"engine_id": "1"}) == []
    assert ids({"buffers": [b"b"], "request": "r2"}) == ["r2_0"]
    [whole] = asker.ask("query", {"request": "r2"}, None)
    assert "buffers" not in whole
    assert whole["header"] == {"n": 2}
    [asked] = asker.ask("query", {"request": "r2"}, ["buffers"])
    assert asked == {"msg_id": "r2_0", "buffers": [b"b"]}


def test_refuses_a_query_without_harm(asker: Asker) -> None:
    asker.put(record(1))
    bad: list[Any] = [{"x": {"$or": 1}}, [], {"engine_id": 1 << 70}]
    for query in bad:
        assert isinstance(asker.ask("query", query, None), Exception)
    assert asker.history() == ["r1_0"]
    assert asker.errors == []


def test_history_is_in_order_of_submission(asker: Asker) -> None:
    asker.put(record(2), record(1), record(3))
    assert asker.history() == ["r1_0", "r2_0", "r3_0"]


def test_purges(asker: Asker) -> None:
    asker.put(*(record(n, n % 3) for n in range(6)), record(9, status="pending"))
    assert asker.ask("purge", {"msg_ids": ["r0_0", "nobody"]}) == 1
    assert asker.ask("purge", {"engines": [1]}) == 2
    assert asker.history() == ["r2_2", "r3_0", "r5_2", "r9_0"]
    assert asker.ask("purge", {}) == 0
    assert asker.ask("purge", {"all": True}) == 3
    assert asker.history() == ["r9_0"]  # unfinished work is not forgotten


def test_what_is_purged_leaves_the_disk(asker: Asker, path: Path) -> None:
    asker.put(*(record(n, result_buffers=[b"x" * 10_000]) for n in range(100)))
    assert path.stat().st_size > 1_000_000
    asker.ask("purge", {"all": True})
    assert asker.history() == []
    assert path.stat().st_size < 100_000


# -- the limits


def test_drops_the_oldest_beyond_the_limit(open_journal: Callable[..., Asker]) -> None:
    asker = open_journal(record_limit=100)
    asker.put(record(0, status="pending"))
    for start in range(1, 400, 7):
        asker.put(*(record(n) for n in range(start, start + 7)))
    kept = asker.history()
    assert 90 <= len(kept) <= 100
    assert kept[0] == "r0_0"  # unfinished
    assert kept[-1] == "r399_0"


def test_drops_by_size_too(open_journal: Callable[..., Asker], path: Path) -> None:
    asker = open_journal(size_limit=1_000_000)
    for n in range(100):
        asker.put(record(n, result_buffers=[b"x" * 100_000]))
    kept = asker.history()
    assert 5 <= len(kept) <= 10
    assert kept[-1] == "r99_0"
    assert path.stat().st_size < 2_000_000


def test_writing_over_does_not_count_twice(open_journal: Callable[..., Asker]) -> None:
    asker = open_journal(record_limit=10)
    asker.put(*(record(n) for n in range(8)))
    for _ in range(10):
        asker.put(record(7))
    assert len(asker.history()) == 8


def test_limits_count_what_an_earlier_hub_wrote(
    open_journal: Callable[..., Asker],
) -> None:
    first = open_journal(record_limit=100)
    first.put(*(record(n) for n in range(100)))
    assert first.journal.close(SECONDS)
    second = open_journal(record_limit=100)
    second.put(record(100))
    assert len(second.history()) == 90


# -- what goes wrong


def test_a_file_that_is_no_journal_is_moved_aside(
    open_journal: Callable[..., Asker], path: Path
) -> None:
    path.write_bytes(b"these are not the records that you look for" * 100)
    asker = open_journal()
    asker.put(record(1))
    assert asker.history() == ["r1_0"]
    [said] = asker.errors
    assert "cannot be read (file is not a database)" in said
    [aside] = path.parent.glob("journal.damaged-*")
    assert aside.name in said
    assert aside.read_bytes().startswith(b"these are not")


def test_a_journal_of_another_version_is_moved_aside(
    open_journal: Callable[..., Asker], path: Path
) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE tasks (other)")
        db.execute("PRAGMA user_version = 99")
    db.close()
    asker = open_journal()
    asker.put(record(1))
    assert "version is 99" in asker.errors[0]


def test_damage_while_it_is_open_loses_no_new_record(
    open_journal: Callable[..., Asker], path: Path
) -> None:
    asker = open_journal()
    asker.put(*(record(n, stdout="x" * 10_000) for n in range(1000)))
    size = path.stat().st_size  # far more than SQLite caches
    with path.open("r+b") as file:
        file.seek(4096)  # the header stays: it still is SQLite's
        file.write(os.urandom(size - 4096))
    answer = asker.ask("query", {}, None)
    assert answer == [] or isinstance(answer, Exception)
    asker.put(*(record(n) for n in range(5000, 5100)))
    assert asker.history()[-1] == "r5099_0"
    assert any("cannot be read" in said for said in asker.errors)


def test_without_a_place_for_the_file_it_goes_on_in_memory(
    open_journal: Callable[..., Asker], tmp_path: Path
) -> None:
    asker = open_journal(tmp_path / "nowhere" / "journal.sqlite")
    asker.put(record(1))
    assert asker.history() == ["r1_0"]
    assert "only kept until the hub ends" in asker.errors[0]


def test_a_full_disk_is_reported_once_and_harms_nothing_else(
    open_journal: Callable[..., Asker], path: Path
) -> None:
    asker = open_journal()
    asker.put(record(1))
    done: list[str] = []
    asker.journal._jobs.put(_pages(asker, 20))
    for n in range(3):
        big = [record(10 + n, buffers=[b"x" * 1_000_000])]
        asker.journal.put(partial(list, big), lambda: done.append("big"))
        assert asker.journal.flush(SECONDS)
    assert done == []  # nobody is told that it is safe
    [said] = asker.errors
    assert "could not be written: database or disk is full" in said
    asker.journal._jobs.put(_pages(asker, 1 << 30))
    asker.put(record(2))
    assert asker.history() == ["r1_0", "r2_0"]


def _pages(asker: Asker, count: int) -> Any:
    """A job that gives SQLite a small disk."""
    from steer.hub.journal import _Job

    def work(db: sqlite3.Connection) -> None:
        db.execute(f"PRAGMA max_page_count = {count}").fetchall()

    return _Job(work)


def test_one_bad_job_does_not_take_others_with_it(asker: Asker) -> None:
    done: list[int] = []
    gate = threading.Event()
    asker.journal.put(list, gate.wait)  # the others come while the thread waits
    asker.journal.put(lambda: [record(1)], lambda: done.append(1))
    asker.journal.put(lambda: [record(2, stdout=object())], lambda: done.append(2))
    asker.journal.put(lambda: [record(3)], lambda: done.append(3))
    gate.set()
    assert asker.history() == ["r1_0", "r3_0"]
    assert done == [1, 3]
    assert len(asker.errors) == 1


def test_a_callback_that_fails_is_reported(asker: Asker) -> None:
    asker.journal.put(lambda: [record(1)], lambda: 1 // 0)
    assert asker.history() == ["r1_0"]
    assert asker.errors == ["integer division or modulo by zero"]


def test_a_second_hub_cannot_write_into_the_same_file(
    asker: Asker, open_journal: Callable[..., Asker], monkeypatch: pytest.MonkeyPatch
) -> None:
    asker.put(record(1))
    monkeypatch.setattr("steer.hub.journal.LOCK_SECONDS", 0.05)
    second = open_journal()
    second.put(record(2))
    assert "database is locked" in second.errors[0]
    assert asker.history() == ["r1_0"]


def test_what_was_committed_survives_sigkill(
    open_journal: Callable[..., Asker], path: Path
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    committed = 0
    while committed < 3000:
        committed = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    committed = int((child.stdout.read().splitlines() or [str(committed)])[-1])
    child.wait(SECONDS)
    child.stdout.close()
    asker = open_journal()
    kept = asker.history()
    assert asker.errors == []
    assert len(kept) >= committed
    assert kept[:committed] == [f"r{n}_0" for n in range(committed)]


WRITER = """
import sys, pathlib
from steer.hub.journal import Journal
journal = Journal(pathlib.Path(sys.argv[1]), on_error=print)

def batch(start):
    def records():
        for n in range(start, start + 100):
            yield {"msg_id": f"r{n}_0", "submitted": n, "status": "ok", "stdout": "x"}
    journal.put(records, lambda: print(f"{start + 100:8d}", flush=True))
    assert journal.flush(20)

for start in range(0, 10_000_000, 100):
    batch(start)
"""


def test_closing_writes_what_is_left(open_journal: Callable[..., Asker]) -> None:
    first = open_journal()
    for n in range(500):
        first.journal.put(partial(list, [record(n)]), lambda: None)
    assert first.journal.close(SECONDS)
    assert len(open_journal().history()) == 500

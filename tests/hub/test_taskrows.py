"""How tasks ended can be looked up, one by one, however many share a row."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from steer.core.events import NoteTasks
from steer.core.taskdata import Payload
from steer.wire.frames import unpack
from steer.wire.messages import ErrorInfo, TaskStatus

from .test_journal import Asker

DONE = TaskStatus.DONE


def task(number, status=DONE, value=b"v", printed=None, submitted=1.0):
    return (
        number, status, 10.0 + number, 0.5, submitted, "work", b"\x01f", value, printed
    )  # fmt: skip


def note(*tasks, client="a", engine=3, **more):
    return NoteTasks(client, 1, engine, f"uuid{engine}", tasks, **more)


@pytest.fixture
def asker(tmp_path: Path):
    asker = Asker(tmp_path / "journal.sqlite")
    yield asker
    asker.journal.close(5.0)


def put(asker, *notes, offset=100.0):
    done = []
    asker.journal.put_tasks(list(notes), offset, lambda: done.append(1))
    assert asker.journal.flush(20.0)
    assert done, asker.errors


def test_a_task_is_found_by_its_name(asker):
    put(asker, note(task(1), task(2, printed={"stdout": "hello"})))
    (record,) = asker.ask("fetch", ["a-t2"])
    assert record["client_uuid"] == "a"
    assert (record["engine_id"], record["engine_uuid"]) == (3, "uuid3")
    assert (record["submitted"], record["started"]) == (101.0, 12.0)
    assert record["completed"] == 12.5
    assert record["status"] == "ok"
    assert record["result_buffers"] == [b"v"]
    assert record["stdout"] == "hello"
    assert record["header"]["name"] == "work"
    assert asker.ask("fetch", ["a-t3", "b-t2", "a-tx"]) == []


def test_tasks_are_among_all_records(asker):
    put(asker, note(task(1), task(2)), note(task(1), client="b", engine=0))
    asker.put({"msg_id": "r1_0", "submitted": 50.0, "engine_id": 0, "status": "ok"})
    found = asker.ask("query", {"engine_id": 0}, ["engine_id"])
    assert sorted(r["msg_id"] for r in found) == ["b-t1", "r1_0"]
    late = asker.ask("query", {"completed": {"$gt": 11.6}, "client_uuid": "a"}, None)
    assert [r["msg_id"] for r in late] == ["a-t2"]
    assert asker.ask("history") == ["r1_0", "a-t1", "a-t2", "b-t1"]


def test_the_hubs_words_are_errors_like_others(asker):
    lost = task(1, TaskStatus.LOST, b"engine 3 was killed")
    put(asker, note(lost, engine=-1))
    (record,) = asker.ask("fetch", ["a-t1"])
    assert record["status"] == "error"
    assert record["engine_id"] is None
    info = unpack(record["result_buffers"][0], type=ErrorInfo)
    assert (info.ename, info.evalue) == ("EngineError", "engine 3 was killed")


def test_what_was_noted_without_its_value_is_noted_again(asker):
    put(asker, note(task(1, value=None), task(2)))
    again = note(task(1, value=Payload([b"p", b"q"], None)), keep=True, again=True)
    put(asker, again)
    (record,) = asker.ask("query", {"msg_id": "a-t1"}, ["result_buffers"])
    assert record["result_buffers"] == [b"p", b"q"]
    assert sorted(asker.ask("history")) == ["a-t1", "a-t2"]


def test_tasks_can_be_forgotten(asker):
    put(asker, note(*map(task, range(5))), note(task(9), engine=7))
    assert asker.ask("purge", {"msg_ids": ["a-t1", "a-t77"]}) == 1
    assert asker.ask("purge", {"engines": [7]}) == 1
    assert asker.ask("history") == ["a-t0", "a-t2", "a-t3", "a-t4"]
    assert asker.ask("purge", {"all": True}) == 4
    assert asker.ask("history") == []


def test_the_oldest_go_first(tmp_path):
    asker = Asker(tmp_path / "journal.sqlite", record_limit=100)
    for first in range(0, 200, 20):
        put(asker, note(*map(task, range(first, first + 20))))
    left = asker.ask("history")
    assert 80 <= len(left) <= 100
    assert left[-1] == "a-t199"
    asker.journal.close(5.0)
    again = Asker(tmp_path / "journal.sqlite", record_limit=100)
    assert again.ask("history") == left
    again.journal.close(5.0)


def test_a_hundred_thousand_are_written_in_a_moment(asker):
    notes = [note(*map(task, range(i, i + 500))) for i in range(0, 100_000, 500)]
    began = time.perf_counter()
    put(asker, *notes)
    assert time.perf_counter() - began < 5.0
    assert len(asker.ask("query", {"msg_id": "a-t99999"}, None)) == 1

"""What a client asks about work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from steer.client.client import Client
from steer.errors import UsageError

from .acting import ActingLink, acting, record

Acting = tuple[Client, ActingLink]


@pytest.fixture
def four() -> Iterator[Acting]:
    with acting(4) as pair:
        yield pair


def test_queue_status(four: Acting) -> None:
    rc, link = four
    link.records["dead-1_0"] = record("dead-1_0")
    link.hold = True
    rc[:2].apply_async(abs, 1)
    assert rc.queue_status() == {
        "unassigned": 0,
        0: {"queue": 1, "completed": 1, "tasks": 0},
        1: {"queue": 1, "completed": 0, "tasks": 0},
        2: {"queue": 0, "completed": 0, "tasks": 0},
        3: {"queue": 0, "completed": 0, "tasks": 0},
    }
    assert rc[0].queue_status(verbose=True) == {
        "queue": ["00c0ffee-1_0"], "completed": ["dead-1_0"], "tasks": [],
    }  # fmt: skip


def test_result_status(four: Acting) -> None:
    rc, link = four
    done = rc[0].apply_async(abs, -1)
    done.get(5)
    link.hold = True
    rc[1].apply_async(abs, -1)
    link.settled()
    status = rc.result_status(rc.history, status_only=False)
    assert status["pending"] == ["00c0ffee-2_1"]
    assert status["completed"] == ["00c0ffee-1_0"]
    assert status["00c0ffee-1_0"] == 1
    assert rc.result_status(-1)["pending"] == ["00c0ffee-2_1"]
    with pytest.raises(TypeError, match="Expected msg_id"):
        rc.result_status([1.5])


def test_records_have_datetimes(four: Acting) -> None:
    rc, link = four
    link.records["dead-1_0"] = record("dead-1_0")
    (found,) = rc.db_query({"submitted": {"$lt": datetime.now(UTC)}})
    assert found["completed"] == datetime.fromtimestamp(8.0, UTC)
    assert rc.hub_history() == ["dead-1_0"]


def test_resubmit(four: Acting) -> None:
    rc, link = four
    link.records["dead-1_2"] = record("dead-1_2")
    again = rc.resubmit("dead-1_2")
    assert again.get(5) == 5
    assert again.engine_id == 2
    assert rc.resubmit(["dead-1_2"]).get(5) == [5]
    with pytest.raises(KeyError, match="No such msg"):
        rc.resubmit("dead-9_0")
    link.records["dead-3_0"] = record("dead-3_0", buffers=None)
    with pytest.raises(UsageError, match="too large to be kept"):
        rc.resubmit("dead-3_0")


def test_purging(four: Acting) -> None:
    rc, link = four
    with pytest.raises(ValueError, match="Must specify at least one of"):
        rc.purge_results()
    kept, other = rc[0].apply_async(abs, -1), rc[1].apply_async(abs, -2)
    rc.wait(timeout=5)
    rc.purge_local_results(kept)
    assert rc.history == other.msg_ids
    assert kept.get(5) == 1
    rc.purge_local_results(targets=1)
    assert rc.history == []
    link.hold = True
    rc[0].apply_async(abs, 1)
    with pytest.raises(RuntimeError, match="Can't purge outstanding tasks"):
        rc.purge_local_results("all")
    link.settled()
    link.release()
    rc.wait(timeout=5)
    link.records["dead-1_0"] = record("dead-1_0")
    rc.purge_everything()
    assert (rc.history, link.records) == ([], {})

"""What a client asks about work, and results that come from the hub's journal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from steer.client.client import Client
from steer.client.results import AsyncHubResult
from steer.errors import CompositeError, HubUnreachable, UsageError
from steer.wire import payload
from steer.wire.frames import pack
from steer.wire.messages import ErrorInfo

from .acting import ActingLink, acting

Acting = tuple[Client, ActingLink]


@pytest.fixture
def four() -> Iterator[Acting]:
    with acting(4) as pair:
        yield pair


def record(msg_id: str, value: Any = None, **fields: Any) -> dict[str, Any]:
    """Give a record as the journal has it."""
    request, _, engine = msg_id.rpartition("_")
    return {
        "msg_id": msg_id, "request": request, "engine_id": int(engine),
        "kind": "apply", "status": "ok", "label": "mine", "submitted": 5.0,
        "started": 6.0, "completed": 8.0, "received": 9.0, "stdout": "hi\n",
        "stderr": None, "execute_input": None, "result_content": {"count": 3},
        "result_buffers": payload.dumps(value), "header": {"name": "abs"},
        "buffers": payload.dumps_call(abs, [-5], {}),
    } | fields  # fmt: skip


def test_a_result_of_another_client_comes_when_the_hub_says_so(four: Acting) -> None:
    rc, link = four
    link.records = {i: record(i, [7]) for i in ("dead-1_0", "dead-1_1")}
    result = rc.get_result(["dead-1_0", "dead-1_1"])
    assert isinstance(result, AsyncHubResult)
    assert not result.wait(0)
    assert len(link.watched) == 1
    link.finish_watched()
    assert result.get(5) == [[7], [7]]
    assert result.stdout == ["hi\n", "hi\n"]
    assert result.started == [datetime.fromtimestamp(6.0, UTC)] * 2
    assert result.label == ["mine"] * 2
    assert result.serial_time == 4.0


def test_an_old_cells_reply(four: Acting) -> None:
    rc, link = four
    body = pack({"data": {"text/plain": "4"}, "metadata": {}})
    link.records["dead-1_2"] = record(
        "dead-1_2", kind="execute", result_buffers=[body], execute_input="2 + 2"
    )
    result = rc.get_result("dead-1_2")
    link.finish_watched()
    assert repr(result.get(5)) == "<ExecuteReply[3]: 4>"
    assert result.execute_input == "2 + 2"


def test_an_old_error(four: Acting) -> None:
    rc, link = four
    frames = [pack(ErrorInfo("ValueError", "no"))]
    link.records["dead-1_2"] = record("dead-1_2", status="error", result_buffers=frames)
    result = rc.get_result(["dead-1_2"])
    link.finish_watched()
    with pytest.raises(CompositeError):
        result.get(5)


def test_what_the_hub_does_not_know_or_have(four: Acting) -> None:
    rc, link = four
    link.records["dead-2_0"] = record("dead-2_0", result_buffers=None)
    unknown, lost = rc.get_result("dead-1_0"), rc.get_result("dead-2_0")
    link.finish_watched()
    with pytest.raises(KeyError, match="No such message: dead-1_0"):
        unknown.get(5)
    with pytest.raises(UsageError, match="too large to be kept"):
        lost.get(5)


def test_a_hub_that_was_away_is_asked_again(four: Acting) -> None:
    rc, link = four
    link.records["dead-1_0"] = record("dead-1_0", 7)
    result = rc.get_result("dead-1_0")
    link.cut()
    with pytest.raises(HubUnreachable):
        result.get(5)
    link.mend()
    assert not result.wait(0.001)
    link.finish_watched()
    assert result.get(5) == 7


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

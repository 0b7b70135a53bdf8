"""Results that come from the hub's journal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from steer.client.client import Client
from steer.client.results import AsyncHubResult
from steer.errors import CompositeError, HubUnreachable, UsageError
from steer.wire.frames import pack
from steer.wire.messages import ErrorInfo

from .acting import ActingLink, acting, record

Acting = tuple[Client, ActingLink]


@pytest.fixture
def four() -> Iterator[Acting]:
    with acting(4) as pair:
        yield pair


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

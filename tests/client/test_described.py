"""Metadata and times of results."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from steer.client.client import Client

from .acting import ActingLink, acting

Acting = tuple[Client, ActingLink]


@pytest.fixture
def four() -> Iterator[Acting]:
    with acting(4) as pair:
        yield pair


def test_metadata_by_attribute_and_by_key(four: Acting) -> None:
    rc, _ = four
    result = rc[[1, 3]].execute("print('hi')\nrank + 1", silent=False, label="x")
    result.get(5)
    assert result.engine_id == result["engine_id"] == [1, 3]
    assert result.engine_uuid == ["uuid-1", "uuid-3"]
    assert result.msg_id == result.msg_ids
    assert result.started[1] == datetime.fromtimestamp(13.0, UTC)
    assert result.completed[0].tzinfo is not None
    assert result.stdout == ["hi\n", "hi\n"]
    assert result.stderr == ["", ""]
    assert result.label == ["x", "x"]
    assert result.execute_input == ["print('hi')\nrank + 1"] * 2
    assert result.error == [None, None]
    assert result.execute_result[1] == {
        "data": {"text/plain": "4"}, "metadata": {}, "execution_count": 1,
    }  # fmt: skip
    assert result.metadata[0].engine_id == result.metadata[0]["engine_id"] == 1
    assert result.follow == result.after == [[], []]
    assert set(dict(result.metadata[0])) == set(result.keys())
    with pytest.raises(KeyError, match="nonsense"):
        result["nonsense"]
    with pytest.raises(
        AttributeError, match="'AsyncResult' object has no attribute 'nonsense'"
    ):
        _ = result.nonsense


def test_metadata_of_what_is_not_there_yet(four: Acting) -> None:
    rc, link = four
    link.hold = True
    result = rc[0].execute("1", silent=False)
    assert (result.status, result.started, result.execute_result) == (None,) * 3
    assert result.error is None
    link.settled()
    link.release()
    result.get(5)


def test_times(four: Acting) -> None:
    rc, _ = four
    result = rc[:].apply_async(abs, 1)
    result.get(5)
    assert result.serial_time == 8.0
    assert result.wall_time == result.elapsed > 0
    assert result.timedelta(result.started, result.completed) == 5.0
    assert result.timedelta(result.started[0], result.completed[0]) == 2.0
    assert result.progress == 4

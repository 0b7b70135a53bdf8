"""Mongo's operators mean what Mongo means by them."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.core.query import OPERATORS, matches, project, validate
from steer.errors import UsageError

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
RECORD: dict[str, Any] = {
    "msg_id": "a_0",
    "engine_id": 5,
    "label": "sim-3",
    "completed": NOON.timestamp(),
    "error": None,
    "header": {"name": "f", "deep": {"er": 1}},
    "buffers": [b"in"],
    "result_buffers": [b"out"],
    "tags": ["a", "b"],
}


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"engine_id": 5},
        {"engine_id": 5, "label": "sim-3"},
        {"error": None},
        {"missing": None},
        {"engine_id": {"$lt": 6}},
        {"engine_id": {"$lte": 5}},
        {"engine_id": {"$gt": 3}},  # ipyparallel's DictDB: no
        {"engine_id": {"$gte": 5}},
        {"engine_id": {"$gt": 3, "$lt": 6}},
        {"engine_id": {"$eq": 5}},
        {"engine_id": {"$ne": 4}},
        {"missing": {"$ne": 4}},
        {"engine_id": {"$in": [4, 5]}},
        {"engine_id": {"$nin": [4, 6]}},
        {"tags": {"$all": ["b"]}},
        {"engine_id": {"$mod": [3, 2]}},
        {"engine_id": {"$exists": True}},
        {"missing": {"$exists": False}},
        {"error": {"$exists": False}},
        {"label": {"$glob": "sim-?"}},
        {"header.name": "f"},
        {"header.deep.er": {"$gte": 1}},
        {"header": {"name": "f", "deep": {"er": 1}}},
        {"completed": NOON},
        {"completed": {"$lte": NOON, "$gt": NOON - datetime.timedelta(seconds=1)}},
        {"completed": {"$in": [NOON]}},
    ],
)
def test_means(query: dict[str, Any]) -> None:
    validate(query)
    assert matches(RECORD, query)


@pytest.mark.parametrize(
    "query",
    [
        {"engine_id": 4},
        {"engine_id": 5, "label": "other"},
        {"engine_id": {"$lt": 5}},
        {"engine_id": {"$gt": 5}},
        {"engine_id": {"$lte": 4}},
        {"engine_id": {"$gte": 6}},
        {"engine_id": {"$gt": 3, "$lt": 5}},
        {"engine_id": {"$ne": 5}},
        {"engine_id": {"$in": []}},
        {"engine_id": {"$nin": [5]}},
        {"tags": {"$all": ["a", "c"]}},
        {"engine_id": {"$all": [5]}},
        {"engine_id": {"$mod": [3, 1]}},
        {"label": {"$mod": [3, 1]}},
        {"missing": {"$exists": True}},
        {"label": {"$glob": "SIM*"}},
        {"engine_id": {"$glob": "*"}},
        {"label": {"$lt": 3}},
        {"error": {"$lt": 3}},
        {"error": {"$gte": 0}},
        {"engine_id.more": 5},
        {"header.name": {"$gt": "f"}},
        {"completed": {"$gt": NOON}},
    ],
)
def test_does_not_mean(query: dict[str, Any]) -> None:
    validate(query)
    assert not matches(RECORD, query)


@given(st.integers(-9, 9), st.integers(-9, 9))
def test_comparisons_agree_with_pythons(value: int, wanted: int) -> None:
    truth = {
        "$lt": value < wanted,
        "$lte": value <= wanted,
        "$gt": value > wanted,
        "$gte": value >= wanted,
        "$eq": value == wanted,
        "$ne": value != wanted,
    }
    for operator, expected in truth.items():
        assert matches({"x": value}, {"x": {operator: wanted}}) is expected


anything = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["x", "x.y", 3]),
        anything | st.dictionaries(st.sampled_from([*OPERATORS, "$or", "z"]), anything),
    ),
    anything,
)
def test_a_query_is_refused_or_can_be_answered(query: Any, value: Any) -> None:
    try:
        validate(query)
    except UsageError:
        return
    assert matches({"x": value}, query) in (True, False)


@pytest.mark.parametrize(
    ("query", "keys", "said"),
    [
        ([], None, "dictionary"),
        ({}, "engine_id", "list"),
        ({}, [3], "texts"),
        ({3: 4}, None, "texts"),
        ({"x": {"$near": 4}}, None, r"\$near is no operator; there are \$lt"),
        ({"x": {"$in": 4}}, None, r"\$in takes a list"),
        ({"x": {"$mod": [0, 1]}}, None, "divide by 0"),
        ({"x": {"$mod": ["a", 1]}}, None, "two numbers"),
        ({"x": {"$mod": 4}}, None, "divisor"),
        ({"x": {"$glob": 4}}, None, "pattern"),
    ],
)
def test_says_what_is_wrong(query: Any, keys: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        validate(query, keys)


def test_projects() -> None:
    assert set(project(RECORD, None)) == set(RECORD) - {"buffers", "result_buffers"}
    assert project(RECORD, ["label"]) == {"msg_id": "a_0", "label": "sim-3"}
    assert project(RECORD, ["buffers", "header.name", "nope"]) == {
        "msg_id": "a_0",
        "buffers": [b"in"],
        "header.name": "f",
        "nope": None,
    }

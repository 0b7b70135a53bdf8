"""Times in records and queries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from steer.client.records import from_journal, seconds


def test_records_get_aware_times_and_keep_the_rest() -> None:
    record = {"msg_id": "c-1_0", "started": 10.5, "completed": None, "count": 3.0}
    assert from_journal(record) == {
        "msg_id": "c-1_0",
        "started": datetime.fromtimestamp(10.5, UTC),
        "completed": None,
        "count": 3.0,
    }


def test_queries_get_seconds_at_any_depth() -> None:
    east = timezone(timedelta(hours=2))
    when = datetime(1970, 1, 1, 2, 0, 7, tzinfo=east)
    query = {"$and": [{"started": {"$in": (when,)}}], "label": "x"}
    assert seconds(query) == {"$and": [{"started": {"$in": [7.0]}}], "label": "x"}


def test_a_naive_time_is_local() -> None:
    now = datetime.now(UTC)
    assert seconds(now.astimezone().replace(tzinfo=None)) == now.timestamp()

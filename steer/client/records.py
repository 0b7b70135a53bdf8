"""Task records between the journal, which keeps times as numbers, and users."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

TIMES = ("submitted", "started", "completed", "received", "resubmitted")


def from_journal(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its times as datetimes."""
    return {
        key: datetime.fromtimestamp(value, UTC) if key in TIMES and value else value
        for key, value in record.items()
    }


def seconds(query: Any) -> Any:
    """The query with its datetimes as numbers; a naive one is local time."""
    if isinstance(query, datetime):
        return query.timestamp()
    if isinstance(query, Mapping):
        return {key: seconds(value) for key, value in query.items()}
    if isinstance(query, list | tuple):
        return [seconds(value) for value in query]
    return query

"""Which task records a question means: Mongo's operators, on plain dictionaries.

    {"completed": {"$gt": yesterday}, "engine_id": {"$in": [0, 1]}}

A key may reach into a record by dots (`header.name`). A record without the key equals
None, and satisfies no comparison with anything else.
"""

from __future__ import annotations

import datetime
import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from steer.errors import UsageError

Record = dict[str, Any]

BUFFERS = ("buffers", "result_buffers")
"""Left out of an answer unless they are asked for by name."""


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(value: Any, wanted: Any) -> bool:
        try:
            return value is not None and compare(_plain(value), _plain(wanted))
        except TypeError:  # text and a number: neither comes first
            return False

    return test


def _plain(value: Any) -> Any:
    return value.timestamp() if isinstance(value, datetime.datetime) else value


def _holds_all(value: Any, wanted: Any) -> bool:
    return isinstance(value, list | tuple) and all(item in value for item in wanted)


def _modulo(value: Any, wanted: Any) -> bool:
    divisor, rest = wanted
    return isinstance(value, int | float) and value % divisor == rest


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$lt": _ordered(lambda value, wanted: bool(value < wanted)),
    "$lte": _ordered(lambda value, wanted: bool(value <= wanted)),
    "$gt": _ordered(lambda value, wanted: bool(value > wanted)),
    "$gte": _ordered(lambda value, wanted: bool(value >= wanted)),
    "$eq": lambda value, wanted: bool(_plain(value) == _plain(wanted)),
    "$ne": lambda value, wanted: bool(_plain(value) != _plain(wanted)),
    "$in": lambda value, wanted: _plain(value) in [_plain(item) for item in wanted],
    "$nin": lambda value, wanted: _plain(value) not in [_plain(i) for i in wanted],
    "$all": _holds_all,
    "$mod": _modulo,
    "$exists": lambda value, wanted: (value is not None) == bool(wanted),
    "$glob": lambda value, wanted: (
        isinstance(value, str) and fnmatch.fnmatchcase(value, wanted)
    ),
}


def validate(query: Any, keys: Any = None) -> None:
    """Raise UsageError for a question that means nothing."""
    if not isinstance(query, Mapping):
        raise UsageError(f"A query is a dictionary, not {query!r}.")
    if keys is not None and not _is_list(keys):
        raise UsageError(f"The keys to return are a list, not {keys!r}.")
    for key in (*query, *(keys or ())):
        if not isinstance(key, str):
            raise UsageError(f"A record's keys are texts, not {key!r}.")
    for wanted in query.values():
        if _is_test(wanted):
            for operator, operand in wanted.items():
                _validate_test(operator, operand)


def _validate_test(operator: Any, operand: Any) -> None:
    match operator:
        case "$in" | "$nin" | "$all" if not _is_list(operand):
            raise UsageError(f"{operator} takes a list, not {operand!r}.")
        case "$mod":
            if not (_is_list(operand) and len(operand) == 2):
                raise UsageError("$mod takes a list of a divisor and a rest.")
            if not all(isinstance(number, int | float) for number in operand):
                raise UsageError(f"$mod takes two numbers, not {operand!r}.")
            if not operand[0]:
                raise UsageError("$mod cannot divide by 0.")
        case "$glob" if not isinstance(operand, str):
            raise UsageError(f"$glob takes a pattern, not {operand!r}.")
        case _ if operator not in OPERATORS:
            known = " ".join(OPERATORS)
            raise UsageError(f"{operator} is no operator; there are {known}.")


def matches(record: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    """Whether a record is meant."""
    return all(_test(_find(record, key), wanted) for key, wanted in query.items())


def project(record: Mapping[str, Any], keys: Iterable[str] | None) -> Record:
    """The part of a record that was asked for; `msg_id` always."""
    if keys is None:
        return {key: value for key, value in record.items() if key not in BUFFERS}
    wanted = dict.fromkeys(["msg_id", *keys])
    return {key: _find(record, key) for key in wanted}


def _is_test(wanted: Any) -> bool:
    return isinstance(wanted, Mapping) and any(
        isinstance(key, str) and key.startswith("$") for key in wanted
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _test(value: Any, wanted: Any) -> bool:
    if not _is_test(wanted):
        return bool(_plain(value) == _plain(wanted))
    return all(OPERATORS[name](value, operand) for name, operand in wanted.items())


def _find(record: Mapping[str, Any], key: str) -> Any:
    if key in record:
        return record[key]
    value: Any = record
    for name in key.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value

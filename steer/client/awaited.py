"""Futures among the arguments of a task, also inside lists, tuples, sets and dicts.

Those that have ended give their value here; the others become slots, which the engine
fills with results that the hub sends along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from steer.client.futures import TaskFuture
from steer.errors import DependencyError
from steer.wire.calls import Slot
from steer.wire.messages import Dependency

_SIMPLE = frozenset({int, float, str, bytes, bool, type(None), complex})


Left = tuple[Dependency | None, Dependency | None, tuple[int, ...]]


class Waiting(Protocol):
    """What a task waits for besides its arguments."""

    def settle(self) -> Left:
        """What is left of `after` and of `follow`, and where those to follow ran that
        have ended; raises what becomes of the task if it can not run any more."""


def futures_in(call: tuple[Sequence[Any], Mapping[str, Any]]) -> list[Any]:
    """The futures in some arguments, each once."""
    args, kwargs = call
    found: dict[Any, None] = {}
    for value in args:
        if type(value) not in _SIMPLE:
            _find(value, found)
    if kwargs:
        _find(kwargs, found)
    return list(found)


def _find(value: Any, found: dict[Any, None]) -> None:
    kind = type(value)
    if isinstance(value, Future):
        found[value] = None
    elif kind in (list, tuple, set, frozenset):
        if _SIMPLE.issuperset(map(type, value)):
            return  # a chunk of a map has thousands of numbers
        for item in value:
            if type(item) not in _SIMPLE:
                _find(item, found)
    elif kind is dict:
        for item in value.values():
            if type(item) not in _SIMPLE:
                _find(item, found)


def settled(call: Any, awaited: Sequence[Future[Any]]) -> tuple[Any, list[Any]]:
    """The call with the values of those that have ended, and those that have not.

    Raises DependencyError if one has failed.
    """
    values = {future: _value(future) for future in awaited if future.done()}
    left = [future for future in awaited if future not in values]
    return (_put(call, values) if values else call), left


def _value(future: Future[Any]) -> Any:
    if future.cancelled():
        raise DependencyError("A task whose result this one takes was cancelled.")
    error = future.exception(0)
    if error is not None:
        raise DependencyError(
            "A task whose result this one takes failed with "
            f"{type(error).__name__}: {error}"
        ) from error
    return future.result(0)


def _put(value: Any, values: Mapping[Any, Any]) -> Any:
    kind = type(value)
    if isinstance(value, Future):
        return values.get(value, value)
    if kind in (list, tuple, set, frozenset):
        return kind([_put(item, values) for item in value])
    if kind is dict:
        return {key: _put(item, values) for key, item in value.items()}
    return value


def slotted(value: Any) -> Any:
    """The value with slots in the place of futures."""
    kind = type(value)
    if isinstance(value, TaskFuture):
        return Slot(value.id)
    if kind in (list, tuple, set, frozenset):
        return kind([slotted(item) for item in value])
    if kind is dict:
        return {key: slotted(item) for key, item in value.items()}
    return value

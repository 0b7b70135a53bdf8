"""What stands among a task's arguments for something that is not there yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Slot:
    """The place of another task's result, which the engine puts there."""

    __slots__ = ("task",)

    def __init__(self, task: int) -> None:
        self.task = task

    def __reduce__(self) -> tuple[Any, ...]:
        return Slot, (self.task,)

    def __repr__(self) -> str:
        return f"Slot({self.task})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slot) and other.task == self.task

    def __hash__(self) -> int:
        return hash((Slot, self.task))


def fill(value: Any, results: Mapping[int, Any]) -> Any:
    """The value with results in their slots, also inside lists, tuples, sets and
    dicts."""
    kind = type(value)
    if kind is Slot:
        return results[value.task]
    if kind in (list, tuple, set, frozenset):
        return kind([fill(item, results) for item in value])
    if kind is dict:
        return {fill(k, results): fill(v, results) for k, v in value.items()}
    return value

"""The last things that happened to a core, for the report when something cannot be."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any


class Story:
    """A bounded record of (when, event, actions)."""

    def __init__(self, length: int = 50) -> None:
        self._lines: collections.deque[tuple[float, Any, Sequence[Any]]] = (
            collections.deque(maxlen=length)
        )

    def add(self, now: float, event: Any, actions: Sequence[Any]) -> None:
        """Note what happened and what was done about it."""
        self._lines.append((now, event, actions))

    def tell(self) -> str:
        """The story as text, user data cut short."""
        return "\n".join(
            f"{now:.4f} {_short(event)} -> [{', '.join(map(_short, actions))}]"
            for now, event, actions in self._lines
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."

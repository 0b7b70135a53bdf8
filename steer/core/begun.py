"""Tells clients which tasks run: those that an engine is at for more than a moment.

An engine runs what it was given in order, so of what it holds the oldest runs. Most
tasks end before anybody could ask; nothing is said of these.
"""

from __future__ import annotations

import collections

from steer.core.taskevents import TellBegun
from steer.core.taskstate import Engine
from steer.core.tasktables import Tables

MOMENT = 0.02
"""Seconds."""


class Begun:
    """The oldest tasks of all engines, until they have been there for a moment."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._due: collections.deque[tuple[float, int, int]] = collections.deque()

    def note(self, engine: Engine, oldest: int) -> None:
        """An engine has come to this task."""
        engine.oldest = oldest
        self._due.append((self._tables.now + MOMENT, engine.id, oldest))

    def deadline(self) -> float | None:
        """When to tick."""
        return self._due[0][0] if self._due else None

    def tick(self) -> None:
        """Tell of those that are there still."""
        due, engines, now = self._due, self._tables.engines, self._tables.now
        while due and due[0][0] <= now:
            _, number, oldest = due.popleft()
            engine = engines.get(number)
            if engine is None or engine.oldest != oldest or oldest not in engine.held:
                continue
            record = engine.held[oldest]
            told = TellBegun(record.client, record.task.id)
            self._tables.actions.append(told)

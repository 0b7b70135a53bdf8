"""What was asked of a run before all its ranks have come to a point.

It is done to the first family of each rank, as soon as there is one: where ocean and
atmosphere have loops of their own, to both. What names a loop waits for that one.
"""

from __future__ import annotations

import dataclasses

from steer.core import roundevents as ev
from steer.core.labels import is_called
from steer.core.roundevents import NOBODY
from steer.ranks import RankSet


@dataclasses.dataclass
class _Wanted:
    """A request."""

    verb: ev.Stop | ev.Plan
    label: str
    reached: RankSet = NOBODY
    """The ranks to which it was done."""


class FirstPoints:
    """The requests to one run that wait."""

    def __init__(self) -> None:
        self._wanted: list[_Wanted] = []

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def add(self, verb: ev.Stop | ev.Plan, label: str) -> None:
        """Something is asked for."""
        self._wanted.append(_Wanted(verb, label))

    def born(
        self, family: str, ranks: RankSet, everybody: RankSet
    ) -> list[ev.Stop | ev.Plan]:
        """There is a family, called as on its page: what is to be done to it."""
        due = []
        for wanted in self._wanted:
            fits = not wanted.label or is_called(family, wanted.label)
            if fits and not wanted.reached & ranks:
                wanted.reached |= ranks
                due.append(wanted.verb)
        self._wanted = [w for w in self._wanted if everybody - w.reached]
        return due

    def take_back(self) -> list[ev.Stop | ev.Plan]:
        """Nothing waits any more; what was done nowhere."""
        undone = [wanted.verb for wanted in self._wanted if not wanted.reached]
        self._wanted = []
        return undone

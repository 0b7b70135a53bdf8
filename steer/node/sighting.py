"""What the ranks do that keep a round waiting: pages say some of it, their I/O threads
the rest.

A rank that is held, has finished or failed says so on its page. Others are asked. One
whose process is there and which does not answer holds the GIL in native code.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable

from steer.core import roundevents as rv
from steer.core.page import Head, State
from steer.core.roundevents import Place, Sight
from steer.node.fencing import Fencing
from steer.ranks import RankSet
from steer.wire.messages import LookAt, Looked

SILENT_AFTER = 0.35
"""Seconds in which an I/O thread that has the GIL answers; less than between two looks
of a round."""


@dataclasses.dataclass
class _Question:
    family: str
    rank: int


class Sighting:
    """Questions to ranks, until they answer or do not."""

    def __init__(
        self,
        fencing: Fencing,
        tell: Callable[[rv.Seen], None],
        ask: Callable[[int, LookAt], None],
        later: Callable[[float, Callable[[], object]], object],
        first: Callable[[int], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fencing = fencing
        self._tell = tell
        self._ask = ask
        self._later = later
        self._first = first
        """The engine that is rank 0 of the world of this one."""
        self._clock = clock
        self._numbers = itertools.count(1)
        self._open: dict[int, _Question] = {}
        self._moved: dict[tuple[str, int], tuple[int, float]] = {}
        """The last point that a rank was seen at, and since when."""

    def look(self, action: rv.Look) -> None:
        """Find out what these ranks do."""
        for rank in action.ranks:
            sight = self._on_page(action.family, rank)
            if sight is not None:
                self._tell(rv.Seen(action.family, RankSet([rank]), sight))
            else:
                self._question(action.family, rank)

    def looked(self, rank: int, message: Looked) -> None:
        """A rank has answered."""
        question = self._open.pop(message.number, None)
        if question is None or question.rank != rank:
            return
        first = self._first(rank)
        waits_for = RankSet(first + r for r in RankSet.parse(message.waits_for))
        if self._fencing.words(rank) is None:
            self._moved_to(question, message.point)
        if message.held:
            place = Place.HELD
        elif message.finished:
            place = Place.FINISHED
        else:
            place = Place.BLOCKED if message.blocked else Place.RUNNING
        self._say(
            question, place, message.text, message.where, waits_for, message.any_will_do
        )

    def gone(self, rank: int) -> None:
        """It will not answer."""
        for number, question in list(self._open.items()):
            if question.rank == rank:
                del self._open[number]
        for key in [key for key in self._moved if key[1] == rank]:
            del self._moved[key]

    def _on_page(self, family: str, rank: int) -> Sight | None:
        """What its page says, if that is all there is to say."""
        words = self._fencing.words(rank)
        if words is None:
            return None
        point, held = self._fencing.where(family, rank)
        if held:
            return Sight(Place.HELD, point)
        if words[Head.STATE] == State.POST_MORTEM:
            return Sight(Place.FAILED, point)
        return Sight(Place.FINISHED, point) if words[Head.FIN] else None

    def _question(self, family: str, rank: int) -> None:
        number = next(self._numbers)
        self._open[number] = _Question(family, rank)
        self._ask(rank, LookAt(number))
        self._later(SILENT_AFTER, lambda: self._silent(number))

    def _silent(self, number: int) -> None:
        question = self._open.pop(number, None)
        if question is not None:
            self._say(question, Place.NATIVE)

    def _say(
        self,
        question: _Question,
        place: Place,
        text: str = "",
        where: str = "",
        waits_for: RankSet = rv.NOBODY,
        any_will_do: bool = False,
    ) -> None:
        family, rank = question.family, question.rank
        point, age = self._age(family, rank)
        sight = Sight(place, point, age, text, where, waits_for, any_will_do)
        self._tell(rv.Seen(family, RankSet([rank]), sight))

    def _moved_to(self, question: _Question, point: int) -> None:
        """It says itself where it is."""
        key = question.family, question.rank
        if self._moved.get(key, (-1, 0.0))[0] != point:
            self._moved[key] = (point, self._clock())

    def _age(self, family: str, rank: int) -> tuple[int, float]:
        """The last point that it came to, and for how long it has been seen there."""
        now, key = self._clock(), (family, rank)
        if self._fencing.words(rank) is not None:
            point, _ = self._fencing.where(family, rank)
            if self._moved.get(key, (-1, 0.0))[0] != point:
                self._moved[key] = (point, now)
        point, since = self._moved.get(key, (0, now))
        return point, now - since

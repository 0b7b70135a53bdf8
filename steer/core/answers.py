"""Requests of clients that are open, and the answers that were given.

A request that concerns several families is answered when each of them has said how it
went, with all of that. Answers are kept for a while: a client that was cut off asks
again.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import msgspec

from steer.core.roundevents import Kind, Tell
from steer.wire.messages import News

_NOT_DONE = (Kind.REFUSED, Kind.DROPPED)

REMEMBERED = 1000
"""Answers that are kept."""


@dataclasses.dataclass
class _Open:
    """A request that is not answered yet."""

    left: int
    tells: list[Tell] = dataclasses.field(default_factory=list)
    """What families have said so far."""


class Answers:
    """What is open, and what was answered."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._given: collections.OrderedDict[str, News] = collections.OrderedDict()

    def open(self, id: str, families: int = 1) -> None:
        """A request that so many families have to answer."""
        self._open[id] = _Open(families)

    def is_open(self, id: str) -> bool:
        """Whether it waits for its answer."""
        return id in self._open

    def given(self, id: str) -> News | None:
        """Its answer, if it has one."""
        return self._given.get(id)

    def close(self, tell: Tell) -> tuple[tuple[str, ...], list[Tell]]:
        """The requests that have their whole answer with this, and all that was said in
        answer to them."""
        done = []
        tells = [tell]
        for id in tell.answers:
            request = self._open.get(id)
            if request is None:
                continue
            request.left -= 1
            if request.left > 0 and tell.kind is not Kind.OVER:
                request.tells.append(tell)
                continue
            del self._open[id]
            tells = [*request.tells, tell]
            done.append(id)
        return tuple(done), tells

    @staticmethod
    def together(tells: Sequence[Tell]) -> Tell:
        """What several families have said, as the last of them says it; but what one
        has refused is not said to be done. A family that what was asked for does not
        concern is left out."""
        tells = [tell for tell in tells if not tell.facts.get("strange")] or tells
        last = tells[-1]
        if len(tells) == 1:
            return last
        text = "\n".join(f"{_label(tell, tells)}: {tell.text}" for tell in tells)
        plans = [tell.facts["plan"] for tell in tells if "plan" in tell.facts]
        facts = last.facts | ({"plans": plans} if plans else {})
        kinds = {tell.kind for tell in tells}
        kind = next((no for no in _NOT_DONE if no in kinds), last.kind)
        return msgspec.structs.replace(last, kind=kind, text=text, facts=facts)

    def give(self, news: News) -> None:
        """Remember an answer."""
        for id in news.answers:
            self._open.pop(id, None)
            self._given[id] = news
        while len(self._given) > REMEMBERED:
            self._given.popitem(last=False)


def _label(tell: Tell, others: Sequence[Tell]) -> str:
    """What people call a family; with its members, if there are two of a label."""
    names = [other.family.partition("/")[2] for other in others]
    name = tell.family.partition("/")[2]
    label = name.partition("@")[0]
    alike = [other for other in names if other.partition("@")[0] == label]
    return name if len(alike) > 1 else label

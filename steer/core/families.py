"""The programs and their families of points, and which of these somebody means.

A program may have several loops. Those of different ranks are steered together. Of
those that share ranks one is meant:

* the one at which a rank holds, because no other can move;
* else not one that its ranks have left: they have come to no more points of it since
  their first point of another. So of loops one after the other it is the last, and of
  a loop inside another it is the outer one, from its second point on;
* else the one that was born first.

Who means another one names it: `sim/main`.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence

from steer.core.firstpoints import FirstPoints
from steer.core.labels import is_called
from steer.core.plans import Plans
from steer.core.round import WAITING, Phase, Round
from steer.core.roundevents import NOBODY, Verb
from steer.ranks import RankSet

HOLDING = (Phase.STOPPED, Phase.HERE)


@dataclasses.dataclass
class Run:
    """A program that runs."""

    name: str
    ranks: RankSet
    families: list[str] = dataclasses.field(default_factory=list)
    waiting: FirstPoints = dataclasses.field(default_factory=FirstPoints)
    """What was asked for before there was a point."""


@dataclasses.dataclass
class Family:
    """Points of one communicator and label."""

    run: str
    round: Round
    plans: Plans
    later: collections.deque[Verb] = dataclasses.field(
        default_factory=collections.deque
    )
    """What waits for the stop that is under way."""
    came: int = 0
    """The last point that one of its ranks is known to have come to."""
    before: dict[str, int] = dataclasses.field(default_factory=dict)
    """Where its ranks were in other families when they came to the first point."""

    @property
    def somebody_holds(self) -> bool:
        """Whether a rank is known to hold at a point of it, for all."""
        round_ = self.round
        aligning = round_.phase is Phase.ALIGNING
        return round_.phase in HOLDING or bool(
            aligning and round_.ranks - round_.missing()
        )

    @property
    def keeps_its_ranks(self) -> bool:
        """Whether they cannot be stopped at points of another family."""
        return self.round.phase in (*WAITING, *HOLDING)

    def shares(self, other: Family) -> RankSet:
        """The ranks that both have."""
        return self.round.ranks & other.round.ranks


def is_left(family: Family, others: Iterable[Family]) -> bool:
    """Whether its ranks have come to no point of it since they began another loop."""
    name = family.round.family
    return any(
        other.before.get(name, -1) >= family.came and family.shares(other)
        for other in others
        if other is not family
    )


def meant(
    families: Sequence[Family], label: str = "", *, to_come: bool = False
) -> list[Family]:
    """Those of a run's families, in the order of their birth, that somebody means; it
    is about points to come, or else about what is under way."""

    def preference(family: Family) -> tuple[bool, bool]:
        left = is_left(family, families)
        if to_come:
            return not family.somebody_holds, left
        return family.round.phase in (Phase.RUNNING, Phase.OVER), left

    found: list[Family] = []
    taken = NOBODY
    for family in sorted(families, key=preference):
        tail = family.round.family.partition("/")[2]
        if label and not is_called(tail, label):
            continue
        if not family.round.ranks & taken:
            found.append(family)
            taken |= family.round.ranks
    return found

"""What the pages of ranks tell a new hub of the orders of the one before it.

Ranks that were held, or on their way to where they should hold, are stopped again:
one that holds answers with the point where it is, so it is the same stop. A plan that
the old hub had not made sure on all ranks is made sure on the others, or taken back if
it was sure on none; for a rank that comes to it waits there. What recurs goes on, and
what lies ahead is done; ranks say what it was.
"""

from __future__ import annotations

import dataclasses

import msgspec

from steer.core import roundevents as rv
from steer.core.events import Action, Event
from steer.core.page import NOWHERE
from steer.core.roundevents import FREE, NOBODY, Asker
from steer.core.rounds import Rounds
from steer.ranks import RankSet


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """A plan, as a page has it."""

    number: int
    sure: int
    every: int = 0


class Found(Event, frozen=True):
    """The page of a rank that is back tells of an earlier hub's orders."""

    family: str
    ranks: RankSet
    epoch: int
    hold: int
    plans: tuple[Slot, ...] = ()
    last_plan: int = 0


@dataclasses.dataclass
class _Family:
    """What was found of a family."""

    ranks: RankSet = NOBODY
    plans: dict[int, dict[int, Slot]] = dataclasses.field(default_factory=dict)
    """By number and rank."""


class Refound:
    """What was found since this hub was started."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._families: dict[str, _Family] = {}
        self._names: dict[int, tuple[str, str]] = {}
        """Verbs and texts of plans, as ranks know them."""

    def name(self, plan: int, verb: str, text: str) -> None:
        """A rank says what a plan is."""
        self._names[plan] = verb, text
        for family in self._rounds.families.values():
            family.plans.name(plan, verb, text)

    def found(self, event: Found, now: float) -> list[Action]:
        """Something was."""
        rounds = self._rounds
        rounds.epoch = max(rounds.epoch, event.epoch)
        rounds.plan = max(rounds.plan, event.last_plan)
        family = rounds.families.get(event.family)
        if family is None:
            return []
        found = self._families.setdefault(event.family, _Family())
        found.ranks |= event.ranks
        for slot in event.plans:
            if slot.number not in family.plans.plans:
                of_rank = dict.fromkeys(event.ranks, slot)
                found.plans.setdefault(slot.number, {}).update(of_rank)
        actions: list[Action] = []
        if event.hold != FREE and not rounds.holds(event.family):
            stop = rv.Stop(Asker("", "found again"), event.family)
            actions += rounds.handle(stop, now)
        if not family.round.ranks - found.ranks:
            actions += self._settle(event.family, found)
        return actions

    def _settle(self, name: str, found: _Family) -> list[Action]:
        """All are back: what is to become of their plans?"""
        family = self._rounds.families[name]
        actions: list[Action] = []
        for number, slots in sorted(found.plans.items()):
            sure = max(slot.sure for slot in slots.values())
            unsure = RankSet(r for r, slot in slots.items() if slot.sure == NOWHERE)
            if sure == NOWHERE:
                actions.append(rv.Withdraw(name, number, RankSet(slots)))
                continue
            if unsure:
                actions.append(rv.Confirm(name, number, unsure, sure))
            every = next(iter(slots.values())).every
            family.plans.found(number, sure, every, RankSet(slots))
            if number in self._names:
                family.plans.name(number, *self._names[number])
        found.plans = {}
        return actions

"""What a family's ranks do at a point without stopping: set a parameter, run code.

::

    waiting --its turn--> handed --all have it--> preparing --all voted--> sure
    --all did it--> done

*handed*: what is to be done is on its way to the ranks, and if one of them says that it
may not be, nobody does it. Nothing holds them meanwhile; one that does not answer (a
call that holds the GIL) is not waited for longer than PATIENCE: should it come to the
point without knowing what to do, it waits there.
*preparing*: no rank passes the point that it voted for without knowing. *sure*: the
highest vote is the point; a rank that comes there does it and walks on. So nobody waits
longer than the last vote needs to come, and if all voted for the point that was asked
for, nobody waits at all. The margin by which that point lies ahead is learned: the
fastest rank's rate, times the last negotiation, times three.

A plan that recurs is over when it is taken back, which is a plan of its own: that from
some point on it is not done any more, on all ranks.

One plan of a family is negotiated at a time.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import operator
from typing import Any

import msgspec

from steer.core import roundevents as ev
from steer.core.events import Action
from steer.core.page import PLANS
from steer.core.roundevents import FREE, NOBODY, Asker, Kind
from steer.ranks import RankSet, describe

PATIENCE = 0.5
"""Seconds after which it is said who has not voted."""

SLOTS = PLANS - 1
"""Plans that a rank's page has room for, besides one that ends another."""

LASTING = SLOTS - 1
"""Of these, such as recur or lie far ahead: one is left for what is done soon."""

SOON = 1
"""Points that a plan lies at least behind those that ranks come to next."""


FOUND = "what was planned before the hub was started anew"
"""The verb and the text of such a plan, until a rank says more."""

ROOM = 0.01
"""Seconds until it is tried again where pages have no room: main has said that a plan
is done, but has not left the point."""

SLOW = 0.1
"""Seconds from which on it is said how long it took."""


@dataclasses.dataclass
class Turn:
    """What ranks did at a point."""

    did: RankSet = NOBODY
    errors: dict[str, RankSet] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    """That the slowest took."""


@dataclasses.dataclass
class Planned:
    """One plan."""

    number: int
    asker: Asker
    event: ev.Plan
    ends: int = 0
    ranks: RankSet = NOBODY
    has: RankSet = NOBODY
    refused: dict[str, RankSet] = dataclasses.field(default_factory=dict)
    strangers: RankSet = NOBODY
    """Those that it does not concern."""
    voted: RankSet = NOBODY
    point: int = 0
    sure: bool = False
    waits: bool = False
    """It was said that there are too many before it."""
    began: float = 0.0
    since: float = 0.0
    """When it was tried first."""
    turn: Turn = dataclasses.field(default_factory=Turn)
    """The first, if it recurs."""
    told: set[str] = dataclasses.field(default_factory=set)
    """Errors that users know of: what recurs may fail each time."""

    @property
    def lasts(self) -> bool:
        """Whether it stays on the page for a while."""
        return bool(self.event.every or self.event.point)


class Plans:
    """The plans of one family."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.plans: dict[int, Planned] = {}
        """Those prepared or sure, by number."""
        self.waiting: collections.deque[Planned] = collections.deque()
        self.handed: Planned | None = None
        self.preparing: Planned | None = None
        self.stopped_at: int | None = None
        """Where all ranks hold; None: they run."""
        self.high = 0
        self.rate = 0.0
        self.trip = 0.005
        self.due: float | None = None
        self.not_before = 0.0
        """The next one is not tried before."""
        self.actions: list[Action] = []

    @property
    def negotiating(self) -> bool:
        """Whether ranks are just told of one, some earlier than others."""
        return self.handed is not None or self.preparing is not None

    def position(self, high: int, rate: float) -> None:
        """How far the ranks are."""
        self.high = max(self.high, high)
        self.rate = rate

    def ask(self, number: int, event: ev.Plan, base: int) -> None:
        """Plan it; `base` is where the ranks are, if that is known for sure."""
        if event.ahead:
            point = (base or self.high) + event.ahead
            event = msgspec.structs.replace(event, point=point, ahead=0)
        self.waiting.append(Planned(number, event.asker, event))

    def knows(self, number: int) -> bool:
        """Whether there is such a plan."""
        waiting = (plan.number for plan in self.waiting)
        return number in self.plans or number in waiting

    def listed(self) -> list[Planned]:
        """What is to be done, for people: the pages have it, or it waits for room."""
        return [plan for plan in (*self.plans.values(), *self.waiting) if not plan.ends]

    def end(self, number: int, ends: int, asker: Asker, point: int = 0) -> None:
        """Do a plan no more, from a point on that all agree about."""
        was = self.plans[ends]
        text = f"no more {was.event.text}"
        event = ev.Plan(asker, self.family, "end", text, point=point)
        self.waiting.append(Planned(number, asker, event, ends))

    def serve(self, ranks: RankSet, stopped_at: int | None, now: float) -> None:
        """Begin with the next one, if none is being negotiated."""
        self.stopped_at = stopped_at
        while self.handed is None and self.preparing is None and now >= self.not_before:
            plan = next((plan for plan in self.waiting if self._has_room(plan)), None)
            if plan is None:
                self._tell_of_crowd()
                return
            self.waiting.remove(plan)
            plan.ranks, plan.since = ranks, plan.since or now
            self.plans[plan.number] = plan
            if plan.ends:
                self._prepare(plan, now)
            else:
                self._hand(plan, now)

    def _has_room(self, plan: Planned) -> bool:
        if plan.ends:
            return True
        there = [plan for plan in self.plans.values() if not plan.ends]
        if plan.lasts:
            return sum(plan.lasts for plan in there) < LASTING
        return len(there) < SLOTS

    def _tell_of_crowd(self) -> None:
        for plan in self.waiting:
            if not plan.waits:
                plan.waits = True
                text = f"{LASTING} plans lie ahead already; `unplan` ends one"
                self._tell(Kind.WAITING, plan, f"{plan.event.text}: waiting, {text}")

    def _hand(self, plan: Planned, now: float) -> None:
        event, self.handed = plan.event, plan
        self.due = now + PATIENCE
        self.actions.append(
            ev.Hand(
                self.family, plan.number, plan.ranks, event.verb, event.body, event.text
            )
        )

    def has(self, event: ev.Has, now: float) -> None:
        """Some know what to do."""
        plan = self.handed
        if plan is not None and plan.number == event.plan:
            plan.has |= event.ranks
            if event.strange:
                plan.strangers |= event.ranks
            if event.no:
                known = plan.refused.get(event.no, NOBODY)
                plan.refused[event.no] = known | event.ranks
            self._all_have_it(now)

    def _all_have_it(self, now: float) -> None:
        plan = self.handed
        if plan is not None and not plan.ranks - plan.has:
            self._prepare(plan, now)

    def _prepare(self, plan: Planned, now: float) -> None:
        event, self.handed = plan.event, None
        if plan.refused:
            self._refuse(plan)
            return
        ahead, goal = 0, event.point or self.stopped_at
        if goal is None:
            goal = self._last_ahead()
            ahead = max(SOON, math.ceil(self.rate * self.trip * 3))
        plan.began, plan.point = now, goal
        self.preparing = plan
        self.due = now + PATIENCE
        self.actions.append(
            ev.Prepare(
                self.family, plan.number, plan.ranks, goal, event.every, plan.ends,
                ahead,
            )
        )  # fmt: skip

    def _last_ahead(self) -> int:
        """Where the last will be done that was to be done as soon as all can: of two
        changes the later one counts."""
        soon = (plan for plan in self.plans.values() if plan.sure and not plan.lasts)
        return max((plan.point for plan in soon), default=0)

    def _refuse(self, plan: Planned) -> None:
        """Some may not do it; then nobody does."""
        del self.plans[plan.number]
        self.due = None
        text = "; ".join(
            no if ranks == plan.ranks else f"{describe(ranks)}: {no}"
            for no, ranks in plan.refused.items()
        )
        self.actions.append(ev.Withdraw(self.family, plan.number, plan.ranks))
        facts = {"over": True, "strange": plan.ranks <= plan.strangers}
        self._tell(Kind.REFUSED, plan, text, True, facts)

    def voted(self, event: ev.Voted, now: float) -> None:
        """Some said the first point at which they can."""
        plan = self.preparing
        if plan is None or plan.number != event.plan:
            return
        if event.finished:
            self._drop(plan, "the run ends before")
            return
        if event.point >= FREE:
            self._try_later(plan, now)
            return
        plan.voted |= event.ranks
        if event.point > plan.point:
            plan.point = event.point
            self.high = max(self.high, event.point - 1)
        self._count(now)

    def _try_later(self, plan: Planned, now: float) -> None:
        """A page has no room for it."""
        if now - plan.since > PATIENCE:
            self._drop(plan, "there is no room for more plans; take one back")
            return
        self.actions.append(ev.Withdraw(self.family, plan.number, plan.ranks))
        del self.plans[plan.number]
        plan.has = plan.voted = NOBODY
        self.preparing = None
        self.waiting.appendleft(plan)
        self.not_before = self.due = now + ROOM

    def _count(self, now: float) -> None:
        plan = self.preparing
        if plan is None or plan.ranks - plan.voted:
            return
        self.preparing, self.due = None, None
        self.trip = max(0.5 * self.trip, now - plan.began)
        plan.sure = True
        event = plan.event
        self.actions.append(
            ev.Confirm(self.family, plan.number, plan.ranks, plan.point)
        )
        when = f"at point {plan.point}"
        if event.every == 1:
            when += " and at each from there"
        elif event.every:
            when += f" and every {event.every} points from there"
        facts = {"every": event.every, "ends": plan.ends}
        self._tell(Kind.PLANNED, plan, f"{event.text}: {when}", True, facts)
        self._note(plan, plan.point)
        if plan.ends:
            del self.plans[plan.number]
            ended = self.plans.get(plan.ends)
            if ended is not None and (ended.event.every or plan.point <= ended.point):
                del self.plans[plan.ends]

    def applied(self, event: ev.Applied) -> None:
        """Some did it."""
        plan = self.plans.get(event.plan)
        if plan is None or not plan.sure:
            return
        self.high = max(self.high, event.point)
        turn = plan.turn
        if event.ranks <= turn.did:  # it recurs; ranks say nothing else of it
            self._tell_of_failure(plan, event)
            return
        turn.did |= event.ranks
        turn.seconds = max(turn.seconds, event.seconds)
        if event.error:
            known = turn.errors.get(event.error, NOBODY)
            turn.errors[event.error] = known | event.ranks
        if plan.ranks - turn.did:
            self._tell_of_failure(plan, event)
        else:
            self._all_did(plan)

    def _tell_of_failure(self, plan: Planned, event: ev.Applied) -> None:
        """At once: others may wait for the rank that failed."""
        if not event.error or event.error in plan.told:
            return
        plan.told.add(event.error)
        text = (
            f"{plan.event.text}: failed on {describe(event.ranks)} at point "
            f"{event.point}: {event.error}"
        )
        self._tell(Kind.DONE, plan, text, point=event.point)

    def _all_did(self, plan: Planned) -> None:
        turn = plan.turn
        if not plan.event.every:
            del self.plans[plan.number]
            self.actions.append(ev.Clear(self.family, plan.number, plan.ranks))
        elif not turn.errors:
            return
        plan.told |= turn.errors.keys()
        errors = {error: str(ranks) for error, ranks in turn.errors.items()}
        facts = {"errors": errors, "over": not plan.event.every}
        text = f"{plan.event.text}: {_how_it_went(plan)}"
        self._tell(Kind.DONE, plan, text, facts=facts)

    def lose(self, ranks: RankSet, now: float) -> None:
        """These ranks will do nothing any more."""
        for plan in list(self.plans.values()):
            plan.ranks -= ranks
            if not plan.ranks:
                self._drop(plan, "all ranks are gone")
                continue
            was_done = not (plan.ranks | ranks) - plan.turn.did
            if plan.sure and not was_done and not plan.ranks - plan.turn.did:
                self._all_did(plan)
        self._all_have_it(now)
        self._count(now)

    def found(self, number: int, point: int, every: int, ranks: RankSet) -> None:
        """One of a hub that is no more, which these ranks have yet to do."""
        asker = Asker("")
        event = ev.Plan(asker, self.family, FOUND, FOUND, point=point, every=every)
        plan = Planned(number, asker, event, ranks=ranks, point=point, sure=True)
        self.plans[number] = plan

    def name(self, number: int, verb: str, text: str) -> None:
        """What that was, as a rank knows."""
        plan = self.plans.get(number)
        if plan is not None and plan.event.verb == FOUND:
            plan.event = msgspec.structs.replace(plan.event, verb=verb, text=text)

    def drop_all(self, why: str) -> None:
        """The run is over."""
        for plan in [*self.plans.values(), *self.waiting]:
            self._drop(plan, why)

    def withdraw(self, number: int, why: str) -> bool:
        """Take one back that is not sure yet; whether that was possible."""
        for plan in [*self.plans.values(), *self.waiting]:
            if plan.number == number and not plan.sure:
                self._drop(plan, why)
                return True
        return False

    def _drop(self, plan: Planned, why: str) -> None:
        if plan in self.waiting:
            self.waiting.remove(plan)
        elif self.plans.pop(plan.number, None) and not plan.sure:
            self.actions.append(ev.Withdraw(self.family, plan.number, plan.ranks))
        if plan in (self.handed, self.preparing):
            self.handed = self.preparing = self.due = None
        if plan.sure and plan.event.every:
            return  # it was done until here
        text = f"{plan.event.text}: not done, {why}"
        self._tell(Kind.DROPPED, plan, text, not plan.sure, {"over": True})

    def tick(self, now: float) -> None:
        """Go on without those that do not take it; say who has not voted."""
        if self.due is None or now < self.due:
            return
        self.due = None
        if self.handed is not None:
            self._prepare(self.handed, now)
            return
        plan = self.preparing
        if plan is None:
            return  # it is time to try one again
        who = describe(plan.ranks - plan.voted)
        text = f"{plan.event.text}: waiting for the hosts of {who}, which do not answer"
        self._tell(Kind.WAITING, plan, text)

    def _note(self, plan: Planned, point: int) -> None:
        event, who = plan.event, plan.asker.who
        self.actions.append(
            ev.Note(
                self.family, event.verb, point, plan.ranks, event.text, who,
                event.body, plan.number, event.every, plan.ends,
            )
        )  # fmt: skip

    def _tell(
        self, kind: Kind, plan: Planned, text: str, answer: bool = False,
        facts: dict[str, Any] | None = None, point: int = 0,
    ) -> None:  # fmt: skip
        answers = (plan.asker.id,) if answer and plan.asker.id else ()
        facts = {"plan": plan.number} | (facts or {})
        point = point or plan.point
        self.actions.append(
            ev.Tell(self.family, kind, text, answers, point, plan.ranks, facts)
        )

    def check(self) -> None:
        """Assert what holds always."""
        if self.preparing is not None:
            assert self.preparing.number in self.plans
            assert not self.preparing.sure
            assert self.preparing.ranks - self.preparing.voted
        assert self.handed is None or self.preparing is None
        for plan in self.plans.values():
            assert plan.sure or plan in (self.handed, self.preparing)
            assert not plan.sure or plan.event.every or plan.ranks - plan.turn.did


def _how_it_went(plan: Planned) -> str:
    turn, point = plan.turn, plan.point
    took = f" in {turn.seconds:.1f} s" if turn.seconds >= SLOW else ""
    if not turn.errors:
        return f"done at point {point}{took}"
    each = (f"on {describe(ranks)}: {error}" for error, ranks in turn.errors.items())
    failed = f"failed at point {point} {'; '.join(each)}"
    fine = functools.reduce(operator.sub, turn.errors.values(), plan.ranks)
    return f"{failed}; done on {describe(fine)}" if fine else failed

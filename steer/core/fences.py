"""The controller of a rank's fences: arm, commit, release, and plans, on its page.

It runs in the node, another process than the rank, so that a rank whose threads are all
frozen (a call that waits and holds the GIL) cannot keep a round waiting. It is the only
writer of the fences.

Arming is the one delicate step. The fence is lowered to 0 *before* the rank's point is
read, with a full barrier of both processes between (`membarrier(2)` in the node): had
main not seen it at its point, then main's own count came before our look, and we have
seen that. So the first point that main has not passed is the one where it holds, or
else the next. A rank that was just leaving looks a second time. Every order of these
steps is checked in tests/core/modelcheck.

What main does is in steer/engines/points.py; the words are told in `page`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from steer.core.page import (
    ARMED,
    NOWHERE,
    Family,
    Head,
    Plan,
    Words,
    plan_bases,
    plan_due,
)
from steer.core.roundevents import FREE

FINISHED = -2
"""The answer for a rank that has no more points."""


class Report(NamedTuple):
    """What a look at the page found."""

    held_at: int | None = None
    """It holds at the committed point, which was not said yet."""
    finished: bool = False
    froze_at: int | None = None
    together: bool = False
    """All agreed about it: they hold at that point."""


def no_barrier() -> None:
    """For a controller that is a thread of the rank: the GIL is one."""


class Fences:
    """The fences of one family on one rank."""

    def __init__(
        self, words: Words, base: int, barrier: Callable[[], None] = no_barrier
    ) -> None:
        self._words = words
        self._base = base
        self._barrier = barrier
        self._committed = False
        self._provisional = False
        self._said_held = False
        self._said_finished = False
        self._said_frozen = 0
        self._ends: dict[int, int] = {}
        """Plans that only end others: the other."""

    # -- rounds

    def adopt(self) -> None:
        """The family is new: it began armed, and nobody wants it to hold."""
        self._set(Family.HOLD, FREE)
        self._open()

    def arm(self, epoch: int, goal: int = 0) -> int:
        """Let it hold at the next point that it can, not before `goal`; returns that
        point, or FINISHED."""
        new = self.is_new
        self._set(Family.EPOCH, epoch)
        self._set(Family.CALM, 0)
        self._committed = self._said_held = self._said_finished = False
        point = self._next(new)
        if point == FINISHED:
            self._said_finished = True
            self._set(Family.HOLD, FREE)
        else:
            point = max(point, goal)
            self._set(Family.HOLD, point)
        self._provisional = point != FINISHED
        self._open()
        return point

    def commit(self, epoch: int, point: int) -> None:
        """That is the point; another epoch's word is dropped."""
        if epoch != self.epoch:
            return
        self._committed, self._said_held = True, False
        self._provisional = False
        self._set(Family.CALM, 0)
        self._set(Family.HOLD, point)
        self._open()

    def rest(self, epoch: int) -> None:
        """All are held: it may sleep."""
        if epoch == self.epoch and self._committed:
            self._set(Family.CALM, 1)

    def release(self, epoch: int) -> None:
        """Let it go."""
        if epoch != self.epoch:
            return
        self._committed = self._provisional = False
        self._set(Family.HOLD, FREE)
        self._open()

    def thaw(self) -> None:
        """Let it go if it holds by itself."""
        self._set(Family.THAWED, self._get(Family.FROZEN))

    # -- plans

    def prepare(
        self, plan: int, goal: int, every: int = 0, ends: int = 0, ahead: int = 0
    ) -> int:
        """Let it not pass `goal` before it knows, or its next point, or `ahead` points
        behind that, whichever is last; returns that point, FINISHED, or FREE if there
        is no room for a plan."""
        if ends:
            # Only the other plan's end is to be agreed on; nothing is done there. But
            # main may not pass the point before it knows whether the other is over.
            self._ends[plan] = ends
        self._forget()
        free = [slot for slot in self._slots() if not self._words[slot]]
        if not free:
            return FREE
        before = self._get(Family.HOLD)
        point = self._next()
        if point != FINISHED:
            if self._is_kept_at(before):
                point = self._get(Family.C)
            if ends and point == self._get(Family.DID):
                point += 1  # what is to end may have been done here
            point = max(point + ahead, goal)
            self._fill(free[0], plan, point, every)
            self._set(Family.LAST_PLAN, max(plan, self.last_plan))
        self._set(Family.HOLD, before)
        self._open()
        return point

    def confirm(self, plan: int, point: int) -> None:
        """That is the point."""
        slot = self._slot_of(plan)
        if slot is None:
            return
        ended = self._ends.pop(plan, 0)
        if ended:
            other = self._slot_of(ended)
            if other is not None:
                until = self._words[other + Plan.UNTIL]
                self._words[other + Plan.UNTIL] = min(until, point)
            self._words[slot] = 0
        else:
            self._words[slot + Plan.SURE] = point
        self._open()

    def withdraw(self, plan: int) -> None:
        """Nothing comes of it."""
        self._ends.pop(plan, None)
        slot = self._slot_of(plan)
        if slot is not None:
            self._words[slot] = 0
            self._open()

    # -- looking

    def look(self) -> Report:
        """What is new on the page; also moves the fence on behind plans that are done.

        To be called when the rank rings, and now and then.
        """
        self._forget()
        self._open()
        at = self._get(Family.AT)
        held = froze = None
        if self._committed and not self._said_held and at != NOWHERE:
            hold = self._get(Family.HOLD)
            if at == hold or (at > hold and self._get(Family.LOGICAL)):
                self._said_held = True
                held = at
        frozen = self._get(Family.FROZEN)
        if at != NOWHERE and frozen > max(self._get(Family.THAWED), self._said_frozen):
            self._said_frozen, froze = frozen, at
        together = froze is not None and bool(self._words[Head.TOGETHER])
        finished = False
        if self._words[Head.FIN] and not self._said_finished:
            self._said_finished = finished = True
        return Report(held, finished, froze, together)

    @property
    def epoch(self) -> int:
        """The round that was armed last."""
        return self._get(Family.EPOCH)

    @property
    def is_new(self) -> bool:
        """Whether nobody has controlled it yet."""
        return self._get(Family.HOLD) == 0 and self.epoch == 0

    @property
    def provisional(self) -> bool:
        """Whether it was armed and nobody has said yet where it has to hold."""
        return self._provisional

    @property
    def last_plan(self) -> int:
        """The highest number that a plan has had here."""
        return self._get(Family.LAST_PLAN)

    def plans(self) -> list[tuple[int, int, int]]:
        """What is to be done yet: number, the point that is sure, every."""
        self._forget()
        return [
            (self._words[slot], self._words[slot + Plan.SURE],
             self._words[slot + Plan.EVERY])
            for slot in self._slots() if self._words[slot]
        ]  # fmt: skip

    @property
    def busy(self) -> bool:
        """Whether it is on its way to where it has to hold, or has a plan to do."""
        held = self._committed and not self._said_held
        return (
            held
            or self._provisional
            or any(self._words[slot] for slot in self._slots())
        )

    # -- the words

    def _next(self, new: bool = False) -> int:
        """Lower the fence and see which point main has not passed. HOLD is ARMED then.

        A new family began armed: main cannot have passed its first point, wherever on
        the way to it we see it. So a stop at the very first point is possible.
        """
        self._set(Family.HOLD, ARMED)  # first: main looks at it when it sees FENCE
        self._set(Family.FENCE, 0)
        self._barrier()
        c = self._get(Family.C)
        if self._get(Family.AT) == c and c != NOWHERE:
            return c
        if self._words[Head.FIN]:
            return FINISHED
        if new and (c == 1 or (self._get(Family.LOGICAL) and c != NOWHERE)):
            return c
        return c + 1

    def _is_kept_at(self, hold: int) -> bool:
        """Whether it was seen to hold there: then it stays at that point also while it
        is not seen to hold, because it does what is planned there."""
        return self._committed and self._said_held and hold <= self._get(Family.C)

    def _open(self) -> None:
        """Raise the fence to what main has to look at next."""
        done = self._get(Family.DONE)
        dues = [plan_due(self._words, slot, done) for slot in self._slots()]
        self._set(Family.FENCE, min(self._get(Family.HOLD), *dues))

    def _fill(self, slot: int, plan: int, point: int, every: int) -> None:
        for place, value in (
            (Plan.POINT, point), (Plan.SURE, NOWHERE), (Plan.EVERY, every),
            (Plan.UNTIL, FREE), (Plan.NUMBER, plan),
        ):  # fmt: skip
            self._words[slot + place] = value

    def _forget(self) -> None:
        """Make room: plans behind which main is for good."""
        done = self._get(Family.DONE)
        for slot in self._slots():
            if self._words[slot] and plan_due(self._words, slot, done) == FREE:
                self._words[slot] = 0

    def _slots(self) -> range:
        return plan_bases(self._base)

    def _slot_of(self, plan: int) -> int | None:
        return next((s for s in self._slots() if self._words[s] == plan), None)

    def _get(self, word: Family) -> int:
        return self._words[self._base + word]

    def _set(self, word: Family, value: int) -> None:
        self._words[self._base + word] = value

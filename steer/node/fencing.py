"""The controllers of this host's ranks: orders in, what the ranks' pages say out.

One `Fences` for each family on each rank. Orders of the core (`Arm`, `Commit`, ...) are
carried out on the pages at once; what comes of them, and what is seen later, goes to
`tell` as events, one for all ranks that say the same.

Nobody reads pages all the time. A rank rings when it holds, does what was planned or
ends; and while something is under way, `active` says so, and `look` is called now and
then. An order for a rank that has not come to its first point of the family waits until
it has.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable

from steer import pages
from steer.core import page
from steer.core import roundevents as rv
from steer.core.events import Action, Event
from steer.core.fences import FINISHED, Fences
from steer.core.page import NOWHERE, Family, Head, Text, Words
from steer.core.refound import Found, Slot
from steer.ranks import RankSet

Key = tuple[str, int]
"""A family, and one of its ranks."""


@dataclasses.dataclass
class _Controlled:
    """A family on one rank."""

    fences: Fences
    words: Words
    base: int
    born: float
    """When it was first seen, and at which point it was then."""
    first: int
    adopted: bool = False
    """Whether it has had an order of ours."""
    held_since: float | None = None

    @property
    def point(self) -> int:
        return max(0, self.words[self.base + Family.C])

    @property
    def holds(self) -> bool:
        return self.words[self.base + Family.AT] != NOWHERE


class Fencing:
    """All families on all ranks of this host."""

    def __init__(
        self,
        tell: Callable[[Event], None],
        wake: Callable[[Iterable[int]], None],
        clock: Callable[[], float] = time.monotonic,
        barrier: Callable[[], None] = pages.barrier,
    ) -> None:
        self._tell = tell
        self._wake = wake
        """Have these ranks look at their pages, if they hold."""
        self._clock = clock
        self._barrier = barrier
        self._pages: dict[int, pages.Mapped] = {}
        self._runs: dict[int, str] = {}
        self._known: dict[Key, _Controlled] = {}
        self._waiting: dict[Key, list[Action]] = {}
        self._seen: dict[str, tuple[float, int]] = {}
        """When a family was looked at for its position, and the highest point."""
        self.active = False
        """Whether it is worth looking again soon, also if nobody rings."""
        self._does: dict[type, Callable[..., None]] = {
            rv.Arm: self._arm,
            rv.Commit: self._commit,
            rv.Rest: self._rest,
            rv.Release: self._release,
            rv.Prepare: self._prepare,
            rv.Confirm: self._confirm,
            rv.Withdraw: self._withdraw,
            rv.Clear: self._withdraw,
            rv.Thaw: self._thaw,
        }

    # -- ranks come and go

    def map(self, rank: int, pid: int, fd: int, run: str) -> None:
        """Take over a rank; OSError or ValueError if its page cannot be had."""
        if rank in self._pages:
            self.drop(rank)
        self.attach(rank, pages.open_of(pid, fd), run)

    def attach(self, rank: int, mapped: pages.Mapped, run: str) -> None:
        """The same, of a page that is there."""
        self._pages[rank] = mapped
        self._runs[rank] = run

    def drop(self, rank: int) -> None:
        """The rank is gone."""
        mapped = self._pages.pop(rank, None)
        for key in [key for key in self._known if key[1] == rank]:
            del self._known[key]
        for key in [key for key in self._waiting if key[1] == rank]:
            del self._waiting[key]
        self._runs.pop(rank, None)
        if mapped is not None:
            mapped.close()

    def has(self, rank: int) -> bool:
        """Whether its page is mapped here."""
        return rank in self._pages

    def words(self, rank: int) -> Words | None:
        """Its page."""
        mapped = self._pages.get(rank)
        return mapped.words if mapped is not None else None

    def where(self, family: str, rank: int) -> tuple[int, bool]:
        """The last point that it came to, and whether it holds there."""
        controlled = self._known.get((family, rank))
        return (
            (0, False) if controlled is None else (controlled.point, controlled.holds)
        )

    # -- orders

    def do(self, action: Action, ranks: RankSet) -> None:
        """Carry out an order on these ranks. Those that are not here yet, as after a
        restart of the hub, get it when they are."""
        if isinstance(action, rv.Adopt):
            self._adopt(action.family, ranks)
            return
        family: str = action.family  # type: ignore[attr-defined]
        here: dict[int, _Controlled] = {}
        for rank in ranks:
            controlled = self._find(family, rank)
            if controlled is not None:
                here[rank] = controlled
            elif not self._has_ended(action, family, rank):
                self._put_off(action, (family, rank))
        self._carry_out(action, family, here)

    def put_off(self, rank: int) -> list[Action]:
        """The orders that wait for a rank, which somebody else controls."""
        keys = [key for key in self._waiting if key[1] == rank]
        return [order for key in keys for order in self._waiting.pop(key)]

    def _carry_out(
        self, action: Action, family: str, here: dict[int, _Controlled]
    ) -> None:
        if here:
            self.active = True
            for rank, controlled in here.items():
                if not controlled.adopted and not controlled.fences.is_new:
                    # Before the order goes over it: another rank was found earlier.
                    self._found(family, rank, controlled)
                controlled.adopted = True
            self._does[type(action)](action, here)
            self._wake_held(here)

    def _put_off(self, action: Action, key: Key) -> None:
        """Until it comes to a point of that family. A round's orders replace each
        other: who has just been armed for the next has forgotten the last."""
        waiting = self._waiting.setdefault(key, [])
        if isinstance(action, rv.Arm | rv.Release):
            waiting[:] = [a for a in waiting if isinstance(a, rv.Prepare | rv.Confirm)]
        if not isinstance(action, rv.Release | rv.Thaw | rv.Rest):
            waiting.append(action)

    def _has_ended(self, action: Action, family: str, rank: int) -> bool:
        """Whether it has ended without a point of that family; says so."""
        if rank not in self._pages or not self._pages[rank].words[Head.FIN]:
            return False
        one = RankSet([rank])
        if isinstance(action, rv.Arm):
            self._tell(rv.Next(family, action.epoch, one, 0, 0, one))
        elif isinstance(action, rv.Prepare):
            self._tell(rv.Voted(family, action.plan, one, 0, one))
        return True

    def _adopt(self, family: str, ranks: RankSet) -> None:
        for rank in ranks:
            controlled = self._find(family, rank)
            if controlled is None:
                continue
            waiting = self._waiting.pop((family, rank), [])
            fences, here = controlled.fences, {rank: controlled}
            if controlled.adopted:
                pass
            elif not fences.is_new:
                self._found(family, rank, controlled)
            elif not any(isinstance(order, rv.Arm) for order in waiting):
                fences.adopt()
            controlled.adopted = True
            for order in waiting:
                self._carry_out(order, family, here)
            self._wake_held(here)

    def _found(self, family: str, rank: int, controlled: _Controlled) -> None:
        """Another hub's orders are on its page."""
        fences = controlled.fences
        plans = tuple(Slot(*plan) for plan in fences.plans())
        hold = controlled.words[controlled.base + Family.HOLD]
        one = RankSet([rank])
        self._tell(Found(family, one, fences.epoch, hold, plans, fences.last_plan))

    def _find(self, family: str, rank: int) -> _Controlled | None:
        """The controller of a family on a rank, as soon as its page tells of it."""
        key = (family, rank)
        controlled = self._known.get(key)
        if controlled is None and rank in self._pages:
            words = self._pages[rank].words
            label = family.partition("/")[2]
            for number in range(words[Head.FAMILIES]):
                base = page.family_base(number)
                if (
                    page.read_text(words, base + Family.LABEL, page.LABEL_WORDS)
                    == label
                ):
                    fences = Fences(words, base, self._barrier)
                    first = max(0, words[base + Family.C])
                    controlled = _Controlled(fences, words, base, self._clock(), first)
                    self._known[key] = controlled
        return controlled

    def _wake_held(self, here: dict[int, _Controlled]) -> None:
        """A rank that holds sleeps. What was just written comes before this look, and
        one that is about to hold writes AT before it looks at the fences."""
        self._barrier()
        held = [rank for rank, controlled in here.items() if controlled.holds]
        if held:
            self._wake(held)

    # -- orders of rounds

    def _arm(self, action: rv.Arm, here: dict[int, _Controlled]) -> None:
        points: dict[int, int] = {}
        done: list[int] = []
        for rank, controlled in here.items():
            point = controlled.fences.arm(action.epoch, action.goal)
            if point == FINISHED:
                done.append(rank)
            else:
                points[rank] = point
        high, low = max(points.values(), default=0), min(points.values(), default=0)
        self._tell(
            rv.Next(
                action.family, action.epoch, RankSet(here), high, low, RankSet(done)
            )
        )

    def _commit(self, action: rv.Commit, here: dict[int, _Controlled]) -> None:
        for controlled in here.values():
            controlled.fences.commit(action.epoch, action.point)
        self._barrier()
        self.look(action.family, here)

    def _rest(self, action: rv.Rest, here: dict[int, _Controlled]) -> None:
        for controlled in here.values():
            controlled.fences.rest(action.epoch)

    def _release(self, action: rv.Release, here: dict[int, _Controlled]) -> None:
        for controlled in here.values():
            controlled.fences.release(action.epoch)

    def _thaw(self, action: rv.Thaw, here: dict[int, _Controlled]) -> None:
        for controlled in here.values():
            controlled.fences.thaw()

    # -- orders of plans

    def _prepare(self, action: rv.Prepare, here: dict[int, _Controlled]) -> None:
        votes: dict[int, list[int]] = collections.defaultdict(list)
        done: list[int] = []
        for rank, controlled in here.items():
            point = controlled.fences.prepare(
                action.plan, action.goal, action.every, action.ends, action.ahead
            )
            if point == FINISHED:
                done.append(rank)
            else:
                votes[point].append(rank)
        if done:
            ranks = RankSet(done)
            self._tell(rv.Voted(action.family, action.plan, ranks, 0, ranks))
        for point, ranks_ in votes.items():
            self._tell(rv.Voted(action.family, action.plan, RankSet(ranks_), point))

    def _confirm(self, action: rv.Confirm, here: dict[int, _Controlled]) -> None:
        for controlled in here.values():
            controlled.fences.confirm(action.plan, action.point)

    def _withdraw(
        self, action: rv.Withdraw | rv.Clear, here: dict[int, _Controlled]
    ) -> None:
        for controlled in here.values():
            controlled.fences.withdraw(action.plan)

    # -- looking

    def look_at(self, rank: int) -> None:
        """It rang."""
        for family in [family for family, other in self._known if other == rank]:
            self.look(family, (rank,))
        self._look_for_the_end(rank)

    def look_all(self) -> None:
        """Look at what is under way."""
        families: dict[str, list[int]] = collections.defaultdict(list)
        for (family, rank), controlled in self._known.items():
            if controlled.fences.busy:
                families[family].append(rank)
        self.active = bool(families)
        for family, ranks in families.items():
            self.look(family, ranks)

    def look(self, family: str, ranks: Iterable[int]) -> None:
        """See what is new on the pages of these ranks, and say it."""
        held: dict[tuple[int, int, str, str], list[int]] = collections.defaultdict(list)
        for rank in ranks:
            controlled = self._known.get((family, rank))
            if controlled is None:
                continue
            report = controlled.fences.look()
            words = controlled.words
            if report.held_at is not None:
                site = page.read_text(words, *Text.SITE.value)
                caution = page.read_text(words, *Text.CAUTION.value)
                key = (controlled.fences.epoch, report.held_at, site, caution)
                held[key].append(rank)
            if report.froze_at is not None:
                self._froze(family, rank, report.froze_at, report.together)
        for (epoch, point, site, caution), which in held.items():
            some = RankSet(which)
            self._tell(rv.Held(family, epoch, some, point, site, caution))

    def _froze(self, family: str, rank: int, point: int, together: bool) -> None:
        why = page.read_text(self._pages[rank].words, *Text.SAYS.value)
        one = RankSet([rank])
        self._tell(rv.Froze(family, one, point, why, together=together))

    def _look_for_the_end(self, rank: int) -> None:
        """A rank that has finished keeps no round waiting until its last word comes."""
        mapped = self._pages.get(rank)
        if mapped is not None and mapped.words[Head.FIN]:
            self._tell(rv.Finished(self._runs[rank], RankSet([rank])))
            for key in [key for key in self._waiting if key[1] == rank]:
                del self._waiting[key]

    def expire(self, seconds: float) -> None:
        """Let those go whose hold nobody has made sure for so long.

        Where a rank's own threads are the controller, one of them may wait for a rank
        that is held, with the GIL, and then never says its next point.
        """
        now = self._clock()
        for (family, rank), controlled in self._known.items():
            fences = controlled.fences
            if not (fences.provisional and controlled.holds):
                controlled.held_since = None
                continue
            if controlled.held_since is None:
                controlled.held_since = now
            elif now - controlled.held_since >= seconds:
                fences.release(fences.epoch)
                self._tell(rv.Withdrew(family, fences.epoch, RankSet([rank])))
                self._wake((rank,))

    def positions(self, run: str = "") -> None:
        """Say how far the families of a run are, and how fast."""
        now = self._clock()
        families: dict[str, list[_Controlled]] = collections.defaultdict(list)
        for (family, _), controlled in self._known.items():
            if run in ("", family, family.partition("/")[0]):
                families[family].append(controlled)
        for family, all_of_it in families.items():
            high = max(controlled.point for controlled in all_of_it)
            first = all_of_it[0]
            since, before = self._seen.get(family, (first.born, first.first))
            rate = (high - before) / (now - since) if now > since else 0.0
            if now - since > RATE_OVER:
                self._seen[family] = (now, high)
            self._tell(rv.Position(family, high, rate))

    def close(self) -> None:
        """Let all pages go."""
        for rank in list(self._pages):
            with contextlib.suppress(BufferError):
                self.drop(rank)


RATE_OVER = 0.2
"""Seconds over which a rate is taken at least."""

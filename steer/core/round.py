"""One family of points: how its ranks are brought to one point, and let go.

::

    running --stop--> arming --all said their next point--> aligning --all held-->
    stopped --step--> aligning;  stopped --go--> running

*arming*: every controller has lowered its rank's fence and said the first point that
the rank has not passed. *aligning*: the highest of these is the target; each rank goes
on to it and holds. Only a hold at the committed target counts. *stopped*: all ranks sit
at the same point, and stay. A step needs no negotiation: the target is raised.

Out of arming and aligning also lead: *go* (the stop is taken back), *here* (the user is
content with where ranks are), and the end rule: as soon as a rank has finished, no
point can be reached by all, so all are released and the family is *ending*; when all
have finished it is *over*. Ranks that die or fail are left out, and said to be.

Every round has an epoch, and what bears another is dropped. While a round is not
complete, a watchdog looks every LOOK seconds at the ranks that it waits for.

Who may ask for what is in `rounds`. The proof is in docs/design/steering.md, the
checker of the protocol in tests/core/modelcheck.
"""

from __future__ import annotations

import enum
from typing import Any

from steer.core import roundevents as ev
from steer.core.events import Action
from steer.core.roundevents import NOBODY, Asker, Kind, Place, Sight
from steer.core.watchdog import Verdict, capital, judge
from steer.ranks import RankSet, describe

LOOK = 0.5
"""Seconds between two looks at the ranks that keep a round waiting."""


STILL = 3.0
"""Seconds without a new point on any rank after which it is said what they do, also if
they are to go on to a point that is far."""


class Phase(enum.Enum):
    """How far the family is; see the head of this file."""

    RUNNING = "running"
    ARMING = "arming"
    ALIGNING = "aligning"
    STOPPED = "stopped"
    HERE = "here"
    ENDING = "ending"
    OVER = "over"


class Turn(enum.Enum):
    """What moves it on."""

    STOP = "stop"
    ALL_ANSWERED = "all said their next point"
    ALL_HELD = "all held at the target"
    STEP = "step"
    RAISE = "advance, or a later step number"
    WITHDREW = "a hold was not committed in time"
    GO = "go"
    HERE = "here"
    FINISH = "a rank has finished"
    ALL_FINISHED = "all have finished"


TABLE = {
    (Phase.RUNNING, Turn.STOP): Phase.ARMING,
    (Phase.ARMING, Turn.STOP): Phase.ARMING,
    (Phase.ARMING, Turn.ALL_ANSWERED): Phase.ALIGNING,
    (Phase.ARMING, Turn.WITHDREW): Phase.ARMING,
    (Phase.ARMING, Turn.GO): Phase.RUNNING,
    (Phase.ARMING, Turn.HERE): Phase.HERE,
    (Phase.ARMING, Turn.FINISH): Phase.ENDING,
    (Phase.ALIGNING, Turn.STOP): Phase.ARMING,
    (Phase.ALIGNING, Turn.RAISE): Phase.ALIGNING,
    (Phase.ALIGNING, Turn.ALL_HELD): Phase.STOPPED,
    (Phase.ALIGNING, Turn.WITHDREW): Phase.ARMING,
    (Phase.ALIGNING, Turn.GO): Phase.RUNNING,
    (Phase.ALIGNING, Turn.HERE): Phase.HERE,
    (Phase.ALIGNING, Turn.FINISH): Phase.ENDING,
    (Phase.STOPPED, Turn.STEP): Phase.ALIGNING,
    (Phase.STOPPED, Turn.GO): Phase.RUNNING,
    (Phase.STOPPED, Turn.FINISH): Phase.ENDING,
    (Phase.HERE, Turn.STOP): Phase.ARMING,
    (Phase.HERE, Turn.GO): Phase.RUNNING,
    (Phase.HERE, Turn.FINISH): Phase.ENDING,
    (Phase.RUNNING, Turn.ALL_FINISHED): Phase.OVER,
    (Phase.ENDING, Turn.ALL_FINISHED): Phase.OVER,
}
"""Every move there is. docs/design/steering.md draws it."""

WAITING = (Phase.ARMING, Phase.ALIGNING)


class Round:
    """The family's phase, and the round that is under way."""

    def __init__(self, family: str, label: str, ranks: RankSet, logical: bool) -> None:
        self.family = family
        self.label = label
        self.ranks = ranks
        """Those that can come to a point: not lost ones."""
        self.logical = logical
        self.phase = Phase.RUNNING
        self.epoch = 0
        self.goal = 0
        self.target = 0
        self.low = 0
        self.answered = NOBODY
        self.held: dict[int, ev.Held] = {}
        """What ranks said that hold; of this epoch, committed ones only."""
        self.finished = NOBODY
        self.lost: dict[int, str] = {}
        self.frozen = NOBODY
        self.askers: list[Asker] = []
        self.verb = ""
        self.who = ""
        self.advances = 0
        self.drift = 0
        self.began = 0.0
        self.began_at = 0
        """The point it stood at before; 0 if it ran."""
        self.sights: dict[int, Sight] = {}
        self.look: float | None = None
        self.asked: RankSet = NOBODY
        self.told = ""
        self.actions: list[Action] = []

    # -- what is asked of it

    def stop(self, now: float, epoch: int, goal: int, advances: int) -> None:
        """Begin a round."""
        self._move(Turn.STOP)
        self.epoch, self.goal, self.target = epoch, goal, 0
        self.low, self.drift, self.answered = 0, 0, NOBODY
        self.advances = advances
        self._begin(now, 0)
        self.actions.append(ev.Arm(self.family, epoch, self.ranks, goal))
        if self.finished & self.ranks:
            self._end()

    def to(self, now: float, point: int) -> None:
        """All hold at one point: go on to another."""
        self._move(Turn.STEP)
        self._begin(now, self.target)
        self.goal = point
        self._commit(point)

    def advance(self, now: float, n: int = 1) -> None:
        """Try a later point."""
        self._move(Turn.RAISE)
        self._watch(now)
        self._commit(self.target + n)

    def go(self) -> None:
        """Let all go: those that hold by themselves, or all."""
        if self.phase is Phase.RUNNING:
            self.thaw()
            return
        self._move(Turn.GO)
        self._release()

    def here(self) -> None:
        """Be content."""
        self._move(Turn.HERE)
        self.look = None

    # -- what ranks say

    def next(self, event: ev.Next, now: float) -> None:
        """Some said their next point."""
        if event.epoch != self.epoch or self.phase is not Phase.ARMING:
            return
        if event.finished:
            self.finish(event.finished)
            return
        low = event.low or event.point
        self.low = min(self.low, low) if self.answered else low
        self.answered |= event.ranks
        self.target = max(self.target, event.point)
        self._look_over(now)

    def hold(self, event: ev.Held, now: float) -> None:
        """Some hold at a committed point."""
        if event.epoch != self.epoch or self.phase not in (*WAITING, Phase.HERE):
            return
        for rank in event.ranks & self.ranks:
            self.held[rank] = event
            self.sights.pop(rank, None)
        if self.logical and event.point > self.target and self.phase is Phase.ALIGNING:
            # There is no point of the target's number: the next that there is.
            self._move(Turn.RAISE)
            self._commit(event.point)
        self._look_over(now)

    def withdrew(self, event: ev.Withdrew, now: float, epoch: int) -> None:
        """Some went on before they knew the target: once more."""
        if event.epoch != self.epoch or self.phase not in WAITING:
            return
        self._move(Turn.WITHDREW)
        self.epoch, self.target, self.answered = epoch, 0, NOBODY
        self.held = {}
        self.actions.append(ev.Arm(self.family, epoch, self.ranks, self.goal))

    def finish(self, ranks: RankSet) -> None:
        """The program ended on some: then there is no point that all come to."""
        self.finished |= ranks & self.ranks
        free = self.phase in (Phase.RUNNING, Phase.ENDING, Phase.OVER)
        if not free and self.finished & self.ranks:
            self._end()
        self._maybe_over()

    def lose(self, ranks: RankSet, how: str, now: float) -> None:
        """Some died or failed: the others go on without them."""
        ranks &= self.ranks
        if not ranks:
            return
        self.lost.update(dict.fromkeys(ranks, how))
        self.ranks -= ranks
        self.frozen -= ranks
        for rank in ranks:
            self.held.pop(rank, None)
            self.sights.pop(rank, None)
        self._tell(Kind.LOST, f"{capital(describe(ranks))} {how}.")
        self._maybe_over()
        self._look_over(now)

    def seen(self, event: ev.Seen, now: float) -> None:
        """An answer of the watchdog's question."""
        if self.phase not in WAITING:
            return
        for rank in event.ranks & self.missing():
            self.sights[rank] = event.sight
        self.asked -= event.ranks
        if not self.asked & self.missing():
            self._judge(now)

    def tick(self, now: float) -> None:
        """Look at those that are missing."""
        if self.look is None or now < self.look:
            return
        missing = self.missing()
        if silent := self.asked & missing:
            point = {r: self.sights[r].point for r in silent if r in self.sights}
            for rank in silent:
                self.sights[rank] = Sight(Place.SILENT, point.get(rank, 0))
            self._judge(now)
        if self.phase in WAITING and (missing := self.missing()):
            self.asked = missing
            self.look = now + LOOK
            self.actions.append(ev.Look(self.family, missing))

    # -- what follows

    def missing(self) -> RankSet:
        """Those that keep the round waiting."""
        if self.phase is Phase.ARMING:
            return self.ranks - self.answered
        if self.phase is not Phase.ALIGNING:
            return NOBODY
        target = self.target
        return self.ranks - RankSet(
            r for r, h in self.held.items() if h.point == target
        )

    def _look_over(self, now: float) -> None:
        if self.phase not in WAITING or self.missing():
            return
        if not self.ranks:
            return  # all are lost: over
        if self.phase is Phase.ARMING:
            self._move(Turn.ALL_ANSWERED)
            self.drift = self.target - self.low
            self._commit(self.target)
        else:
            self._stopped(now)

    def _stopped(self, now: float) -> None:
        self._move(Turn.ALL_HELD)
        self.look = None
        self.actions.append(ev.Rest(self.family, self.epoch, self.ranks))
        took = now - self.began
        sites = self._groups("site")
        site = next(iter(sites)) if len(sites) == 1 else ""
        cautions = self.cautions()
        everybody = len(self.ranks) + len(self.lost)
        text = f"stopped at point {self.target}{f' ({site})' if site else ''}  "
        text += f"{len(self.ranks)}/{everybody} held  {1000 * took:.0f} ms"
        facts = {
            "took": took, "drift": self.drift, "from": self.began_at, "site": site,
            "sites": {site: str(ranks) for site, ranks in sites.items()},
            "warnings": cautions, "together": not cautions,
        }  # fmt: skip
        self._tell(Kind.STOPPED, "\n".join([text, *cautions]), True, facts)
        self.note(self.verb)

    def _groups(self, what: str) -> dict[str, RankSet]:
        """The ranks that hold, by what they said of that."""
        groups: dict[str, list[int]] = {}
        for rank, held in self.held.items():
            groups.setdefault(getattr(held, what), []).append(rank)
        return {said: RankSet(ranks) for said, ranks in groups.items()}

    def cautions(self) -> list[str]:
        """Why collective code may not be safe at this stop."""
        found = []
        if len(sites := self._groups("site")) > 1:
            groups = [
                f"{describe(ranks)} at {site or 'an unknown place'}"
                for site, ranks in sites.items()
            ]
            found.append(f"The ranks do not hold at one place: {', '.join(groups)}.")
        found += self._without()
        for warning, ranks in self._groups("warning").items():
            if warning:
                found.append(f"On {describe(ranks)} {warning}: use steer.comm.")
        return found

    def _without(self) -> list[str]:
        """Which ranks are lost, and how."""
        found = []
        for how in dict.fromkeys(self.lost.values()):
            lost = [rank for rank, other in self.lost.items() if other == how]
            found.append(f"Without {describe(lost)}: it {how}.")
        return found

    def _commit(self, point: int) -> None:
        self.target = point
        if self.finished & self.ranks:
            self._end()
            return
        self.actions.append(ev.Commit(self.family, self.epoch, self.ranks, point))
        self.thaw()  # behind it: the fence holds them now

    def _release(self) -> None:
        self.look = None
        self.held = {}
        self.actions.append(ev.Release(self.family, self.epoch, self.ranks))
        self.thaw()

    def thaw(self) -> None:
        """Let those go that hold by themselves."""
        if self.frozen:
            self.actions.append(ev.Thaw(self.family, self.frozen))
            self.frozen = NOBODY

    def _end(self) -> None:
        self._move(Turn.FINISH)
        self._release()
        who = describe(self.finished)
        text = f"The run ends: {who} will come to no more points. All were let go."
        self._tell(Kind.ENDING, text, answer=True)

    def _maybe_over(self) -> None:
        if self.phase is Phase.OVER or self.ranks - self.finished:
            return
        if self.phase not in (Phase.RUNNING, Phase.ENDING):
            # Nobody is left to wait for, as when all died in a round.
            self._move(Turn.FINISH)
        self._move(Turn.ALL_FINISHED)
        self.look = None
        text = " ".join(["The run has ended.", *self._without()])
        self._tell(Kind.OVER, text, answer=True)

    def _judge(self, now: float) -> None:
        """All that were asked have answered: say it if it is news."""
        verdict = self.verdict()
        if verdict.on_held and self.advances and self.phase is Phase.ALIGNING:
            self.advances -= 1
            self.advance(now)
            return
        if not self.answers_soon() and not self._is_still():
            return  # a point that is far: of course they are not there yet
        if verdict.text != self.told:
            self.told = verdict.text
            facts = {"on_held": str(verdict.on_held), "on_lost": str(verdict.on_lost)}
            self._tell(Kind.WAITING, verdict.text, facts=facts)

    def verdict(self) -> Verdict:
        """Who keeps it waiting, as far as was seen."""
        missing = self.missing()
        unknown = Sight(Place.SILENT)
        sights = {rank: self.sights.get(rank, unknown) for rank in missing}
        return judge(self.target, self.ranks - missing, sights, RankSet(self.lost))

    def answers_soon(self) -> bool:
        """Whether its ranks come to the target, as far as is known."""
        return not self.goal or self._someone_holds()

    def _is_still(self) -> bool:
        """Whether no rank has come to a point for a while."""
        ages = [self.sights[r].age for r in self.missing() if r in self.sights]
        return bool(ages) and min(ages) >= STILL

    def _someone_holds(self) -> bool:
        return bool(self.ranks - self.missing()) or any(
            sight.place is Place.HELD for sight in self.sights.values()
        )

    def _begin(self, now: float, point: int) -> None:
        self.began, self.began_at = now, point
        self.held = {}
        self._watch(now)

    def _watch(self, now: float) -> None:
        self.sights, self.asked, self.told = {}, NOBODY, ""
        self.look = now + LOOK

    def _move(self, turn: Turn) -> None:
        self.phase = TABLE[self.phase, turn]

    def _tell(
        self,
        kind: Kind,
        text: str,
        answer: bool = False,
        facts: dict[str, Any] | None = None,
    ) -> None:
        answers = tuple(a.id for a in self.askers if a.id) if answer else ()
        if answer:
            self.askers = []
        tell = ev.Tell(
            self.family, kind, text, answers, self.target, self.ranks, facts or {}
        )
        self.actions.append(tell)

    def note(self, verb: str) -> None:
        """For the journal."""
        note = ev.Note(self.family, verb, self.target, self.ranks, "", self.who)
        self.actions.append(note)

    def check(self) -> None:
        """Assert what holds always."""
        assert (self.look is not None) == (self.phase in WAITING), self.phase
        if self.phase is Phase.STOPPED:
            assert self.ranks
            assert not self.finished & self.ranks
            assert all(self.held[rank].point == self.target for rank in self.ranks)
        if self.phase in WAITING:
            assert self.missing(), self.phase
            assert not self.finished & self.ranks
        if self.phase not in WAITING:
            assert not self.askers, self.phase
        assert set(self.held) <= set(self.ranks)
        assert (self.phase is Phase.OVER) == (not self.ranks - self.finished)

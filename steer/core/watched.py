"""What ranks say of watches, in the hub: numbers put together, conditions that are met.

A condition that is met on a rank leads to a stop, either because ranks hold by
themselves (their pages say so), or because the rank asks for one. Many ranks may say
the same at once; the first counts. Whoever waits for a condition (`run.until`) has the
answer with the stop that follows, or with the end of the run or of the watch.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from steer.core import roundevents as rv
from steer.core.events import Event
from steer.core.round import WAITING, Phase
from steer.core.roundevents import Asker, Kind
from steer.core.rounds import Rounds
from steer.core.samples import Merged, Row, Whole
from steer.errors import ProtocolError
from steer.ranks import RankSet
from steer.wire.messages import Fired

_rows = msgspec.msgpack.Decoder(list[tuple[int, float, float, float]])


@dataclasses.dataclass
class _Awaited:
    """A request that waits for a condition."""

    asker: Asker
    family: str
    plan: int
    met: bool = False
    resumes: bool = False
    """A stop was on its way when it was planned: the run has to go on from there."""


class Watched:
    """The watches of all runs."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._merged: dict[int, Merged] = {}
        self._fired: dict[int, int] = {}
        """By plan, the last point at which its condition was met."""
        self._wanted: dict[str, Asker] = {}
        """Requests whose watch is not planned yet."""
        self._awaited: list[_Awaited] = []

    # -- numbers

    def sample(self, rank: int, plan: int, body: Any) -> list[Whole]:
        """A rank's bundle came: the points of which all is known now."""
        merged = self._merged.get(plan)
        if merged is None:
            family = self._family(plan)
            if family is None:
                return []  # its end came before
            self._forget()
            ranks = self._rounds.families[family].round.ranks
            merged = self._merged[plan] = Merged(ranks)
        try:
            rows = [Row(*row) for row in _rows.decode(body)]
        except msgspec.MsgspecError as error:
            raise ProtocolError(f"A bundle of a watch is none: {error}.") from None
        return merged.add(rank, rows)

    def lose(self, ranks: RankSet) -> dict[int, list[Whole]]:
        """These say nothing more: the points, by plan, that waited for them only."""
        found = {plan: merged.lose(ranks) for plan, merged in self._merged.items()}
        return {plan: points for plan, points in found.items() if points}

    def _forget(self) -> None:
        """Watches that are over."""
        for plan in [plan for plan in self._merged if self._family(plan) is None]:
            del self._merged[plan]
            self._fired.pop(plan, None)

    # -- conditions

    def fired(self, rank: int, message: Fired) -> list[Event]:
        """A condition was met: what follows for the run."""
        family = self._family(message.watch)
        last = self._fired.get(message.watch, -1)
        if family is None or message.point <= last or (message.once and last >= 0):
            return []
        self._fired[message.watch] = message.point
        for awaited in self._awaited:
            awaited.met |= awaited.plan == message.watch
        events: list[Event] = []
        if not message.holds:
            one = RankSet([rank])
            events.append(rv.Froze(family, one, message.point, message.why, hold=False))
        if message.once:
            events.append(rv.Unplan(Asker("", message.why), family, message.watch))
        return events

    def until(self, asker: Asker, family: str, plan: rv.Plan) -> rv.Plan:
        """Somebody wants the family to run until the condition of this watch is met."""
        self._wanted[asker.id] = asker
        stopped = self._rounds.families[family].round.phase is Phase.STOPPED
        return msgspec.structs.replace(plan, family=family, ahead=int(stopped))

    def planned(self, tell: rv.Tell) -> tuple[rv.Tell, list[Event]]:
        """The watch is there: who wants to know when it is met waits on, and a family
        that is stopped goes on."""
        wanted = [id for id in tell.answers if id in self._wanted]
        if not wanted:
            return tell, []
        askers = [self._wanted.pop(id) for id in wanted]
        if tell.kind is not Kind.PLANNED:
            return tell, []  # it came to nothing
        plan, phase = tell.facts["plan"], self._phase(tell.family)
        self._awaited += [
            _Awaited(asker, tell.family, plan, resumes=phase in WAITING)
            for asker in askers
        ]
        rest = tuple(id for id in tell.answers if id not in wanted)
        go: list[Event] = [rv.Go(Asker("", askers[0].who), tell.family)]
        holds = phase in (Phase.STOPPED, Phase.HERE)
        return msgspec.structs.replace(tell, answers=rest), go if holds else []

    def resumed(self, tell: rv.Tell) -> list[Event]:
        """What was on its way before a condition has stopped: on with it."""
        if tell.kind is not Kind.STOPPED:
            return []
        if self._phase(tell.family) is not Phase.STOPPED:
            return []  # more steps follow
        events: list[Event] = []
        for awaited in self._awaited:
            if awaited.resumes and awaited.family == tell.family:
                awaited.resumes = False
                go = rv.Go(Asker("", awaited.asker.who), tell.family)
                events = [go] if not awaited.met else events
        return events

    def answered(self, tell: rv.Tell) -> tuple[str, ...]:
        """The requests that have their answer with this, too."""
        stops = tell.kind is Kind.STOPPED
        ends = tell.kind in (Kind.ENDING, Kind.OVER)
        over = tell.facts.get("ends", 0) if tell.kind is Kind.PLANNED else 0
        done = [
            awaited
            for awaited in self._awaited
            if awaited.family == tell.family
            and (
                ends
                or (stops and awaited.met)
                or (over == awaited.plan and not awaited.met)
            )
        ]
        for awaited in done:
            self._awaited.remove(awaited)
        return tuple(awaited.asker.id for awaited in done)

    def _phase(self, name: str) -> Phase | None:
        family = self._rounds.families.get(name)
        return family.round.phase if family is not None else None

    def _family(self, plan: int) -> str | None:
        families = self._rounds.families.items()
        return next((name for name, f in families if plan in f.plans.plans), None)

"""The hub's eyes: it asks ranks what they do, and judges what they say.

Who wants to know opens a *round*: some engines are asked, and when all have answered,
or PATIENCE is over, it is judged::

    asked --all answered--> judged
          --PATIENCE: some are silent--> shown from outside --OUTSIDE--> judged

A rank that is silent while its process runs holds the GIL. The node has it write its
stack by a signal (`steer.witness`), or tells why it does not run.

Unasked
    A request that runs for longer than WATCHED_AFTER is watched: its ranks are told to
    note when main was seen to be still. When it has been silent for SILENT_AFTER, its
    world is asked; a verdict is said only if it is proved, and once. Then it is asked
    again, ever more seldom.
    When a rank of a request fails, the others are asked at once, so that the error is
    shown with those who wait for it.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from steer.core.cellsources import CellSources
from steer.core.events import Action, Event, Send
from steer.core.fanout import Fanout, Request
from steer.core.nativestacks import NativeStacks
from steer.core.outside import look_from_outside, read_faulthandler, users_part
from steer.core.rankstates import Evidence, Look, RankState, tell
from steer.core.registry import Engine, Registry
from steer.core.sightings import (
    SILENT_AFTER,
    UNASKED,
    Frame,
    LookWish,
    Peeked,
    Report,
    Samples,
    Snapshot,
    Wish,
    World,
)
from steer.core.tracerows import Row
from steer.core.verdict import Diagnosis, Kind, diagnose, waiters
from steer.errors import ProtocolError
from steer.ranks import RankSet
from steer.wire.frames import pack, unpack
from steer.wire.messages import Answer, Glance, Glanced, Insight, Message
from steer.wire.peers import peer_name

PATIENCE = 0.5
"""Seconds in which an I/O thread answers, on a machine with too many ranks too."""
OUTSIDE = 0.5
"""Seconds more for the node to see those that did not."""
WATCHED_AFTER = 1.0
COARSE = 0.5
CROWDED = 8
"""So often ranks that only want a core get more time."""
PEEKING = 1.5
"""Seconds for an expression."""
STARVED = 2.0
"""Seconds of silence that prove nothing: on a machine with too many ranks a thread may
wait that long for a core."""
AGAIN_AFTER = 2.0
"""Seconds until the first question again if nothing was proved; each takes longer."""
UNHURRIED = 5.0
"""Seconds that ranks must have waited before it is said unasked that another is slow:
all programs are a little out of balance."""
HASTE = 0.1
"""Seconds until ranks are looked at when another failed: they may be on their way into
the call in which they will wait."""
LOOKS = 3
"""How often they are, at most: after half a second all is told."""
DEAD_KEPT = 4096


class Outside(Action, frozen=True):
    """Have these engines write their stacks, and feed SeenOutside with each."""

    engines: tuple[int, ...]


class SeenOutside(Event, frozen=True):
    """What an engine wrote, and the source of its innermost line."""

    engine: int
    text: str
    source: str = ""
    starved: bool = False
    """The thread that answers waits for a core, not for the GIL."""
    halted: str = ""
    """Why it wrote none, as far as the kernel can tell: `stopped by a signal`."""


@dataclasses.dataclass
class Round:
    """Some engines are asked one thing."""

    number: int
    asked: dict[int, Engine]
    since: float
    due: float
    judge: Callable[[Round, float], list[Action]]
    form: Any
    """What an answer is."""
    answers: dict[int, tuple[float, Any]] = dataclasses.field(default_factory=dict)
    """When each came, and what it was."""
    troubles: dict[int, str] = dataclasses.field(default_factory=dict)
    """Who said that they have no answer, and why."""
    seen: dict[int, SeenOutside] = dataclasses.field(default_factory=dict)
    outside: int = 0
    """How often the node was asked about silent ranks."""
    starved: bool = False
    """Whether some of them only want a core."""

    @property
    def missing(self) -> list[int]:
        """Those that have not answered."""
        return [i for i in self.asked if i not in self.answers]

    @property
    def awaited(self) -> list[int]:
        """Those from whom an answer may still come."""
        return [i for i in self.missing if i not in self.troubles]

    @property
    def all_shown(self) -> bool:
        """Whether there is nobody from whom an answer may still come."""
        shown = (self.seen.get(i) for i in self.awaited)
        return all(event is not None and not event.starved for event in shown)


@dataclasses.dataclass
class Vigil:
    """A request that runs long."""

    quiet_since: float
    due: float
    pause: float = AGAIN_AFTER
    watched: bool = False
    said: set[str] = dataclasses.field(default_factory=set)


class Sight:
    """Who looks at ranks."""

    def __init__(self, registry: Registry, fanout: Fanout) -> None:
        self.registry = registry
        self._fanout = fanout
        self.cells = CellSources()
        self.unfinished: list[Callable[[], list[Action]]] = []
        """What is said, if this hub ends, of what it is in the middle of."""
        self._rounds: dict[int, Round] = {}
        self._count = 0
        self._silent: dict[str, float] = {}
        """Since when engines owe an answer."""
        self._begun: collections.deque[tuple[float, str]] = collections.deque()
        """Requests that were sent lately, and when it is time to look after them."""
        self._vigils: dict[str, Vigil] = {}
        self._hasty: list[tuple[float, str, int]] = []
        """When to look at the others of a request in which ranks failed."""
        self._later: list[tuple[float, Callable[[float], list[Action]]]] = []
        self.stands_still: Callable[[Engine, float], list[Action]]
        self.stands_still = lambda engine, now: []
        """Called when a rank says that its program has been in one call for long."""
        self.natives = NativeStacks(registry, self.later)
        self._dead: dict[str, dict[int, tuple[str, float]]] = {}
        """Ranks of worlds that others live of."""

    def handlers(self) -> dict[type[Message], Callable[..., list[Action]]]:
        """What it wants to hear."""
        return {Glanced: self._glanced}

    # -- time

    def deadline(self) -> float | None:
        """When a tick is due."""
        dues = [open_.due for open_ in self._rounds.values()]
        dues += [vigil.due for vigil in self._vigils.values()]
        dues += [due for due, _, _ in self._hasty]
        dues += [due for due, _ in self._later]
        if self._begun:
            dues.append(self._begun[0][0])
        return min(dues, default=None)

    def tick(self, now: float) -> list[Action]:
        """Time has gone by."""
        actions: list[Action] = []
        for round_ in [r for r in self._rounds.values() if r.due <= now]:
            actions += self._late(round_, now)
        while self._begun and self._begun[0][0] <= now:
            due, id = self._begun.popleft()
            self._vigils[id] = Vigil(due - WATCHED_AFTER, now)
        for id in [i for i, vigil in self._vigils.items() if vigil.due <= now]:
            actions += self._look_after(id, now)
        later, self._later = self._later, []
        for due, job in later:
            if due <= now:
                actions += job(now)
            else:
                self._later.append((due, job))
        hasty, self._hasty = self._hasty, []
        for due, id, tries in hasty:
            if due <= now:
                actions += self._look_for_waiters(id, tries, now)
            else:
                self._hasty.append((due, id, tries))
        return actions

    # -- rounds

    def ask(
        self,
        engines: Iterable[Engine],
        what: str,
        body: bytes,
        form: Any,
        judge: Callable[[Round, float], list[Action]],
        now: float,
        patience: float = PATIENCE,
        outside: bool = True,
    ) -> list[Action]:
        """Ask engines something; answers of this form are judged.

        Args:
            outside: show those that are silent from outside, before it is judged.
        """
        asked = {engine.id: engine for engine in engines}
        self._count += 1
        round_ = Round(self._count, asked, now, now + patience, judge, form)
        round_.outside = 0 if outside else CROWDED
        self._rounds[round_.number] = round_
        for engine in asked.values():
            self._silent.setdefault(engine.uuid, now)
        if not asked:
            return self._close(round_, now)
        peers = tuple(engine.control for engine in asked.values())
        return [Send(peers, Glance(round_.number, what, body))]

    def _glanced(
        self, who: str, message: Glanced, frames: Sequence[Any], now: float
    ) -> list[Action]:
        self._silent.pop(who, None)
        round_ = self._rounds.get(message.number)
        engine = self.registry.engines.get(who)
        if message.number == UNASKED and engine is not None:
            return self.stands_still(engine, now)
        if round_ is None or engine is None or engine.id not in round_.asked:
            return []
        if message.trouble:
            round_.troubles[engine.id] = message.trouble
        else:
            round_.answers[engine.id] = now, unpack(message.body, type=round_.form)
        return self._close(round_, now) if not round_.awaited else []

    def _late(self, round_: Round, now: float) -> list[Action]:
        """Some are silent: their hosts may still see them."""
        near = [i for i in round_.awaited if self.registry.watchable(round_.asked[i])]
        again = round_.starved and round_.outside < CROWDED
        if not near or (round_.outside and not again):
            return self._close(round_, now)
        round_.outside += 1
        round_.starved = False
        round_.due = now + OUTSIDE
        return [Outside(tuple(near))]

    def seen(self, event: SeenOutside, now: float) -> list[Action]:
        """A silent engine's stack was read."""
        actions: list[Action] = []
        for round_ in list(self._rounds.values()):
            if not round_.outside or event.engine not in round_.awaited:
                continue
            round_.starved |= event.starved
            if event.text or not event.starved:
                round_.seen[event.engine] = event
            if round_.all_shown:
                actions += self._close(round_, now)
        return actions

    def _close(self, round_: Round, now: float) -> list[Action]:
        del self._rounds[round_.number]
        return round_.judge(round_, now)

    def gone(self, engine: Engine, how: str, now: float) -> list[Action]:
        """An engine is no more."""
        self._silent.pop(engine.uuid, None)
        world = self._dead.setdefault(engine.world, {})
        world[engine.info.rank] = (how, now)
        if self.registry.world_is_empty(engine.world) or len(self._dead) > DEAD_KEPT:
            self._dead.pop(engine.world)
        actions: list[Action] = []
        for round_ in list(self._rounds.values()):
            if round_.asked.pop(engine.id, None) is not None and not round_.awaited:
                actions += self._close(round_, now)
        return actions

    def _is_world(self, world: str, members: str) -> None:
        """Its ranks say who is in it: nobody waits for others that have died."""
        dead = self._dead.get(world)
        if dead and members:
            kept = RankSet.parse(members)
            for rank in [rank for rank in dead if rank not in kept]:
                del dead[rank]

    def last_words(self) -> list[Action]:
        """This hub ends."""
        return [action for say in list(self.unfinished) for action in say()]

    def later(self, due: float, job: Callable[[float], list[Action]]) -> list[Action]:
        """Go on at that time."""
        self._later.append((due, job))
        return []

    # -- questions of clients

    def question(
        self, who: str, id: str, arguments: dict[str, Any], now: float
    ) -> list[Action]:
        """A client wants to see something."""
        try:
            wish = msgspec.convert(arguments, type=Wish)
        except msgspec.ValidationError as error:
            raise ProtocolError(f"This is no question about ranks: {error}.") from None
        engines = self.engines(wish.targets)
        if wish.view == "peek":

            def told(round_: Round, now: float) -> list[Action]:
                return [answer(who, id, _folded(round_))]

            body = wish.expression.encode()
            patience = PATIENCE + PEEKING
            return self.ask(engines, "peek", body, Peeked, told, now, patience)
        if wish.view == "revoke":

            def revoked(round_: Round, now: float) -> list[Action]:
                said = {i: why for i, (_, why) in round_.answers.items()}
                return [answer(who, id, said)]

            patience = PATIENCE + PEEKING
            return self.ask(engines, "revoke", b"", str, revoked, now, patience)
        if wish.view == "members":

            def counted(round_: Round, now: float) -> list[Action]:
                said = {i: ranks for i, (_, ranks) in round_.answers.items()}
                for engine, ranks in said.items():
                    self._is_world(round_.asked[engine].world, ranks)
                return [answer(who, id, said)]

            return self.ask(engines, "members", b"", str, counted, now)
        if wish.view == "trace":

            def noted(round_: Round, now: float) -> list[Action]:
                rows = {i: said for i, (_, said) in round_.answers.items()}
                return [answer(who, id, rows)]

            patience = PATIENCE + PEEKING
            return self.ask(engines, "trace", b"", list[Row], noted, now, patience)
        look = LookWish(wish.deep, wish.view == "stacks", wish.seconds)
        if wish.world:
            engines = self.worlds_of(engines)

        def tell_it(shown: Snapshot) -> list[Action]:
            return [answer(who, id, shown)]

        def shown(round_: Round, now: float) -> list[Action]:
            seen = self.snapshot(round_, now)
            if wish.native:
                return self.natives.begin(seen, set(round_.asked), tell_it, now)
            return tell_it(seen)

        patience = PATIENCE + wish.seconds
        return self.ask(engines, "look", pack(look), Report, shown, now, patience)

    def engines(self, targets: str) -> list[Engine]:
        """Those that are named; all if none is."""
        by_id = self.registry.by_id
        if not targets:
            return self.registry.here()
        return [by_id[i] for i in RankSet.parse(targets) if i in by_id]

    def worlds_of(self, engines: Iterable[Engine]) -> list[Engine]:
        """These, and all that may wait for them or be waited for."""
        worlds = {engine.world for engine in engines}
        return [e for e in self.registry.here() if e.world in worlds]

    # -- what was seen

    def snapshot(self, round_: Round, now: float) -> Snapshot:
        """All that a round has shown."""
        reports: dict[int, Report] = {}
        for id, (_, report) in round_.answers.items():
            reports[id] = report
        return Snapshot(
            now,
            self.worlds(round_, reports, now),
            _stacks(round_, reports),
            str(RankSet(round_.missing)),
        )

    def worlds(
        self, round_: Round, reports: dict[int, Report], now: float
    ) -> tuple[World, ...]:
        """The states of all ranks, by worlds."""
        found: dict[str, list[int]] = {}
        for id, engine in round_.asked.items():
            found.setdefault(engine.world, []).append(id)
        return tuple(
            self._world(name, ids, round_, reports, now) for name, ids in found.items()
        )

    def _world(
        self,
        name: str,
        ids: list[int],
        round_: Round,
        reports: dict[int, Report],
        now: float,
    ) -> World:
        states: dict[int, RankState] = {}
        for id in sorted(ids):
            engine = round_.asked[id]
            known = self._evidence(engine, round_, reports.get(id), now)
            states[max(engine.info.rank, 0)] = tell(known)
        for rank, (how, since) in self._dead.get(name, {}).items():
            if rank not in states:
                states[rank] = tell(Evidence(now, death=how, since=since))
        any_ = round_.asked[ids[0]]
        first = any_.id - max(any_.info.rank, 0)
        return World(first, any_.info.size, states)

    def _evidence(
        self, engine: Engine, round_: Round, report: Report | None, now: float
    ) -> Evidence:
        if report is None:
            silent = self._silent.get(engine.uuid, now)
            if engine.id in round_.troubles:
                return Evidence(now, since=now, halted=round_.troubles[engine.id])
            if not self.registry.watchable(engine):
                return Evidence(now, reachable=False, since=silent)
            event = round_.seen.get(engine.id)
            if event is not None and event.halted:
                return Evidence(now, since=silent, halted=event.halted)
            if event.starved if event is not None else round_.starved:
                return Evidence(now, since=silent)
            outside = _outside(event) if event is not None else None
            since = min(silent + STARVED, now)
            return Evidence(now, silent_since=since, outside=outside)
        answered = round_.answers[engine.id][0]
        idle = not report.busy and not self._fanout.sent_to(engine)
        age = report.error_age if idle and report.error else report.age
        return Evidence(
            round_.since,
            answered,
            report.look,
            idle=idle,
            since=None if age is None else answered - age,
            error=report.error if idle else "",
            error_spot=report.error_spot,
            held=report.held,
            inside=report.inside,
        )

    # -- unasked

    def sent(self, request: Request, now: float) -> None:
        """A request is with its engines."""
        if request.submit.kind == "execute" and request.frames:
            self.cells.add(bytes(request.frames[0]))
        if request.submit.kind in ("execute", "apply"):
            # Coarsely: of a thousand requests a second nearly all are over by then.
            due = math.ceil((now + WATCHED_AFTER) / COARSE) * COARSE
            self._begun.append((due, request.submit.id))

    def heard_of(self, id: str, now: float) -> None:
        """Something came of a request: it is not silent."""
        vigil = self._vigils.get(id)
        if vigil is not None:
            vigil.quiet_since = now
            vigil.pause = AGAIN_AFTER

    def failed(self, request: Request, now: float) -> None:
        """A rank of a request failed: who waits for it?"""
        id = request.submit.id
        if request.pending and all(id != other for _, other, _ in self._hasty):
            self._hasty.append((now + HASTE, id, 1))

    def _look_after(self, id: str, now: float) -> list[Action]:
        """A request has run for a while."""
        vigil = self._vigils[id]
        request = self._fanout.requests.get(id)
        if request is None or not request.pending:
            del self._vigils[id]
            return []
        if request.held_for:  # not its turn: it is not silent, it waits
            vigil.quiet_since, vigil.due = now, now + WATCHED_AFTER
            return []
        actions: list[Action] = []
        if not vigil.watched:
            vigil.watched = True
            everybody = self.worlds_of(self._pending(request))
            peers = tuple(e.control for e in everybody)
            actions.append(Send(peers, Glance(0, "watch")))
        quiet = now - vigil.quiet_since
        if quiet < SILENT_AFTER - 1e-6:
            vigil.due = vigil.quiet_since + SILENT_AFTER
            return actions
        vigil.due = now + vigil.pause + PATIENCE + OUTSIDE
        vigil.pause *= 2
        return actions + self._ask_why(request, now)

    def _pending(self, request: Request) -> list[Engine]:
        by_id = self.registry.by_id
        return [by_id[i] for i in request.pending if i in by_id]

    def _ask_why(self, request: Request, now: float) -> list[Action]:
        peer = self._fanout.clients.get(request.client)
        everybody = self.worlds_of(self._pending(request))
        if peer is None or len(everybody) < 2:
            return []
        id = request.submit.id

        def judge(round_: Round, now: float) -> list[Action]:
            vigil = self._vigils.get(id)
            shown = self.snapshot(round_, now)
            if vigil is None:
                return []
            fresh = {key for key in map(worth_saying, diagnosed(shown)) if key}
            if not fresh - vigil.said:
                return []
            vigil.said |= fresh
            return [Send((peer,), Insight(id, "verdict"), (pack(shown),))]

        wish = pack(LookWish(deep=True))
        return self.ask(everybody, "look", wish, Report, judge, now)

    def _look_for_waiters(self, id: str, tries: int, now: float) -> list[Action]:
        request = self._fanout.requests.get(id)
        if request is None or not request.pending:
            return []
        peer = self._fanout.clients.get(request.client)
        everybody = self.worlds_of(self._pending(request))
        if peer is None or len(everybody) < 2:
            return []

        def judge(round_: Round, now: float) -> list[Action]:
            shown = self.snapshot(round_, now)
            failed = {
                engine
                for answered in request.answers
                if answered.status == "error"
                for engine in answered.engines
            }
            waiting = _waiting(shown, failed)
            if tries < LOOKS and not waiting.issuperset(request.pending):
                self._hasty.append((now + HASTE, id, tries + 1))
                return []
            if not waiting:
                return []
            message = Insight(id, "waiters", str(RankSet(failed)))
            return [Send((peer,), message, (pack(shown),))]

        wish = pack(LookWish())
        return self.ask(everybody, "look", wish, Report, judge, now)


def diagnosed(shown: Snapshot) -> list[Diagnosis]:
    """A diagnosis of each world that has more than one rank, by engines."""
    return [
        diagnose(world.by_engine, shown.now) for world in shown.worlds if world.size > 1
    ]


def worth_saying(found: Diagnosis) -> str:
    """What a verdict says, if it is to be said unasked; the same for the same."""
    head = found.head
    if not found.proved:
        return ""
    if head.kind is Kind.IMBALANCE and head.still < UNHURRIED:
        return ""
    return f"{head.kind} {head.waiting} {head.causes}"


def _waiting(shown: Snapshot, failed: Iterable[int]) -> set[int]:
    """The engines that wait for those that failed."""
    return {
        waiting
        for states in (world.by_engine for world in shown.worlds)
        for engine in failed
        if engine in states
        for waiting in waiters(states, engine)
    }


def _outside(event: SeenOutside) -> Look | None:
    frames = _users(event.text)
    return look_from_outside(frames, event.source) if frames else None


def _users(text: str) -> list[Frame]:
    return users_part(read_faulthandler(text))


def _stacks(
    round_: Round, reports: dict[int, Report]
) -> tuple[tuple[str, Samples], ...]:
    """Equal stacks once, with the engines that had them."""
    found: dict[Samples, list[int]] = {}
    for id, report in reports.items():
        if report.stacks:
            found.setdefault(report.stacks, []).append(id)
    for id, event in round_.seen.items():
        if frames := tuple(_users(event.text)):
            found.setdefault(((1, frames),), []).append(id)
    return tuple((str(RankSet(ids)), stacks) for stacks, ids in found.items())


def _folded(round_: Round) -> dict[str, Any]:
    said: dict[Peeked, list[int]] = {}
    for id, (_, peeked) in round_.answers.items():
        said.setdefault(peeked, []).append(id)
    ordered = sorted(said.items(), key=lambda item: min(item[1]))
    return {
        "said": [[str(RankSet(ids)), peeked] for peeked, ids in ordered],
        "missing": str(RankSet(round_.missing)),
    }


def answer(who: str, id: str, content: Any) -> Action:
    """Tell a client what it asked for."""
    return Send((peer_name("in", who),), Answer(id), (pack(content),))

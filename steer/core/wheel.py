"""Between the wire and `rounds`: who steers which run, and who hears of it.

Messages of clients become what `Rounds` is asked for, what it says becomes News; orders
to the controllers of ranks go out as they are (the shell carries them out,
`hub/steering.py`). A *run* is one program on the ranks of a world. A family is called
`run/label`, and its ranks are engine ids here, while pages and programs know ranks of
the world.

A request is answered once. If it concerns several families, each of them says how it
went, and the last of these is the answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from steer.core import roundevents as rv
from steer.core.answers import Answers
from steer.core.audience import Audience
from steer.core.cellnotes import CellNotes
from steer.core.cellorder import CellOrder, Deferred
from steer.core.early import Early
from steer.core.events import Action, Event, Send
from steer.core.inquiries import Answered, Inquiries
from steer.core.programs import Program, Programs, told
from steer.core.refound import Found, Refound
from steer.core.registry import Engine, Registry
from steer.core.roundevents import NOBODY, Asker, Kind
from steer.core.rounds import Rounds
from steer.core.samples import Whole
from steer.core.steerverbs import BEHIND_CELLS, ONCE, QUESTIONS, event_of, unsure
from steer.core.watched import Watched
from steer.errors import ProtocolError
from steer.ranks import RankSet, describe
from steer.wire.frames import pack
from steer.wire.messages import (
    Answer,
    Begin,
    ErrorInfo,
    FamilyBorn,
    Fired,
    Inquire,
    Inquired,
    Looked,
    Message,
    News,
    Notice,
    Ordered,
    PlanBody,
    PlanDone,
    PlanGone,
    PlanHere,
    Quit,
    Rang,
    Refused,
    RunBegan,
    RunEnded,
    Sample,
    Steer,
    Watching,
)
from steer.wire.peers import peer_name


class Wheel:
    """The steering of a hub's runs."""

    def __init__(
        self,
        registry: Registry,
        clients: dict[str, bytes],
        introduce: Callable[[str], list[Action]],
        pid: int = 0,
        epoch: int = 0,
        restoring_until: float | None = None,
    ) -> None:
        self.rounds = Rounds(epoch)
        self.programs = Programs()
        self.audience = Audience()
        self._refound = Refound(self.rounds)
        self._early = Early(restoring_until)
        self.inquiries = Inquiries()
        self.watched = Watched(self.rounds)
        self.cells = CellNotes(self.rounds, self.programs.of, self.audience.user)
        self.order = CellOrder(self.rounds, self.cells, self.programs.busy)
        self.tickets: Iterator[int] = itertools.count(1)
        """Who waits longest; shared with whoever holds back cells."""
        self._registry = registry
        self._clients = clients
        self._introduce = introduce
        """Ask a client that nobody knows who it is."""
        self._pid = pid
        self._answers = Answers()

    def handlers(self) -> dict[type[Message], Callable[..., list[Action]]]:
        """What messages are for here."""
        return {
            Steer: self._steer,
            Watching: self._watching,
            RunBegan: self._run_began,
            RunEnded: self._run_ended,
            FamilyBorn: self._family_born,
            PlanHere: self._plan_here,
            PlanDone: self._plan_done,
            Inquired: self._inquired,
            Sample: self._sample,
            Fired: self._fired,
            # These are for the shell, which looks at pages.
            Rang: lambda who, message, frames, now: [],
            Looked: lambda who, message, frames, now: [],
            Ordered: lambda who, message, frames, now: [],
        }

    def deadline(self) -> float | None:
        """When a tick is due."""
        times = (
            self.rounds.deadline(),
            self.inquiries.deadline(),
            self._early.deadline(),
        )
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float) -> list[Action]:
        """Time has gone by."""
        actions = self._told_by_ranks(self.inquiries.tick(now))
        due = self.rounds.deadline()
        if due is not None and due <= now:
            actions += self.happened(rv.Tick(), now)
        over = self._early.deadline()
        if over is not None and over <= now:
            actions += self._ask_again(now)
        return actions

    def happened(self, event: Event, now: float) -> list[Action]:
        """A controller said something."""
        if isinstance(event, Found):
            return self._out(self._refound.found(event, now), now)
        return self._out(self.rounds.handle(event, now), now)

    def lost(self, engine: Engine, how: str, now: float) -> list[Action]:
        """An engine is gone."""
        actions = self._told_by_ranks(self.inquiries.lose(engine.id))
        for program in list(self.programs.values()):
            if engine.id in program.ranks and engine.id not in program.ended:
                program.lost.setdefault(engine.id, how)
                one = RankSet([engine.id])
                actions += self.happened(rv.Lost(program.name, one, how), now)
                actions += self._measured_no_more(program, one)
                actions += self._maybe_over(program)
        return actions

    def client_gone(self, who: str) -> None:
        """It wants to hear nothing more; what it has asked for is done."""
        self.audience.gone(who)

    def check(self) -> None:
        """Assert what holds always."""
        self.rounds.check()
        for name, family in self.rounds.families.items():
            program = self.programs[family.run]
            assert family.round.ranks <= program.ranks, name

    # -- clients

    def _steer(
        self, who: str, message: Steer, frames: Sequence[Any], now: float
    ) -> list[Action]:
        if not message.id.startswith(f"{who}-"):
            raise ProtocolError(
                f"Request {message.id} does not belong to client {who}."
            )
        if who not in self._clients:
            return self._introduce(who)
        self.audience.introduce(who, message.who)
        if (answer := self._answers.given(message.id)) is not None:
            return [Send((peer_name("in", who),), answer)]
        if self._answers.is_open(message.id) or message.id in self.order.deferred:
            return []
        elsewhere = message.resent and message.hub != self._pid
        if elsewhere and message.verb in ONCE:
            return [self._refuse(who, message.id, unsure(message.verb))]
        name = message.run or self.programs.only()
        if self._early.wait(who, message, self.programs.is_known(name), now):
            return []
        if not name:
            return [self._refuse(who, message.id, self.programs.which())]
        if message.verb in BEHIND_CELLS:
            run = name.partition("/")[0]
            if busy := self.order.keeps_waiting(run):
                ticket = next(self.tickets)
                return self._defer(Deferred(who, message, run, name, ticket), busy)
        return self._do(who, message, name, now)

    def _defer(self, deferred: Deferred, busy: RankSet) -> list[Action]:
        self.order.defer(deferred)
        run = deferred.run
        text = f"Cells run on {describe(busy)}; this is done when they have ended."
        news = News(run, run, Kind.WAITING.value, text, ranks=str(busy))
        return [Send((peer_name("in", deferred.client),), news)]

    def cells_ended(self, gated: Mapping[int, RankSet], now: float) -> list[Action]:
        """Do what has waited for cells; `gated` are those that wait, by ticket."""
        actions: list[Action] = []
        for one in self.order.ready(gated):
            actions += self._do(one.client, one.message, one.name, now)
        return actions

    def _do(self, who: str, message: Steer, name: str, now: float) -> list[Action]:
        if message.verb in QUESTIONS:
            return self._ask(who, message, name.partition("/")[0], now)
        try:
            event = event_of(message, name)
        except ProtocolError as error:
            return [self._refuse(who, message.id, str(error))]
        if message.verb == "until":
            assert isinstance(event, rv.Plan)
            return self._until(who, message, event, now)
        if isinstance(event, rv.Unplan):
            event = msgspec.structs.replace(event, family=self.rounds.plans_at(event))
        families = self.rounds.meant_by(event)
        self._answers.open(message.id, max(1, len(families)))
        return self.happened(event, now)

    def _ask(self, who: str, message: Steer, run: str, now: float) -> list[Action]:
        """Ask the ranks of a run something."""
        program, ranks = self.programs.get(run), NOBODY
        if program is not None:
            ranks = program.ranks - program.ended - RankSet(program.lost)
        body = message.arguments.get("body", b"")
        if not ranks or not isinstance(body, bytes):
            return [self._refuse(who, message.id, f"There is no run {run} any more.")]
        self._answers.open(message.id)
        number = self.inquiries.ask(message.id, run, ranks, now)
        inquire = Inquire(number, message.verb, body)
        return [Send(self._controls(ranks), inquire)]

    def _told_by_ranks(self, answers: list[Answered]) -> list[Action]:
        sends: list[Action] = []
        for answered in answers:
            self._answers.give(answered.news)
            sends.append(Send((peer_name("in", answered.client),), answered.news))
        return sends

    def _ask_again(self, now: float) -> list[Action]:
        return self._early.again(lambda who, m: self._steer(who, m, (), now))

    def _refuse(self, who: str, id: str, text: str) -> Action:
        return Send((peer_name("in", who),), Refused(id, ErrorInfo("UsageError", text)))

    def _watching(
        self, who: str, message: Watching, frames: Sequence[Any], now: float
    ) -> list[Action]:
        if who not in self._clients:
            return self._introduce(who)
        self.audience.introduce(who, message.who)
        self.audience.watch(who, message)
        answer = Send(
            (peer_name("in", who),), Answer(message.id), (pack(self.describe()),)
        )
        program = self.programs.get(message.run)
        return [answer, *(self._maybe_begin(program) if program is not None else [])]

    def _maybe_begin(self, program: Program) -> list[Action]:
        """Let a program begin that waits for somebody who steers it."""
        if not (program.waits and self.audience.attends(program.name)):
            return []
        engines = [self._registry.by_id.get(rank) for rank in program.here]
        peers = tuple(engine.control for engine in engines if engine is not None)
        begin: list[Action] = [Send(peers, Begin())] if peers else []
        if program.here != program.ranks:
            return begin
        program.waits = False
        return [*begin, *self._announce(program)]

    def describe(self) -> dict[str, Any]:
        """What there is to know of all runs."""
        return {
            "runs": [told(program, self.rounds) for program in self.programs.values()]
        }

    # -- engines

    def _run_began(
        self, who: str, message: RunBegan, frames: Sequence[Any], now: float
    ) -> list[Action]:
        engine = self._registry.engines.get(who)
        if engine is None:
            return []
        program = self.programs.get(message.run)
        if program is None or program.over:
            program = self.programs[message.run] = Program.begun(engine, message)
        program.here |= RankSet([engine.id])
        program.families = max(program.families, message.families)
        return [
            *self.happened(rv.RunHere(program.name, program.ranks), now),
            *self._maybe_begin(program),
            *(self._announce(program) if program.here == program.ranks else []),
            *self._ask_again(now),
        ]

    def _run_ended(
        self, who: str, message: RunEnded, frames: Sequence[Any], now: float
    ) -> list[Action]:
        engine = self._registry.engines.get(who)
        program = self.programs.get(message.run)
        if engine is None or program is None or engine.id in program.ended:
            return []
        one = RankSet([engine.id])
        program.ended |= one
        program.kept |= message.kept
        if message.status:
            program.statuses[engine.id] = message.status
        event: Event = rv.Finished(program.name, one)
        if message.error:
            program.lost[engine.id] = message.error
            event = rv.Lost(program.name, one, message.error)
        actions = self.happened(event, now) + self._measured_no_more(program, one)
        actions += self._maybe_over(program)
        first = bool(message.status) and len(program.statuses) == 1
        matters = program.over or message.kept or first
        return actions + (self._announce(program) if matters else [])

    def _announce(self, program: Program) -> list[Action]:
        """Tell all clients that it has begun, or how it ends: whom that concerns may
        not have watched it yet."""
        peers = tuple(peer_name("in", who) for who in self._clients)
        facts = pack(told(program, self.rounds))
        return [Send(peers, Notice("program"), (facts,))] if peers else []

    def _maybe_over(self, program: Program) -> list[Action]:
        """Let the ranks go together when the last of them has come to the end."""
        if not program.over or program.kept:
            return []
        engines = [self._registry.by_id.get(rank) for rank in program.ranks]
        peers = tuple(p for e in engines if e is not None for p in (e.work, e.control))
        return [Send(peers, Quit("The program has ended."))] if peers else []

    def _family_born(
        self, who: str, message: FamilyBorn, frames: Sequence[Any], now: float
    ) -> list[Action]:
        engine = self._registry.engines.get(who)
        program = self.programs.get(message.run)
        if engine is None or program is None:
            return []
        name = f"{program.name}/{message.label}"
        actions: list[Action] = []
        if message.label not in program.labels:
            actions += self._new_family(program, name, message, now)
        else:
            before = _before(program, message)
            here = rv.FamilyHere(program.name, name, NOBODY, before=before)
            actions += self.happened(here, now)
        return [
            *actions, rv.Adopt(name, RankSet([engine.id])), *self._ask_again(now)
        ]  # fmt: skip

    def _new_family(
        self, program: Program, name: str, message: FamilyBorn, now: float
    ) -> list[Action]:
        members = program.labels[message.label] = program.members(message)
        here = rv.FamilyHere(
            program.name, name, members, message.label.partition("@")[0],
            message.logical, _before(program, message),
        )  # fmt: skip
        actions = self.happened(here, now)
        if program.is_to_stop(message.label, members):
            stop = rv.Stop(Asker("", "--stop-at"), name, program.stop_at)
            actions += self.happened(stop, now)
        if done := members & program.ended:
            actions += self.happened(rv.Finished(program.name, done), now)
        return actions

    def _plan_here(
        self, who: str, message: PlanHere, frames: Sequence[Any], now: float
    ) -> list[Action]:
        if message.text:
            self._refound.name(message.plan, message.verb, message.text)
        found = self._whose_plan(who, message.plan)
        if found is None:
            return []
        family, one = found
        event = rv.Has(family, message.plan, one, message.no, message.strange)
        return self.happened(event, now)

    def _plan_done(
        self, who: str, message: PlanDone, frames: Sequence[Any], now: float
    ) -> list[Action]:
        found = self._whose_plan(who, message.plan)
        if found is None:
            return []
        name, one = found
        event = rv.Applied(
            name, message.plan, one, message.point, message.error, message.seconds
        )
        return self.happened(event, now)

    def _inquired(
        self, who: str, message: Inquired, frames: Sequence[Any], now: float
    ) -> list[Action]:
        engine = self._registry.engines.get(who)
        if engine is None:
            return []
        answers = self.inquiries.heard(message.number, engine.id, message.body)
        return self._told_by_ranks(answers)

    def _whose_plan(self, who: str, plan: int) -> tuple[str, RankSet] | None:
        """The family that a plan is of, and the rank that speaks of it."""
        engine = self._registry.engines.get(who)
        if engine is None:
            return None
        for name, family in self.rounds.families.items():
            if plan in family.plans.plans:
                return name, RankSet([engine.id])
        return None

    def _sample(
        self, who: str, message: Sample, frames: Sequence[Any], now: float
    ) -> list[Action]:
        engine = self._registry.engines.get(who)
        if engine is None or len(frames) != 1:
            return []
        found = self.watched.sample(engine.id, message.watch, frames[0])
        return self._numbers(message.run, message.watch, found)

    def _numbers(self, run: str, plan: int, found: Sequence[Whole]) -> list[Action]:
        peers = self.audience.peers(run)
        if not found or not peers:
            return []
        return [Send(peers, Sample(run, plan, found[-1].point), (pack(found),))]

    def _measured_no_more(self, program: Program, ranks: RankSet) -> list[Action]:
        sends: list[Action] = []
        for plan, found in self.watched.lose(ranks).items():
            sends += self._numbers(program.name, plan, found)
        return sends

    def _fired(
        self, who: str, message: Fired, frames: Sequence[Any], now: float
    ) -> list[Action]:
        engine = self._registry.engines.get(who)
        events = self.watched.fired(engine.id, message) if engine is not None else []
        return [action for event in events for action in self.happened(event, now)]

    def _until(
        self, who: str, message: Steer, event: rv.Plan, now: float
    ) -> list[Action]:
        """Its answer comes with the stop that the condition of a watch leads to."""
        meant = self.rounds.meant_by(event)
        if len(meant) != 1:
            names = (family.round.family.partition("/")[2] for family in meant)
            labels = ", ".join(names)
            text = f"There are several loops: say by its label which, of {labels}."
            if not meant:
                text = "No rank has come to a point of that yet."
            return [self._refuse(who, message.id, text)]
        self._answers.open(message.id)
        plan = self.watched.until(event.asker, meant[0].round.family, event)
        return self.happened(plan, now)

    # -- what goes out

    def _out(self, actions: list[Action], now: float) -> list[Action]:
        out: list[Action] = []
        for action in actions:
            if isinstance(action, rv.Tell):
                out += self._news(action, now)
                continue
            if isinstance(action, rv.Hand):
                body = PlanBody(action.plan, action.verb, action.body, action.text)
                out.append(Send(self._controls(action.ranks), body))
                continue
            out.append(action)
            if isinstance(action, rv.Withdraw):
                out.append(Send(self._controls(action.ranks), PlanGone(action.plan)))
        return out

    def _controls(self, ranks: RankSet) -> tuple[bytes, ...]:
        engines = (self._registry.by_id.get(rank) for rank in ranks)
        return tuple(engine.control for engine in engines if engine is not None)

    def _news(self, tell: rv.Tell, now: float) -> list[Action]:
        tell, events = self.watched.planned(tell)
        events += self.watched.resumed(tell)
        more = self.watched.answered(tell)
        if more:
            tell = msgspec.structs.replace(tell, answers=tell.answers + more)
        return [
            *self._told_to_all(tell),
            *(a for event in events for a in self.happened(event, now)),
        ]

    def _told_to_all(self, tell: rv.Tell) -> list[Action]:
        done, tells = self._answers.close(tell)
        whole = self._answers.together(tells)
        news = _news_of(whole, done)
        self._answers.give(news)
        askers = {peer_name("in", id.partition("-")[0]) for id in done}
        watching = set(self.audience.peers(news.run))
        said: list[tuple[set[bytes], News]] = [(askers | watching, news)]
        if tell.facts.get("strange") and (not done or len(tells) > 1):
            said = [(askers, news)] if done else []  # all have heard what others say
        elif whole.kind is not tell.kind:
            said = [(watching, _news_of(tell)), *said]
        return [Send(tuple(sorted(peers)), news) for peers, news in said if peers]


def _news_of(tell: rv.Tell, answers: tuple[str, ...] = ()) -> News:
    return News(
        tell.family.partition("/")[0], tell.family, tell.kind.value, tell.text, answers,
        tell.point, str(tell.ranks), tell.facts,
    )  # fmt: skip


def _before(program: Program, message: FamilyBorn) -> dict[str, int]:
    """Where the rank was in other families, by what these are called here."""
    return {f"{program.name}/{label}": n for label, n in message.before.items()}

"""The hub's decisions: the registry, the fan-out and the ending behind one `handle`.

What happens to an engine's death, for example: the node reports `Died`; the registry
forgets the engine; the fan-out ends what it owed with an EngineError that names rank,
host and signal; clients are told that it left; if the cluster is ending, the next step
is looked at.

All of this is soft state. A hub that was killed and started again learns it anew: peers
introduce themselves whenever their sockets are connected, clients send again what was
not answered, and duplicates are dropped by id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from steer.core import roundevents as rv
from steer.core.ending import Ending, Step
from steer.core.events import (
    Action,
    Died,
    Drop,
    Event,
    Heard,
    JobBegan,
    JobEnded,
    Kill,
    KillJobs,
    Look,
    Recall,
    Recalled,
    Respawn,
    Saved,
    SavedTasks,
    Say,
    Send,
    Sweep,
    Tick,
    Unreached,
    Unwatch,
    Watch,
)
from steer.core.fanout import Fanout
from steer.core.farm import Farm, is_of_task
from steer.core.nativestacks import Spied
from steer.core.occupied import told_to_wait
from steer.core.programvigil import ProgramVigil
from steer.core.refound import Found
from steer.core.registry import ASK_EVERY, SILENCE, Engine, Registry
from steer.core.sight import SeenOutside, Sight
from steer.core.sightings import Freed
from steer.core.story import Story
from steer.core.unsticking import Unstick
from steer.core.wheel import Wheel
from steer.errors import ProtocolError
from steer.ranks import RankSet
from steer.wire.frames import pack, unpack
from steer.wire.messages import (
    VERSION,
    Abort,
    Acknowledge,
    Answer,
    Ask,
    Enrolled,
    ErrorInfo,
    Goodbye,
    Hello,
    Interrupt,
    Joined,
    Leaving,
    Left,
    Message,
    Notice,
    Output,
    Ping,
    Pong,
    Quit,
    Ready,
    Refused,
    Register,
    Release,
    Result,
    Shutdown,
    Signal,
    Submit,
    Typed,
    Welcome,
    WhoAreYou,
)
from steer.wire.peers import parse_peer, peer_name

RETRY_AFTER = 0.25
"""Seconds until work is sent again to an engine that could not be reached."""

RETURN_WITHIN = 10.0
"""Seconds that a new hub waits for the engines of an old one."""

ORPHANS_AFTER = 2.0
"""Seconds after its launcher's end that an engine may still be alive."""

HIGHEST_SIGNAL = 64
SIGINT = 2

LOOKS = frozenset(
    {
        "query", "history", "purge", "fetch", "start", "jobs", "stop_job", "signal_job",
        "deeds",
    }
)  # fmt: skip
"""Questions that the shell answers, from the journal and the jobs."""

SEEN = (
    rv.Next, rv.Held, rv.Withdrew, rv.Has, rv.Voted, rv.Applied, rv.Froze, rv.Seen,
    rv.Position, rv.Finished, rv.Lost, Found,
)  # fmt: skip
"""What the shell sees on the pages of ranks."""


class HubCore:
    """Events in, actions out."""

    def __init__(
        self,
        *,
        pid: int,
        boot: str,
        cluster: str,
        probe: int = -1,
        restoring_until: float | None = None,
        began: int = 0,
        respawn: bool = False,
    ) -> None:
        self.pid = pid
        self.cluster = cluster
        self.probe = probe
        self.respawn = respawn
        self.restoring_until = restoring_until
        self.registry = Registry(boot)
        self.fanout = Fanout()
        self.jobs: dict[str, int] = {}
        self.ending = Ending(self.registry, self.jobs)
        self.shares: dict[str, bool] = {}
        """Clients whose shared memory the shell could open."""
        self.asked: dict[str, int] = {}
        """Clients that were asked who they are and have not said it yet, each with the
        latest request that was dropped for that."""
        self.sent: dict[str, int] = {}
        """Clients' latest requests when they introduced themselves."""
        self.watchers: dict[str, list[tuple[str, str]]] = {}
        """Requests that other clients wait for: (client, question)."""
        self.story = Story()
        self.orphans: list[tuple[float, str]] = []
        self.returning: list[tuple[float, Recalled]] = []
        """Requests from an old hub's time whose engines are not back yet."""
        self.early: dict[str, list[tuple[Engine, Result, Sequence[Any]]]] = {}
        """Answers to requests that are looked up in the journal or wait for engines."""
        self.retries: dict[str, float] = {}
        self.next_ping: float | None = None
        self._on_message: dict[type, Callable[..., list[Action]]] = {
            Submit: self._submit,
            Result: self._result,
            Output: self._output,
            Release: self._release,
            Hello: self._hello,
            Abort: self._abort,
            Signal: self._signal,
            Typed: self._typed,
            Shutdown: self._shutdown,
            Ask: self._ask,
            Goodbye: self._goodbye,
            Register: self._register,
            Ready: self._ready,
            Leaving: self._leaving,
            Pong: self._pong,
        }
        self.farm = Farm(
            self.registry,
            self.fanout.clients,
            self.jobs,
            lambda who: self._ask_name(who, 0),
            restoring_until=restoring_until,
            first=began,
        )
        self.wheel = Wheel(
            self.registry,
            self.fanout.clients,
            lambda who: self._ask_name(who, 0),
            pid=pid,
            epoch=began,
            restoring_until=restoring_until,
        )
        self.wheel.tickets = self.fanout.tickets
        self.fanout.open_for = lambda engines, ticket: (
            not self.wheel.programs or self.wheel.order.may_run(engines, ticket)
        )
        self.sight = Sight(self.registry, self.fanout)
        ProgramVigil(self.sight, self.wheel, self.fanout.clients)
        self._on_message |= self.farm.handlers() | self.wheel.handlers()
        self._on_message |= self.sight.handlers()
        self._on_event: dict[type, Callable[[Any, float], list[Action]]] = {
            Heard: self._heard,
            Unreached: self._unreached,
            Died: self._died,
            JobBegan: self._job_began,
            JobEnded: self._job_ended,
            Saved: self._saved,
            Recalled: self._recalled,
            SavedTasks: lambda e, now: self.farm.saved(e.client, e.number, now),
            Tick: self._tick,
            SeenOutside: self.sight.seen,
            Spied: self.sight.natives.spied,
            **dict.fromkeys(SEEN, self.wheel.happened),
        }

    # -- the three doors

    def handle(self, event: Event, now: float) -> list[Action]:
        """What to do about an event."""
        actions = self._on_event[type(event)](event, now)
        if self.watchers:
            actions = actions + self._answer_watchers()
        if self.fanout.gated:
            actions = actions + self.fanout.let_through()
        if self.wheel.cells.open or self.wheel.order.deferred:
            actions = actions + self.wheel.cells.look(
                self.fanout.requests, self.wheel.programs
            )
            actions += self.wheel.cells_ended(self.fanout.waiting(), now)
        self.story.add(now, event, actions)
        return actions

    def deadline(self) -> float | None:
        """When to come with a Tick at the latest."""
        dues = [
            self.fanout.deadline(),
            self.farm.deadline(),
            self.wheel.deadline(),
            self.sight.deadline(),
            self.ending.deadline(),
            self.next_ping,
        ]
        if self.orphans:
            dues.append(self.orphans[0][0])
        if self.retries:
            dues.append(min(self.retries.values()))
        if self.returning:
            dues.append(self.returning[0][0])
        known = [due for due in dues if due is not None]
        return min(known) if known else None

    def check(self) -> None:
        """Assert what must always hold."""
        self.registry.check()
        self.fanout.check()
        self.farm.check()
        self.wheel.check()
        for request in self.fanout.requests.values():
            for engine, uuid in request.pending.items():
                assert self.registry.by_id[engine].uuid == uuid, (engine, uuid)

    # -- messages

    def _heard(self, event: Heard, now: float) -> list[Action]:
        role, who = parse_peer(event.peer)
        handler = self._on_message.get(type(event.message))
        try:
            if handler is None:
                raise ProtocolError(
                    f"A {type(event.message).__name__} message is not for a hub."
                )
            return handler(who, event.message, event.frames, now)
        except (ProtocolError, ValueError) as error:
            return self._refuse(role, who, event.message, error)

    def _refuse(
        self, role: str | None, who: str, message: Message, error: Exception
    ) -> list[Action]:
        text = str(error)
        say = Say(f"refused {type(message).__name__} from {role} {who}: {text}")
        actions = [*self._unused(message), say]
        if role not in ("out", "in"):
            return actions
        info = ErrorInfo("ProtocolError", text)
        answer = Refused(request_of(message), info)
        return [Send((peer_name("in", who),), answer), *actions]

    def _unused(self, message: Message) -> list[Action]:
        """Drop what the shell has got hold of for a message that is not needed."""
        store = getattr(message, "store", None)
        return [] if store is None else [Drop(store)]

    # -- clients

    def _hello(
        self, who: str, message: Hello, frames: Sequence[Any], now: float
    ) -> list[Action]:
        if message.version != VERSION:
            raise ProtocolError(
                f"The client speaks version {message.version} and the hub {VERSION}; "
                "install the same Steer on both sides."
            )
        dropped = self.asked.pop(who, 0)
        self.fanout.welcome(who)
        self.sent[who] = message.sent
        welcome = Welcome(
            version=VERSION,
            pid=self.pid,
            cluster=self.cluster,
            shares=self.shares.get(who, False),
            probe=self.probe,
            engines=tuple(e.public() for e in self.registry.here()),
            bundle=self.farm.bundle(who),
        )
        actions: list[Action] = [Send((peer_name("in", who),), welcome)]
        actions += self.fanout.lend_again(who)
        if dropped > message.sent:  # said before that was sent
            actions.append(Send((peer_name("in", who),), WhoAreYou(self.pid)))
        if message.boot == self.registry.boot:
            actions.append(Watch(who, message.pid, message.began))
        return actions + self.farm.client_here(who, now)

    def _submit(
        self, who: str, message: Submit, frames: Sequence[Any], now: float
    ) -> list[Action]:
        owner, _, number = message.id.partition("-")
        if owner != who or not number.isdecimal():
            raise _not_yours(message.id, who)
        if who not in self.fanout.clients:
            return [*self._ask_name(who, int(number)), *self._unused(message)]
        known = self.fanout.requests.get(message.id)
        if known is not None:
            again = self.fanout.again(known) if message.resent else []
            return [*again, *self._unused(message)]
        stale = int(number) <= self.sent[who] and not message.resent
        if stale or message.id in self.early:
            return self._unused(message)
        if not RankSet.parse(message.targets):
            return self._nobody(who, message, -1)
        if message.resent:
            self.early[message.id] = []
            return [Recall(who, message, frames)]
        if self._may_come_back(message, now):
            self.early[message.id] = []
            return self._recalled(Recalled(who, message, frames, ()), now)
        return self._open(who, message, frames, now)

    def _may_come_back(self, message: Submit, now: float) -> bool:
        """Whether it names ranks of an old hub that this new one has not heard yet."""
        if self.restoring_until is None or now >= self.restoring_until:
            return False
        absent = self._not_here(message.targets)
        return bool(absent) and absent[-1] < sum(self.jobs.values())

    def _not_here(self, targets: str) -> list[int]:
        by_id = self.registry.by_id
        return [
            i for i in RankSet.parse(targets) if i not in by_id or not by_id[i].here
        ]

    def _ask_name(self, who: str, number: int) -> list[Action]:
        """Ask once: the answer brings all that the client has sent so far."""
        first = who not in self.asked
        self.asked[who] = max(number, self.asked.get(who, 0))
        return [Send((peer_name("in", who),), WhoAreYou(self.pid))] if first else []

    def _open(
        self, who: str, message: Submit, frames: Sequence[Any], now: float
    ) -> list[Action]:
        by_id = self.registry.by_id
        engines = []
        for number in RankSet.parse(message.targets):
            engine = by_id.get(number)
            if engine is None or not engine.here:
                return self._nobody(who, message, number)
            engines.append(engine)
        actions = self.fanout.open(who, message, frames, engines)
        self.sight.sent(self.fanout.requests[message.id], now)
        if self.wheel.programs:
            request = self.fanout.requests[message.id]
            self.wheel.cells.began(request)
            programs = self.wheel.programs.values()
            actions += told_to_wait(programs, self.wheel.rounds, request)
        return actions

    def _nobody(self, who: str, message: Submit, number: int) -> list[Action]:
        here = RankSet(e.id for e in self.registry.here())
        if here and number < 0:
            text = f"The request names no engine; there are {here}."
        elif here:
            text = f"No engine {number} is here; there are {here}."
        else:
            text = (
                "No engines are connected. Start some with `steer start -n 4`, or wait "
                "with `client.wait_for_engines(4)`."
            )
        error = ErrorInfo("NoEnginesRegistered" if not here else "EngineError", text)
        refused = Send((peer_name("in", who),), Refused(message.id, error))
        return [refused, *self._unused(message)]

    def _release(
        self, who: str, message: Release, frames: Sequence[Any], now: float
    ) -> list[Action]:
        request = self.fanout.requests.get(message.id)
        if request is None:
            return []
        if request.client != who:
            raise _not_yours(message.id, who)
        ranks = RankSet.parse(message.ranks)
        actions, engines = self.fanout.release(request, ranks)
        safe = [(request.uuids[engine], message.id) for engine in engines]
        return actions + self._acknowledge(safe)

    def _goodbye(
        self, who: str, message: Goodbye, frames: Sequence[Any], now: float
    ) -> list[Action]:
        return [Unwatch(who), *self._left(who, now)]

    def _left(self, who: str, now: float) -> list[Action]:
        """A client is gone."""
        self.wheel.client_gone(who)
        return self.fanout.goodbye(who) + self.farm.client_gone(who, now)

    def _abort(
        self, who: str, message: Abort, frames: Sequence[Any], now: float
    ) -> list[Action]:
        targets = RankSet.parse(message.targets)
        wanted = set(message.ids)
        ids: dict[int, list[str]] = {}
        actions: list[Action] = []
        for request in list(self.fanout.requests.values()):
            mine = request.submit.id in wanted or (not wanted and request.client == who)
            touched = [engine for engine in request.pending if engine in targets]
            if not mine or not touched:
                continue
            if request.surely_unsent:
                some = request.pending if request.submit.joint else touched
                why = "it was aborted"
                actions += self.fanout.give_up(request, RankSet(some), why, now)
            elif not request.submit.joint:  # a cell that was sent may have begun
                for engine in touched:
                    ids.setdefault(engine, []).append(request.submit.id)
        everywhere = message.targets
        return actions + [
            Send((self.registry.by_id[e].control,), Abort(tuple(some), everywhere))
            for e, some in ids.items()
        ]

    def _signal(
        self, who: str, message: Signal, frames: Sequence[Any], now: float
    ) -> list[Action]:
        if not 0 < message.signum <= HIGHEST_SIGNAL:
            raise ProtocolError(f"There is no signal {message.signum}.")
        engines = self._engines(message.targets)
        if message.about:
            engines = [e for e in engines if self.fanout.has(e, message.about)]
        near: list[Engine] = []
        far: list[Engine] = []
        for e in engines:
            # A rank with a program has to know that this is for a cell that it runs.
            cell = e.info.run and message.about and message.signum == SIGINT
            (near if self.registry.watchable(e) and not cell else far).append(e)
        actions: list[Action] = []
        if near:
            processes = tuple((e.info.pid, e.info.began) for e in near)
            actions.append(Kill(processes, message.signum))
        if far:
            peers = tuple(e.control for e in far)
            actions.append(Send(peers, Interrupt(message.signum)))
        done = str(RankSet(e.id for e in engines))
        return [*actions, self._answer(who, message.id, {"signalled": done})]

    def _typed(
        self, who: str, message: Typed, frames: Sequence[Any], now: float
    ) -> list[Action]:
        """Bring an answer to the ranks that asked; they may have ended meanwhile."""
        request = self.fanout.requests.get(message.id)
        if request is None:
            return []
        if request.client != who:
            raise _not_yours(message.id, who)
        engines = self.fanout.answered(request, RankSet.parse(message.targets))
        peers = tuple(self.registry.by_id[i].control for i in engines)
        return [Send(peers, message, frames)] if peers else []

    def _engines(self, targets: str) -> list[Engine]:
        by_id = self.registry.by_id
        return [by_id[i] for i in RankSet.parse(targets) if i in by_id]

    def _answer(self, who: str, id: str, content: Any) -> Action:
        return Send((peer_name("in", who),), Answer(id), (pack(content),))

    def _shutdown(
        self, who: str, message: Shutdown, frames: Sequence[Any], now: float
    ) -> list[Action]:
        answer = self._answer(who, message.id, {})
        if message.hub:
            return [answer, *self.sight.last_words(), *self.ending.begin(now)]
        engines = self._engines(message.targets)
        peers = tuple(p for e in engines for p in (e.work, e.control))
        return [Send(peers, Quit("A client asked for it.")), answer]

    def _ask(
        self, who: str, message: Ask, frames: Sequence[Any], now: float
    ) -> list[Action]:
        try:
            arguments = unpack(frames[0], type=dict[str, Any])
        except (IndexError, ValueError, RecursionError) as error:
            raise ProtocolError(f"The arguments could not be read: {error}.") from None
        peer = peer_name("in", who)
        if message.what == "queue":
            return [self._answer(who, message.id, self._queue(arguments))]
        if message.what == "status":
            return [self._answer(who, message.id, self._status(arguments))]
        if message.what == "watch":
            return self._watch_request(who, message.id, str(arguments.get("id")))
        if message.what == "sight":
            return self.sight.question(who, message.id, arguments, now)
        if message.what == "unstick":
            return self._unstick(who, message.id, str(arguments.get("targets")), now)
        if message.what == "runs":
            return [self._answer(who, message.id, self.wheel.describe())]
        if message.what == "tasks":
            facts = self.farm.describe(str(arguments.get("client", "")))
            return [self._answer(who, message.id, facts)]
        if message.what == "engines":
            known = self.registry.engines.values()
            infos = [{"here": e.here, **msgspec.structs.asdict(e.info)} for e in known]
            return [self._answer(who, message.id, {"engines": infos})]
        if message.what in LOOKS:
            return [Look(peer, message.id, message.what, arguments)]
        raise ProtocolError(f"The hub has no answer to {message.what!r}.")

    def _unstick(self, who: str, id: str, targets: str, now: float) -> list[Action]:
        """Bring the ranks of a world back that wait for each other."""
        engines = self.sight.worlds_of(self.sight.engines(targets))
        if len({engine.world for engine in engines}) != 1:
            raise ProtocolError("Name ranks of one world to bring back.")

        def tell(freed: Freed) -> list[Action]:
            return [self._answer(who, id, freed)]

        return Unstick(self.sight, engines, tell).begin(now)

    def _queue(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """For each engine the requests that it owes, oldest first."""
        owed: dict[int, list[str]] = {e.id: [] for e in self.registry.here()}
        for request in self.fanout.requests.values():
            for engine in request.pending:
                if engine in owed:
                    owed[engine].append(f"{request.submit.id}_{engine}")
        return {"engines": [[engine, ids] for engine, ids in owed.items()]}

    def _watch_request(self, who: str, question: str, request_id: str) -> list[Action]:
        """Answer when a request or a task is finished, whoever sent it."""
        if not self._is_pending(request_id):
            return [self._answer(who, question, {"finished": request_id})]
        self.watchers.setdefault(request_id, []).append((who, question))
        return []

    def _is_pending(self, name: str) -> bool:
        request = self.fanout.requests.get(name)
        if request is None:
            return self.farm.is_pending(name)
        return bool(request.pending)

    def _status(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Which of these requests and tasks are unfinished here."""
        ids = arguments.get("ids", [])
        asked = [str(id) for id in ids] if isinstance(ids, list) else []
        return {"pending": [i for i in asked if self._is_pending(i)]}

    # -- engines

    def _register(
        self, who: str, message: Register, frames: Sequence[Any], now: float
    ) -> list[Action]:
        if message.version != VERSION:
            text = (
                f"The hub speaks version {VERSION}; install the same Steer everywhere."
            )
            return self._turn_away(who, text)
        if message.uuid != who:
            raise ProtocolError(f"Engine {who} registers as {message.uuid}.")
        if self.ending.step is not Step.RUNNING:
            return self._turn_away(who, "The cluster stops.")
        engine = self.registry.register(message, now)
        actions: list[Action] = []
        if self.registry.watchable(engine):
            actions.append(Watch(engine.uuid, message.pid, message.began))
        elif self.next_ping is None:
            self.next_ping = now + ASK_EVERY
        return actions + self._enrol(engine, now)

    def _turn_away(self, who: str, why: str) -> list[Action]:
        """Both of its threads have to hear it: main may already wait for work."""
        return [Send((peer_name("work", who), peer_name("control", who)), Quit(why))]

    def _enrol(self, engine: Engine, now: float) -> list[Action]:
        """Tell an engine its id, and after a cut what it may have missed."""
        enrolled = Enrolled(engine.id, self.pid, self.probe)
        actions: list[Action] = [Send((engine.control,), enrolled)]
        if engine.here:
            actions += self._resend(engine)
        elif engine.info.ready and not engine.left:
            engine.here = True
            actions += self._joined(engine, now)
        return actions + self.farm.engine_registered(engine, now)

    def _unreached(self, event: Unreached, now: float) -> list[Action]:
        """Its two sockets are not connected in the same moment: try again soon.

        If it is really cut off, it registers when it is back, and this ends.
        """
        if event.uuid in self.registry.engines and event.uuid not in self.retries:
            self.retries[event.uuid] = now + RETRY_AFTER
        return []

    def _retry(self, now: float) -> list[Action]:
        due = [uuid for uuid, when in self.retries.items() if when <= now]
        actions: list[Action] = []
        for uuid in due:
            del self.retries[uuid]
            engine = self.registry.engines.get(uuid)
            if engine is not None and engine.here:
                actions += self._resend(engine) + self.farm.resend(engine)
        return actions

    def _joined(self, engine: Engine, now: float) -> list[Action]:
        return self._tell(Joined((engine.public(),))) + self._returned(now)

    def _resend(self, engine: Engine) -> list[Action]:
        """After a cut: what the engine owes and may not have got. It drops doubles."""
        return [
            Send((engine.work,), request.submit, request.frames)
            for request in self.fanout.sent_to(engine)
        ]

    def _tell(self, message: Message, frames: Sequence[Any] = ()) -> list[Action]:
        peers = tuple(self.fanout.clients.values())
        return [Send(peers, message, frames)] if peers else []

    def _ready(
        self, who: str, message: Ready, frames: Sequence[Any], now: float
    ) -> list[Action]:
        engine = self.registry.engines.get(who)
        if engine is None:
            return []
        engine.segments = message.segments
        if message.problem:
            content = {"job": engine.info.job, "text": message.problem}
            notice = self._tell(Notice("problem"), (pack(content),))
            return [*notice, Say(message.problem), *self._drop_job(engine.info.job)]
        if engine.left:
            return []
        first = not engine.here
        self.registry.ready(message)
        if not first:
            return []
        return self._joined(engine, now) + self.farm.engine_here(engine, now)

    def _drop_job(self, job: str) -> list[Action]:
        peers = tuple(
            peer
            for e in self.registry.engines.values()
            if e.info.job == job
            for peer in (e.work, e.control)
        )
        return [Send(peers, Quit("Its job was started wrongly."))]

    def _result(
        self, who: str, message: Result, frames: Sequence[Any], now: float
    ) -> list[Action]:
        engine = self.registry.engines.get(who)
        if engine is None:
            return self._unused(message)
        engine.heard = now
        if message.id in self.early:
            self.early[message.id].append((engine, message, frames))
            return []
        request = self.fanout.requests.get(message.id)
        if request is not None and engine.id in request.saved:
            # It comes again because it was never told that the first one is safe.
            safe = self._acknowledge([(engine.uuid, message.id)])
            return [*self._unused(message), *safe]
        actions = self.fanout.answer(engine, message, frames, now)
        if request is not None:
            self.sight.heard_of(message.id, now)
            if message.status == "error":
                self.sight.failed(request, now)
        return actions

    def _answer_watchers(self) -> list[Action]:
        """Answer those who asked for the results of another client's request."""
        finished = [name for name in self.watchers if not self._is_pending(name)]
        return [
            self._answer(who, question, {"finished": name})
            for name in finished
            for who, question in self.watchers.pop(name)
        ]

    def _output(
        self, who: str, message: Output, frames: Sequence[Any], now: float
    ) -> list[Action]:
        engine = self.registry.engines.get(who)
        if engine is None or len(frames) != 1:
            return []
        if is_of_task(message.id):
            return self.farm.output(engine, message, bytes(frames[0]))
        self.sight.heard_of(message.id, now)
        return self.fanout.output(engine, message, bytes(frames[0]), now)

    def _pong(
        self, who: str, message: Pong, frames: Sequence[Any], now: float
    ) -> list[Action]:
        engine = self.registry.engines.get(who)
        if engine is not None:
            engine.heard = now
        return []

    def _leaving(
        self, who: str, message: Leaving, frames: Sequence[Any], now: float
    ) -> list[Action]:
        """It is gone for clients; its process is watched until it really ends."""
        engine = self.registry.engines.get(who)
        if engine is None or not engine.here:
            return []
        engine.here, engine.left = False, True
        return self._lost(engine, message.why, now)

    def _died(self, event: Died, now: float) -> list[Action]:
        if event.uuid in self.fanout.clients:
            return self._left(event.uuid, now)
        engine = self.registry.remove(event.uuid)
        if engine is None:
            return []
        self.ending.remember(engine.segments)
        actions: list[Action] = self.sight.gone(engine, event.how, now)
        if not engine.left:
            actions += self._lost(engine, event.how, now, event.running)
        if self.ending.step is Step.RUNNING and self.registry.world_is_empty(
            engine.world
        ):
            names = tuple(self.ending.segments)
            self.ending.segments.clear()
            actions.append(Sweep(names))
            # One that never was ready would die again and again.
            if self.respawn and engine.here and engine.info.size == 1:
                actions.append(Respawn(engine.info.job))
        return actions + self.ending.look(now)

    def _lost(
        self,
        engine: Engine,
        how: str,
        now: float,
        running: tuple[str, int] | None = None,
    ) -> list[Action]:
        text = f"{engine.describe()} {how}"
        text = text[0].upper() + text[1:]
        error = ErrorInfo("EngineError", text + ".")
        actions = self.fanout.fail(engine, error, now)
        actions += self.farm.engine_gone(engine, text + ".", now, running)
        actions += self.wheel.lost(engine, how, now)
        actions += self._tell(Left((engine.id,), (text + ".",)))
        return [*actions, Say(text)]

    # -- jobs

    def _job_began(self, event: JobBegan, now: float) -> list[Action]:
        self.jobs[event.job] = event.size
        return []

    def _job_ended(self, event: JobEnded, now: float) -> list[Action]:
        """Say how it ended; its engines should be gone too, or are soon ended."""
        self.jobs.pop(event.job, None)
        content = {
            "job": event.job, "how": event.how, "text": event.text,
            "status": event.status,
        }  # fmt: skip
        actions = self._tell(Notice("job_ended"), (pack(content),))
        self.orphans.append((now + ORPHANS_AFTER, event.job))
        actions.append(Say(f"job {event.job} {event.how}"))
        return actions + self.ending.look(now)

    def _end_orphans(self, job: str) -> list[Action]:
        left = [
            (e.info.pid, e.info.began)
            for e in self.registry.engines.values()
            if e.info.job == job and self.registry.watchable(e)
        ]
        if not left:
            return []
        say = Say(f"{len(left)} engines outlived the launcher of job {job}; ended them")
        return [Kill(tuple(left), 9), KillJobs(9, job), say]

    # -- the journal

    def _saved(self, event: Saved, now: float) -> list[Action]:
        actions: list[Action] = []
        safe: list[tuple[str, str]] = []
        for request_id, engine_id in event.results:
            request = self.fanout.requests.get(request_id)
            engine = self.registry.by_id.get(engine_id)
            uuid = engine.uuid if engine is not None else ""
            if request is not None:
                if engine_id in request.pending:
                    continue
                uuid = request.uuids.get(engine_id) or uuid
                actions += self.fanout.saved(request_id, engine_id)
            safe.append((uuid, request_id))
        return actions + self._acknowledge(safe)

    def _acknowledge(self, safe: Sequence[tuple[str, str]]) -> list[Action]:
        """Tell engines (by uuid) which of their results they may forget."""
        ids: dict[str, list[str]] = {}
        for uuid, request_id in safe:
            ids.setdefault(uuid, []).append(request_id)
        known = self.registry.engines
        return [
            Send((known[uuid].control,), Acknowledge(tuple(some)))
            for uuid, some in ids.items()
            if uuid in known
        ]

    def _recalled(self, event: Recalled, now: float) -> list[Action]:
        """A request came again: what the journal does not hold goes to its engines.

        If the hub is new, they may not be back yet; it waits for them.
        """
        if self._absent(event):
            self.returning.append((now + RETURN_WITHIN, event))
            return []
        return self._reopen(event, now)

    def _done(self, event: Recalled) -> set[int]:
        """The engines whose answers are there: in the journal, or come since."""
        done = {r for part, _ in event.parts for r in RankSet.parse(part.ranks)}
        return done | {engine.id for engine, *_ in self.early[event.submit.id]}

    def _absent(self, event: Recalled) -> list[int]:
        done = self._done(event)
        return [i for i in self._not_here(event.submit.targets) if i not in done]

    def _reopen(self, event: Recalled, now: float) -> list[Action]:
        submit = event.submit
        done = self._done(event)
        absent = self._absent(event)
        owing = [
            self.registry.by_id[i]
            for i in RankSet.parse(submit.targets)
            if i not in done and i not in absent
        ]
        early = self.early.pop(submit.id)
        begun = (
            submit.begun
            or bool(event.parts or early)
            or any(submit.id in engine.info.known for engine in owing)
        )
        actions = self.fanout.open(event.client, submit, event.frames, owing, begun)
        self.fanout.recalled(submit, event.parts)
        actions += self.fanout.early(submit, early)
        saved = self.fanout.requests[submit.id].saved
        twice = [(e.uuid, submit.id) for e, *_ in early if e.id in saved]
        actions += self._acknowledge(twice)
        if absent:
            who = f"Engine{'s' * (len(absent) > 1)} {RankSet(absent)}"
            text = f"{who} did not come back after the hub's restart."
            self.fanout.absent(submit, absent, ErrorInfo("EngineError", text))
        return actions + self.fanout.settle(submit, now)

    def _returned(self, now: float) -> list[Action]:
        """Go on with requests whose engines are all back, or that waited too long."""
        actions: list[Action] = []
        waiting, self.returning = self.returning, []
        for due, event in waiting:
            if self._absent(event) and due > now:
                self.returning.append((due, event))
            else:
                actions += self._reopen(event, now)
        return actions

    # -- time

    def _tick(self, event: Tick, now: float) -> list[Action]:
        actions = self.fanout.tick(now) + self.ending.look(now) + self._retry(now)
        actions += self.farm.tick(now) + self.wheel.tick(now) + self.sight.tick(now)
        if self.returning and self.returning[0][0] <= now:
            actions += self._returned(now)
        while self.orphans and self.orphans[0][0] <= now:
            actions += self._end_orphans(self.orphans.pop(0)[1])
        if self.next_ping is not None and self.next_ping <= now:
            actions += self._ping(now)
        return actions

    def _ping(self, now: float) -> list[Action]:
        actions: list[Action] = []
        alive = []
        for engine in self.registry.unwatched():
            if now - engine.heard > SILENCE:
                how = f"did not answer for {SILENCE:.0f} s"
                actions += self._died(Died(engine.uuid, how), now)
            else:
                alive.append(engine.control)
        self.next_ping = now + ASK_EVERY if alive else None
        return [*actions, Send(tuple(alive), Ping())] if alive else actions


def request_of(message: Message) -> str:
    """The request that it is about; numbers are tasks'."""
    name = getattr(message, "id", "")
    return name if isinstance(name, str) else ""


def _not_yours(request_id: str, who: str) -> ProtocolError:
    return ProtocolError(f"Request {request_id} does not belong to client {who}.")

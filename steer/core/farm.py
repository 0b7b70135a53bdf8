"""The task farm of a hub: messages to what the scheduler hears, and what it wants to
messages.

A bundle goes to an engine that holds nothing on its *work* socket, which wakes its main
thread at once; what is fetched ahead goes on *control*, where the I/O thread queues it
and can still give it back. Functions go ahead of the first bundle that calls them, on
the same socket. No order holds between the two sockets: an engine keeps a task until
its function is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from steer.core import taskevents as ev
from steer.core.events import Action, Event, Kill, Say, Send
from steer.core.registry import Engine, Registry
from steer.core.scheduler import Scheduler
from steer.errors import ProtocolError
from steer.ranks import RankSet
from steer.wire import messages as wire
from steer.wire.messages import Message, TaskOptions

SIGKILL = 9
LONGEST = 1e9
"""Seconds; a longer limit is a mistake."""

Handler = Callable[[str, Any, Sequence[Any], float], list[Action]]


class Farm:
    """The scheduler, with the wire around it."""

    def __init__(
        self,
        registry: Registry,
        clients: Mapping[str, bytes],
        ask_name: Callable[[str], list[Action]],
        *,
        restoring_until: float | None = None,
    ) -> None:
        self.registry = registry
        self.clients = clients
        self.scheduler = Scheduler(restoring_until=restoring_until)
        self.functions: dict[bytes, Any] = {}
        self._sent: dict[str, set[bytes]] = {}
        """Functions that engines, by uuid, were sent."""
        self._held: dict[str, list[ev.Key]] = {}
        """What engines that come back have said so far that they hold."""
        self._early: dict[str, list[tuple[Message, Sequence[Any]]]] = {}
        """What such engines said meanwhile on their other socket."""
        self._why: dict[str, str] = {}
        """Why engines were killed."""
        self._ask_name = ask_name
        self.from_clients: dict[type, Handler] = {
            wire.Tasks: self._tasks,
            wire.Functions: self._functions,
            wire.Cancel: self._cancel,
            wire.Taken: self._taken,
        }
        self.from_engines: dict[type, Callable[..., list[Action]]] = {
            wire.Outcomes: self._outcomes,
            wire.Unsent: self._unsent,
            wire.Seceded: self._seceded,
            wire.Rejoined: self._rejoined,
        }
        self._do: dict[type, Callable[[Any], list[Action]]] = {
            ev.Give: self._give,
            ev.Answer: self._answer,
            ev.AnswerRanks: self._answer_ranks,
            ev.GiveRanks: self._give_ranks,
            ev.Settle: self._settle,
            ev.Allow: lambda a: self._tell(a.client, wire.Window(a.tasks, a.size)),
            ev.TellBegun: lambda a: self._tell(a.client, wire.Begun((a.id,))),
            ev.TellUncancelled: lambda a: self._tell(
                a.client, wire.Uncancelled(tuple(a.ids))
            ),
            ev.TakeBack: lambda a: self._control(
                (a.engine,), wire.Unsend(a.client, tuple(a.ids))
            ),
            ev.InterruptRun: lambda a: self._control(
                (a.engine,), wire.InterruptTask(a.client, a.id)
            ),
            ev.UnstickRanks: lambda a: self._control(
                a.engines, wire.Unstick(a.client, a.id)
            ),
            ev.KillEngine: self._kill,
        }

    def handlers(self) -> dict[type, Handler]:
        """What to do about which message."""
        known: dict[type, Handler] = {
            wire.HeldTasks: self._held_tasks,
            **{kind: self._of_client(do) for kind, do in self.from_clients.items()},
            **{kind: self._of_engine(do) for kind, do in self.from_engines.items()},
        }
        return known

    # -- time

    def deadline(self) -> float | None:
        """When to tick."""
        return self.scheduler.deadline()

    def tick(self, now: float) -> list[Action]:
        """The deadline may have come."""
        due = self.scheduler.deadline()
        return self._feed(ev.Tick(), now) if due is not None and due <= now else []

    def _feed(self, event: Event, now: float) -> list[Action]:
        actions: list[Action] = []
        for action in self.scheduler.handle(event, now):
            actions += self._do[type(action)](action)
        return actions

    def check(self) -> None:
        """Assert what must always hold."""
        self.scheduler.check()
        here = {e.id for e in self.registry.here() if e.uuid not in self._held}
        assert here == set(self.scheduler.tables.engines)

    # -- from clients

    def _of_client(self, do: Handler) -> Handler:
        def handle(
            who: str, message: Any, frames: Sequence[Any], now: float
        ) -> list[Action]:
            if who not in self.clients:  # it sends all again when we know it
                return self._ask_name(who)
            return do(who, message, frames, now)

        return handle

    def client_here(self, who: str, now: float) -> list[Action]:
        """A client said hello."""
        client = self.scheduler.tables.clients.get(who)
        if client is not None:
            client.allowed = 0  # perhaps it never heard what it may
        return self._feed(ev.ClientHere(who), now)

    def client_gone(self, who: str, now: float) -> list[Action]:
        """A client left or died."""
        return self._feed(ev.ClientGone(who), now)

    def _tasks(
        self, who: str, message: wire.Tasks, frames: Sequence[Any], now: float
    ) -> list[Action]:
        options = message.options
        used = {task.options for task in message.tasks}
        if len(used) > 1 or 0 not in used:
            for number in used:
                if number:
                    _validate(options.get(number))
        event = ev.Submitted(who, message.tasks, options, message.needs, message.resent)
        return self._feed(event, now)

    def _functions(
        self, who: str, message: wire.Functions, frames: Sequence[Any], now: float
    ) -> list[Action]:
        if len(frames) != len(message.digests):
            raise ProtocolError("Functions came without their frames.")
        for digest, frame in zip(message.digests, frames, strict=True):
            self.functions.setdefault(digest, bytes(frame))
        return []

    def _cancel(
        self, who: str, message: wire.Cancel, frames: Sequence[Any], now: float
    ) -> list[Action]:
        return self._feed(ev.Cancelled(who, message.ids, message.running), now)

    def _taken(
        self, who: str, message: wire.Taken, frames: Sequence[Any], now: float
    ) -> list[Action]:
        return self._feed(ev.Taken(who, message.number), now)

    # -- engines come and go

    def engine_registered(self, engine: Engine, now: float) -> list[Action]:
        """An engine introduced itself, the first time or after a cut."""
        self._sent[engine.uuid] = set()  # what was on its way may be lost
        if engine.info.holding:
            self._held[engine.uuid] = []
        else:
            self._held.pop(engine.uuid, None)
        return self.engine_here(engine, now)

    def engine_here(self, engine: Engine, now: float) -> list[Action]:
        """An engine may be given work, unless it has yet to say what it holds."""
        if not engine.here or engine.uuid in self._held:
            return []
        return self._join(engine, (), now)

    def _join(self, engine: Engine, held: Sequence[ev.Key], now: float) -> list[Action]:
        size = max(engine.info.size, 1)
        event = ev.EngineHere(engine.id, engine.info.host, engine.world, size, held)
        return self._feed(event, now)

    def _held_tasks(
        self, who: str, message: wire.HeldTasks, frames: Sequence[Any], now: float
    ) -> list[Action]:
        engine, held = self.registry.engines.get(who), self._held.get(who)
        if engine is None or held is None:
            return []
        held += [(message.client, i) for i in message.ids]
        if message.more:
            return []
        del self._held[who]
        if not engine.here:
            return []
        actions = self._join(engine, held, now)
        for early, its in self._early.pop(who, ()):
            actions += self.from_engines[type(early)](engine, early, its, now)
        return actions

    def engine_gone(self, engine: Engine, how: str, now: float) -> list[Action]:
        """An engine died or left; `how` is a sentence."""
        for table in (self._sent, self._held, self._early):
            table.pop(engine.uuid, None)
        why = self._why.pop(engine.uuid, "")
        if why:
            how = f"{how.rstrip('.')}: {why}."
        return self._feed(ev.EngineGone(engine.id, how), now)

    def resend(self, engine: Engine) -> list[Action]:
        """It could not be reached: send again what it should have. It drops doubles."""
        facts = self.scheduler.tables.engines.get(engine.id)
        self._sent[engine.uuid] = set()
        actions: list[Action] = []
        for record in facts.held.values() if facts is not None else ():
            if record.engine >= 0:
                number = record.task.options
                options = {number: record.options} if number else {}
                values = record.extra.values if record.extra else {}
                give = ev.Give(
                    engine.id, record.client, (record.task,), options, values
                )
                actions += self._give(give)
        return actions

    # -- from engines

    def _of_engine(self, do: Callable[..., list[Action]]) -> Handler:
        def handle(
            who: str, message: Any, frames: Sequence[Any], now: float
        ) -> list[Action]:
            engine = self.registry.engines.get(who)
            if engine is None:
                return []
            engine.heard = now
            if who in self._held:
                self._early.setdefault(who, []).append((message, frames))
                return []
            return do(engine, message, frames, now)

        return handle

    def _outcomes(
        self, engine: Engine, message: wire.Outcomes, frames: Sequence[Any], now: float
    ) -> list[Action]:
        event = ev.Ended(engine.id, message.client, message.outcomes, message.running)
        return self._feed(event, now)

    def _unsent(
        self, engine: Engine, message: wire.Unsent, frames: Sequence[Any], now: float
    ) -> list[Action]:
        event = ev.GivenBack(engine.id, message.client, message.ids, message.kept)
        return self._feed(event, now)

    def _seceded(
        self, engine: Engine, message: wire.Seceded, frames: Sequence[Any], now: float
    ) -> list[Action]:
        return self._feed(ev.Seceded(engine.id, message.client, message.id), now)

    def _rejoined(
        self, engine: Engine, message: wire.Rejoined, frames: Sequence[Any], now: float
    ) -> list[Action]:
        return self._feed(ev.Rejoined(engine.id, message.client, message.id), now)

    def output(
        self, engine: Engine, message: wire.Output, frame: bytes
    ) -> list[Action]:
        """A task printed something: hand it on at once."""
        peer = self.clients.get(message.id.partition("/")[0])
        if peer is None:
            return []
        piece = wire.Piece(message.id, str(engine.id), message.stream)
        return [Send((peer,), wire.Outputs((piece,)), (frame,))]

    # -- to clients

    def _tell(self, client: str, message: Message) -> list[Action]:
        peer = self.clients.get(client)
        return [Send((peer,), message)] if peer is not None else []

    def _answer(self, action: ev.Answer) -> list[Action]:
        outcomes = tuple(action.outcomes)
        message = wire.Outcomes("", outcomes, action.engine, action.number)
        return self._tell(action.client, message)

    def _answer_ranks(self, action: ev.AnswerRanks) -> list[Action]:
        message = wire.RankOutcomes(
            action.id, action.status, action.engines, action.outcomes, action.number
        )
        return self._tell(action.client, message)

    # -- to engines

    def _control(self, engines: Sequence[int], message: Message) -> list[Action]:
        by_id = self.registry.by_id
        peers = tuple([by_id[e].control for e in engines if e in by_id])
        return [Send(peers, message)] if peers else []

    def _settle(self, action: ev.Settle) -> list[Action]:
        message = wire.Settled(action.client, tuple(action.ids))
        return self._control((action.engine,), message)

    def _give(self, action: ev.Give) -> list[Action]:
        engine = self.registry.by_id[action.engine]
        busy = len(self.scheduler.tables.engines[action.engine].held)
        peer = engine.control if busy > len(action.tasks) else engine.work
        digests = {task.function for task in action.tasks}
        actions = self._teach(engine, digests, peer)
        message = wire.Tasks(
            action.client, tuple(action.tasks), dict(action.options), (),
            dict(action.values),
        )  # fmt: skip
        actions.append(Send((peer,), message))
        return actions

    def _teach(self, engine: Engine, digests: set[bytes], peer: bytes) -> list[Action]:
        """Send the functions that it does not have yet."""
        sent = self._sent.setdefault(engine.uuid, set())
        new = [d for d in digests if d not in sent and d in self.functions]
        if not new:
            return []
        sent.update(new)
        frames = [self.functions[digest] for digest in new]
        return [Send((peer,), wire.Functions(tuple(new)), frames)]

    def _give_ranks(self, action: ev.GiveRanks) -> list[Action]:
        by_id = self.registry.by_id
        engines = [by_id[number] for number in action.engines]
        actions: list[Action] = []
        for engine in engines:
            actions += self._teach(engine, {action.task.function}, engine.work)
        message = wire.RankTask(
            action.client, action.task, action.options, None, action.engines,
            action.tag, None, False, dict(action.values),
        )  # fmt: skip
        return [*actions, Send(tuple(e.work for e in engines), message)]

    def _kill(self, action: ev.KillEngine) -> list[Action]:
        engine = self.registry.by_id.get(action.engine)
        if engine is None:
            return []
        self._why[engine.uuid] = action.why
        say = Say(f"killing {engine.describe()}: {action.why}")
        if self.registry.watchable(engine):
            info = engine.info
            return [say, Kill(((info.pid, info.began),), SIGKILL)]
        return [say, Send((engine.control,), wire.Interrupt(SIGKILL))]


def _validate(options: TaskOptions | None) -> None:
    """Refuse what would bring the hub's books into disorder."""
    if options is None:
        raise ProtocolError("A task came whose options did not.")
    RankSet.parse(options.targets)
    for seconds in (options.timeout, options.wait):
        if seconds is not None and not 0 <= seconds <= LONGEST:
            raise ProtocolError(f"A task has a limit of {seconds} s.")
    if options.ranks < 0 or options.retries < 0:
        raise ProtocolError(f"There is no task with {options}.")


def is_of_task(request: str) -> bool:
    """Whether output belongs to a task rather than to a request."""
    return "/t" in request

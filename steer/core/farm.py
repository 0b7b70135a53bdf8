"""The task farm of a hub: what clients and engines say, as events for the scheduler.

What the scheduler wants becomes messages in `tasksend`; large arguments and values pass
by it, through `taskdata`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from steer.core import taskevents as ev
from steer.core import taskstats
from steer.core.events import Action, Event, Send
from steer.core.functions import Functions
from steer.core.registry import Engine, Registry
from steer.core.scheduler import Scheduler
from steer.core.taskdata import Payload, TaskData
from steer.core.taskoutput import Printed
from steer.core.tasksend import Sender
from steer.core.taskstate import Place
from steer.errors import ProtocolError
from steer.ranks import RankSet
from steer.wire import messages as wire
from steer.wire.messages import Message, TaskOptions

LONGEST = 1e9
"""Seconds; a longer limit is a mistake."""

Handler = Callable[[str, Any, Sequence[Any], float], list[Action]]


class Farm:
    """The scheduler, with the wire around it."""

    def __init__(
        self,
        registry: Registry,
        clients: Mapping[str, bytes],
        jobs: Mapping[str, int],
        ask_name: Callable[[str], list[Action]],
        *,
        restoring_until: float | None = None,
        first: int = 0,
    ) -> None:
        self.registry = registry
        self.clients = clients
        self.jobs = jobs
        self.scheduler = Scheduler(restoring_until=restoring_until, first=first)
        self.data = TaskData()
        self.functions = Functions(self._is_called)
        self.sender = Sender(
            registry, clients, self.scheduler, self.data, self.functions
        )
        self._held: dict[str, list[ev.Key]] = {}
        """What engines that come back have said so far that they hold."""
        self._resent: dict[str, int] = {}
        """How many tasks clients sent again since they introduced themselves."""
        self._before: dict[str, set[ev.Key]] = {}
        """What they should have, as of their cut: what they are given meanwhile comes
        there."""
        self._early: dict[str, list[tuple[Message, Sequence[Any]]]] = {}
        """What such engines said meanwhile on their other socket."""
        self._ask_name = ask_name
        self.from_clients: dict[type, Handler] = {
            wire.Tasks: self._tasks,
            wire.RankTask: self._rank_task,
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
        return self.sender.send(self.scheduler.handle(event, now))

    def describe(self, client: str = "") -> dict[str, Any]:
        """What is going on, for those who ask."""
        return taskstats.describe(self.scheduler, client)

    def is_pending(self, name: str) -> bool:
        """Whether a task, by the name that it has among messages, has not ended."""
        client, task, number = name.rpartition("-t")
        if not task or not number.isdecimal():
            return False
        record = self.scheduler.tables.record((client, int(number)))
        return record is not None and record.place is not Place.DONE

    def check(self) -> None:
        """Assert what must always hold."""
        self.scheduler.check()
        here = {e.id for e in self.registry.here()}
        late = {e.id for e in self.registry.here() if e.uuid in self._held}
        assert here - late <= set(self.scheduler.tables.engines) <= here

    # -- from clients

    def _of_client(self, do: Handler) -> Handler:
        def handle(
            who: str, message: Any, frames: Sequence[Any], now: float
        ) -> list[Action]:
            if who not in self.clients:  # it sends all again when we know it
                return self._ask_name(who) + _unused(message)
            return do(who, message, frames, now)

        return handle

    def bundle(self, who: str) -> int:
        """The number of the last bundle of outcomes for this client."""
        tables = self.scheduler.tables
        client = tables.clients.get(who)
        return client.number if client is not None else tables.first

    def client_here(self, who: str, now: float) -> list[Action]:
        """A client said hello."""
        client = self.scheduler.tables.clients.get(who)
        self._resent[who] = 0
        if client is not None:
            client.allowed = 0  # perhaps it never heard what it may
        return self._feed(ev.ClientHere(who), now)

    def client_gone(self, who: str, now: float) -> list[Action]:
        """A client left or died."""
        self.functions.client_gone(who)
        self._resent.pop(who, None)
        noted = self.sender.note_again(who)
        return noted + self._feed(ev.ClientGone(who), now)

    def saved(self, client: str, number: int, now: float) -> list[Action]:
        """The journal has what ended for a client that is away."""
        if client in self.clients:
            return []
        return self._take(client, number, now)

    def _tasks(
        self, who: str, message: wire.Tasks, frames: Sequence[Any], now: float
    ) -> list[Action]:
        options = message.options
        called = {task.function for task in message.tasks}
        self.functions.used(who, called)
        lost = [] if called <= self.functions.bodies.keys() else self._ask_name(who)
        used = {task.options for task in message.tasks}
        if len(used) > 1 or 0 not in used:
            for number in used:
                if number:
                    _validate(options.get(number))
        if message.needs:
            record = self.scheduler.tables.record
            new = [need for need in message.needs if record((who, need.id)) is None]
            self.data.needs(who, new)
        if message.resent:
            self._resent[who] = self._resent.get(who, 0) + len(message.tasks)
        event = ev.Submitted(who, message.tasks, options, message.needs, message.resent)
        return lost + self._feed(event, now)

    def _rank_task(
        self, who: str, message: wire.RankTask, frames: Sequence[Any], now: float
    ) -> list[Action]:
        """A task of several ranks, or one with large arguments."""
        _validate(message.options)
        self.functions.used(who, (message.task.function,))
        task, key = message.task, (who, message.task.id)
        if not task.options and message.options != TaskOptions():
            task = msgspec.structs.replace(task, options=1)
        payload = Payload(frames, message.store)
        double = self.scheduler.tables.record(key) is not None
        needs = (message.needs,) if message.needs is not None else ()
        if not double:
            if frames:
                self.data.hold_arguments(key, payload)
            self.data.needs(who, needs)
        options = {task.options: message.options} if task.options else {}
        if message.resent:
            self._resent[who] = self._resent.get(who, 0) + 1
        event = ev.Submitted(who, (task,), options, needs, message.resent)
        actions = self._feed(event, now)
        return [*actions, *payload.drop()] if double else actions

    def _functions(
        self, who: str, message: wire.Functions, frames: Sequence[Any], now: float
    ) -> list[Action]:
        if len(frames) != len(message.digests):
            raise ProtocolError("Functions came without their frames.")
        actions: list[Action] = []
        for digest, frame in zip(message.digests, frames, strict=True):
            engines = self.functions.came(who, digest, bytes(frame))
            known = [self.registry.engines.get(uuid) for uuid in engines]
            peers = tuple([e.control for e in known if e is not None])
            if peers:
                actions.append(Send(peers, wire.Functions((digest,)), [frame]))
        return actions

    def _cancel(
        self, who: str, message: wire.Cancel, frames: Sequence[Any], now: float
    ) -> list[Action]:
        return self._feed(ev.Cancelled(who, message.ids, message.running), now)

    def _taken(
        self, who: str, message: wire.Taken, frames: Sequence[Any], now: float
    ) -> list[Action]:
        actions = self._take(who, message.number, now)
        # Less came if what was sent again was lost in a cut; then all comes once more.
        if 0 <= message.again <= self._resent.get(who, -1):
            actions += self._feed(ev.AllSent(who), now)
        return actions

    def _take(self, who: str, number: int, now: float) -> list[Action]:
        dropped = self.data.taken(who, number)
        actions = self._feed(ev.Taken(who, number), now)
        unused = self.scheduler.tables.unused
        if unused:
            self.functions.unneeded(unused)
            unused.clear()
        return dropped + actions

    def _is_called(self, digest: bytes) -> bool:
        function = self.scheduler.tables.functions.get(digest)
        return function is not None and function.users > 0

    # -- engines come and go

    def engine_registered(self, engine: Engine, now: float) -> list[Action]:
        """An engine introduced itself, the first time or after a cut."""
        self.functions.engine_gone(engine.uuid)  # what was on its way may be lost
        if engine.info.holding:
            self._held[engine.uuid] = []
            self._before[engine.uuid] = self._given(engine)
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
        return self._feed(event, now) + self._look_who_is_back(now)

    def _look_who_is_back(self, now: float) -> list[Action]:
        """After the hub was started anew: as soon as all engines of its jobs have said
        what they hold, nobody needs to wait for the others."""
        scheduler = self.scheduler
        wanted = sum(self.jobs.values())
        if (
            scheduler.restoring.until is None
            or not wanted
            or len(scheduler.tables.engines) < wanted
        ):
            return []
        return self._feed(ev.Restored(), now)

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
        before = self._before.pop(who, set())
        held += [key for key in self._given(engine) if key not in before]
        actions = self._join(engine, held, now)
        for early, its in self._early.pop(who, ()):
            actions += self.from_engines[type(early)](engine, early, its, now)
        return actions

    def _given(self, engine: Engine) -> set[ev.Key]:
        """What the engine should have."""
        facts = self.scheduler.tables.engines.get(engine.id)
        its = (*facts.held.values(), *facts.away.values()) if facts is not None else ()
        return {(record.client, record.task.id) for record in its}

    def engine_gone(
        self, engine: Engine, how: str, now: float, running: ev.Key | None = None
    ) -> list[Action]:
        """An engine died or left; `how` is a sentence."""
        self.functions.engine_gone(engine.uuid)
        self._held.pop(engine.uuid, None)
        self._before.pop(engine.uuid, None)
        early = self._early.pop(engine.uuid, ())
        actions = [a for message, _ in early for a in _unused(message)]
        why = self.sender.why.pop(engine.uuid, "")
        if why:
            how = f"{how.rstrip('.')}: {why}."
        return actions + self._feed(ev.EngineGone(engine.id, how, running), now)

    def resend(self, engine: Engine) -> list[Action]:
        """It could not be reached: send again what it should have. It drops doubles."""
        facts = self.scheduler.tables.engines.get(engine.id)
        self.functions.engine_gone(engine.uuid)
        gives: list[ev.Give] = []
        for record in facts.held.values() if facts is not None else ():
            if record.engine < 0:
                self.scheduler.gangs.lost_rank(record)
                continue
            number = record.task.options
            options = {number: record.options} if number else {}
            values = record.extra.values if record.extra else {}
            tasks = (record.task,)
            gives.append(ev.Give(engine.id, record.client, tasks, options, values))
        return self.sender.send_again(gives) + self.sender.send(
            self.scheduler.tables.flush()
        )

    # -- from engines

    def _of_engine(self, do: Callable[..., list[Action]]) -> Handler:
        def handle(
            who: str, message: Any, frames: Sequence[Any], now: float
        ) -> list[Action]:
            engine = self.registry.engines.get(who)
            if engine is None:
                return _unused(message)
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
        if not frames:
            return self._feed(event, now)
        if len(message.outcomes) != 1:
            raise ProtocolError("Frames came with more than one outcome.")
        (outcome,) = message.outcomes
        key = (message.client, outcome.id)
        payload = Payload(frames, outcome.store)
        before = self.data.hold_value(key, engine.id, payload)
        actions = self._feed(event, now)
        if self._keeps(key, engine.id, outcome):
            return actions + (before.drop() if before is not None else [])
        actions += self.data.drop_value(key, engine.id)
        if before is not None:  # it came twice
            self.data.hold_value(key, engine.id, before)
        return actions

    def _keeps(self, key: ev.Key, engine: int, outcome: wire.Outcome) -> bool:
        """Whether the scheduler took this outcome, rather than an earlier one."""
        record = self.scheduler.tables.record(key)
        if record is None:
            return self.scheduler.restoring.has(key, outcome)
        if record.outcome is outcome:
            return True
        gang = record.extra.gang if record.extra else None
        return gang is not None and gang.outcomes.get(engine) is outcome

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
        client, _, number = message.id.partition("/t")
        if not number.isdecimal():
            return []
        key = (client, int(number))
        record = self.scheduler.tables.record(key)
        if record is not None and record.place is not Place.DONE:
            printed = self.sender.printed.setdefault(key, Printed())
            more = f"[task {number} printed more than is shown]\n"
            shown = printed.add(message.stream, frame, more)
            if shown is None:
                return []
            frame = shown
        peer = self.clients.get(client)
        if peer is None:
            return []
        piece = wire.Piece(message.id, str(engine.id), message.stream)
        return [Send((peer,), wire.Outputs((piece,)), (frame,))]


def _unused(message: Message) -> list[Action]:
    """Drop what the shell has got hold of for a message that is not heard."""
    if isinstance(message, wire.RankTask):
        return Payload((), message.store).drop()
    if isinstance(message, wire.Outcomes):
        stores = [outcome.store for outcome in message.outcomes]
        return [action for s in stores for action in Payload((), s).drop()]
    return []


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

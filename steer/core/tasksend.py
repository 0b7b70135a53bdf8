"""What the task scheduler wants done, as messages to engines and clients.

A bundle goes to an engine that holds nothing on its *work* socket, which wakes its main
thread at once; what is fetched ahead goes on *control*, where the I/O thread queues it
and can still give it back. Functions go ahead of the first bundle that calls them, on
the same socket. No order holds between the two sockets: an engine keeps a task until
its function is there.

A task with large arguments, or with large values of others as arguments, travels alone,
with its frames; so does an outcome with a large value. A bundle of outcomes that is cut
in pieces has its number in the last one: a client that says that it has taken a bundle
has all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from steer.core import taskevents as ev
from steer.core.events import Action, Kill, NoteTasks, Say, Send
from steer.core.functions import Functions
from steer.core.registry import Engine, Registry
from steer.core.scheduler import Scheduler
from steer.core.taskdata import Payload, TaskData
from steer.core.taskoutput import Printed
from steer.core.taskstate import Record
from steer.wire import messages as wire
from steer.wire.messages import Message, Outcome, Store, Task

SIGKILL = 9

SMALL = 4096
"""Bytes of a value that the journal keeps in any case."""

HEAVY = 1 << 20
"""Bytes of arguments or values in one message. Larger bundles are cut: a header has a
limit, and an engine can begin with the first piece."""


class Sender:
    """Scheduler actions in, actions of the hub out."""

    def __init__(
        self,
        registry: Registry,
        clients: Mapping[str, bytes],
        scheduler: Scheduler,
        data: TaskData,
        functions: Functions,
    ) -> None:
        self.registry = registry
        self.clients = clients
        self.tables = scheduler.tables
        self.data = data
        self.functions = functions
        self.printed: dict[ev.Key, Printed] = {}
        """What tasks printed that have not ended."""
        self.why: dict[str, str] = {}
        """Why engines were killed."""
        self._do: dict[type, Callable[[Any], list[Action]]] = {
            ev.Give: self._give,
            ev.GiveRanks: self._give_ranks,
            ev.Answer: self._answer,
            ev.AnswerRanks: self._answer_ranks,
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

    def send(self, wanted: Sequence[Action]) -> list[Action]:
        """What is to be sent because of this."""
        actions: list[Action] = []
        for action in wanted:
            actions += self._do[type(action)](action)
        return actions

    def send_again(self, gives: Sequence[ev.Give]) -> list[Action]:
        """Tasks that perhaps were not received: on control, where doubles are dropped
        before the first copy can be settled."""
        actions: list[Action] = []
        for give in gives:
            engine = self.registry.by_id[give.engine]
            actions += self._give_on(engine, engine.control, give)
        return actions

    # -- to clients

    def _tell(
        self, client: str, message: Message, frames: Sequence[Any] = ()
    ) -> list[Action]:
        peer = self.clients.get(client)
        return [Send((peer,), message, frames)] if peer is not None else []

    def _answer(self, action: ev.Answer) -> list[Action]:
        who, engine = action.client, action.engine
        actions: list[Action] = []
        pieces = list(self._pieces(who, action.outcomes))
        for place, (outcomes, frames) in enumerate(pieces):
            number = action.number if place == len(pieces) - 1 else 0
            message = wire.Outcomes("", tuple(outcomes), engine, number)
            actions += self._tell(who, message, frames)
        actions.append(self._note(who, action.number, engine, action.outcomes))
        if self.data:
            for outcome in action.outcomes:
                key = (who, outcome.id)
                if key in self.data.values:
                    self.data.lend(key, action.number)
                actions += self.data.ended(key)
        return actions

    def note_again(self, who: str) -> list[Action]:
        """A client is gone: the journal is to have what it has not taken."""
        client = self.tables.clients.get(who)
        actions: list[Action] = []
        for number, bundle in client.bundles.items() if client is not None else ():
            for engine, ids in bundle:
                outcomes = [self.tables.outcome((who, i), engine) for i in ids]
                there = [outcome for outcome in outcomes if outcome is not None]
                actions.append(self._note(who, number, engine, there, again=True))
        return actions

    def _note(
        self,
        who: str,
        number: int,
        engine: int,
        outcomes: Sequence[Outcome],
        again: bool = False,
    ) -> Action:
        """For the journal; values too if they are small, or nobody else has them."""
        keep = who not in self.clients
        most = HEAVY if keep else SMALL
        tasks = self.tables.clients[who].tasks
        plain = not self.printed and not (keep and self.data)
        rows = [
            (
                o.id, o.status, o.started, o.took, (r := tasks[o.id]).submitted,
                r.options.name, r.task.function,
                o.body if len(o.body) <= most else None, None,
            )
            if plain
            else self._row((who, o.id), tasks[o.id], engine, o, most)
            for o in outcomes
        ]  # fmt: skip
        there = self.registry.by_id.get(engine)
        uuid = there.uuid if there is not None else ""
        return NoteTasks(who, number, engine, uuid, rows, keep, again)

    def _row(
        self, key: ev.Key, record: Record, engine: int, outcome: Outcome, most: int
    ) -> tuple[Any, ...]:
        """A task for the journal that has something beside its body."""
        value: Any = outcome.body if len(outcome.body) <= most else None
        if most == HEAVY:
            value = self.data.value_of(key, engine) or value
        printed = self.printed.pop(key, None)
        return (
            key[1], outcome.status, outcome.started, outcome.took, record.submitted,
            record.options.name, record.task.function, value,
            printed.texts() if printed is not None else None,
        )  # fmt: skip

    def _pieces(
        self, who: str, outcomes: Sequence[Outcome]
    ) -> Iterator[tuple[Sequence[Outcome], Sequence[Any]]]:
        """The outcomes, cut where one is large, or all together are."""
        values = self.data.values
        if not values and len(outcomes) <= 1000:  # as they came from an engine
            yield outcomes, ()
            return
        piece: list[Outcome] = []
        size = 0
        for outcome in outcomes:
            payload = self.data.value((who, outcome.id))
            size += len(outcome.body) + 64
            if piece and (payload is not None or size > HEAVY):
                yield piece, ()
                piece, size = [], len(outcome.body)
            if payload is not None:
                yield [outcome], payload.frames
            else:
                piece.append(outcome)
        if piece:
            yield piece, ()

    def _answer_ranks(self, action: ev.AnswerRanks) -> list[Action]:
        key = (action.client, action.id)
        values = self.data.values.get(key, {})
        payloads = [values.get(engine) for engine in action.engines]
        parts, frames = _join(payloads) if values else ((), [])
        message = wire.RankOutcomes(
            action.id, action.status, action.engines, action.outcomes, action.number,
            parts,
        )  # fmt: skip
        if values:
            self.data.lend(key, action.number)
        actions = self._tell(action.client, message, frames)
        for engine, outcome in zip(action.engines, action.outcomes, strict=True):
            actions.append(self._note(action.client, action.number, engine, (outcome,)))
        return actions + (self.data.ended(key) if self.data else [])

    # -- to engines

    def _control(self, engines: Sequence[int], message: Message) -> list[Action]:
        by_id = self.registry.by_id
        peers = tuple([by_id[e].control for e in engines if e in by_id])
        return [Send(peers, message)] if peers else []

    def _settle(self, action: ev.Settle) -> list[Action]:
        message = wire.Settled(action.client, tuple(action.ids))
        actions = self._control((action.engine,), message)
        for i in action.ids if self.data.values else ():
            key = (action.client, i)
            if self.tables.record(key) is None and not self.data.is_used(key):
                actions += self.data.drop_value(key, action.engine)
        return actions

    def _give(self, action: ev.Give) -> list[Action]:
        engine = self.registry.by_id[action.engine]
        busy = len(self.tables.engines[action.engine].held)
        peer = engine.control if busy > len(action.tasks) else engine.work
        return self._give_on(engine, peer, action)

    def _give_on(self, engine: Engine, peer: bytes, action: ev.Give) -> list[Action]:
        actions = self._teach(engine, {task.function for task in action.tasks}, peer)
        for message, frames in self._bundles(action, engine.info.turn):
            actions.append(Send((peer,), message, frames))
        return actions

    def _bundles(
        self, action: ev.Give, turn: int
    ) -> Iterator[tuple[Message, Sequence[Any]]]:
        """The tasks as messages: one, unless some of them are large."""
        who, tasks = action.client, action.tasks
        client = self.tables.clients[who]
        if not self.data and (
            client.size < HEAVY or sum([len(task.body) for task in tasks]) < HEAVY
        ):
            yield self._bundle(action, tasks, turn), ()
            return
        piece: list[Task] = []
        size = 0
        for task in tasks:
            large = self._alone(action, task, turn)
            size += len(task.body) + 64
            if piece and (large is not None or size > HEAVY):
                yield self._bundle(action, piece, turn), ()
                piece, size = [], len(task.body)
            if large is not None:
                yield large
            else:
                piece.append(task)
        if piece:
            yield self._bundle(action, piece, turn), ()

    def _bundle(self, action: ev.Give, tasks: Sequence[Task], turn: int) -> Message:
        return wire.Tasks(
            action.client, tuple(tasks), dict(action.options), (),
            self._values(action, tasks), False, turn,
        )  # fmt: skip

    def _values(self, action: ev.Give, tasks: Sequence[Task]) -> dict[int, Outcome]:
        """The values that these tasks need; a value lies beside each that needs it."""
        if not action.values or len(tasks) == len(action.tasks):
            return dict(action.values)
        wanted = (self.data.uses((action.client, task.id)) for task in tasks)
        return {i: action.values[i] for ids in wanted for i in ids}

    def _alone(
        self, action: ev.Give, task: Task, turn: int
    ) -> tuple[Message, Sequence[Any]] | None:
        """The task as a message of its own, if it is large."""
        key = (action.client, task.id)
        uses = [i for i in self.data.uses(key) if i in action.values]
        if key not in self.data.arguments and not any(
            (action.client, i) in self.data.values for i in uses
        ):
            return None
        values = {i: action.values[i] for i in uses}
        options = action.options.get(task.options, wire.TaskOptions())
        parts, frames, store = self._frames(key, values)
        message = wire.RankTask(
            action.client, task, options, None, (), 0, store, False, values, parts,
            turn,
        )  # fmt: skip
        return message, frames

    def _frames(
        self, key: ev.Key, values: Mapping[int, Outcome]
    ) -> tuple[tuple[int, ...], list[Any], Store | None]:
        """A task's frames: those of its arguments, then those of each value."""
        payload = self.data.arguments.get(key)
        parts, frames = _join(
            [payload, *(self.data.value((key[0], i)) for i in values)]
        )
        return (
            parts if values else (),
            frames,
            payload.store if payload is not None else None,
        )

    def _teach(self, engine: Engine, digests: set[bytes], peer: bytes) -> list[Action]:
        """Send the functions that it does not have yet."""
        new = self.functions.lacking(engine.uuid, digests)
        if not new:
            return []
        frames = [self.functions.bodies[digest] for digest in new]
        return [Send((peer,), wire.Functions(tuple(new)), frames)]

    def _give_ranks(self, action: ev.GiveRanks) -> list[Action]:
        by_id = self.registry.by_id
        engines = [by_id[number] for number in action.engines]
        key = (action.client, action.task.id)
        # What is there is of an earlier try.
        actions = [] if action.again else self.data.drop(key)
        for engine in engines:
            peer = engine.control if action.again else engine.work
            actions += self._teach(engine, {action.task.function}, peer)
        values = dict(action.values)
        parts, frames, store = self._frames(key, values)
        for turn in dict.fromkeys(e.info.turn for e in engines):
            message = wire.RankTask(
                action.client, action.task, action.options, None, action.engines,
                action.tag, store, False, values, parts, turn,
            )  # fmt: skip
            its = [e for e in engines if e.info.turn == turn]
            peers = tuple([e.control if action.again else e.work for e in its])
            actions.append(Send(peers, message, frames))
        return actions

    def _kill(self, action: ev.KillEngine) -> list[Action]:
        engine = self.registry.by_id.get(action.engine)
        if engine is None:
            return []
        self.why[engine.uuid] = action.why
        say = Say(f"killing {engine.describe()}: {action.why}")
        if self.registry.watchable(engine):
            info = engine.info
            return [say, Kill(((info.pid, info.began),), SIGKILL)]
        return [say, Send((engine.control,), wire.Interrupt(SIGKILL))]


def _join(payloads: Sequence[Payload | None]) -> tuple[tuple[int, ...], list[Any]]:
    """Some payloads' frames in one list, and how many each has."""
    parts = tuple([len(p.frames) if p is not None else 0 for p in payloads])
    return parts, [frame for p in payloads if p is not None for frame in p.frames]

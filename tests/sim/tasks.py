"""Tasks in the simulated cluster: real lists at both ends, simulated threads.

What an engine's main and I/O threads and a client's link do with tasks is done here
around `EngineTasks` and `TaskList`; where those shells change, this has to follow.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steer.core.enginetasks import EngineTasks, Job
from steer.core.tasklist import PLAIN, Entry, TaskList
from steer.wire.messages import (
    Cancel,
    Functions,
    InterruptTask,
    Message,
    Outcome,
    Outcomes,
    Output,
    RankOutcomes,
    RankTask,
    Settled,
    Stream,
    Taken,
    Task,
    TaskOptions,
    Tasks,
    TaskStatus,
    Unsend,
    Unsent,
    Unstick,
    Window,
)

if TYPE_CHECKING:
    from .world import Client, Engine


class EngineSide:
    """The tasks of one simulated rank."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.core = EngineTasks()

    @property
    def random(self) -> Any:
        return self.engine.world.net.random

    def heard(self, message: Message, frames: Sequence[Any]) -> None:
        """On control, or when main has read it."""
        core = self.core
        match message:
            case Functions():
                core.teach(message.digests, [bytes(f) for f in frames])
            case Tasks():
                core.take(message)
            case RankTask():
                core.take_large(message, frames)
            case Unsend():
                given, kept = core.give_back(message.client, message.ids)
                self.engine.send(Unsent(message.client, given, kept))
            case Settled():
                for store in core.settle(message.client, message.ids):
                    self.engine.world.memory.drop(store)
            case InterruptTask() | Unstick():
                running = core.running
                if running is not None and running.key == (message.client, message.id):
                    self._end(running, TaskStatus.RAISED)
        core.check()

    def next(self) -> bool:
        """Main looks for a task; says whether there is one."""
        job = self.core.next()
        if job is None:
            return False
        self.engine.world.task_runs[job.key].append(self.engine)
        if self.random.random() < 0.2:
            text = f"{job.key[0]}/t{job.key[1]}"
            self.engine.send(Output(text, Stream.STDOUT), (b"hello",))
        lasts = self.random.choice([0.0, 0.0003, 0.02])
        if self.random.random() < 0.02:
            lasts = self.random.choice([1.0, 4.0])
        self.engine.world.net.call_later(lasts, lambda: self._done(job))
        return True

    def _done(self, job: Job) -> None:
        if self.engine.alive and self.core.running is job:
            status = self.random.choice([TaskStatus.DONE] * 9 + [TaskStatus.RETRYABLE])
            self._end(job, status)

    def _end(self, job: Job, status: TaskStatus) -> None:
        engine, world = self.engine, self.engine.world
        large = status is TaskStatus.DONE and self.random.random() < 0.1
        body = f"{job.key[0]}:{job.key[1]}".encode()
        if status is TaskStatus.DONE:
            world.task_ends[job.key].append(engine)
        store = world.memory.put(engine.pid, [body]) if large else None
        outcome = Outcome(
            job.key[1], status, b"" if large else body, world.net.now, 0.001, store
        )
        self.core.done(job, outcome, [b""] if large else [])
        if self.random.random() < 0.7 or not self.core.queue:
            role = self.random.choice(engine.roles)
            for message, frames in self.core.take_news():
                engine.sockets[role].send(message, frames)
        engine.go_on()

    def send_again(self) -> None:
        """When the hub has answered that."""
        for message, frames in self.core.take_all():
            self.engine.send(message, frames)


class Wanted:
    """What a client wants of one task, and how that ended."""

    def __init__(self, options: TaskOptions) -> None:
        self.options = options
        self.status: TaskStatus | None = None
        self.cancelled = False


class ClientSide:
    """The tasks of one simulated client."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.core = TaskList()
        self.wanted: dict[int, Wanted] = {}
        self.outcomes: collections.Counter[int] = collections.Counter()
        self.hub = -1
        self.number = 0
        self.next = 0
        self._frames: dict[int, Any] = {}

    def submit(self, *, large: bool = False, ranks: int = 0, retries: int = 0) -> int:
        """A task; returns its number."""
        options = PLAIN
        if ranks or retries:
            options = TaskOptions(ranks=ranks, retries=retries)
        number = self.core.new_id()
        function = self.client.world.net.random.choice([b"f", b"g"])
        frames: list[Any] = []
        store = None
        if large:
            store = self.client.world.memory.put(self.client.pid, [b"big"])
            frames = [b""]
        task = Task(number, function, b"", self.core.number(options))
        entry = Entry(task, function * 3, options, None, frames=frames, store=store)
        self.wanted[number] = Wanted(options)
        self.core.add(entry)
        self.flush()
        return number

    def cancel(self, number: int, running: bool) -> None:
        """It is not wanted any more."""
        self.wanted[number].cancelled = True
        if self.core.withdraw(number) is not None:
            self.wanted[number].status = TaskStatus.CANCELLED
        self.client.sockets["out"].send(Cancel((number,), running))

    def flush(self) -> None:
        """Send what may be sent."""
        while self.core.ready:
            for message, frames in self.core.next():
                self.client.sockets["out"].send(message, frames)

    def welcome(self, hub: int, bundle: int) -> None:
        """The hub knows us: send again what was not answered."""
        count = 0
        for message, frames in self.core.again():
            self.client.sockets["out"].send(message, frames)
            if isinstance(message, Tasks | RankTask):
                count += len(message.tasks) if isinstance(message, Tasks) else 1
        if hub != self.hub:
            self.hub, self.number = hub, 0
        self.client.sockets["out"].send(Taken(self.number, count))
        self.next = bundle + 1

    def heard(self, message: Message, frames: Sequence[Any]) -> None:
        """The hub says something about tasks."""
        try:
            self._take(message, frames)
        except FileNotFoundError:
            return  # its hub is gone; the next one gives it again
        self.flush()

    def _take(self, message: Message, frames: Sequence[Any]) -> None:
        match message:
            case Window():
                self.core.allow(message.tasks, message.size)
            case Outcomes():
                for outcome in message.outcomes:
                    self._ended(outcome, frames)
                self._taken(message.number)
            case RankOutcomes():
                at = 0
                parts = message.parts or (0,) * len(message.outcomes)
                for outcome, count in zip(message.outcomes, parts, strict=True):
                    if message.id in self.core.sent:
                        self._look(outcome, frames[at : at + count])
                    at += count
                self._finish(message.id, message.status)
                self._taken(message.number)

    def _taken(self, number: int) -> None:
        self.number = max(number, self.number)
        if number and number == self.next:
            self.next = number + 1
            self.client.sockets["out"].send(Taken(number))

    def _ended(self, outcome: Outcome, frames: Sequence[Any]) -> None:
        if outcome.id in self.core.sent:
            self._look(outcome, frames)
        self._finish(outcome.id, outcome.status)

    def _look(self, outcome: Outcome, frames: Sequence[Any]) -> None:
        """A value is what the task was to give."""
        if outcome.status is TaskStatus.DONE:
            whole = self.client.world.memory.take(outcome.store, frames)
            true = f"{self.client.who}:{outcome.id}".encode()
            assert outcome.body == true or whole == [true], (outcome, whole)

    def _finish(self, number: int, status: TaskStatus) -> None:
        entry = self.core.ended(number)
        if entry is None:
            return
        self.outcomes[number] += 1
        self.wanted[number].status = status
        self.client.world.memory.drop(entry.store)

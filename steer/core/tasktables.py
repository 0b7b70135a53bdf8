"""What all parts of the task scheduler share: who is there, what was promised, what has
ended in this step, and what is to be done because of it."""

from __future__ import annotations

import collections
import enum
import heapq
import itertools

from steer.core.events import Action
from steer.core.taskevents import Answer, AnswerRanks, Key
from steer.core.taskstate import Client, Engine, Function, Place, Record
from steer.wire.messages import Outcome, TaskStatus

FUNCTIONS = 20_000
"""Functions whose run time is remembered."""


class Alarm(enum.Enum):
    """Why the scheduler wants to be woken."""

    WAITED = "waited"
    """A task waits for others for as long as it may."""
    RAN = "ran"
    """A task runs for as long as it may."""
    LADDER = "ladder"
    """A task that has to end did not."""
    UNSTICK = "unstick"
    """One rank of a task failed some time ago."""
    JOINED = "joined"
    """A world had time to join: what needs a larger one is impossible."""
    LOOK = "look"
    """An engine may be overdue."""
    RESTORED = "restored"
    """Whoever was there before the hub was started anew has had time to come back."""
    ABSENT = "absent"
    """Clients that are still away will not come."""


class Tables:
    """The scheduler's books."""

    def __init__(self, first: int = 0) -> None:
        self.now = 0.0
        self.first = first
        """Bundles of answers are counted from here."""
        self.clients: dict[str, Client] = {}
        self.engines: dict[int, Engine] = {}
        self.functions: dict[bytes, Function] = {}
        self.actions: list[Action] = []
        self.ended: collections.deque[Record] = collections.deque()
        """Tasks that have ended, and that others wait for."""
        self.answers: dict[tuple[str, int], list[Outcome]] = {}
        self.alarms: list[tuple[float, int, Alarm, Key]] = []
        self.unused: list[bytes] = []
        """Functions that no task calls any more."""
        self._room = FUNCTIONS
        self._numbers = itertools.count()

    def number(self) -> int:
        """A number that was not used yet."""
        return next(self._numbers)

    def client(self, name: str) -> Client:
        """The books of this client."""
        client = self.clients.get(name)
        if client is None:
            client = self.clients[name] = Client(name)
            client.number = self.first
        return client

    def record(self, key: Key) -> Record | None:
        """The task of this name, if it is not forgotten."""
        client = self.clients.get(key[0])
        return client.tasks.get(key[1]) if client else None

    def outcome(self, key: Key, engine: int) -> Outcome | None:
        """How this task ended on this engine."""
        record = self.record(key)
        if record is None:
            return None
        gang = record.extra.gang if record.extra is not None else None
        return gang.outcomes.get(engine) if gang is not None else record.outcome

    def function(self, digest: bytes) -> Function:
        """What is known about this function."""
        function = self.functions.get(digest)
        if function is None:
            if len(self.functions) >= self._room:
                self.functions = {d: f for d, f in self.functions.items() if f.users}
                self._room = max(FUNCTIONS, 2 * len(self.functions))
            function = self.functions[digest] = Function()
        return function

    def alarm(self, when: float, why: Alarm, key: Key) -> None:
        """Wake at this time."""
        heapq.heappush(self.alarms, (when, self.number(), why, key))

    # -- the end of a task

    def finish(self, record: Record, outcome: Outcome, engine: int = -1) -> None:
        """A task has its outcome, which the client hears with others of this step."""
        self.close(record, outcome)
        self.answers.setdefault((record.client, engine), []).append(outcome)

    def close(self, record: Record, outcome: Outcome) -> None:
        """A task has its outcome, which the client hears some other way."""
        record.place = Place.DONE
        record.outcome = outcome
        extra = record.extra
        if extra is not None:
            extra.values.clear()
            if extra.dependents:
                self.ended.append(record)

    def fail(self, record: Record, status: TaskStatus, sentence: str) -> None:
        """A task ends by the hub's word."""
        self.finish(record, Outcome(record.task.id, status, sentence.encode()))

    def answer_ranks(self, record: Record, status: TaskStatus) -> None:
        """A task of several ranks has ended on all of them."""
        extra = record.more()
        assert extra.gang is not None
        engines = extra.gang.engines
        outcomes = tuple([extra.gang.outcomes[e] for e in engines])
        client = self.client(record.client)
        client.number += 1
        client.ended += 1
        client.failed += status != TaskStatus.DONE
        client.bundles[client.number] = [(e, (record.task.id,)) for e in engines]
        self.actions.append(
            AnswerRanks(
                record.client,
                client.number,
                record.task.id,
                status,
                engines,
                outcomes,
            )
        )

    def flush(self) -> list[Action]:
        """What this step asks for, answers last."""
        for (name, engine), outcomes in self.answers.items():
            client = self.client(name)
            client.number += 1
            ids = [outcome.id for outcome in outcomes]
            client.ended += len(ids)
            client.failed += sum([outcome.status != 0 for outcome in outcomes])
            client.bundles[client.number] = [(engine, ids)]
            if client.repeated:
                again = [i for i in ids if i in client.repeated]
                client.repeated.update(dict.fromkeys(again, client.number))
            self.actions.append(Answer(name, client.number, engine, outcomes))
        self.answers = {}
        actions, self.actions = self.actions, []
        return actions

"""Engines and clients around the scheduler, in virtual time: what they got, what they
ran, and how often."""

from __future__ import annotations

import collections

from steer.core import taskevents as ev
from steer.core.scheduler import Scheduler
from steer.wire.messages import Needs, Outcome, Task, TaskOptions, TaskStatus


class SimEngine:
    """Runs what it is given, in order."""

    def __init__(self) -> None:
        self.queue: list[tuple[str, Task]] = []
        self.away: list[tuple[str, Task]] = []
        self.recalls: list[ev.TakeBack] = []
        self.unsettled: dict[ev.Key, Outcome] = {}


class Farm:
    """A scheduler and its world; every step checks the scheduler's promises."""

    def __init__(self, engines: int = 0, **options) -> None:
        self.core = Scheduler(**options)
        self.now = 0.0
        self.engines: dict[int, SimEngine] = {}
        self.got: dict[ev.Key, list[TaskStatus]] = collections.defaultdict(list)
        self.bodies: dict[ev.Key, bytes] = {}
        self.values: dict[ev.Key, dict[int, Outcome]] = {}
        self.ran: collections.Counter[ev.Key] = collections.Counter()
        self.order: list[ev.Key] = []
        self.where: dict[ev.Key, int] = {}
        self.gives: list[ev.Give] = []
        self.ranks: list[ev.GiveRanks] = []
        self.other: list[ev.Action] = []
        self.numbers: dict[str, int] = {}
        self.ids: collections.Counter[str] = collections.Counter()
        for number in range(engines):
            self.join(number)

    # -- the shell

    def feed(self, event: ev.Event) -> list[ev.Action]:
        actions = self.core.handle(event, self.now)
        self.core.check()
        self.check_priorities(actions)
        for action in actions:
            self.act(action)
        return actions

    def check_priorities(self, actions: list[ev.Action]) -> None:
        """Nothing was given while a task of higher priority waits for any engine."""
        plain = self.core.dispatch.plain
        if not plain.live:
            return
        for give in actions:
            if isinstance(give, ev.Give):
                records = [
                    self.core.tables.record((give.client, t.id)) for t in give.tasks
                ]
                assert plain.priority() <= min(
                    r.options.priority for r in records if r is not None
                )

    def act(self, action: ev.Action) -> None:
        match action:
            case ev.Give():
                self.gives.append(action)
                for task in action.tasks:
                    self.engines[action.engine].queue.append((action.client, task))
                    self.where[action.client, task.id] = action.engine
                    self.values[action.client, task.id] = dict(action.values)
            case ev.GiveRanks():
                self.ranks.append(action)
                for engine in action.engines:
                    self.engines[engine].queue.append((action.client, action.task))
            case ev.Answer():
                self.numbers[action.client] = action.number
                for outcome in action.outcomes:
                    self.got[action.client, outcome.id].append(outcome.status)
                    self.bodies[action.client, outcome.id] = outcome.body
            case ev.AnswerRanks():
                self.numbers[action.client] = action.number
                self.got[action.client, action.id].append(action.status)
            case ev.TakeBack():
                self.engines[action.engine].recalls.append(action)
            case ev.Settle():
                for i in action.ids:
                    self.engines[action.engine].unsettled.pop((action.client, i), None)
            case _:
                self.other.append(action)

    def tick(self, by: float) -> None:
        """Let time pass, waking whenever it is asked for."""
        end = self.now + by
        while (due := self.core.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.feed(ev.Tick())
        self.now = end

    # -- clients

    def submit(self, n=1, client="a", function=b"f", body=b"", needs=None, **options):
        """Submit n tasks alike; returns their keys."""
        table = {1: TaskOptions(**options)} if options else {}
        tasks = []
        for _ in range(n):
            self.ids[client] += 1
            number = self.ids[client]
            tasks.append(Task(number, function, body, 1 if options else 0))
        lacks = [Needs(t.id, **needs) for t in tasks] if needs else []
        self.feed(ev.Submitted(client, tasks, table, lacks))
        return [(client, t.id) for t in tasks]

    def cancel(self, *keys, running=False):
        for client, number in keys:
            self.feed(ev.Cancelled(client, (number,), running))

    def take(self, client="a"):
        """The client says that it has all that was sent to it."""
        if client in self.numbers:
            self.feed(ev.Taken(client, self.numbers[client]))

    def statuses(self, keys):
        return [s for key in keys for s in self.got[key]]

    # -- engines

    def join(self, number, world="", size=1, host="h"):
        self.engines[number] = SimEngine()
        self.feed(ev.EngineHere(number, host, world or f"w{number}", size))

    def die(self, number, running=None):
        del self.engines[number]
        self.feed(ev.EngineGone(number, f"engine {number} was killed", running))

    def run(self, number, n=1, took=1e-5, status=TaskStatus.DONE, body=b"v"):
        """An engine runs its next n tasks, and reports them together."""
        engine = self.engines[number]
        done, engine.queue = engine.queue[:n], engine.queue[n:]
        by_client: dict[str, list[Outcome]] = {}
        for client, task in done:
            self.ran[client, task.id] += 1
            self.order.append((client, task.id))
            self.now += took
            outcome = Outcome(task.id, status, body, self.now, took)
            engine.unsettled[client, task.id] = outcome
            by_client.setdefault(client, []).append(outcome)
        for client, outcomes in by_client.items():
            self.feed(ev.Ended(number, client, outcomes))
        return [(client, task.id) for client, task in done]

    def give_back(self, number):
        """An engine answers what it was asked back, its first task running."""
        engine = self.engines[number]
        while engine.recalls:
            asked = engine.recalls.pop(0)
            behind = [(c, t.id) for c, t in engine.queue[1:]]
            back = [i for i in asked.ids if (asked.client, i) in behind]
            kept = [i for i in asked.ids if i not in back]
            engine.queue = [
                (c, t) for c, t in engine.queue if c != asked.client or t.id not in back
            ]
            self.feed(ev.GivenBack(number, asked.client, back, kept))

    def finish(self, took=1e-5, rounds=10_000):
        """Run until nothing is left to run."""
        while rounds and any(e.queue or e.recalls for e in self.engines.values()):
            rounds -= 1
            for number in list(self.engines):
                self.give_back(number)
                self.run(number, 1000, took)
        assert rounds

"""Any order of events: the promises hold, and in the end all tasks are answered."""

from __future__ import annotations

import collections

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from steer.core import taskevents as ev
from steer.wire.messages import Dependency, TaskOptions, TaskStatus

from .farm import Farm

ENGINES = st.integers(0, 4)
CLIENTS = st.sampled_from(["a", "b"])
TIMES = st.sampled_from([1e-6, 1e-4, 3e-3, 0.05, 2.0])
FUNCTIONS = st.sampled_from([b"f", b"g"])


class Machine(stateful.RuleBasedStateMachine):
    """Clients and engines, as chaotic as they may be."""

    def __init__(self) -> None:
        super().__init__()
        self.farm = Farm()
        self.keys: list[ev.Key] = []
        self.retries: dict[ev.Key, int] = {}
        self.losses: collections.Counter[ev.Key] = collections.Counter()
        self.tries: collections.Counter[ev.Key] = collections.Counter()
        self.old: list[tuple[int, ev.Key]] = []

    def sent(self, keys, retries=0):
        self.keys += keys
        for key in keys:
            self.retries[key] = retries

    # -- clients

    @stateful.rule(n=st.integers(1, 12), client=CLIENTS, function=FUNCTIONS)
    def submit(self, n, client, function):
        self.sent(self.farm.submit(n, client, function))

    @stateful.rule(
        n=st.integers(1, 3),
        client=CLIENTS,
        priority=st.integers(-1, 1),
        retries=st.integers(0, 2),
        timeout=st.sampled_from([None, 0.01, 5.0]),
        places=st.sampled_from(["", "", "0", "1-2"]),
    )
    def submit_options(self, n, client, priority, retries, timeout, places):
        options = {
            "priority": priority, "retries": retries,
            "timeout": timeout, "targets": places,
        }  # fmt: skip
        self.sent(self.farm.submit(n, client, **options), retries)

    @stateful.rule(n=st.integers(1, 2), client=CLIENTS, ranks=st.integers(1, 4))
    def submit_ranks(self, n, client, ranks):
        self.sent(self.farm.submit(n, client, ranks=ranks), 99)

    @stateful.rule(
        data=st.data(), success=st.booleans(), failure=st.booleans(), all_=st.booleans()
    )
    def submit_needs(self, data, success, failure, all_):
        mine = [i for c, i in self.keys if c == "a"][-10:]
        some = st.lists(st.sampled_from(mine or [1]), max_size=3).map(tuple)
        dependency = Dependency(data.draw(some), all_, success or not failure, failure)
        needs = {"values": data.draw(some)}
        needs[data.draw(st.sampled_from(["after", "follow"]))] = dependency
        self.sent(self.farm.submit(1, "a", needs=needs, wait=3.0))

    @stateful.rule(data=st.data(), running=st.booleans())
    def cancel(self, data, running):
        if self.keys:
            self.farm.cancel(
                data.draw(st.sampled_from(self.keys[-20:])), running=running
            )

    @stateful.rule(client=CLIENTS)
    def take(self, client):
        self.farm.take(client)

    @stateful.rule(data=st.data())
    def submit_again(self, data):
        if self.keys:
            client, number = data.draw(st.sampled_from(self.keys[-20:]))
            record = self.farm.core.tables.record((client, number))
            if record is not None and record.outcome is None:
                again = [record.task]
                options = {record.task.options: record.options}
                self.farm.feed(ev.Submitted(client, again, options, resent=True))

    # -- engines

    @stateful.rule(number=ENGINES)
    def join(self, number):
        if number not in self.farm.engines:
            world, size = ("w", 3) if number < 3 else ("", 1)
            self.farm.join(number, world, size, host=f"h{number % 2}")

    @stateful.rule(number=ENGINES)
    def die(self, number):
        if number in self.farm.engines:
            engine = self.farm.engines[number]
            for client, task in engine.queue + engine.away:
                self.losses[client, task.id] += 1
            self.old += [(number, (c, t.id)) for c, t in engine.queue]
            self.farm.die(number)

    @stateful.rule(number=ENGINES, n=st.integers(1, 20), took=TIMES)
    def run(self, number, n, took):
        if number in self.farm.engines:
            self.farm.run(number, n, took)

    @stateful.rule(
        number=ENGINES,
        status=st.sampled_from(
            [TaskStatus.RAISED, TaskStatus.RETRYABLE, TaskStatus.UNMET]
        ),
    )
    def fail(self, number, status):
        if number in self.farm.engines:
            for key in self.farm.run(number, 1, status=status):
                self.tries[key] += 1

    @stateful.rule(number=ENGINES)
    def give_back(self, number):
        if number in self.farm.engines:
            self.farm.give_back(number)

    @stateful.rule(number=ENGINES)
    def secede(self, number):
        engine = self.farm.engines.get(number)
        if engine and engine.queue:
            client, task = engine.queue[0]
            record = self.farm.core.tables.record((client, task.id))
            if record is not None and not record.options.ranks:
                engine.away.append(engine.queue.pop(0))
                self.farm.feed(ev.Seceded(number, client, task.id))

    @stateful.rule(number=ENGINES)
    def rejoin(self, number):
        engine = self.farm.engines.get(number)
        if engine and engine.away:
            client, task = engine.away.pop()
            engine.queue.insert(0, (client, task))
            self.farm.feed(ev.Rejoined(number, client, task.id))

    @stateful.rule(data=st.data())
    def late(self, data):
        if self.old:
            number, (client, i) = data.draw(st.sampled_from(self.old))
            record = self.farm.core.tables.record((client, i))
            if record is not None and record.engine == number:
                return  # the same number, a new engine: the shell knows them apart
            if record is not None and record.extra and record.extra.gang:
                return
            outcome = ev.Outcome(i, TaskStatus.DONE, b"late")
            self.farm.feed(ev.Ended(number, client, [outcome]))

    @stateful.rule(by=st.sampled_from([1e-3, 0.05, 1.0, 10.0]))
    def wait(self, by):
        self.farm.tick(by)

    @stateful.rule(number=ENGINES, data=st.data())
    def cut(self, number, data):
        """The engine lost its connection, and what was under way to it."""
        engine = self.farm.engines.get(number)
        if engine is None:
            return
        kept = data.draw(st.integers(0, len(engine.queue)))
        gangs = [
            (c, t)
            for c, t in engine.queue[kept:]
            if (r := self.farm.core.tables.record((c, t.id))) and r.engine == -2
        ]
        engine.queue = engine.queue[:kept] + gangs
        engine.recalls.clear()
        held = [(c, t.id) for c, t in engine.queue + engine.away]
        world, size = ("w", 3) if number < 3 else (f"w{number}", 1)
        held += list(engine.unsettled)
        self.farm.feed(ev.EngineHere(number, f"h{number % 2}", world, size, held))

    # -- promises

    @stateful.invariant()
    def nothing_is_answered_twice(self):
        for key, statuses in self.farm.got.items():
            assert len(statuses) <= 1, (key, statuses)

    @stateful.invariant()
    def nothing_runs_twice_without_a_reason(self):
        for key, times in self.farm.ran.items():
            if self.retries[key] < 99:
                assert times <= 1 + self.losses[key] + self.tries[key], key

    def teardown(self):
        farm = self.farm
        for number in range(5):
            self.join(number)
        for _ in range(200):
            for number in list(farm.engines):
                while farm.engines[number].away:
                    self.rejoin(number)
                farm.give_back(number)
                farm.run(number, 1000)
            farm.tick(1.0)
            if all(len(farm.got[key]) == 1 for key in self.keys):
                break
        unanswered = [key for key in self.keys if len(farm.got[key]) != 1]
        assert not unanswered, [farm.core.tables.record(k) for k in unanswered]
        for client in "ab":
            farm.take(client)
        assert all(not c.tasks for c in farm.core.tables.clients.values())
        assert all(not e.held for e in farm.core.tables.engines.values())
        assert farm.core.dispatch.plain.live == 0
        assert not farm.core.dispatch.pools


TestMachine = Machine.TestCase
TestMachine.settings = hypothesis.settings(stateful_step_count=40, deadline=None)


def test_the_machine_knows_all_options():
    """A new option has to be drawn here, or left out on purpose."""
    assert set(TaskOptions.__struct_fields__) == {
        "priority", "retries", "timeout", "wait", "targets", "ranks", "retry_on", "name"
    }  # fmt: skip

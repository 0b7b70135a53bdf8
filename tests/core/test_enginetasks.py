"""What an engine remembers of tasks: each in one state, none run twice, none lost."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from steer.core.enginetasks import BUNDLE, EngineTasks, Job
from steer.core.functions import KEPT
from steer.wire.messages import (
    Outcome,
    RankTask,
    Store,
    Task,
    TaskOptions,
    Tasks,
    TaskStatus,
)

F = b"f"


def tasks_with(*functions: bytes) -> EngineTasks:
    """An engine that knows these functions."""
    tasks = EngineTasks()
    tasks.teach(functions, functions)
    return tasks


def bundle(*ids: int, function: bytes = F, client: str = "ann", **more: Any) -> Tasks:
    """Tasks as they come."""
    return Tasks(client, tuple(Task(i, function, b"body") for i in ids), **more)


def ended(tasks: EngineTasks, job: Job, status: TaskStatus = TaskStatus.DONE) -> None:
    """This job has ended."""
    tasks.done(job, Outcome(job.task.id, status, b"value"), ())


def run(tasks: EngineTasks, status: TaskStatus = TaskStatus.DONE) -> list[int]:
    """Run all; returns which."""
    ran = []
    while (job := tasks.next()) is not None:
        ran.append(job.task.id)
        ended(tasks, job, status)
    return ran


def test_tasks_run_in_the_order_in_which_they_came() -> None:
    """Also those of several bundles."""
    tasks = tasks_with(F)
    tasks.take(bundle(3, 1))
    tasks.take(bundle(2))
    assert run(tasks) == [3, 1, 2]


def test_a_task_waits_for_its_function() -> None:
    """The two come on sockets that have no order."""
    tasks = tasks_with(F)
    tasks.take(bundle(1, function=b"g"))
    tasks.take(bundle(2))
    assert run(tasks) == [2]
    tasks.teach([b"g"], [b"body of g"])
    job = tasks.next()
    assert job is not None
    assert job.function == b"body of g"


def test_a_task_keeps_its_function() -> None:
    """However many others come meanwhile; afterwards it is forgotten."""
    tasks = tasks_with(F)
    tasks.take(bundle(1))
    for number in range(KEPT):
        name = b"%d" % number
        tasks.teach([name], [name])
    assert len(tasks.functions) == KEPT
    job = tasks.next()
    assert job is not None
    assert job.function == F


def test_a_second_copy_is_dropped() -> None:
    """In every state of the first."""
    tasks = tasks_with(F)
    tasks.take(bundle(1, 2))
    tasks.take(bundle(1, 2))
    job = tasks.next()
    assert job is not None
    tasks.take(bundle(1))
    tasks.step_aside(job)
    tasks.take(bundle(1))
    other = tasks.next()
    assert other is not None
    ended(tasks, other)
    tasks.step_back(job)
    ended(tasks, job)
    tasks.take(bundle(1, 2))
    tasks.check()
    assert run(tasks) == []


def test_what_may_be_tried_again_runs_again() -> None:
    """A retry may come to the same engine, before or after the outcome is settled."""
    for status in (TaskStatus.RETRYABLE, TaskStatus.UNMET):
        tasks = tasks_with(F)
        tasks.take(bundle(1))
        assert run(tasks, status) == [1]
        tasks.take(bundle(1))
        assert run(tasks) == [1]
        tasks.check()


def test_a_gang_that_is_tried_again_is_another() -> None:
    """On a rank where it went well, too: the tag tells them apart."""
    tasks = tasks_with(F)
    first = RankTask("ann", Task(1, F, b""), engines=(0, 1), tag=7)
    second = RankTask("ann", Task(1, F, b""), engines=(0, 1), tag=8)
    for message, ran in ((first, [1]), (first, []), (second, [1])):
        tasks.take_large(message, ())
        assert run(tasks) == ran


def test_what_has_not_begun_is_given_back() -> None:
    """And may come again."""
    tasks = tasks_with(F)
    tasks.take(bundle(1, 2, 3))
    tasks.take(bundle(4, function=b"g"))
    assert tasks.next() is not None
    assert tasks.give_back("ann", (1, 2, 4, 9)) == ((2, 4), (1, 9))
    tasks.take(bundle(2))
    tasks.check()
    assert run(tasks) == [3, 2]


def test_a_bundle_of_an_earlier_turn_does_not_run() -> None:
    """The hub has given it to another engine, since it was not named."""
    tasks = tasks_with(F)
    tasks.register()
    tasks.register()
    tasks.take(bundle(1, turn=1))
    tasks.take_large(RankTask("ann", Task(2, F, b""), turn=1), ())
    tasks.take(bundle(3, turn=2))
    assert run(tasks) == [3]


def test_a_new_hub_hears_of_all_tasks() -> None:
    """All but what waits for a function, which may be lost."""
    tasks = tasks_with(F)
    tasks.take(bundle(1, 2, 3, 4))
    tasks.take(bundle(5, function=b"g"))
    tasks.take(bundle(1, client="bob"))
    for number in (1, 2):
        job = tasks.next()
        assert job is not None
        if number == 1:
            ended(tasks, job)
        else:
            tasks.step_aside(job)
    assert tasks.next() is not None
    held = tasks.register()
    found = {(m.client, i) for m in held for i in m.ids}
    assert found == {("ann", 1), ("ann", 2), ("ann", 3), ("ann", 4), ("bob", 1)}
    assert [m.more for m in held] == [True, False]
    assert not tasks.parked


def test_outcomes_are_kept_until_they_are_settled() -> None:
    """And are sent again to a hub that may not have them."""
    tasks = tasks_with(F)
    tasks.take(bundle(1, 2))
    run(tasks)
    ((message, _),) = tasks.take_news()
    assert [o.id for o in message.outcomes] == [1, 2]
    assert tasks.take_news() == []
    assert tasks.settle("ann", (1,)) == []
    ((message, _),) = tasks.take_all()
    assert [o.id for o in message.outcomes] == [2]


def test_settling_gives_memory_back() -> None:
    """Large values lie in shared memory until then."""
    tasks = tasks_with(F)
    tasks.take(bundle(1))
    job = tasks.next()
    assert job is not None
    store = Store(1, 2, 3, ())
    tasks.done(job, Outcome(1, TaskStatus.DONE, store=store), (b"",))
    assert tasks.settle("ann", (1, 1)) == [store]


def test_outcomes_leave_in_bundles() -> None:
    """One for each client, none too long, the large ones alone; and what runs now."""
    tasks = tasks_with(F)
    tasks.take(bundle(*range(6)))
    tasks.take(bundle(0, client="bob"))
    for number in range(5):
        job = tasks.next()
        assert job is not None
        frames = (b"x",) if number == 1 else ()
        body = bytes(BUNDLE) if number == 2 else b""
        tasks.done(job, Outcome(number, TaskStatus.DONE, body), frames)
    assert tasks.size == BUNDLE
    tasks.next()
    sent = tasks.take_news()
    assert [[o.id for o in m.outcomes] for m, _ in sent] == [[1], [0, 2], [3, 4]]
    assert [len(frames) for _, frames in sent] == [1, 0, 0]
    assert sent[-1][0].running == 5


class Life(RuleBasedStateMachine):
    """An engine whose hub does all that it may do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks = tasks_with(F)
        self.given: set[int] = set()
        self.ran: dict[int, int] = {}

    @rule(ids=st.sets(st.integers(0, 9), max_size=5), other=st.booleans())
    def give(self, ids: set[int], other: bool) -> None:
        """Tasks come, perhaps again; the function of some is not there yet."""
        function = b"g" if other else F
        self.tasks.take(bundle(*ids, function=function, turn=self.tasks.turn))
        self.given |= ids

    @rule()
    def teach(self) -> None:
        """The function comes."""
        self.tasks.teach([b"g"], [b"g"])

    @rule(status=st.sampled_from(TaskStatus), aside=st.booleans())
    def run(self, status: TaskStatus, aside: bool) -> None:
        """Main goes on."""
        running = self.tasks.running
        if running is None:
            self.tasks.next()
        elif aside:
            self.tasks.step_aside(running)
        else:
            ended(self.tasks, running, status)

    @precondition(lambda self: self.tasks.away and self.tasks.running is None)
    @rule()
    def back(self) -> None:
        """A task has waited long enough."""
        self.tasks.step_back(self.tasks.away[-1])

    @rule(ids=st.sets(st.integers(0, 9), max_size=5))
    def unsend(self, ids: set[int]) -> None:
        """Some are asked back: each is given or kept."""
        given, kept = self.tasks.give_back("ann", ids)
        assert set(given) | set(kept) == ids
        assert not set(given) & set(kept)
        self.given -= set(given)

    @rule(ids=st.sets(st.integers(0, 9), max_size=5))
    def settle(self, ids: set[int]) -> None:
        """Some outcomes have arrived."""
        before = set(self.tasks.ended)
        self.tasks.settle("ann", ids)
        self.given -= {i for _, i in before - set(self.tasks.ended)}

    @rule()
    def register(self) -> None:
        """The connection was cut."""
        lost = {i for _, i in self.tasks.parked}
        held = {i for m in self.tasks.register() for i in m.ids}
        self.given -= lost
        assert held == self.given

    @rule()
    def send(self) -> None:
        """Outcomes leave."""
        self.tasks.take_news()

    @invariant()
    def nothing_is_lost(self) -> None:
        """What was given is there, in one state."""
        self.tasks.check()
        tasks = self.tasks
        now = {*tasks.queue, *tasks.parked, *tasks.ended}
        now |= {job.key for job in tasks.away}
        if tasks.running is not None:
            now.add(tasks.running.key)
        assert {i for _, i in now} == self.given


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30)


def test_options_come_with_the_bundle() -> None:
    """By the client's number for them."""
    tasks = tasks_with(F)
    options = TaskOptions(retries=2)
    message = Tasks("ann", (Task(1, F, b"", 5), Task(2, F, b"")), {5: options})
    tasks.take(message)
    found = [job.options for job in iter(tasks.next, None)]
    assert found == [options, TaskOptions()]

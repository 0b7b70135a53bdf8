"""A client's tasks: sent in order, sent again, nothing lost and nothing twice."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from steer.core.tasklist import HEAVY, KNOWN, MOST, Entry, TaskList
from steer.wire.messages import (
    Dependency,
    Functions,
    Needs,
    RankTask,
    Store,
    Task,
    TaskOptions,
    Tasks,
)

PLENTY = 1 << 30


def made(tasks: TaskList, *, size=10, function=b"f", needs=(), **options) -> Entry:
    """A task that waits to be sent."""
    its = TaskOptions(**options)
    number = tasks.new_id()
    task = Task(number, function, bytes(size), tasks.number(its))
    entry = Entry(task, b"pickle of " + function, its, None)
    if needs:
        entry.needs = Needs(number, values=tuple(needs))
    tasks.add(entry)
    return entry


def sent(tasks: TaskList) -> list[int]:
    """The numbers of the tasks of the next bundle."""
    return numbers(tasks.next())


def numbers(messages) -> list[int]:
    found = []
    for message, _ in messages:
        if isinstance(message, Tasks):
            found += [task.id for task in message.tasks]
        elif isinstance(message, RankTask):
            found.append(message.task.id)
    return found


@pytest.fixture
def tasks() -> TaskList:
    some = TaskList()
    some.allow(10 * MOST, PLENTY)
    return some


def test_nothing_leaves_before_the_hub_allows_it():
    tasks = TaskList()
    made(tasks)
    assert not tasks.ready
    tasks.allow(1, PLENTY)
    assert tasks.ready
    assert sent(tasks) == [1]


def test_no_more_than_the_hub_allows(tasks):
    tasks.allow(3, PLENTY)
    for _ in range(5):
        made(tasks)
    assert sent(tasks) == [1, 2, 3]
    assert not tasks.ready
    tasks.ended(2)
    assert sent(tasks) == [4]


def test_bytes_are_bounded_but_one_task_always_may_go(tasks):
    tasks.allow(100, 1000)
    made(tasks, size=5000)
    made(tasks, size=10)
    assert sent(tasks) == [1]
    assert not tasks.ready
    tasks.ended(1)
    assert sent(tasks) == [2]


def test_shared_memory_counts_among_the_bytes(tasks):
    tasks.allow(100, 1000)
    for number in (1, 2):
        task = Task(tasks.new_id(), b"f", b"")
        store = Store(1, 3, 800, ((0, 0, 800),))
        entry = Entry(task, b"", TaskOptions(), None, frames=[b""], store=store)
        tasks.add(entry)
        assert tasks.bytes_waiting == number * 800
    assert sent(tasks) == [1, 2]
    assert tasks.size == 1600
    assert not tasks._has_room()


def test_the_highest_priority_goes_first_and_equals_in_order(tasks):
    for priority in (0, 5, 0, -1, 5):
        made(tasks, priority=priority)
    assert sent(tasks) == [2, 5, 1, 3, 4]


def test_what_needs_another_is_not_ahead_of_it(tasks):
    made(tasks, priority=-5)
    made(tasks, priority=5, needs=[1])
    made(tasks, priority=9, needs=[2])
    made(tasks)
    assert sent(tasks) == [4, 1, 2, 3]


def test_conditions_count_as_needs():
    entry = Entry(Task(4, b"f", b""), b"", TaskOptions(), None)
    assert entry.needed() == set()
    entry.needs = Needs(4, Dependency((1, 2)), Dependency((2, 3)), (), (7,))
    assert entry.needed() == {1, 2, 3, 7}


def test_bundles_have_a_size(tasks):
    for _ in range(MOST + 1):
        made(tasks)
    assert len(sent(tasks)) == MOST
    assert len(sent(tasks)) == 1
    for _ in range(4):
        made(tasks, size=HEAVY // 2)
    assert len(sent(tasks)) == 2


def test_functions_go_once_ahead_of_the_tasks(tasks):
    made(tasks, function=b"f")
    made(tasks, function=b"g")
    kinds = list(tasks.next())
    assert kinds[0] == (Functions((b"f", b"g")), [b"pickle of f", b"pickle of g"])
    made(tasks, function=b"f")
    assert [type(message) for message, _ in tasks.next()] == [Tasks]


def test_functions_that_the_hub_may_have_forgotten_go_again(tasks):
    for i in range(KNOWN + 1):
        made(tasks, function=b"%d" % i)
    sent(tasks)
    made(tasks, function=b"0")
    ((message, _), *_) = tasks.next()
    assert message == Functions((b"0",))


def test_options_go_with_each_bundle_that_uses_them(tasks):
    made(tasks, retries=3)
    made(tasks)
    made(tasks, retries=3)
    *_, (message, _) = tasks.next()
    assert message.options == {1: TaskOptions(retries=3)}
    assert [task.options for task in message.tasks] == [1, 0, 1]


def test_tasks_of_several_ranks_and_large_ones_travel_alone(tasks):
    made(tasks)
    made(tasks, ranks=2)
    large = Entry(
        Task(tasks.new_id(), b"f", b""), b"", TaskOptions(), None, frames=[b"x" * 99]
    )
    tasks.add(large)
    made(tasks)
    messages = [(type(m), list(f)) for m, f in tasks.next()]
    assert messages[1:] == [
        (Tasks, []), (RankTask, []), (RankTask, [b"x" * 99]), (Tasks, []),
    ]  # fmt: skip


def test_what_was_not_answered_is_sent_again_with_its_functions(tasks):
    for _ in range(3):
        made(tasks)
    sent(tasks)
    tasks.ended(2)
    made(tasks)
    (functions, _), (message, _) = tasks.again()
    assert functions == Functions((b"f",))
    assert message.resent
    assert [task.id for task in message.tasks] == [1, 3]
    assert sent(tasks) == [4]


def test_what_cannot_run_any_more_is_not_sent(tasks):
    first, second = made(tasks), made(tasks)
    first.refresh = lambda entry: False
    assert sent(tasks) == [second.task.id]
    assert list(tasks.sent) == [second.task.id]


def test_what_is_withdrawn_is_not_sent_and_not_kept(tasks):
    tasks.allow(0, 0)
    for _ in range(3 * MOST):
        made(tasks)
    for number in range(1, 3 * MOST):
        assert tasks.withdraw(number) is not None
    assert sum(map(len, tasks._levels.values())) <= MOST + 2
    assert (tasks.waiting, tasks.bytes_waiting) == (1, 10)
    tasks.allow(5, PLENTY)
    assert sent(tasks) == [3 * MOST]
    assert tasks.withdraw(3 * MOST) is None


class Any(RuleBasedStateMachine):
    """Whatever happens in whatever order: each task is sent once, then again until its
    outcome is here; never more than allowed; never ahead of what it needs."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks = TaskList()
        self.open: dict[int, Entry] = {}
        self.went: list[int] = []

    @rule(priority=st.integers(-2, 2), size=st.integers(0, 50), data=st.data())
    def add(self, priority, size, data):
        known = sorted(self.open)
        needs = data.draw(st.lists(st.sampled_from(known), max_size=2)) if known else []
        entry = made(self.tasks, size=size, priority=priority, needs=needs)
        self.open[entry.task.id] = entry

    @rule(count=st.integers(0, 6), size=st.integers(0, 100))
    def allow(self, count, size):
        self.tasks.allow(count, size)

    @rule()
    def send(self):
        for number in sent(self.tasks):
            assert number not in self.went
            waits = self.open[number].needed() & set(self.open)
            assert waits <= set(self.went)
            self.went.append(number)

    @precondition(lambda self: self.tasks.sent)
    @rule(data=st.data())
    def end(self, data):
        number = data.draw(st.sampled_from(sorted(self.tasks.sent)))
        assert self.tasks.ended(number) is self.open.pop(number)
        assert self.tasks.ended(number) is None

    @precondition(lambda self: self.tasks.waiting)
    @rule(data=st.data())
    def withdraw(self, data):
        number = data.draw(st.sampled_from(sorted(set(self.open) - set(self.went))))
        needed = any(number in e.needed() for e in self.open.values())
        if not needed:  # otherwise those that need it fail, which is the shell's part
            assert self.tasks.withdraw(number) is self.open.pop(number)

    @rule()
    def again(self):
        assert sorted(numbers(self.tasks.again())) == sorted(self.tasks.sent)

    @invariant()
    def nothing_is_lost(self):
        tasks = self.tasks
        assert [e.task.id for e in tasks.unfinished()] == sorted(self.open)
        assert tasks.waiting == len(self.open) - len(tasks.sent)
        assert tasks.size == sum(e.size for e in tasks.sent.values())
        waiting = [e for n, e in self.open.items() if n not in tasks.sent]
        assert tasks.bytes_waiting == sum(e.size for e in waiting)


TestAny = Any.TestCase

"""after, follow, futures as arguments, and what failures do to those that wait."""

from __future__ import annotations

import pytest

from steer.core import taskevents as ev
from steer.wire.messages import Dependency, Task, TaskStatus

from .farm import Farm

DONE, RAISED = TaskStatus.DONE, TaskStatus.RAISED


def ids(keys):
    return tuple(i for _, i in keys)


def run(farm, key, status=DONE):
    """Run this task, which some engine has next, and report it."""
    number = farm.where[key]
    assert farm.engines[number].queue[0][1].id == key[1]
    farm.run(number, 1, status=status)


@pytest.mark.parametrize(
    ("all_", "success", "failure", "first", "second", "expected"),
    [
        (True, True, False, DONE, None, None),
        (True, True, False, DONE, DONE, DONE),
        (True, True, False, RAISED, None, TaskStatus.IMPOSSIBLE),
        (True, True, True, RAISED, DONE, DONE),
        (True, False, True, RAISED, RAISED, DONE),
        (True, False, True, DONE, None, TaskStatus.IMPOSSIBLE),
        (False, True, False, DONE, None, DONE),
        (False, True, False, RAISED, None, None),
        (False, True, False, RAISED, DONE, DONE),
        (False, True, False, RAISED, RAISED, TaskStatus.IMPOSSIBLE),
        (False, False, True, DONE, RAISED, DONE),
        (False, False, True, DONE, DONE, TaskStatus.IMPOSSIBLE),
    ],
)
def test_after(all_, success, failure, first, second, expected):
    farm = Farm(engines=3)
    one, two = farm.submit(2)
    dependency = Dependency(ids([one, two]), all_, success, failure)
    (key,) = farm.submit(1, needs={"after": dependency})
    run(farm, one, first)
    if second is not None:
        run(farm, two, second)
    if expected is DONE:
        farm.finish()
    assert farm.statuses([key]) == ([] if expected is None else [expected])


def test_nothing_to_wait_for_is_met():
    farm = Farm(engines=1)
    keys = [
        farm.submit(1, needs={"after": Dependency((), all_)})[0]
        for all_ in (True, False)
    ]
    farm.finish()
    assert farm.statuses(keys) == [DONE, DONE]


def test_a_task_follows_another_to_its_engine():
    farm = Farm(engines=4)
    first = farm.submit(4)
    follow = [
        farm.submit(3, needs={"follow": Dependency((number,))}) for _, number in first
    ]
    farm.finish()
    for key, behind in zip(first, follow, strict=True):
        assert {farm.where[k] for k in behind} == {farm.where[key]}


def test_nobody_can_follow_to_two_engines_but_to_any_of_two():
    farm = Farm(engines=3)
    keys = farm.submit(2)
    (all_,) = farm.submit(1, needs={"follow": Dependency(ids(keys))})
    any_ = farm.submit(5, needs={"follow": Dependency(ids(keys), all=False)})
    farm.finish()
    assert farm.got[all_] == [TaskStatus.IMPOSSIBLE]
    assert {farm.where[k] for k in any_} <= {farm.where[k] for k in keys}


def test_where_an_ended_task_ran_counts_too():
    farm = Farm(engines=3)
    needs = {"follow": Dependency(()), "where": (2,)}
    (key,) = farm.submit(1, needs=needs)
    assert farm.where[key] == 2


def test_an_unknown_task_is_an_invalid_dependency():
    farm = Farm(engines=1)
    (key,) = farm.submit(1, needs={"after": Dependency((99,))})
    (own,) = farm.submit(1, needs={"values": (2,)})
    assert farm.got[key] == [TaskStatus.INVALID]
    assert b"task 99" in farm.bodies[key]
    assert farm.got[own] == [TaskStatus.INVALID]


def test_results_travel_to_where_they_are_arguments():
    farm = Farm(engines=2)
    one, two = farm.submit(2)
    (key,) = farm.submit(1, needs={"values": ids([one, two])})
    run(farm, one)
    assert key not in farm.where
    run(farm, two)
    assert {i: o.body for i, o in farm.values[key].items()} == {1: b"v", 2: b"v"}
    farm.finish()
    assert farm.got[key] == [DONE]
    assert farm.core.tables.record(key).extra.values == {}


def test_a_large_result_draws_the_task_that_needs_it():
    farm = Farm(engines=4)
    (first,) = farm.submit(1)
    (key,) = farm.submit(1, needs={"values": ids([first])})
    number = farm.where[first]
    farm.run(number, 1, body=bytes(1 << 20))
    assert farm.where[key] == number


def test_what_draws_a_task_does_not_make_it_wait():
    farm = Farm(engines=2)
    (first,) = farm.submit(1)
    keys = farm.submit(2, needs={"values": ids([first])})
    farm.run(farm.where[first], 1, took=1.0, body=bytes(1 << 20))
    assert {farm.where[key] for key in keys} == {0, 1}


def test_a_failure_goes_down_a_long_chain():
    farm = Farm(engines=1)
    farm.submit(1)
    tasks = [Task(i, b"f", b"") for i in range(2, 20_000)]
    needs = [ev.Needs(t.id, values=(t.id - 1,)) for t in tasks]
    farm.feed(ev.Submitted("a", tasks, needs=needs))
    farm.run(0, status=RAISED)
    assert farm.got["a", 2] == [TaskStatus.DEPENDENCY]
    assert farm.got["a", 19_999] == [TaskStatus.DEPENDENCY]
    assert b"task 1," in farm.bodies["a", 2]


def test_a_cancelled_task_fails_those_that_need_it():
    farm = Farm()
    (first,) = farm.submit(1)
    (key,) = farm.submit(1, needs={"values": ids([first])})
    farm.cancel(first)
    assert farm.got[key] == [TaskStatus.DEPENDENCY]


def test_waiting_for_others_has_a_limit():
    farm = Farm(engines=1)
    (first,) = farm.submit(1)
    late, soon = (
        farm.submit(1, needs={"after": Dependency(ids([first]))}, wait=wait)[0]
        for wait in (1.0, 3.0)
    )
    farm.tick(2.0)
    assert farm.got[late] == [TaskStatus.TIMED_OUT]
    farm.finish()
    farm.tick(2.0)
    assert farm.got[soon] == [DONE]


def test_a_waiting_task_can_be_cancelled():
    farm = Farm(engines=1)
    (first,) = farm.submit(1)
    (key,) = farm.submit(1, needs={"values": ids([first])})
    farm.cancel(key)
    farm.finish()
    assert farm.got[key] == [TaskStatus.CANCELLED]
    assert farm.ran[key] == 0

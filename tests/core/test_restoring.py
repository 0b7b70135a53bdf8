"""A hub that was started anew runs nothing twice."""

from __future__ import annotations

import pytest

from steer.core import taskevents as ev
from steer.core.gang import GRACE
from steer.core.restoring import ABSENT
from steer.wire.messages import (
    Dependency,
    Needs,
    Outcome,
    Task,
    TaskOptions,
    TaskStatus,
)

from .farm import Farm, SimEngine

DONE = TaskStatus.DONE


def again(farm, *ids):
    farm.feed(ev.Submitted("a", [Task(i, b"f", b"") for i in ids], resent=True))


def back(farm, number, *ids):
    """An engine comes back with these tasks, the first running."""
    farm.engines[number] = SimEngine()
    farm.engines[number].queue = [("a", Task(i, b"f", b"")) for i in ids]
    held = [("a", i) for i in ids]
    farm.feed(ev.EngineHere(number, held=held, world=str(number)))


def test_what_an_engine_has_is_not_given_again_whoever_comes_first():
    for client_first in (True, False):
        farm = Farm(restoring_until=10.0)
        if client_first:
            again(farm, 1, 2, 3)
            back(farm, 0, 1, 2)
        else:
            back(farm, 0, 1, 2)
            again(farm, 1, 2, 3)
        assert farm.gives == []
        farm.run(0, 2)
        farm.tick(10.0)
        farm.finish()
        assert farm.statuses([("a", i) for i in (1, 2, 3)]) == [DONE] * 3
        assert set(farm.ran.values()) == {1}


def test_an_outcome_may_come_before_its_task():
    farm = Farm(restoring_until=10.0)
    back(farm, 0)
    farm.feed(ev.Ended(0, "a", [Outcome(1, DONE, b"kept")]))
    again(farm, 1)
    assert farm.bodies["a", 1] == b"kept"
    farm.tick(10.0)
    assert farm.gives == []


def test_an_outcome_may_come_before_the_claim():
    farm = Farm(restoring_until=10.0)
    again(farm, 1)
    back(farm, 0)
    farm.feed(ev.Ended(0, "a", [Outcome(1, DONE, b"kept")]))
    assert farm.bodies["a", 1] == b"kept"


def test_new_tasks_need_not_wait():
    farm = Farm(restoring_until=10.0)
    back(farm, 0)
    farm.feed(ev.Submitted("a", [Task(1, b"f", b"")]))
    assert len(farm.gives) == 1


def test_an_engine_that_comes_too_late_gives_back_what_it_has_not_begun():
    farm = Farm(restoring_until=10.0)
    again(farm, 1, 2)
    farm.join(1)
    farm.tick(10.0)
    assert len(farm.gives) == 1
    back(farm, 0, 1, 2)
    assert [r.ids for r in farm.engines[0].recalls] == [(1,), (2,)]


def test_what_got_lost_on_the_way_to_an_engine_is_given_again():
    farm = Farm(engines=1)
    farm.submit(1)
    farm.run(0, took=1e-3)
    keys = farm.submit(3)
    farm.engines[0].queue = farm.engines[0].queue[:1]
    farm.feed(ev.EngineHere(0, held=[keys[0], ("a", 1)]))
    farm.finish()
    assert farm.statuses(keys) == [DONE] * 3
    assert set(farm.ran.values()) == {1}


def test_nobody_waits_once_all_engines_are_back():
    farm = Farm(restoring_until=10.0)
    again(farm, 1, 2)
    back(farm, 0, 1)
    assert farm.gives == []
    farm.feed(ev.Restored())
    farm.finish()
    assert farm.now < 1.0
    assert farm.statuses([("a", 1), ("a", 2)]) == [DONE] * 2
    assert set(farm.ran.values()) == {1}


def test_a_client_that_sleeps_finds_what_was_done_for_it():
    farm = Farm(restoring_until=10.0)
    back(farm, 0, 1, 2)
    farm.feed(ev.Restored())
    farm.run(0, 1)
    farm.tick(60.0)
    again(farm, 1, 2, 3)
    farm.finish()
    assert farm.statuses([("a", i) for i in (1, 2, 3)]) == [DONE] * 3
    assert set(farm.ran.values()) == {1}


def test_but_not_for_ever():
    farm = Farm(restoring_until=10.0)
    back(farm, 0, 1)
    farm.run(0)
    farm.tick(ABSENT + 11.0)
    assert farm.engines[0].unsettled == {}
    assert farm.core.restoring.found == {}


def test_what_waits_for_others_is_not_given_twice_either():
    farm = Farm(restoring_until=10.0)
    options = {1: TaskOptions()}
    needs = [Needs(2, after=Dependency((1,)))]
    tasks = [Task(1, b"f", b""), Task(2, b"f", b"", 1)]
    farm.feed(ev.Submitted("a", tasks, options, needs, resent=True))
    back(farm, 0)
    farm.feed(ev.Ended(0, "a", [Outcome(1, DONE)]))
    assert farm.gives == []  # engine 1 may have it
    back(farm, 1, 2)
    farm.feed(ev.Restored())
    farm.finish()
    assert farm.statuses([("a", 1), ("a", 2)]) == [DONE] * 2
    assert farm.ran == {("a", 2): 1}


def ranks_again(farm, ranks=2):
    task = Task(1, b"f", b"", 1)
    options = {1: TaskOptions(ranks=ranks)}
    farm.feed(ev.Submitted("a", [task], options, resent=True))


@pytest.mark.parametrize("client_first", [True, False])
def test_a_task_of_several_ranks_goes_on(client_first):
    farm = Farm(restoring_until=10.0)
    if client_first:
        ranks_again(farm)
    back(farm, 0, 1)
    farm.feed(ev.Ended(0, "a", [Outcome(1, DONE)]))
    back(farm, 1, 1)
    if not client_first:
        ranks_again(farm)
    farm.feed(ev.Restored())
    assert farm.ranks == []
    farm.run(1)
    assert farm.got["a", 1] == [DONE]
    assert farm.numbers


def test_ranks_that_do_not_come_back_are_lost_and_the_others_freed():
    farm = Farm(restoring_until=10.0)
    ranks_again(farm, 3)
    back(farm, 0, 1)
    back(farm, 1, 1)
    farm.tick(10.0)
    assert farm.ranks == []
    assert farm.got["a", 1] == []
    farm.tick(GRACE)
    (unstick,) = [a for a in farm.other if isinstance(a, ev.UnstickRanks)]
    assert unstick.engines == (0, 1)
    farm.run(0)
    farm.run(1)
    assert farm.got["a", 1] == [TaskStatus.LOST]


def test_a_rank_that_did_not_get_its_task_gets_it_again():
    farm = Farm()
    for number in range(2):
        farm.join(number, "w", 2)
    (key,) = farm.submit(1, ranks=2)
    farm.engines[1].queue.clear()
    farm.feed(ev.EngineHere(1, world="w", size=2))
    assert len(farm.ranks) == 2
    assert farm.ranks[1].again
    assert farm.ranks[1].tag == farm.ranks[0].tag
    farm.engines[0].queue = farm.engines[0].queue[:1]  # it drops doubles
    farm.finish()
    assert farm.got[key] == [DONE]

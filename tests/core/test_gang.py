"""Tasks of several ranks: who runs them, when, and what if one fails."""

from __future__ import annotations

from steer.core import taskevents as ev
from steer.core.gang import JOINING
from steer.wire.messages import TaskStatus

from .farm import Farm

DONE = TaskStatus.DONE


def world(size=4, hosts=1):
    farm = Farm()
    for number in range(size):
        farm.join(number, "w", size, host=f"h{number * hosts // size}")
    return farm


def test_ranks_of_one_world_run_it_together():
    farm = world()
    (key,) = farm.submit(1, ranks=3)
    assert farm.ranks[0].engines == (0, 1, 2)
    for engine in (2, 0):
        farm.run(engine)
        assert farm.got[key] == []
    farm.run(1)
    assert farm.got[key] == [DONE]


def test_one_host_is_preferred():
    farm = world(size=4, hosts=2)
    farm.submit(1)
    assert farm.where["a", 1] == 0
    farm.submit(1, ranks=2)
    assert farm.ranks[0].engines == (2, 3)
    farm.finish()
    farm.submit(1, ranks=3)
    assert len(farm.ranks[1].engines) == 3


def test_ranks_of_two_worlds_are_not_mixed():
    farm = Farm()
    for number in range(4):
        farm.join(number, f"w{number % 2}", 2)
    farm.submit(1, ranks=2)
    assert farm.ranks[0].engines in {(0, 2), (1, 3)}


def test_more_ranks_than_a_world_has_are_refused_at_once():
    farm = world()
    (key,) = farm.submit(1, ranks=5)
    assert farm.got[key] == [TaskStatus.IMPOSSIBLE]
    assert b"5 ranks" in farm.bodies[key]


def test_a_world_that_joins_is_waited_for():
    farm = Farm()
    (key,) = farm.submit(1, ranks=2)
    farm.join(0, "w", 2)
    farm.tick(5.0)
    assert farm.got[key] == []
    farm.join(1, "w", 2)
    farm.finish()
    assert farm.got[key] == [DONE]


def test_a_world_that_never_comes_is_not_waited_for():
    farm = Farm()
    (key,) = farm.submit(1, ranks=2)
    farm.join(0, "w", 2)
    farm.tick(60.0)
    assert farm.got[key] == [TaskStatus.IMPOSSIBLE]


def test_small_tasks_do_not_hold_it_up_for_ever():
    farm = world(size=2)
    farm.submit(100, function=b"small")
    (key,) = farm.submit(1, ranks=2)
    for _ in range(3):
        for engine in (0, 1):
            farm.give_back(engine)
            farm.run(engine, 1, took=0.5)
    assert len(farm.ranks) == 1
    farm.finish()
    assert farm.got[key] == [DONE]


def test_what_surely_ends_in_time_runs_before_it():
    farm = world(size=2)
    farm.submit(1, function=b"short")
    farm.run(0, 1, took=0.01)
    farm.submit(1, function=b"long")
    farm.run(1, 1, took=5.0)
    farm.submit(1, function=b"long")
    busy = farm.where["a", 3]
    (key,) = farm.submit(1, ranks=2)
    (short,) = farm.submit(1, function=b"short")
    (long,) = farm.submit(1, function=b"long")
    assert farm.where[short] == 1 - busy
    assert long not in farm.where
    farm.run(1 - busy)
    assert long not in farm.where
    farm.run(busy, 1, took=5.0)
    assert len(farm.ranks) == 1
    farm.finish()
    assert farm.statuses([key, long]) == [DONE, DONE]


def test_one_failure_frees_those_that_wait_for_it():
    farm = world(size=3)
    (key,) = farm.submit(1, ranks=3)
    farm.run(1, status=TaskStatus.RAISED)
    farm.tick(0.2)
    assert not [a for a in farm.other if isinstance(a, ev.UnstickRanks)]
    farm.tick(0.2)
    assert farm.other[-1] == ev.UnstickRanks((0, 2), *key)
    for engine in (0, 2):
        farm.run(engine, status=TaskStatus.RAISED)
    assert farm.got[key] == [TaskStatus.RAISED]
    farm.tick(60.0)
    assert not any(isinstance(a, ev.KillEngine) for a in farm.other)


def test_those_that_stay_stuck_are_killed_and_the_rest_goes_on():
    farm = world(size=3)
    (key,) = farm.submit(1, ranks=2)
    farm.run(0, status=TaskStatus.RAISED)
    farm.tick(60.0)
    assert [a.engine for a in farm.other if isinstance(a, ev.KillEngine)] == [1]
    farm.die(1)
    assert farm.got[key] == [TaskStatus.RAISED]
    (after,) = farm.submit(1, ranks=2)
    farm.finish()
    assert farm.got[after] == [DONE]


def test_a_dead_rank_ends_it_for_the_others_too():
    farm = world(size=2)
    (key,) = farm.submit(1, ranks=2)
    farm.die(0)
    farm.tick(0.5)
    assert farm.other[-1] == ev.UnstickRanks((1,), *key)
    farm.run(1, status=TaskStatus.RAISED)
    assert farm.got[key] == [TaskStatus.LOST]


def test_it_is_cancelled_while_it_waits_and_while_it_runs():
    farm = world(size=2)
    running, waiting = farm.submit(2, ranks=2)
    farm.cancel(waiting)
    assert farm.got[waiting] == [TaskStatus.CANCELLED]
    farm.cancel(running, running=True)
    interrupted = [a for a in farm.other if isinstance(a, ev.InterruptRun)]
    assert [a.engine for a in interrupted] == [0, 1]
    for engine in (0, 1):
        farm.run(engine, status=TaskStatus.RAISED)
    assert farm.got[running] == [TaskStatus.CANCELLED]


def test_tags_under_way_differ():
    farm = world(size=4)
    farm.submit(2, ranks=2)
    assert len({r.tag for r in farm.ranks}) == 2
    farm.finish()
    assert farm.core.gangs._tags == {}


def test_what_became_impossible_is_found_so_however_many_wait():
    """The world has lost ranks; tasks for all of them come one after the other."""
    farm = world(size=3)
    farm.die(2)
    first = farm.submit(1, ranks=3)
    farm.tick(5.0)
    second = farm.submit(1, ranks=3)
    farm.tick(JOINING)
    third = farm.submit(1, ranks=3)
    farm.tick(JOINING)
    farm.tick(JOINING)
    for key in (*first, *second, *third):
        assert farm.got[key] == [TaskStatus.IMPOSSIBLE]

"""Tasks that wait for tasks: what the hub gives to ranks with many of them waiting."""

from __future__ import annotations

from steer.core import taskevents as ev
from steer.core.depth import DEEP, SHALLOW
from steer.wire.messages import TaskStatus

from .farm import Farm

DONE = TaskStatus.DONE


def pile_up(farm: Farm, engine: int, height: int) -> None:
    """Let so many tasks of priority 0 wait on an engine, one on top of the other."""
    for _ in range(height):
        (key,) = farm.submit(1)
        farm.engines[engine].queue.clear()
        farm.feed(ev.Seceded(engine, *key))


def test_on_top_of_a_few_that_wait_any_task_runs():
    farm = Farm(engines=1)
    pile_up(farm, 0, SHALLOW - 1)

    (key,) = farm.submit(1)
    farm.run(0)

    assert farm.got[key] == [DONE]


def test_on_top_of_many_only_deeper_ones_run():
    farm = Farm(engines=1)
    pile_up(farm, 0, SHALLOW)

    (shallow,) = farm.submit(1)
    (deeper,) = farm.submit(1, priority=1)
    farm.run(0)

    assert farm.got[deeper] == [DONE]
    assert shallow not in farm.got
    farm.join(1)
    farm.run(1)
    assert farm.got[shallow] == [DONE]


def test_a_rank_that_may_not_run_it_keeps_no_other_from_it():
    farm = Farm(engines=2)
    for _ in range(SHALLOW):
        (key,) = farm.submit(1, targets="0")
        farm.engines[0].queue.clear()
        farm.feed(ev.Seceded(0, *key))

    keys = farm.submit(3)
    farm.finish()

    assert farm.statuses(keys) == [DONE] * 3
    assert {farm.where[key] for key in keys} == {1}


def test_when_one_goes_on_any_task_may_run_again():
    farm = Farm(engines=1)
    keys = []
    for _ in range(SHALLOW):
        keys += farm.submit(1)
        (top,) = farm.engines[0].queue
        farm.engines[0].queue.clear()
        farm.feed(ev.Seceded(0, *keys[-1]))
    (shallow,) = farm.submit(1)
    assert shallow not in farm.where

    farm.feed(ev.Rejoined(0, *keys[-1]))
    farm.engines[0].queue.append(top)
    farm.finish()

    assert farm.got[shallow] == [DONE]


def test_a_stack_has_an_end():
    farm = Farm(engines=1)
    for level in range(DEEP):
        (key,) = farm.submit(1, priority=level)
        farm.engines[0].queue.clear()
        farm.feed(ev.Seceded(0, *key))
    farm.gives.clear()

    farm.submit(1, priority=DEEP)

    assert farm.gives == []

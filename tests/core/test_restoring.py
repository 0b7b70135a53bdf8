"""A hub that was started anew runs nothing twice."""

from __future__ import annotations

from steer.core import taskevents as ev
from steer.wire.messages import Outcome, Task, TaskStatus

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

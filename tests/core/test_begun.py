"""Which tasks run, as their clients hear it."""

from __future__ import annotations

from steer.core import taskevents as ev
from steer.core.begun import MOMENT

from .farm import Farm


def begun(farm: Farm) -> list[int]:
    return [a.id for a in farm.other if isinstance(a, ev.TellBegun)]


def test_what_runs_for_a_moment_is_told_of():
    farm = Farm(engines=2)
    farm.submit(3)
    assert begun(farm) == []
    farm.tick(MOMENT)
    assert begun(farm) == [1, 2]
    farm.run(farm.where["a", 1], 1)
    farm.tick(MOMENT)
    assert begun(farm) == [1, 2, 3]


def test_what_ends_at_once_is_not():
    farm = Farm(engines=2)
    farm.submit(2)
    farm.finish()
    farm.tick(MOMENT)
    assert begun(farm) == []

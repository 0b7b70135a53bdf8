"""What waits for what at a stop."""

from __future__ import annotations

import pytest

from steer.core import roundevents as ev
from steer.core.cellorder import Deferred
from steer.core.roundevents import Asker
from steer.ranks import RankSet
from steer.wire.messages import Steer

from .stoppedrun import ALL, ATMOSPHERE, STEP, StoppedRun

OCEAN = RankSet([0, 1])


@pytest.fixture
def hub():
    return StoppedRun()


def run_cell(hub, id="c-1", ranks=range(2)):
    """A cell is sent; how to end it."""
    request = hub.cell(id, ranks=ranks)
    hub.look()

    def end():
        request.pending.clear()
        hub.look()

    return end


def defer(hub, id="q-1", ticket=5, verb="step"):
    hub.order.defer(Deferred("q", Steer(id, "sim", verb), "sim", "sim", ticket))


def ready(hub, **gated):
    waiting = {int(ticket[1:]): ranks for ticket, ranks in gated.items()}
    return [one.message.id for one in hub.order.ready(waiting)]


# -- cells


def test_cells_are_sent_when_all_their_ranks_hold(hub):
    assert not hub.order.may_run([0, 1], 0)
    hub.stop(STEP, 7)
    assert hub.order.may_run([0, 1], 0)
    assert not hub.order.may_run(ALL, 0)
    hub.stop(ATMOSPHERE, 9)
    assert hub.order.may_run(ALL, 0)
    hub.feed(ev.Step(Asker("q"), STEP))
    assert not hub.order.may_run([0], 0)


def test_ranks_without_a_program_take_all_at_once(hub):
    assert hub.order.may_run([8, 9], 0)


def test_ranks_that_hold_where_they_are_take_cells(hub):
    hub.feed(ev.Froze(STEP, RankSet([1]), 12, "u is nan"))
    assert hub.order.may_run([1], 0)
    assert not hub.order.may_run([0, 1], 0)
    hub.feed(ev.Stop(Asker("s"), ATMOSPHERE))
    hub.feed(ev.Here(Asker("h"), ATMOSPHERE))
    assert hub.order.may_run([2, 3], 0)


def test_nothing_is_sent_while_ranks_are_told_of_a_plan(hub):
    hub.stop(STEP, 7)
    hub.feed(ev.Plan(Asker("p"), STEP, "set", "dt=1"))
    number = hub.rounds.families[STEP].plans.handed.number
    assert not hub.order.may_run([0, 1], 0)
    hub.feed(ev.Has(STEP, number, OCEAN))
    assert not hub.order.may_run([0, 1], 0)
    hub.feed(ev.Voted(STEP, number, OCEAN, 7))
    assert hub.order.may_run([0, 1], 0)


def test_cells_wait_behind_what_waits(hub):
    hub.stop(STEP, 7)
    defer(hub, ticket=5)
    assert not hub.order.may_run([0, 1], 0)
    assert not hub.order.may_run([0, 1], 6)
    assert hub.order.may_run([0, 1], 4)


# -- what moves ranks


def test_it_waits_for_cells_that_run(hub):
    hub.stop(STEP, 7)
    assert not hub.order.keeps_waiting("sim")
    end = run_cell(hub)
    assert hub.order.keeps_waiting("sim") == OCEAN
    defer(hub)
    assert ready(hub) == []
    end()
    assert ready(hub) == ["q-1"]
    assert ready(hub) == []


def test_it_waits_behind_others_that_wait(hub):
    hub.stop(STEP, 7)
    defer(hub)
    assert hub.order.keeps_waiting("sim") == ALL


def test_it_waits_for_cells_that_came_before_it(hub):
    hub.stop(STEP, 7)
    defer(hub, "q-1", ticket=5)
    defer(hub, "q-2", ticket=9)
    assert ready(hub, t7=OCEAN) == ["q-1"]
    assert ready(hub, t7=RankSet([8])) == ["q-2"]


def test_what_is_asked_for_on_the_way_is_done_at_once(hub):
    hub.stop(STEP, 7)
    run_cell(hub)
    hub.feed(ev.Step(Asker("q"), STEP))
    assert not hub.order.keeps_waiting("sim")


def test_a_run_that_goes_on_waits_for_no_cell(hub):
    defer(hub, ticket=9)
    assert ready(hub, t7=OCEAN) == ["q-1"]


def test_a_cell_of_ranks_that_froze_does_not_keep_the_run_waiting(hub):
    hub.feed(ev.Froze(STEP, RankSet([1]), 12, "u is nan"))
    run_cell(hub, ranks=[1])
    assert not hub.order.keeps_waiting("sim")

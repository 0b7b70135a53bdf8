"""What a new hub makes of the orders of the one before it."""

from __future__ import annotations

import pytest

from steer.core import roundevents as ev
from steer.core.page import NOWHERE
from steer.core.refound import Found, Refound, Slot
from steer.core.roundevents import FREE, Asker, Kind
from steer.core.rounds import Rounds
from steer.ranks import RankSet

BOTH = RankSet([0, 1])


class Hub:
    """One that was just started, and ranks that come back."""

    def __init__(self):
        self.rounds = Rounds()
        self.refound = Refound(self.rounds)
        self.rounds.handle(ev.FamilyHere("sim", "sim/step", BOTH), 0.0)

    def back(self, rank, *slots, hold=FREE, epoch=7, last=5):
        one = RankSet([rank])
        found = Found("sim/step", one, epoch, hold, tuple(slots), last)
        return self.refound.found(found, 0.0)

    @property
    def plans(self):
        return self.rounds.families["sim/step"].plans

    def applied(self, plan, rank, point):
        event = ev.Applied("sim/step", plan, RankSet([rank]), point)
        return self.rounds.handle(event, 0.0)


@pytest.fixture
def hub():
    return Hub()


def test_numbers_go_on(hub):
    hub.back(0, last=5)
    hub.back(1, last=6, epoch=9)
    assert (hub.rounds.epoch, hub.rounds.plan) == (9, 6)


def test_ranks_that_were_held_are_stopped_again(hub):
    (arm,) = hub.back(0, hold=413)
    assert type(arm) is ev.Arm
    assert hub.back(1, hold=413) == []


def test_what_was_sure_on_some_is_made_sure_on_the_others(hub):
    assert hub.back(0, Slot(3, 500)) == []
    assert hub.back(1, Slot(3, NOWHERE)) == [
        ev.Confirm("sim/step", 3, RankSet([1]), 500)
    ]


def test_what_was_sure_on_none_is_taken_back(hub):
    hub.back(0, Slot(3, NOWHERE))
    assert hub.back(1, Slot(3, NOWHERE)) == [ev.Withdraw("sim/step", 3, BOTH)]
    assert hub.plans.plans == {}


def test_what_lies_ahead_is_awaited_from_those_that_have_yet_to_do_it(hub):
    hub.back(0)  # it was there already
    hub.back(1, Slot(3, 500))
    assert hub.plans.plans[3].ranks == RankSet([1])
    tells = [a for a in hub.applied(3, 1, 500) if isinstance(a, ev.Tell)]
    assert tells[0].kind is Kind.DONE
    assert hub.plans.plans == {}


@pytest.mark.parametrize("early", [True, False])
def test_ranks_say_what_it_was(hub, early):
    hub.back(0, Slot(3, 500, 10))
    if early:
        hub.refound.name(3, "code", "render()")
    hub.back(1, Slot(3, 500, 10))
    if not early:
        assert hub.plans.plans[3].event.text.startswith("what was planned before")
        hub.refound.name(3, "code", "render()")
    event = hub.plans.plans[3].event
    assert (event.verb, event.text, event.every) == ("code", "render()", 10)


def test_what_recurs_can_be_ended(hub):
    for rank in (0, 1):
        hub.back(rank, Slot(3, 500, 10))
    unplan = ev.Unplan(Asker("q"), "sim/step", 3)
    (prepare,) = hub.rounds.handle(unplan, 0.0)
    assert (type(prepare), prepare.ends, prepare.plan) == (ev.Prepare, 3, 6)

"""Numbers put together in the hub, and conditions that are met."""

from __future__ import annotations

import pytest

from steer.core import roundevents as ev
from steer.core.roundevents import Asker, Kind
from steer.core.rounds import Rounds
from steer.core.watched import Watched
from steer.errors import ProtocolError
from steer.ranks import RankSet
from steer.wire.frames import pack
from steer.wire.messages import Fired

FAMILY = "sim/step"


class Hub:
    """A run of two ranks with a watch: plan 1."""

    def __init__(self):
        self.rounds = Rounds()
        self.watched = Watched(self.rounds)
        self.all = RankSet(range(2))
        self.told = []
        self.feed(ev.RunHere("sim", self.all))
        self.feed(ev.FamilyHere("sim", FAMILY, self.all))
        self.plan(1)

    def feed(self, event):
        actions = self.rounds.handle(event, 0.0)
        self.told += [a for a in actions if isinstance(a, ev.Tell)]
        return actions

    def plan(self, number):
        self.feed(ev.Plan(Asker("p"), FAMILY, "watch", "u", b"", every=1))
        self.feed(ev.Has(FAMILY, number, self.all))
        self.feed(ev.Voted(FAMILY, number, self.all, 3))

    def fire(self, rank, point=12, **options):
        options = {"holds": False} | options
        message = Fired("sim", 1, point, "u is nan", **options)
        return self.watched.fired(rank, message)

    def stop(self):
        """The news of a stop."""
        self.feed(ev.Stop(Asker("s"), FAMILY))
        epoch = self.rounds.epoch
        self.feed(ev.Next(FAMILY, epoch, self.all, 13))
        self.feed(ev.Held(FAMILY, epoch, self.all, 13))
        return self.told[-1]


@pytest.fixture
def hub():
    return Hub()


def rows(*points):
    return pack([(point, 1.0, 2.0, 3.0) for point in points])


def test_numbers_of_all_ranks_are_put_together(hub):
    assert hub.watched.sample(0, 1, rows(3, 4)) == []
    found = hub.watched.sample(1, 1, rows(3))
    assert [(w.point, w.low, w.high) for w in found] == [(3, 1.0, 3.0)]
    assert [w.point for w in hub.watched.lose(RankSet([1]))[1]] == [4]


def test_numbers_of_no_watch_are_dropped(hub):
    assert hub.watched.sample(0, 99, rows(3)) == []


def test_what_is_no_bundle_is_refused(hub):
    with pytest.raises(ProtocolError, match="bundle"):
        hub.watched.sample(0, 1, b"\xc1")


def test_the_first_rank_that_says_it_counts(hub):
    (froze,) = hub.fire(1)
    assert froze == ev.Froze(FAMILY, RankSet([1]), 12, "u is nan", hold=False)
    assert hub.fire(0) == []
    assert hub.fire(0, point=20) != []


def test_what_is_looked_for_once_is_taken_back(hub):
    froze, unplan = hub.fire(1, once=True)
    assert isinstance(froze, ev.Froze)
    assert (unplan.family, unplan.plan) == (FAMILY, 1)
    assert hub.fire(0, point=20, once=True) == []


def test_ranks_that_hold_by_themselves_need_no_stop(hub):
    assert hub.fire(1, holds=True) == []


def until(hub, answers=("q",)):
    """A user wants to wait for the condition of plan 1: the news that it is planned."""
    ask = ev.Plan(Asker("q", "me"), "sim", "watch", "u is nan", b"", every=1)
    planned = hub.watched.until(ask.asker, FAMILY, ask)
    news = ev.Tell(FAMILY, Kind.PLANNED, "", answers, 3, hub.all, {"plan": 1})
    return planned, *hub.watched.planned(news)


def test_who_waits_has_the_stop_that_follows(hub):
    planned, told, events = until(hub)
    assert (planned.family, planned.ahead) == (FAMILY, 0)
    assert told.answers == ()
    assert events == []
    assert hub.watched.answered(hub.stop()) == ()
    hub.feed(ev.Go(Asker("g"), FAMILY))
    hub.fire(1)
    assert hub.watched.answered(hub.stop()) == ("q",)
    assert hub.watched.answered(hub.stop()) == ()


def test_a_run_that_is_stopped_goes_on_until_then(hub):
    hub.stop()
    planned, _, events = until(hub)
    assert planned.ahead == 1
    assert events == [ev.Go(Asker("", "me"), FAMILY)]


def test_a_stop_that_was_on_its_way_is_not_the_one(hub):
    hub.feed(ev.Stop(Asker("s"), FAMILY))
    _, _, events = until(hub)
    assert events == []
    told = hub.stop()
    assert hub.watched.answered(told) == ()
    assert hub.watched.resumed(told) == [ev.Go(Asker("", "me"), FAMILY)]
    assert hub.watched.resumed(told) == []
    hub.feed(ev.Go(Asker("", "me"), FAMILY))
    hub.fire(1)
    assert hub.watched.answered(hub.stop()) == ("q",)


def test_a_stop_that_others_want_later_is_left_to_them(hub):
    until(hub)
    assert hub.watched.resumed(hub.stop()) == []


def test_what_steps_follow_are_made_before(hub):
    hub.stop()
    hub.feed(ev.Step(Asker("a"), FAMILY))
    until(hub)
    hub.feed(ev.Step(Asker("b"), FAMILY))
    hub.feed(ev.Held(FAMILY, hub.rounds.epoch, hub.all, 14))
    first = [tell for tell in hub.told if tell.kind is Kind.STOPPED][-1]
    assert hub.watched.resumed(first) == []  # it is on its way to 15
    hub.feed(ev.Held(FAMILY, hub.rounds.epoch, hub.all, 15))
    second = [tell for tell in hub.told if tell.kind is Kind.STOPPED][-1]
    assert hub.watched.resumed(second) != []


def test_other_plans_are_answered_as_always(hub):
    ask = ev.Plan(Asker("q"), "sim", "watch", "u", b"", every=1)
    hub.watched.until(ask.asker, FAMILY, ask)
    news = ev.Tell(FAMILY, Kind.PLANNED, "", ("other",), 3, hub.all, {"plan": 1})
    assert hub.watched.planned(news) == (news, [])
    refused = ev.Tell(FAMILY, Kind.REFUSED, "no", ("q",))
    assert hub.watched.planned(refused) == (refused, [])
    hub.fire(1)
    assert hub.watched.answered(hub.stop()) == ()


def test_who_waits_hears_that_the_watch_is_over(hub):
    until(hub)
    hub.feed(ev.Unplan(Asker("u"), FAMILY, 1))
    hub.feed(ev.Voted(FAMILY, 2, hub.all, 30))
    assert hub.told[-1].kind is Kind.PLANNED
    assert hub.watched.answered(hub.told[-1]) == ("q",)


def test_who_waits_hears_that_the_run_is_over(hub):
    until(hub)
    hub.feed(ev.Finished("sim", hub.all))
    over = next(tell for tell in hub.told if tell.kind is Kind.OVER)
    assert hub.watched.answered(over) == ("q",)

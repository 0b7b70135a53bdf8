"""What is told of ranks that keep a round waiting."""

from __future__ import annotations

import pytest

from steer.core import roundevents as rv
from steer.core.page import Family, Head, State
from steer.core.roundevents import Place
from steer.node.sighting import SILENT_AFTER, Sighting
from steer.ranks import RankSet
from steer.wire.messages import Looked

from .test_fencing import BASE, Host

ONE = RankSet([1])


class Seeing:
    """A host whose ranks are asked."""

    def __init__(self):
        self.host = Host()
        self.host.do(rv.Adopt("sim/step", RankSet([0, 1])))
        self.told, self.asked, self.timers = [], [], []
        self.sighting = Sighting(
            self.host.fencing, self.told.append,
            lambda rank, question: self.asked.append((rank, question.number)),
            lambda seconds, job: self.timers.append((seconds, job)),
            lambda rank: 0, clock=lambda: self.host.now,
        )  # fmt: skip

    def look(self, rank=1):
        self.told.clear()
        self.sighting.look(rv.Look("sim/step", RankSet([rank])))

    @property
    def sight(self):
        (seen,) = self.told
        assert seen.family == "sim/step"
        return seen.sight


@pytest.fixture
def seeing():
    return Seeing()


def test_a_rank_that_holds_says_so_on_its_page(seeing):
    seeing.host.at(1, 9)
    seeing.look()
    assert (seeing.sight.place, seeing.sight.point) == (Place.HELD, 9)
    assert seeing.asked == []


def test_so_do_those_that_have_ended_or_failed(seeing):
    words = seeing.host.pages[1].words
    words[Head.FIN] = 1
    seeing.look()
    assert seeing.sight.place is Place.FINISHED
    words[Head.FIN], words[Head.STATE] = 0, State.POST_MORTEM
    seeing.look()
    assert seeing.sight.place is Place.FAILED


def test_others_are_asked(seeing):
    seeing.host.at(1, 9, held=False)
    seeing.look()
    ((rank, number),) = seeing.asked
    assert rank == 1
    seeing.sighting.looked(
        1, Looked(number, True, "Recv(source=0)", "halo.py:61", "0")
    )  # fmt: skip
    sight = seeing.sight
    assert (sight.place, sight.point, sight.waits_for) == (
        Place.BLOCKED, 9, RankSet([0]),
    )  # fmt: skip
    assert (sight.text, sight.where) == ("Recv(source=0)", "halo.py:61")


def test_a_late_answer_and_one_of_another_rank_do_not_count(seeing):
    seeing.look()
    ((_, number),) = seeing.asked
    seeing.sighting.looked(0, Looked(number))
    assert seeing.told == []
    seeing.look()
    (_, (_, number)) = seeing.asked
    seeing.timers[-1][1]()
    assert seeing.sight.place is Place.NATIVE
    seeing.sighting.looked(1, Looked(number))
    assert len(seeing.told) == 1


def test_silence_means_that_it_holds_the_gil(seeing):
    seeing.look()
    ((seconds, silent),) = seeing.timers
    assert seconds == SILENT_AFTER
    silent()
    assert seeing.sight.place is Place.NATIVE


def test_for_how_long_it_has_not_come_to_a_point(seeing):
    def age_at(now):
        seeing.host.now = now
        seeing.look()
        _, number = seeing.asked[-1]
        seeing.sighting.looked(1, Looked(number))
        return seeing.sight.age

    seeing.host.at(1, 9, held=False)
    assert age_at(1.0) == 0.0
    assert age_at(3.5) == 2.5
    seeing.host.pages[1].words[BASE + Family.C] = 10
    assert age_at(4.0) == 0.0


def test_a_rank_whose_page_is_elsewhere_says_it_itself(seeing):
    seeing.host.fencing.drop(1)
    seeing.look()
    _, number = seeing.asked[-1]
    seeing.sighting.looked(1, Looked(number, point=12, held=True))
    assert (seeing.sight.place, seeing.sight.point) == (Place.HELD, 12)


def test_a_rank_that_is_gone_is_waited_for_no_more(seeing):
    seeing.look()
    seeing.sighting.gone(1)
    seeing.timers[-1][1]()
    assert seeing.told == []

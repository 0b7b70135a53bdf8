"""The controllers of a host, on pages that are lists: what they do, and say."""

from __future__ import annotations

import pytest

from steer.core import page
from steer.core import roundevents as rv
from steer.core.page import NOWHERE, Family, Head, Text
from steer.core.refound import Found
from steer.core.roundevents import FREE
from steer.node.fencing import Fencing
from steer.ranks import RankSet

BASE = page.family_base(0)


class Mapped:
    """A page that is no shared memory."""

    def __init__(self):
        self.words = [0] * page.WORDS

    def close(self):
        pass


class Host:
    """Some ranks, their controllers, and what these said."""

    def __init__(self, ranks=2, families=True):
        self.told, self.woken = [], []
        self.now = 0.0
        self.fencing = Fencing(
            self.told.append, lambda ranks: self.woken.append(sorted(ranks)),
            clock=lambda: self.now, barrier=lambda: None,
        )  # fmt: skip
        self.pages = [Mapped() for _ in range(ranks)]
        for rank, mapped in enumerate(self.pages):
            page.begin(mapped.words, 1, 1, rank, ranks, "sim")
            self.fencing.attach(rank, mapped, "sim")
            if families:
                self.born(rank)

    def born(self, rank):
        page.add_family(self.pages[rank].words, "step", False)

    def do(self, action):
        self.fencing.do(action, action.ranks)
        told = self.told[:]
        self.told.clear()
        return told

    def look(self, rank):
        self.fencing.look_at(rank)
        told = self.told[:]
        self.told.clear()
        return told

    def at(self, rank, point, held=True):
        words = self.pages[rank].words
        words[BASE + Family.C] = point
        words[BASE + Family.AT] = point if held else NOWHERE

    def fence(self, rank):
        return self.pages[rank].words[BASE + Family.FENCE]


ALL = RankSet([0, 1])


@pytest.fixture
def host():
    host = Host()
    host.do(rv.Adopt("sim/step", ALL))
    return host


def test_a_new_family_is_let_go():
    host = Host()
    assert host.fence(0) == 0
    assert host.do(rv.Adopt("sim/step", RankSet([0]))) == []
    assert host.fence(0) == FREE
    assert host.fence(1) == 0


def test_arming_says_the_next_points_of_all_at_once(host):
    host.at(0, 5, held=False)
    host.at(1, 7)
    (next_,) = host.do(rv.Arm("sim/step", 3, ALL))
    assert (next_.ranks, next_.low, next_.point) == (ALL, 6, 7)
    assert host.fence(0) == 6
    assert host.fence(1) == 7
    assert host.woken == [[1]]


def test_ranks_that_hold_at_the_target_are_told_of_at_once(host):
    host.at(0, 6)
    host.at(1, 7)
    page.write_text(host.pages[1].words, *Text.SITE.value, "sim.py:3")
    host.do(rv.Arm("sim/step", 3, ALL))
    (held,) = host.do(rv.Commit("sim/step", 3, ALL, 7))
    assert (held.ranks, held.point, held.site) == (RankSet([1]), 7, "sim.py:3")
    host.at(0, 7)
    (held,) = host.look(0)
    assert held.ranks == RankSet([0])
    assert host.look(0) == []


def test_a_rank_with_other_words_about_it_is_told_of_by_itself(host):
    for rank in range(2):
        host.at(rank, 7)
        text = f"sim.py:{rank}"
        page.write_text(host.pages[rank].words, *Text.SITE.value, text)
    host.do(rv.Arm("sim/step", 3, ALL))
    held = host.do(rv.Commit("sim/step", 3, ALL, 7))
    assert {each.site: each.ranks for each in held} == {
        "sim.py:0": RankSet([0]), "sim.py:1": RankSet([1]),
    }  # fmt: skip


def test_an_order_waits_for_the_first_point():
    host = Host(families=False)
    host.born(0)
    host.do(rv.Adopt("sim/step", RankSet([0])))
    (next_,) = host.do(rv.Arm("sim/step", 3, ALL))
    assert next_.ranks == RankSet([0])
    host.born(1)
    host.at(1, 1)
    (next_,) = host.do(rv.Adopt("sim/step", RankSet([1])))
    assert (next_.ranks, next_.point) == (RankSet([1]), 1)
    assert host.fence(1) == 1


def test_an_order_that_was_taken_back_is_not_carried_out_later():
    host = Host(families=False)
    host.born(0)
    host.do(rv.Arm("sim/step", 3, ALL))
    host.do(rv.Release("sim/step", 3, ALL))
    host.born(1)
    assert host.do(rv.Adopt("sim/step", RankSet([1]))) == []
    assert host.fence(1) == FREE


def test_an_order_waits_for_a_rank_that_is_not_back_yet(host):
    everybody = RankSet(range(3))
    (next_,) = host.do(rv.Arm("sim/step", 3, everybody))
    assert next_.ranks == ALL
    mapped = Mapped()
    page.begin(mapped.words, 1, 1, 2, 3, "sim")
    page.add_family(mapped.words, "step", False)
    host.fencing.attach(2, mapped, "sim")
    (next_,) = host.do(rv.Adopt("sim/step", RankSet([2])))
    assert next_.ranks == RankSet([2])


def test_orders_that_wait_can_be_handed_to_another_controller(host):
    host.do(rv.Arm("sim/step", 3, RankSet([9])))
    assert host.fencing.put_off(9) == [rv.Arm("sim/step", 3, RankSet([9]))]
    assert host.fencing.put_off(9) == []


def test_a_rank_that_has_ended_answers_for_a_family_it_never_had():
    host = Host(families=False)
    host.born(0)
    host.pages[1].words[Head.FIN] = 1
    told = host.do(rv.Arm("sim/step", 3, ALL))
    assert RankSet([1]) in [event.finished for event in told]
    (voted,) = host.do(rv.Prepare("sim/step", 4, RankSet([1]), 9))
    assert voted.finished == RankSet([1])


def test_an_end_is_seen_on_the_page(host):
    host.pages[0].words[Head.FIN] = 1
    assert rv.Finished("sim", RankSet([0])) in host.look(0)


def test_votes_and_plans(host):
    host.at(0, 5, held=False)
    host.at(1, 20, held=False)
    voted = host.do(rv.Prepare("sim/step", 4, ALL, 9))
    assert {v.point: v.ranks for v in voted} == {
        9: RankSet([0]), 21: RankSet([1]),
    }  # fmt: skip
    assert host.fencing.active
    host.do(rv.Confirm("sim/step", 4, ALL, 21))
    assert host.fence(0) == 21
    host.do(rv.Withdraw("sim/step", 4, ALL))
    assert host.fence(0) == FREE


def test_a_rank_that_holds_by_itself(host):
    words = host.pages[0].words
    page.write_text(words, *Text.SAYS.value, "u is nan")
    host.at(0, 12)
    words[BASE + Family.FROZEN] = 1
    (froze,) = host.look(0)
    assert (froze.point, froze.why, froze.hold) == (12, "u is nan", True)
    host.do(rv.Thaw("sim/step", RankSet([0])))
    assert words[BASE + Family.THAWED] == 1
    assert host.woken[-1] == [0]


def test_another_hubs_orders_are_found():
    host = Host()
    first = Fencing(lambda event: None, lambda ranks: None, barrier=lambda: None)
    first.attach(0, host.pages[0], "sim")
    one = RankSet([0])
    first.do(rv.Adopt("sim/step", one), one)
    first.do(rv.Arm("sim/step", 77, one), one)
    first.do(rv.Commit("sim/step", 77, one, 9), one)
    first.do(rv.Prepare("sim/step", 5, one, 30, 10), one)
    (found,) = host.do(rv.Adopt("sim/step", one))
    assert isinstance(found, Found)
    assert (found.epoch, found.hold) == (77, 9)
    ((number, sure, every),) = [(s.number, s.sure, s.every) for s in found.plans]
    assert (number, sure, every) == (5, NOWHERE, 10)
    assert host.fence(0) == 9  # nothing is moved before the core has decided
    assert host.do(rv.Adopt("sim/step", one)) == []  # it was said


def test_nothing_is_under_way_when_all_is_done(host):
    host.at(0, 7)
    host.at(1, 7)
    host.do(rv.Arm("sim/step", 3, ALL))
    host.do(rv.Commit("sim/step", 3, ALL, 7))
    assert host.fencing.active
    host.fencing.look_all()
    host.fencing.look_all()
    assert not host.fencing.active


def test_a_hold_that_nobody_made_sure_expires(host):
    host.at(0, 7)
    host.at(1, 6, held=False)
    host.do(rv.Arm("sim/step", 3, ALL))
    host.fencing.expire(0.25)
    host.now = 0.2
    host.fencing.expire(0.25)
    assert host.told == []
    host.now = 0.3
    host.fencing.expire(0.25)
    assert host.told == [rv.Withdrew("sim/step", 3, RankSet([0]))]
    assert host.fence(0) == FREE
    assert host.fence(1) == 7


def test_a_hold_that_was_made_sure_does_not_expire(host):
    host.at(0, 7)
    host.do(rv.Arm("sim/step", 3, ALL))
    host.do(rv.Commit("sim/step", 3, ALL, 7))
    host.fencing.expire(0.25)
    host.now = 9.0
    host.fencing.expire(0.25)
    assert host.told == []


def test_positions_and_rates(host):
    host.at(0, 0, held=False)
    host.fencing.positions("sim")
    host.now = 2.0
    host.at(0, 50, held=False)
    host.at(1, 40, held=False)
    host.told.clear()
    host.fencing.positions("sim")
    (position,) = host.told
    assert (position.family, position.high, position.rate) == ("sim/step", 50, 25.0)
    host.told.clear()
    host.fencing.positions("other")
    assert host.told == []


def test_a_rank_that_is_gone_is_forgotten(host):
    host.fencing.drop(1)
    assert not host.fencing.has(1)
    (next_,) = host.do(rv.Arm("sim/step", 3, RankSet([0])))
    assert next_.ranks == RankSet([0])
    assert host.look(1) == []

"""Why a round waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steer.core.roundevents import Place, Sight
from steer.core.watchdog import judge
from steer.ranks import RankSet


def ranks(text):
    return RankSet.parse(text)


def blocked(waits_for, any_=False, text="Recv"):
    return Sight(Place.BLOCKED, 4, 1.0, text, "a.py:3", ranks(waits_for), any_)


RUNS = Sight(Place.RUNNING, 4, 5.0, "", "a.py:9")


def test_equal_ranks_are_one_group():
    verdict = judge(5, ranks("0"), {1: RUNS, 2: RUNS, 3: RUNS})
    assert verdict.text == (
        "Waiting for ranks 1-3 to come to point 5: "
        "ranks 1-3 at point 4, computes at a.py:9 (it came there seconds ago)."
    )
    assert not verdict.on_held


def test_waiting_for_one_that_computes_is_no_reason_to_worry():
    verdict = judge(5, ranks("0"), {1: blocked("2"), 2: RUNS})
    assert not verdict.on_held
    assert "--advance" not in verdict.text


def test_waiting_for_a_held_rank_over_others():
    verdict = judge(5, ranks("0"), {1: blocked("0"), 2: blocked("1"), 3: RUNS})
    assert verdict.on_held == ranks("1-2")
    assert "Ranks 1-2 will not come there while others are held" in verdict.text


def test_one_of_many_is_enough_for_a_receive_from_any():
    sights = {1: blocked("0,2", any_=True), 2: RUNS}
    assert not judge(5, ranks("0"), sights).on_held
    sights[2] = blocked("0")
    assert judge(5, ranks("0"), sights).on_held == ranks("1-2")


def test_all_are_needed_for_a_collective():
    verdict = judge(5, ranks("0"), {1: blocked("0,2", text="Allreduce"), 2: RUNS})
    assert verdict.on_held == ranks("1")


def test_waiting_for_the_dead():
    verdict = judge(5, ranks("0"), {1: blocked("3")}, lost=ranks("3"))
    assert verdict.on_lost == ranks("1")
    assert "Rank 1 can only wait: rank 3 will not answer any more." in verdict.text


def test_before_there_is_a_target_held_ranks_are_shown():
    held = Sight(Place.HELD, 4)
    assert "rank 1 held at point 4" in judge(0, ranks(""), {1: held, 0: RUNS}).text


def test_each_place_has_its_words():
    for place in Place:
        text = judge(0, ranks(""), {0: Sight(place, 3, 0.1, "was killed")}).text
        assert text.startswith("Waiting for rank 0 to come to a point: rank 0 ")


def test_many_groups_are_cut_short():
    sights = {n: Sight(Place.RUNNING, n) for n in range(50)}
    assert judge(99, ranks(""), sights).text.endswith("46 more groups of ranks.")


SIGHTS = st.builds(
    Sight,
    st.sampled_from(list(Place)),
    waits_for=st.builds(RankSet, st.lists(st.integers(0, 5), max_size=3)),
    any_will_do=st.booleans(),
)


@given(st.dictionaries(st.integers(1, 5), SIGHTS, min_size=1))
def test_whoever_can_still_come_is_not_given_up(sights):
    verdict = judge(3, ranks("0"), sights)
    for rank in verdict.on_held | verdict.on_lost:
        assert sights[rank].place is Place.BLOCKED
    assert not verdict.on_held & verdict.on_lost

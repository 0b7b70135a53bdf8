"""Numbers of ranks: thinned out alike, put together by points."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from steer.core.samples import BUNDLE, WAITING, Merged, Row, Thinned
from steer.ranks import RankSet


def row(point, value=None):
    value = float(point) if value is None else value
    return Row(point, value, value, value)


def bundle(points, thinned=None):
    thinned = thinned or Thinned()
    for point in points:
        thinned.add(row(point))
    return [r.point for r in thinned.take()]


def test_few_numbers_are_all_sent_and_many_are_thinned_out():
    assert bundle(range(5, 15)) == list(range(5, 15))
    sent = bundle(range(1000))
    assert len(sent) <= BUNDLE + 2
    assert sent[-1] == 999
    gaps = {b - a for a, b in itertools.pairwise(sent[:-1])}
    assert gaps == {64}


def test_after_a_bundle_nothing_is_left():
    thinned = Thinned()
    assert bundle(range(100), thinned)
    assert thinned.take() == []
    assert bundle([100], thinned) == [100]


@pytest.mark.parametrize("seed", range(30))
def test_ranks_that_send_at_different_times_have_points_in_common(seed):
    ranks, points, chance = 3, 400, random.Random(seed)
    merged = Merged(RankSet(range(ranks)))
    thinned = [Thinned() for _ in range(ranks)]
    found = []
    for point in range(points):
        for rank in range(ranks):
            thinned[rank].add(row(point, point + rank))
            if chance.randrange(1 + seed * 2) == 0:
                found += merged.add(rank, thinned[rank].take())
    for rank in range(ranks):
        found += merged.add(rank, thinned[rank].take())
    got = [w.point for w in found]
    assert got == sorted(set(got))
    assert got[-1] == points - 1
    assert len(got) >= points // 64
    if seed == 0:
        assert got == list(range(points))
    for w in found:
        assert (w.low, w.median, w.high) == (w.point, w.point + 1, w.point + 2)
        assert (w.low_rank, w.high_rank) == (0, 2)


def test_arrays_have_their_own_least_and_most():
    merged = Merged(RankSet([4, 7]))
    assert merged.add(4, [Row(1, -1.0, 0.5, 2.0)]) == []
    (w,) = merged.add(7, [Row(1, 0.0, 1.5, 9.0)])
    assert w == (1, -1.0, 1.0, 9.0, 4, 7)


def test_what_is_not_a_number_is_seen():
    merged = Merged(RankSet(range(3)))
    merged.add(0, [row(1)])
    merged.add(1, [Row(1, math.nan, math.nan, math.nan)])
    (w,) = merged.add(2, [row(1, 5.0)])
    assert (w.low, w.median, w.low_rank, w.high_rank) == (1.0, 3.0, 0, 1)
    assert math.isnan(w.high)


def test_nothing_is_a_number_anywhere():
    merged = Merged(RankSet([0]))
    (w,) = merged.add(0, [row(1, math.nan)])
    assert math.isnan(w.low)
    assert math.isnan(w.median)
    assert math.isnan(w.high)


def test_a_lost_rank_is_not_waited_for():
    merged = Merged(RankSet(range(3)))
    merged.add(0, [row(1), row(2)])
    merged.add(2, [row(1), row(2)])
    assert [w.point for w in merged.lose(RankSet([1]))] == [1, 2]
    assert merged.add(1, [row(3)]) == []
    assert merged.lose(RankSet([0, 2])) == []


def test_a_rank_that_says_nothing_does_not_fill_the_memory():
    merged = Merged(RankSet(range(2)))
    for point in range(2 * WAITING):
        merged.add(0, [row(point)])
    assert len(merged._waiting) <= WAITING
    found = merged.add(1, [row(2 * WAITING - 1)])
    assert [w.point for w in found] == [2 * WAITING - 1]

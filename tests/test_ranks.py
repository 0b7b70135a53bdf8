"""Rank sets behave like sets of integers and print the shortest way."""

from __future__ import annotations

import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.ranks import LIMIT, RankSet, describe

sets = st.sets(st.integers(0, 300), max_size=60)


@given(sets)
def test_is_read_as_it_was_written(ranks: set[int]) -> None:
    there = RankSet(ranks)
    assert RankSet.parse(str(there)) == there
    assert list(there) == sorted(ranks)
    assert RankSet.from_mask(there.mask) == there == RankSet(there)
    assert hash(RankSet.parse(str(there))) == hash(there)
    assert pickle.loads(pickle.dumps(there)) == there


@given(sets, sets)
def test_algebra_is_that_of_sets(a: set[int], b: set[int]) -> None:
    x, y = RankSet(a), RankSet(b)
    assert set(x | y) == a | b
    assert set(x & y) == a & b
    assert set(x - y) == a - b
    assert (x <= y) == (a <= b)
    assert (x == y) == (a == b)
    assert len(x) == len(a)
    assert bool(x) == bool(a)
    if a:
        assert (x.min(), x.max()) == (min(a), max(a))
    assert all((rank in x) == (rank in a) for rank in range(-1, 302))


@given(st.text(alphabet="0123456789-,+ x٣", max_size=12))
def test_any_text_is_a_set_or_a_sentence(text: str) -> None:
    try:
        ranks = RankSet.parse(text)
    except ValueError as error:
        assert str(error).endswith(".")
    else:
        assert RankSet.parse(str(ranks)) == ranks


@pytest.mark.parametrize(
    ("ranks", "text"),
    [([], ""), ([3], "3"), ([0, 1], "0-1"), ([*range(64), 65], "0-63,65")],
)
def test_text(ranks: list[int], text: str) -> None:
    assert str(RankSet(ranks)) == text
    assert RankSet.parse(text) == RankSet(ranks)


@pytest.mark.parametrize(
    "text",
    ["-", ",", "1,", "3-1", "-1", "1--2", " 1", "1 ", "a", "1-2-3", "٣", f"0-{LIMIT}"],
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        RankSet.parse(text)


def test_refuses_numbers_that_are_no_ranks() -> None:
    for ranks in ([-1], [LIMIT], [0, -5]):
        with pytest.raises(ValueError, match="A rank is"):
            RankSet(ranks)
    for mask in (-1, 1 << LIMIT):
        with pytest.raises(ValueError, match="mask"):
            RankSet.from_mask(mask)
    with pytest.raises(ValueError, match="empty"):
        RankSet().min()
    with pytest.raises(ValueError, match="empty"):
        RankSet().max()


def test_is_not_a_set_of_another_type() -> None:
    assert RankSet([1]) != {1}
    with pytest.raises(TypeError):
        RankSet([1]) | {1}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("ranks", "words"),
    [([], "no rank"), ([3], "rank 3"), ([0, 1, 2, 5], "ranks 0-2,5")],
)
def test_describe(ranks: list[int], words: str) -> None:
    assert describe(ranks) == words
    assert describe(RankSet(ranks)) == words


def test_time_grows_with_the_ranks_not_with_their_square() -> None:
    started = time.perf_counter()
    every_other = RankSet(range(0, 400_000, 2))
    assert RankSet.parse(str(every_other)) == every_other
    assert len(list(every_other)) == 200_000
    assert time.perf_counter() - started < 5  # squared: minutes

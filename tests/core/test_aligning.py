"""Lines that correspond stand in one row; every line in exactly one, in its order."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st

from steer.core.aligning import MOST, align, by_position


def rows(said: dict[int, str]) -> list[dict[int, str]]:
    blocks = align({rank: text.split() for rank, text in said.items()})
    assert blocks is not None
    return [{r: " ".join(lines) for r, lines in block.items()} for block in blocks]


def test_equal_lines_are_one_block():
    assert rows({0: "a b", 1: "a b"}) == [{0: "a b", 1: "a b"}]


def test_a_line_more():
    assert rows({0: "r a b", 1: "a b", 2: "a b"}) == [
        {0: "r"},
        {0: "a b", 1: "a b", 2: "a b"},
    ]
    assert rows({0: "a r b", 1: "a b"}) == [
        {0: "a", 1: "a"},
        {0: "r"},
        {0: "b", 1: "b"},
    ]
    assert rows({0: "a b", 1: "a b c"}) == [{0: "a b", 1: "a b"}, {1: "c"}]


def test_what_stands_in_the_place_of_another_line():
    assert rows({0: "a x b", 1: "a y b"}) == [{0: "a x b", 1: "a y b"}]


def test_lines_that_differ_in_numbers_follow_each_other():
    assert rows({0: "n1 n5 e1", 1: "r n7 n2 e2"}) == [
        {1: "r"},
        {0: "n1 n5 e1", 1: "n7 n2 e2"},
    ]


def test_a_counter_that_lost_a_step_is_found_again():
    whole = [f"s{i}" for i in range(9)]
    assert rows({0: " ".join(whole), 1: " ".join(whole[:3] + whole[4:])}) == [
        {0: "s0 s1 s2", 1: "s0 s1 s2"},
        {0: "s3"},
        {0: "s4 s5 s6 s7 s8", 1: "s4 s5 s6 s7 s8"},
    ]


def test_numbers_that_agree_by_chance_change_nothing():
    assert rows({0: "i9 i4 i7 i5", 1: "i5 i8 i3 i6"}) == [
        {0: "i9 i4 i7 i5", 1: "i5 i8 i3 i6"}
    ]


def test_too_many_different_ones_do_not_correspond():
    letters = "abcdefghijklmnopqrstuvwxyz"[: MOST + 1]
    said = {rank: [letter] * (1 + rank % 2) for rank, letter in enumerate(letters)}
    assert align(said) is None
    same = {rank: [letter] for rank, letter in enumerate(letters)}
    assert align(same) == [same]


LINES = st.lists(st.sampled_from(["a", "b", "c1", "c2", "d", ""]), max_size=8)
SAID = st.dictionaries(st.integers(0, 6), LINES, min_size=1)


@hypothesis.given(SAID)
def test_every_line_once_in_its_order(said: dict[int, list[str]]):
    for blocks in (align(said), by_position(said)):
        assert blocks is not None
        found: dict[int, list[str]] = {rank: [] for rank in said}
        for block in blocks:
            assert len({len(lines) for lines in block.values()}) == 1
            for rank, lines in block.items():
                assert lines
                found[rank] += lines
        assert found == said


@hypothesis.given(SAID)
def test_ranks_that_say_the_same_are_never_apart(said: dict[int, list[str]]):
    twins = {**said, 7: said[min(said)]}
    blocks = align(twins)
    assert blocks is not None
    for block in blocks:
        assert (7 in block) == (min(said) in block)


def test_long_ones_are_no_work():
    said = {r: [f"{'x' * (i % 5)} {i}" for i in range(r, 10_000)] for r in range(4)}
    blocks = align(said)
    assert blocks is not None
    assert len(blocks) <= 8

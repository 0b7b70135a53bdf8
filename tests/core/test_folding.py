"""Texts of many ranks as few lines, which still say who said what."""

from __future__ import annotations

import random

import hypothesis
import pytest
from hypothesis import strategies as st

from steer.core.folding import (
    MARK,
    Group,
    brief,
    columns,
    fold,
    fold_lines,
    render,
    silent,
)
from steer.core.summary import skeletons
from steer.ranks import RankSet


def shown(texts: dict[int, str], total: RankSet | None = None) -> list[str]:
    return render(fold_lines(texts), total).splitlines()


def test_equal_texts_are_one():
    assert fold(dict.fromkeys(range(4), "x")) == [
        Group(RankSet(range(4)), "x", representative="x")
    ]


def test_nothing_said_is_no_group():
    assert fold({}) == []
    assert fold_lines({}) == []
    assert render([]) == ""


def test_who_differs_from_more_than_half_is_marked():
    texts = dict.fromkeys(range(4), "cells 4096 residual 3.2e-04")
    texts[3] = "cells 4096 residual nan"
    assert shown(texts) == [
        "[0-2] (3)  cells 4096 residual 3.2e-04",
        f"[3]        cells 4096 residual nan        {MARK}",
    ]


def test_a_tie_marks_nobody():
    assert shown({0: "b", 1: "b", 2: "a", 3: "a"}) == ["[0-1] (2)  b", "[2-3] (2)  a"]


def test_order_is_size_then_lowest_rank():
    groups = fold(dict(enumerate("abcbcc")))
    assert [str(group.ranks) for group in groups] == ["2,4-5", "1,3", "0"]


def test_a_ranks_own_number():
    texts = {rank: f"hello from rank {rank} of 4" for rank in range(4)}
    assert shown(texts) == ["[0-3] (4)  hello from rank <rank> of 4"]


def test_another_number_than_its_own_stands_out():
    texts = {rank: f"I am {rank}" for rank in range(4)}
    texts[2] = "I am 7"
    assert shown(texts) == [
        "[0-1,3] (3)  I am <rank>",
        f"[2]          I am 7         {MARK}",
    ]


def test_addresses_are_not_told_apart_flags_are():
    assert shown({r: f"<A at 0x7f00{r}0a0>" for r in range(4)}) == [
        "[0-3] (4)  <A at 0x…>"
    ]
    assert len(fold({r: f"flags 0x{r + 1}" for r in range(3)})) == 3


def test_few_different_numbers_are_all_shown_many_are_summarised():
    few = {rank: str(100 + rank % 4) for rank in range(8)}
    assert [group.text for group in fold(few)] == ["100", "101", "102", "103"]
    many = {rank: str(100 + rank) for rank in range(8)}
    assert shown(many) == [
        "[0-7] (8)  <int> min 100 (r0)  med 103  max 107 (r7)  ▁▂▃▄▅▆▇█"
    ]


def test_several_numbers_of_a_line_are_told_below_it():
    texts = {r: f"n {r * r} res {r / 2} in {(r + 2) % 6} steps" for r in range(2, 8)}
    assert shown(texts) == [
        "[2-7] (6)  n <int 1> res <float> in <int 2> steps",
        "               <int 1>  min 4 (r2)    med 16   max 49 (r7)   ▁▁▃▄▆█",
        "               <float>  min 1.0 (r2)  med 2.0  max 3.5 (r7)  ▁▂▄▅▇█",
        "               <int 2>  min 0 (r4)    med 2    max 5 (r3)    ▇█▁▂▄▅",
    ]


def test_of_many_numbers_the_ends_are_told():
    texts = {r: f"[{r * 2}, {r * 3}, {r * 4}, {r * 5}]" for r in range(1, 7)}
    assert shown(texts) == ["[1-6] (6)  [2…12, 3…18, 4…24, 5…30]"]


def test_blanks_are_told_apart_where_texts_are_shown():
    assert [group.text for group in fold({0: "n  5", 1: "n 5"})] == ["n  5", "n 5"]
    texts = dict(enumerate(["n  5", "n 5", *"abcde"]))
    assert [group.text for group in fold(texts)] == list(texts.values())


def test_numbers_in_columns_are_of_one_kind():
    texts = {r: f"cells {10**r:8d}" for r in range(6)}
    assert shown(texts) == [
        "[0-5] (6)  cells        <int> min 1 (r0)  med 100  max 100000 (r5)  ▁▁▁▁▁█"
    ]


@pytest.mark.parametrize("odd", ["nan", "inf", "-inf", "1e999"])
def test_no_summary_hides_what_is_not_finite(odd: str):
    texts = {rank: f"residual {rank * 0.25}" for rank in range(20)}
    texts[7] = f"residual {odd}"
    assert any(f"residual {odd}" in line for line in shown(texts))


def test_a_majority_stays_beside_the_many_others():
    texts = {rank: str(4096 if rank < 40 else 5000 + rank * rank) for rank in range(64)}
    first, second = fold(texts)
    assert (str(first.ranks), first.text) == ("0-39", "4096")
    assert second.text.startswith("<int> min 6600 (r40)")
    assert second.differs


def test_lines_correspond_by_position():
    texts = dict.fromkeys(range(4), "set up\nread\nresidual 3\ndone\n")
    texts[3] = "set up\nread\nresidual nan\ndone\n"
    assert shown(texts) == [
        "[0-3] (4)  set up",
        "           read",
        "[0-2] (3)  residual 3",
        f"[3]        residual nan    {MARK}",
        "[0-3] (4)  done",
    ]


def test_lines_correspond_though_one_rank_says_more():
    texts = {r: f"set up {r}\nread\ndone\n" for r in range(4)}
    texts[0] = "I am root\n" + texts[0]
    assert shown(texts) == [
        "[0]        I am root",
        "[0-3] (4)  set up <rank>",
        "           read",
        "           done",
    ]


def test_a_missing_line_end_is_no_difference():
    assert len(fold_lines({0: "a\nb\n", 1: "a\nb"})) == 1


def test_ranks_that_say_nothing_in_common_are_not_cut_to_lines():
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = {r: "\n".join(letters[r:][: 1 + r % 3]) + letters[r] for r in range(20)}
    assert len(fold_lines(texts)) == 20


def test_who_is_silent_is_listed_if_nearly_all_spoke():
    total = RankSet(range(64))
    said = dict.fromkeys([r for r in range(64) if r not in (5, 9)], "x")
    assert shown(said, total) == [
        "[0-4,6-8,10-63] (62)  x",
        "                      missing: 5,9",
    ]
    assert shown({0: "x"}, total) == ["[0]  x"]
    assert silent(RankSet(range(3)), RankSet(range(4))) == RankSet([3])
    assert not silent(RankSet([0]), RankSet(range(2)))


def test_the_text_keeps_its_column():
    groups = [
        Group(RankSet(range(10)), "a\nb"),
        Group(RankSet([11]), "\x1b[31mred\x1b[0m", differs=True),
        Group(RankSet([12]), "漢字", differs=True),
    ]
    assert render(groups, label="x: ", indent=14).splitlines() == [
        "[0-9] (10)    x: a",
        "              b",
        f"[11]          x: \x1b[31mred\x1b[0m     {MARK}",
        f"[12]          x: 漢字    {MARK}",
    ]


def test_a_mark_does_not_go_beyond_the_screen_because_of_another_line():
    groups = [Group(RankSet(range(10)), "x" * 200), Group(RankSet([11]), "y", True)]
    assert render(groups, width=60).splitlines()[1] == f"[11]        y    {MARK}"


def test_a_long_set_loses_its_middle():
    assert brief(RankSet(range(0, 100, 2))) == "0,2,4,6,8,10,12,14,…,98"
    assert brief(RankSet(range(64))) == "0-63"
    assert len(brief(RankSet(range(100_000, 200_000, 2)))) <= 24


def test_columns_of_a_terminal():
    assert [columns(text) for text in ("abc", "漢", "e\u0301", "\x1b[1mx")] == [
        3,
        2,
        1,
        1,
    ]


WORDS = st.sampled_from(
    ["a", "b 1", "b 2", "b nan", "c 3\n", "c 4\nd", "c 5\ne", "", "\n"]
)
NUMBERED = st.builds("x {} y {}".format, st.integers(0, 9), st.integers(-3, 3))
SAID = st.dictionaries(st.integers(0, 40), st.one_of(WORDS, NUMBERED), max_size=30)


def plain(text: str) -> tuple[str, ...]:
    return tuple(skeletons(text.split("\n")))


@hypothesis.given(SAID)
def test_the_groups_say_who_said_what(texts: dict[int, str]):
    groups = fold(texts)

    assert sorted(r for group in groups for r in group.ranks) == sorted(texts)
    for group in groups:
        assert group.representative == texts[group.ranks.min()]
        for rank in group.ranks:
            said = group.text.replace("<rank>", str(rank))
            if "min " in said or "…" in said:
                assert plain(texts[rank]) == plain(group.representative)
            else:
                assert texts[rank] == said


@hypothesis.given(SAID, st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(
    texts: dict[int, str], chance: random.Random
):
    items = list(texts.items())
    chance.shuffle(items)
    assert fold(dict(items)) == fold(texts)
    assert fold_lines(dict(items)) == fold_lines(texts)


@hypothesis.given(SAID)
def test_marks_and_order(texts: dict[int, str]):
    groups = fold(texts)
    keys = [(-len(group.ranks), group.ranks.min()) for group in groups]
    assert keys == sorted(keys)
    has_majority = bool(groups) and 2 * len(groups[0].ranks) > len(texts)
    assert [g.differs for g in groups] == [
        has_majority and i > 0 for i in range(len(groups))
    ]


LINES = st.lists(st.sampled_from(["a", "b", "c", "", "x nan"]), min_size=1, max_size=6)


@hypothesis.given(st.dictionaries(st.integers(0, 8), LINES, min_size=1))
def test_every_rank_has_its_lines_in_its_order(lines: dict[int, list[str]]):
    """No numbers: so the text of a group is what each of its ranks said."""
    found: dict[int, list[str]] = {rank: [] for rank in lines}
    for group in fold_lines({rank: "\n".join(said) for rank, said in lines.items()}):
        for rank in group.ranks:
            found[rank] += group.text.split("\n")
    for rank, said in lines.items():
        while said and said[-1] == "" and len(said) > 1 and found[rank] != said:
            said = said[:-1]
        assert found[rank] == said


def test_ten_thousand_ranks_are_no_work():
    """A square of the ranks would take minutes here, and be stopped."""
    echo = fold({rank: f"hello from rank {rank}" for rank in range(10_000)})
    assert render(echo) == "[0-9999] (10000)  hello from rank <rank>\n"
    each = {rank: f"{rank * 7919 % 10_007} of rank {rank}" for rank in range(10_000)}
    assert len(fold(each)) == 1
    words = {r: f"{chr(97 + r % 26)}{chr(97 + r // 26 % 26)}" for r in range(10_000)}
    assert len(fold(words)) == 676


def test_long_output_full_of_numbers_is_no_work():
    texts = {
        rank: "".join(
            f"step {i} of rank {rank} is {i * 7 % 13 + rank}\n" for i in range(500)
        )
        for rank in range(4)
    }
    assert sum(len(group.ranks) for group in fold_lines(texts)) == 4 * 500


def test_a_bare_number_is_a_value_also_if_it_is_the_ranks():
    assert [group.text for group in fold({r: str(r) for r in range(4)})] == list("0123")
    (group,) = fold({rank: str(rank) for rank in range(64)})
    assert "min 0 (r0)  med 31  max 63 (r63)" in group.text

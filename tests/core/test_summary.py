"""Numbers in texts, and what is said of many."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from steer.core.summary import BARS, WIDEST, read, skeletons, slot, sparkline

NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(0, 1e6).map(lambda value: f"{value:.3e}"),
    st.integers(0, 1 << 50).map(hex),
)
WORDS = st.text("ab =,:[]()\n\u03c1", min_size=1, max_size=8)


def joined(literals, numbers):
    return "".join(
        literal + number
        for literal, number in zip(literals, [*numbers, ""], strict=True)
    )


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("residual 3.2e-04 after 12", ["3.2e-04", "12"]),
        ("x=-5, y=+.5", ["-5", "+.5"]),
        ("ranks 0-63", ["0", "63"]),
        ("node17 rank3 v1.2.3", ["17", "3", "1.2", "3"]),
        ("at 0x7f3a00 done", ["0x7f3a00"]),
        ("[1. 2.5]", ["1.", "2.5"]),
        ("took 3.", ["3"]),
        ("nan inf -inf 1e5", ["1e5"]),
        ("\x1b[31mred 5\x1b[0m", ["5"]),
    ],
)
def test_where_the_numbers_are(text: str, numbers: list[str]):
    (family,) = read([text])
    assert [column[0] for column in family.columns] == numbers
    assert joined(family.literals, numbers) == text


@hypothesis.given(
    st.lists(WORDS, min_size=2, max_size=4),
    st.data(),
    st.sampled_from([2, 20]),
)
def test_texts_are_of_one_family_if_they_differ_in_numbers_only(literals, data, count):
    places = len(literals) - 1
    rows = data.draw(
        st.lists(
            st.lists(NUMBERS, min_size=places, max_size=places),
            min_size=count,
            max_size=count,
        )
    )
    texts = list(dict.fromkeys(joined(literals, row) for row in rows))

    families = read(texts)

    seen = sorted(member for family in families for member in family.members)
    assert seen == list(range(len(texts)))
    for family in families:
        for place, member in enumerate(family.members):
            numbers = [column[place] for column in family.columns]
            if "  " not in texts[member]:
                assert joined(family.literals, numbers) == texts[member]
    # A dot or a sign of the words may belong to a number, and one text alone may have
    # a number with another form: then there are more families, never fewer.
    assert len({family.literals for family in families}) == len(families)


TEXTS = st.lists(
    st.text("ab1 -.e\n", max_size=12), min_size=1, max_size=40, unique=True
)


@hypothesis.given(TEXTS)
def test_no_family_has_texts_that_differ_outside_numbers(texts: list[str]):
    for family in read(texts):
        for place, member in enumerate(family.members):
            numbers = [column[place] for column in family.columns]
            spaceless = joined(family.literals, numbers).replace(" ", "")
            assert texts[member].replace(" ", "") == spaceless


@hypothesis.given(TEXTS)
def test_many_texts_at_once_are_read_as_one_by_one(texts: list[str]):
    many = [f"{text}|{i % 7}" for i in range(20) for text in texts]
    many = list(dict.fromkeys(many))
    together = {m: f.members for f in read(many) for m in f.members}
    kinds = skeletons([text.replace("\n", "\v") for text in many])
    for member, kind in enumerate(kinds):
        others = together[member]
        assert {kinds[other] for other in others} == {kind}


def test_numbers_padded_to_a_column_are_of_one_family():
    texts = [f"cells {10**i:8d} ok" for i in range(6)]
    (family,) = read(texts)
    assert family.columns == [[str(10**i) for i in range(6)]]
    assert len(set(skeletons(texts))) == 1


def test_words_are_never_taken_for_blanks():
    assert len(read(["cells4", "cells 4"])) == 2
    for pair in (
        ["a  b 4", "a b 4"],
        ["  a 4", " a 4"],
        ["4 a  ", "4 a "],
        ["a\0 5  b", "a 5 \0 b"],
    ):
        assert len(read(pair)) == 2
        assert "\0" in pair[0] or len(set(skeletons(pair))) == 2
    assert len(set(skeletons(["x5 b", "x 5 b"]))) == 2


def test_odd_texts_among_many_are_found():
    texts = [f"residual {i}.5" for i in range(100)]
    texts[40] = "residual nan"
    texts[50] = "nothing"
    assert sorted(len(family.members) for family in read(texts)) == [1, 1, 98]


@pytest.mark.parametrize("mark", ["\0", "\1", "\x07"])
def test_texts_may_have_any_characters(mark: str):
    texts = [f"a{mark}{i} {i * i}" for i in range(40)]
    (family,) = read(texts)
    assert family.columns[1] == [str(i * i) for i in range(40)]


def test_a_summary_names_the_ranks():
    place = slot(["4096", "4031", "4163", "4100"], [0, 17, 2, 5])
    assert place is not None
    assert place.kind == "int"
    assert place.told() == "min 4031 (r17)  med 4096  max 4163 (r2)  ▄▁█▅"
    assert place.between() == "4031…4163"


def test_integers_have_no_limit_floats_stay_as_they_were_written():
    place = slot([str(2**70 + 1), str(2**70)], [0, 1])
    assert place is not None
    assert place.told().startswith(f"min {2**70} (r1)")
    place = slot(["1.50", "2.5e+00"], [0, 1])
    assert place is not None
    assert place.told() == "min 1.50 (r0)  med 1.50  max 2.5e+00 (r1)  ▁█"


@pytest.mark.parametrize("number", ["1e999", "9" * 5000, "0x1f"])
def test_what_cannot_be_read_is_not_summarised(number: str):
    assert slot([number, "1"], [0, 1]) is None


@hypothesis.given(
    st.lists(
        st.one_of(
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(-(10**200), 10**200),
        ),
        min_size=1,
        max_size=100,
    )
)
def test_a_sparkline_of_any_values(values: list[float]):
    line = sparkline(values)
    assert len(line) == min(len(values), WIDEST)
    assert set(line) <= set(BARS)
    if len(values) <= WIDEST and min(values) < max(values):
        assert line[values.index(max(values))] == BARS[-1]
        assert line[values.index(min(values))] == BARS[0]


def test_a_sparkline_of_equal_values_is_flat():
    assert sparkline([5, 5, 5]) == "▁▁▁"

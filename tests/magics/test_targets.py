"""Which ranks a text means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.errors import UsageError
from steer.magics import targets
from steer.ranks import RankSet

IDS = [0, 1, 2, 3, 6, 7]
GROUPS = {"west": [0, 1], "east": [6, 7]}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("all", "all"),
        ("2", 2),
        (" 2 ", 2),
        ("-1", 7),
        ("-6", 0),
        ("[2]", [2]),
        ("(2,)", [2]),
        ("0-2", [0, 1, 2]),
        ("0-1,7", [0, 1, 7]),
        ("7,0", [7, 0]),
        ("[7, 0]", [7, 0]),
        ("[0,-1]", [0, 7]),
        ("0,0-1,0", [0, 1]),
        ("6,-1,7", [6, 7]),
        (":", IDS),
        ("::2", [0, 2, 6]),
        ("1:3", [1, 2]),
        ("-2:", [6, 7]),
        (":-4", [0, 1]),
        ("::-1", IDS[::-1]),
        ("west", [0, 1]),
        ("east,west", [6, 7, 0, 1]),
        ("west,3", [0, 1, 3]),
        ("west,all", IDS),
    ],
)
def test_what_is_meant(text, meant):
    assert targets.parse(text, IDS, GROUPS) == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9", "Rank 9 is not there; there are 0-3,6-7."),
        ("0-4", "Rank 4 is not there"),
        ("-7", "Rank -7 is not there"),
        ("3-1", "'3-1' runs backwards; write 1-3."),
        ("::0", "a slice's step is not 0"),
        ("5:5", "'5:5' means no rank"),
        ("north", "There is no group 'north'; there are west, east"),
        ("", "targets are ranks like 0-3,7 or -1"),
        ("0,,1", "'0,,1' names no ranks"),
        ("1.5", "'1.5' names no ranks; targets are"),
        ("0x1", "names no ranks"),
        ("[0,1", "names no ranks"),
        ("range(3)", "names no ranks"),
        ("99999999", "names no ranks"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text, said):
    with pytest.raises(UsageError) as caught:
        targets.parse(text, IDS, GROUPS)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_why_a_rank_is_gone_is_said():
    gone = {4: "Engine 4 was killed by SIGKILL."}
    with pytest.raises(UsageError, match=r"^Rank 4 is not there \(Engine 4 was killed"):
        targets.parse("4", IDS, {}, gone)
    with pytest.raises(UsageError, match="Engine 4 was killed"):
        targets.check([0, 4], IDS, gone)
    targets.check([0, 7], IDS, gone)


def test_without_ranks():
    with pytest.raises(UsageError, match="no rank is"):
        targets.parse("0", [])
    assert targets.parse("all", []) == "all"


def test_nothing_is_evaluated(monkeypatch):
    monkeypatch.setenv("EVALUATED", "")
    for text in ("__import__('os').environ.clear()", "[os.environ.clear()]", "ids[0]"):
        with pytest.raises(UsageError):
            targets.parse(text, IDS)


@given(st.sets(st.integers(0, 300), min_size=2))
def test_a_rank_set_means_its_ranks(ranks):
    text = str(RankSet(ranks))
    assert targets.parse(text, range(301)) == sorted(ranks)


@given(st.text(max_size=30))
def test_any_text_means_ranks_that_are_there_or_is_refused(text):
    try:
        meant = targets.parse(text, IDS, GROUPS)
    except UsageError:
        return
    assert meant == "all" or set([meant] if isinstance(meant, int) else meant) <= {*IDS}


@pytest.mark.parametrize(
    ("meant", "text"),
    [("all", "all"), (None, "all"), (3, "3"), ([0, 1, 2, 7], "0-2,7")],
)
def test_described(meant, text):
    assert targets.described(meant) == text

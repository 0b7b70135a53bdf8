"""Questions that ranks answer while they compute."""

from __future__ import annotations

from steer.core.inquiries import PATIENCE, Inquiries
from steer.ranks import RankSet

FOUR = RankSet(range(4))


def test_equal_answers_are_one():
    inquiries = Inquiries()
    number = inquiries.ask("c1-7", "sim", FOUR, 0.0)
    for rank, body in ((3, b"b"), (0, b"a"), (2, b"b")):
        assert inquiries.heard(number, rank, body) == []
    (answered,) = inquiries.heard(number, 1, b"b")
    assert (answered.client, answered.news.answers) == ("c1", ("c1-7",))
    assert answered.news.facts == {
        "said": [["0", b"a"], ["1-3", b"b"]], "missing": "",
    }  # fmt: skip
    assert inquiries.deadline() is None
    assert inquiries.heard(number, 1, b"b") == []


def test_who_says_nothing_is_named_after_a_while():
    inquiries = Inquiries()
    number = inquiries.ask("c1-7", "sim", FOUR, 10.0)
    inquiries.heard(number, 2, b"a")
    inquiries.heard(number, 2, b"again")
    assert inquiries.deadline() == 10.0 + PATIENCE
    assert inquiries.tick(10.5) == []
    (answered,) = inquiries.tick(10.0 + PATIENCE)
    assert answered.news.facts == {"said": [["2", b"a"]], "missing": "0-1,3"}
    assert inquiries.heard(number, 0, b"late") == []


def test_a_rank_that_dies_is_not_waited_for():
    inquiries = Inquiries()
    number = inquiries.ask("c1-7", "sim", FOUR, 0.0)
    for rank in (0, 1, 2):
        inquiries.heard(number, rank, b"a")
    (answered,) = inquiries.lose(3)
    assert answered.news.facts["said"] == [["0-2", b"a"]]
    assert inquiries.lose(3) == []

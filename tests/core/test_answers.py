"""Answers that several families give together."""

from __future__ import annotations

import pytest

from steer.core.answers import REMEMBERED, Answers
from steer.core.roundevents import Kind, Tell
from steer.wire.messages import News


def tell(family, text, *ids, kind=Kind.PLANNED, **facts):
    return Tell(family, kind, text, ids, 7, facts=facts)


def test_one_family_is_the_answer():
    answers = Answers()
    answers.open("a-1")
    one = tell("sim/step", "stopped", "a-1")
    assert answers.close(one) == (("a-1",), [one])
    assert answers.together([one]) is one
    assert not answers.is_open("a-1")


def test_several_are_put_together_when_the_last_has_answered():
    answers = Answers()
    answers.open("a-1", 2)
    first = tell("sim/air@0,1", "dt=1: at point 7", "a-1", plan=3)
    last = tell("sim/sea@2,3", "dt=1: at point 9", "a-1", plan=4)
    assert answers.close(first)[0] == ()
    done, tells = answers.close(last)
    assert done == ("a-1",)
    told = answers.together(tells)
    assert told.text == "air: dt=1: at point 7\nsea: dt=1: at point 9"
    assert told.facts == {"plan": 4, "plans": [3, 4]}


@pytest.mark.parametrize("order", [1, -1])
def test_what_one_has_refused_is_not_said_to_be_done(order):
    tells = [
        tell("sim/air@0,1", "dt=9: at point 7", plan=3),
        tell("sim/sea@2,3", "dt is at most 1", kind=Kind.REFUSED, plan=4),
    ]
    told = Answers.together(tells[::order])
    assert told.kind is Kind.REFUSED
    assert set(told.text.splitlines()) == {
        "air: dt=9: at point 7", "sea: dt is at most 1",
    }  # fmt: skip


@pytest.mark.parametrize("order", [1, -1])
def test_a_family_that_is_not_concerned_is_left_out(order):
    tells = [
        tell("sim/air@0,1", "dt=9: at point 7", plan=3),
        tell("sim/sea@2,3", "no dt", kind=Kind.REFUSED, plan=4, strange=True),
    ]
    assert Answers.together(tells[::order]) is tells[0]
    told = Answers.together([tells[1], tells[1]])
    assert told.kind is Kind.REFUSED
    assert told.text == "sea@2,3: no dt\nsea@2,3: no dt"


def test_what_answers_nobody_is_told_alone():
    one = tell("sim/step", "went")
    assert Answers().close(one) == ((), [one])


def test_answers_are_remembered_for_a_while():
    answers = Answers()
    for number in range(REMEMBERED + 1):
        answers.give(News("sim", "sim/step", "went", "", (f"a-{number}",)))
    assert answers.given("a-0") is None
    assert answers.given(f"a-{REMEMBERED}") is not None

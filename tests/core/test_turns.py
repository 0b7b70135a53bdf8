"""Cells take turns: none overtakes, none is sent too early, none is forgotten."""

from __future__ import annotations

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from steer.core.turns import Turns

ENGINES = range(5)
some_engines = st.sets(st.sampled_from(ENGINES), min_size=1).map(sorted).map(tuple)


def test_a_cell_waits_for_the_one_before_it():
    turns = Turns()
    assert turns.ask("a", (0, 1), True)
    assert not turns.ask("b", (0, 1), True)
    assert turns.over("a") == ["b"]
    assert turns.over("b") == []


def test_cells_that_share_no_engine_do_not_wait():
    turns = Turns()
    assert turns.ask("a", (0, 1), True)
    assert turns.ask("b", (2, 3), True)


def test_what_is_no_cell_waits_only_behind_a_waiting_cell():
    turns = Turns()
    assert turns.ask("a", (0, 1), True)
    assert turns.ask("apply", (0,), False)
    assert not turns.ask("b", (0, 1), True)
    assert not turns.ask("later", (0,), False)
    assert not turns.ask("much later", (0, 2), False)
    assert turns.ask("elsewhere", (3,), False)
    assert turns.over("a") == ["b", "later", "much later"]


def test_who_waits_because_of_a_cell_also_by_another():
    turns = Turns()
    turns.ask("a", (0, 1), True)
    turns.ask("b", (1, 2), True)
    turns.ask("no cell", (1,), False)
    turns.ask("c", (2, 3), True)
    turns.ask("other", (4,), True)
    assert turns.behind("a") == ["b", "c"]
    assert turns.behind("other") == []
    assert turns.behind("b") == []  # it is not under way


def test_one_that_leaves_lets_go_whoever_waited_for_it_only():
    turns = Turns()
    turns.ask("a", (0,), True)
    turns.ask("b", (0, 1), True)
    turns.ask("c", (1,), True)
    assert turns.over("b") == ["c"]
    assert "a" not in turns


def test_one_that_has_begun_elsewhere_does_not_wait():
    turns = Turns()
    turns.ask("a", (0, 1), True)
    turns.ask("b", (0, 1), True)
    turns.ask("c", (0, 1), True)
    assert turns.begin("b") == []
    assert turns.over("a") == []
    assert turns.over("b") == ["c"]


class AnyOrder(stateful.RuleBasedStateMachine):
    """Requests come and end in any order; a list of all of them knows better."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns()
        self.number = 0
        self.asked: dict[str, tuple[tuple[int, ...], bool]] = {}
        """All that are not over, in order."""
        self.sent: list[str] = []

    def may_be_sent(self, name: str) -> bool:
        engines, joint = self.asked[name]
        for other, (its, its_joint) in self.asked.items():
            if other == name:
                return True
            if set(its).isdisjoint(engines):
                continue
            if other not in self.sent or (joint and its_joint):
                return False
        raise AssertionError(name)

    @stateful.rule(engines=some_engines, joint=st.booleans())
    def ask(self, engines, joint):
        self.number += 1
        name = str(self.number)
        self.asked[name] = (engines, joint)
        if self.turns.ask(name, engines, joint):
            assert self.may_be_sent(name)
            self.sent.append(name)

    @stateful.precondition(lambda self: self.asked)
    @stateful.rule(data=st.data())
    def end(self, data):
        name = data.draw(st.sampled_from(sorted(self.asked)))
        if name in self.sent:
            self.sent.remove(name)
        del self.asked[name]
        for free in self.turns.over(name):
            assert free not in self.sent
            assert self.may_be_sent(free), free
            self.sent.append(free)

    @stateful.invariant()
    def nobody_waits_for_nothing(self):
        self.turns.check()
        for name in self.asked:
            assert (name in self.turns) == (name not in self.sent)
            assert name in self.sent or not self.may_be_sent(name), name


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = hypothesis.settings(stateful_step_count=40)

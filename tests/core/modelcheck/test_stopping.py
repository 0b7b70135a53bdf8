"""The stop protocol in every order of its small steps, and what each rule is for.

The safe protocols hold. Those with a rule left out must fail: if one of them passed,
the model would have lost its teeth, or the rule its reason.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from .stopping import Variant

PROPOSAL = Variant(epochs=False, end_rule=False, page=False)
"""Count, report the next point, run to the highest: where the protocol started."""

DEADLOCKS = {
    "it checks before it counts": replace(PROPOSAL, counts_first=False),
    "a rank has finished": PROPOSAL,
    "a rank has finished, neighbours wait": replace(PROPOSAL, waits="ring"),
    "points come at different rates": replace(PROPOSAL, waits="rates", end_rule=True),
    "waiting ranks hold the GIL": replace(
        PROPOSAL, waits="ring", holds_gil=True, end_rule=True
    ),
    "a thread of the rank is the controller, and the GIL is held": Variant(
        waits="ring", holds_gil=True, page=False
    ),
    "c is read before the fence is lowered": Variant(
        points=2, fine=True, rounds=2, fence_first=False
    ),
    "rates differ, and nobody cancels": Variant(waits="rates"),
}

UNSAFE = {
    "a cancelled round's answers count in the next": Variant(
        points=1, firm=False, epochs=False, rounds=2, cancels=1
    ),
    "a rank leaves without a second look": Variant(
        points=2, fine=True, rounds=2, second_look=False
    ),
    "holds count that end by themselves": Variant(
        page=False, holds_gil=True, waits="ring", lease=True, firm=False
    ),
}

HOLDS = {
    "neighbours wait": Variant(waits="ring"),
    "two rounds": Variant(waits="ring", rounds=2),
    "steps": Variant(waits="ring", rounds=2, steps=2),
    "cancelled": Variant(waits="ring", rounds=2, cancels=1),
    "rates differ, and the user cancels": Variant(waits="rates", cancels=1),
    "the GIL is held, the page is shared": Variant(waits="ring", holds_gil=True),
    "three ranks in a ring": Variant(ranks=3, points=2, waits="ring"),
    "three ranks in a ring, the GIL is held": Variant(
        ranks=3, points=2, waits="ring", holds_gil=True
    ),
    "every read and write is a step": Variant(points=2, fine=True, rounds=2),
    "every read and write, neighbours wait": Variant(fine=True, rounds=2, waits="ring"),
    "a lease, the GIL is held": Variant(
        points=2, page=False, holds_gil=True, waits="ring", lease=True
    ),
}

LARGE = {
    "every read and write, three in a ring": Variant(
        ranks=3, points=2, waits="ring", fine=True
    ),
    "a lease and more points": Variant(
        page=False, holds_gil=True, waits="ring", lease=True
    ),
    "every read and write, cancelled, stepped": Variant(
        fine=True, waits="ring", rounds=2, cancels=1, steps=1
    ),
    "three ranks, cancelled": Variant(
        ranks=3, points=1, waits="ring", rounds=2, cancels=1
    ),
}


def named(variants):
    return pytest.mark.parametrize(
        "variant", variants.values(), ids=[name.replace(" ", "-") for name in variants]
    )


@named(HOLDS)
def test_it_holds(variant):
    verdict = variant.check()
    assert not verdict.wrong, str(verdict)
    assert verdict.states > 1000


@pytest.mark.slow
@pytest.mark.timeout(600)
@named(LARGE)
def test_it_holds_in_more_states(variant):
    verdict = variant.check(most=5_000_000)
    assert not verdict.wrong, str(verdict)


@named(DEADLOCKS)
def test_without_the_rule_all_wait_for_ever(variant):
    verdict = variant.check()
    assert verdict.wrong == "deadlock", str(verdict)
    assert verdict.story[-1]


@named(UNSAFE)
def test_without_the_rule_stopped_is_not_true(variant):
    verdict = variant.check(only_unsafe=True)
    assert verdict.wrong.startswith("unsafe: stopped at"), str(verdict)


def test_a_counter_example_can_be_read():
    verdict = DEADLOCKS["a rank has finished"].check()
    assert "user wants a stop" in str(verdict)
    assert any(step.startswith("controller") for step in verdict.story)

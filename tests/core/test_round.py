"""The table of a round: complete, and what the documentation draws."""

from __future__ import annotations

import runpy
from pathlib import Path

from steer.core.round import TABLE, WAITING, Phase, Turn

DRAW = Path(__file__).parents[2] / "docs" / "design" / "draw_rounds.py"


def test_the_picture_in_the_documentation_is_this_table():
    drawn = runpy.run_path(str(DRAW))
    assert drawn["PICTURE"].read_text() == drawn["draw"](), f"run {DRAW.name}"


def test_every_phase_can_be_come_to_and_left():
    assert set(TABLE.values()) == set(Phase)
    assert {start for start, _ in TABLE} == set(Phase) - {Phase.OVER}
    assert {turn for _, turn in TABLE} == set(Turn)


def test_from_everywhere_one_can_let_go_or_it_ends():
    for phase in set(Phase) - {Phase.OVER, Phase.RUNNING, Phase.ENDING}:
        assert TABLE[phase, Turn.GO] is Phase.RUNNING
        assert TABLE[phase, Turn.FINISH] is Phase.ENDING


def test_only_what_waits_is_waited_for():
    assert {TABLE[phase, Turn.HERE] for phase in WAITING} == {Phase.HERE}

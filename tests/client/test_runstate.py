"""What runs do, in words."""

from __future__ import annotations

from typing import Any

import pytest

from steer.client.runstate import RunStatus, plan_lines


def family(phase: str = "running", point: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "label": "step", "family": "sim/step", "ranks": "0-3", "phase": phase,
        "point": point, "high": point, "rate": 0.0, "logical": False, "plans": [],
    } | more  # fmt: skip


def status(*families: dict[str, Any], **more: Any) -> RunStatus:
    return RunStatus(
        {
            "run": "sim", "ranks": "0-3", "script": "sim.py",
            "arguments": ["-n", "5 6"],
            "first": 0, "began": 0.0, "ended": "", "over": False, "lost": {},
            "families": list(families), "waits": False, "kept": False,
        }
        | more
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (status(), "runs, no point yet"),
        (status(family()), "runs"),
        (status(family("stopped", 413)), "stopped at 413"),
        (status(family("aligning", 413)), "stopping"),
        (status(family("stopped", 3), family("stopped", 3)), "stopped at 3"),
        (status(family("stopped", 3), family(label="ocean")),
         "step stopped at 3, ocean runs"),
        (status(over=True), "ended"),
        (status(over=True, lost={"2": "was killed by SIGKILL"}), "failed"),
    ],
)  # fmt: skip
def test_a_state_is_a_few_words(told: RunStatus, state: str):
    assert told.state == state


def test_all_of_it_is_for_people():
    plan = {"plan": 31, "text": "render()", "point": 500, "every": 100}
    told = status(
        family(high=412, rate=96.04, plans=[plan]),
        family("stopped", 7, label="ocean", ranks="2-3"),
        lost={"2": "was killed by SIGKILL"},
        ended="0",
    )

    head, *lines = told.text.splitlines()
    assert head.startswith("sim: sim.py -n '5 6' on ranks 0-3, since ")
    assert lines == [
        "  rank 2 was killed by SIGKILL",
        "  rank 0 ended",
        "  step: runs, about point 412, 96 points/s",
        "    plan 31: render(), every 100 points from 500",
        "  ocean: stopped at 7 (ranks 2-3)",
    ]


def test_it_is_shown_without_a_number(capsys: pytest.CaptureFixture[str]):
    told = status(family("stopped", 413))
    told._ipython_display_()

    assert capsys.readouterr().out == f"{told.text}\n"


def test_plans_say_when():
    plan = {"plan": 1, "text": "x", "point": 7, "every": 0}

    more = [{"every": 1}, {"point": 0}, {"waits": True}]
    assert plan_lines([plan, *(plan | one for one in more)]) == [
        "plan 1: x, at point 7",
        "plan 1: x, at every point from 7",
        "plan 1: x, at point (not agreed yet)",
        "plan 1: x, at point 7, waits for room",
    ]

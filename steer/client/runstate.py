"""What a run does, in words: for `run.status()`, `steer list` and prompts.

The hub says it as plain data (`core/wheel.py`); a `RunStatus` is that dictionary, and
reads well when it is shown.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any

from steer.client.told import Told
from steer.ranks import RankSet, describe

_WORDS = {
    "arming": "stopping",
    "aligning": "stopping",
    "here": "held where the ranks are",
    "ending": "ending",
    "over": "ended",
}


class RunStatus(Told, dict[str, Any]):
    """What is known of a run."""

    @property
    def state(self) -> str:
        """In a few words: `runs`, `stopped at 413`, `ended`."""
        return state_of(self)

    @property
    def text(self) -> str:
        """All of it, for people."""
        return "\n".join(_lines(self))

    def __repr__(self) -> str:
        return self.text


def state_of(status: Mapping[str, Any]) -> str:
    """What a run does, in a few words."""
    if status["over"]:
        return "failed" if status["lost"] else "ended"
    families: Sequence[Mapping[str, Any]] = status["families"]
    if not families:
        return "runs, no point yet"
    states = [family_state(family) for family in families]
    if len(set(states)) == 1:
        return states[0]
    told = zip(families, states, strict=True)
    return ", ".join(f"{family['label']} {state}" for family, state in told)


def summary(status: Mapping[str, Any]) -> str:
    """What runs where, and how far it is, on one line."""
    ranks = RankSet.parse(status["ranks"])
    program = shlex.join([status["script"], *status["arguments"]])
    state = state_of(status)
    if status["waits"]:
        state = "waits for somebody to steer it"
    families = status["families"]
    if state == "runs" and len(families) == 1:
        state = _of_family(families[0], ranks).pop(0).partition(": ")[2]
    return f"{program} on {describe(ranks)}: {state}"


def family_state(family: Mapping[str, Any]) -> str:
    """What the ranks of one family of points do."""
    phase, point = str(family["phase"]), family["point"]
    if phase == "running":
        return "runs"
    if phase == "stopped":
        return f"stopped at {point}"
    return _WORDS.get(phase, phase)


def _lines(status: Mapping[str, Any]) -> list[str]:
    ranks = RankSet.parse(status["ranks"])
    program = shlex.join([status["script"], *status["arguments"]])
    began = time.strftime("%H:%M:%S", time.localtime(status["began"]))
    head = f"{status['run']}: {program} on {describe(ranks)}, since {began}"
    lines = [f"{head}: {state_of(status)}"]
    ended = RankSet.parse(status["ended"])
    for rank, how in status["lost"].items():
        lines.append(f"  rank {rank} {how}")
    if ended and not status["over"]:
        lines.append(f"  {describe(ended)} ended")
    for family in status["families"]:
        lines += _of_family(family, ranks)
    return lines


def _of_family(family: Mapping[str, Any], everybody: RankSet) -> list[str]:
    line = f"  {family['label']}: {family_state(family)}"
    if family["phase"] == "running" and family["high"]:
        line += f", about point {family['high']}"
        if family["rate"]:
            line += f", {family['rate']:.3g} points/s"
    members = RankSet.parse(family["ranks"])
    if members != everybody:
        line += f" ({describe(members)})"
    return [line, *(f"    {line}" for line in plan_lines(family["plans"]))]


def plan_lines(plans: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is planned, a line for each."""
    return [f"plan {plan['plan']}: {plan['text']}, {_when(plan)}" for plan in plans]


def _when(plan: Mapping[str, Any]) -> str:
    every, point = plan["every"], plan["point"] or "(not agreed yet)"
    when = f"at point {point}"
    if every:
        often = f"every {every} points" if every > 1 else "at every point"
        when = f"{often} from {point}"
    return f"{when}, waits for room" if plan.get("waits") else when

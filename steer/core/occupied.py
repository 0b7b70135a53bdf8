"""Ranks whose main thread runs a program: what is sent to them waits.

It runs at the next stop, or behind the program's end. Nothing is wrong with that, but
whoever waits for it has to know why.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from steer.core.events import Action, Send
from steer.core.fanout import Request
from steer.core.round import Phase
from steer.core.rounds import Rounds
from steer.ranks import RankSet, describe
from steer.wire.messages import News
from steer.wire.peers import peer_name

ASKED_AT_KEYS = ("complete", "inspect")
"""Kinds of requests for which nobody waits."""


class Program(Protocol):
    """What has to be known of one."""

    name: str
    here: RankSet
    ended: RankSet
    lost: dict[int, str]
    waits: bool


def told_to_wait(
    programs: Iterable[Program], rounds: Rounds, request: Request
) -> list[Action]:
    """Tell the client of a request which of its ranks are busy."""
    if request.submit.kind in ASKED_AT_KEYS:
        return []
    wanted = RankSet(request.uuids)
    for program in programs:
        busy = wanted & _busy(program, rounds)
        if busy:
            news = News(
                program.name, program.name, "queued", _text(program, busy),
                ranks=str(busy), facts={"request": request.submit.id},
            )  # fmt: skip
            return [Send((peer_name("in", request.client),), news)]
    return []


def _busy(program: Program, rounds: Rounds) -> RankSet:
    if program.waits:  # nothing of it has begun yet
        return RankSet()
    free = program.ended | RankSet(program.lost)
    for family in rounds.meant(program.name):
        round_ = family.round
        free |= round_.frozen
        if round_.phase in (Phase.STOPPED, Phase.HERE):
            # `here` may come before all have said where they can hold.
            all_said = round_.answered == round_.ranks
            free |= RankSet(round_.held) if all_said else round_.answered
    return program.here - free


def _text(program: Program, busy: RankSet) -> str:
    run = "runs" if len(busy) == 1 else "run"
    return (
        f"{describe(busy)} {run} {program.name}: what was sent there waits for its "
        "next stop, or its end."
    )

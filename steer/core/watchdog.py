"""Why a round waits: what its missing ranks do, and what follows from that.

A rank that computes will come. A rank that waits in MPI for one that computes will come
too. But one that waits, over however many others, for a rank that is held will never
come: the program does not let its ranks come to that point together (a pipeline, a
master that counts more points than its workers), and the user has to choose. The same
for one that waits for a rank that has died or finished.

Blocked ranks are nodes of a graph: with "and" edges (a collective, a receive from one
rank), or "or" edges (a receive from any).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from steer.core.roundevents import NOBODY, Place, Sight
from steer.ranks import RankSet, describe

CHOICES = (
    "Try a point further with --advance, stay where the ranks are with --here, "
    "or let them go with go."
)
_SHOWN = 4
"""Groups of ranks that a report names."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is known about the ranks that a round waits for."""

    text: str
    on_held: RankSet = NOBODY
    """These will never come: they wait for ranks that are held."""
    on_lost: RankSet = NOBODY
    """Nor these: they wait for ranks that are gone."""


def judge(
    target: int, held: RankSet, missing: Mapping[int, Sight], lost: RankSet = NOBODY
) -> Verdict:
    """Say who keeps a round waiting, and why."""
    at_hold = held | _at(missing, Place.HELD)
    gone = lost | _at(missing, Place.DEAD, Place.FAILED, Place.FINISHED)
    on_held = _stuck_on(at_hold, missing)
    on_lost = _stuck_on(gone, missing) - on_held
    point = f"point {target}" if target else "a point"
    groups: dict[str, list[int]] = {}
    for rank, sight in missing.items():
        if sight.place is not Place.HELD or sight.point < target or not target:
            groups.setdefault(_does(sight), []).append(rank)
    pieces = [f"{describe(ranks)} {does}" for does, ranks in groups.items()]
    if len(pieces) > _SHOWN:
        pieces[_SHOWN:] = [f"{len(pieces) - _SHOWN} more groups of ranks"]
    text = f"Waiting for {describe(missing)} to come to {point}: {'; '.join(pieces)}."
    if on_held:
        text += (
            f" {capital(describe(on_held))} will not come there while others are "
            f"held: the program does not let its ranks come to {point} together. "
            f"{CHOICES}"
        )
    elif on_lost:
        text += f" {capital(describe(on_lost))} can only wait: {describe(gone)} "
        text += f"will not answer any more. {CHOICES}"
    return Verdict(text, on_held, on_lost)


def capital(text: str) -> str:
    """Begin a sentence with it."""
    return text[:1].upper() + text[1:]


def _at(sights: Mapping[int, Sight], *places: Place) -> RankSet:
    return RankSet(rank for rank, sight in sights.items() if sight.place in places)


def _stuck_on(roots: RankSet, sights: Mapping[int, Sight]) -> RankSet:
    """The blocked ranks that only a rank of `roots` could free."""
    stuck = roots
    blocked = {r: s for r, s in sights.items() if s.place is Place.BLOCKED}
    while True:
        more = RankSet(
            rank for rank, s in blocked.items()
            if rank not in stuck and s.waits_for
            and (s.waits_for <= stuck if s.any_will_do else s.waits_for & stuck)
        )  # fmt: skip
        if not more:
            return stuck - roots
        stuck |= more


def _does(sight: Sight) -> str:
    at = f" at {sight.where}" if sight.where else ""
    match sight.place:
        case Place.RUNNING:
            return f"at point {sight.point}, computes{at} ({_ago(sight.age)})"
        case Place.BLOCKED:
            what = sight.text or "MPI"
            whom = f", for {describe(sight.waits_for)}" if sight.waits_for else ""
            return f"at point {sight.point}, waits in {what}{at}{whom}"
        case Place.NATIVE:
            return f"at point {sight.point}, in native code that holds the GIL{at}"
        case Place.FINISHED:
            return "has no more points"
        case Place.FAILED | Place.DEAD:
            return sight.text or sight.place.value
        case Place.SILENT:
            return "does not answer: its host may be unreachable"
        case Place.HELD:
            return f"held at point {sight.point}"


def _ago(seconds: float) -> str:
    """Coarse, so that a report does not change because time goes by."""
    for limit, text in (
        (1, "a moment ago"),
        (10, "seconds ago"),
        (60, "over 10 s ago"),
    ):
        if seconds < limit:
            return f"it came there {text}"
    return "it came there over a minute ago"

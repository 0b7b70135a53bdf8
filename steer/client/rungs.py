"""The ladder for ranks that do not come back: interrupt, unstick, kill.

Each rung says what was lost by it, and what the next one is.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from steer.client.sight import Seen
from steer.core.sightings import Freed
from steer.core.unsticking import LONGEST
from steer.errors import UsageError
from steer.ranks import RankSet, describe

if TYPE_CHECKING:
    from steer.client.client import Client

PATIENCE = LONGEST + 15.0
"""Seconds in which all of a world can be brought back: longer than the hub tries."""
_ENDS = (
    "A program under steer run ends by it if it does not catch it; with --post-mortem "
    "its ranks stay."
)
_KILL = "%pxkill ends the ranks, with all that they have"


class Interrupted(Seen):
    """Which ranks were interrupted."""

    def __init__(self, ranks: RankSet) -> None:
        self.ranks = ranks
        self.text = (
            f"{_upper(describe(ranks))}: interrupted. Ranks that wait in MPI raise "
            "KeyboardInterrupt only when their call ends; %pxunstick ends it.\n"
        )


class Unstuck(Seen):
    """Which ranks were brought back, and from where."""

    def __init__(self, told: Freed) -> None:
        self.refusals = told.refusals
        self.freed: dict[str, str] = {}
        """By ranks: the call that each came back from."""
        for ranks, call in told.freed:
            self.freed[ranks] = call
        self.left = RankSet.parse(told.left)
        """Those that wait still, though others were brought back or interrupted."""
        self.ended: dict[str, str] = dict(told.ended)
        """By ranks: the call in which those were that are gone by now."""
        self.dropped = told.dropped
        self.gone = RankSet.parse(told.gone)
        """Those of them that have ended since."""
        self.notes = told.notes
        self.text = "".join(f"{line}\n" for line in self._lines())

    @property
    def ranks(self) -> RankSet:
        """All that were brought back."""
        return _all(self.freed)

    def _lines(self) -> list[str]:
        if not (self.freed or self.ended or self.left or self.refusals):
            return ["No rank waits in MPI.", *self._notes()]
        if self.refusals and not (self.freed or self.ended or self.left):
            # Notes are of what cannot be taken back.
            lost = "Refused:" if self.notes else "Refused, nothing was lost:"
            return [lost, *self._reasons(), *self._notes(), f"→ %pxwhere    {_KILL}"]
        lines = [*self._back(), *self._gone()]
        if self.left:
            lines += self._only_in_part()
        elif self.refusals:
            lines += ["Only in part:", *self._reasons()]
        return [*lines, *self._lost(), *self._notes()]

    def _back(self) -> list[str]:
        if not self.freed:
            return []
        lines = [f"{_upper(describe(self.ranks))}: back, with KeyboardInterrupt at"]
        if not self.ranks - self.gone:
            lines = [f"{_upper(describe(self.ranks))}: raised KeyboardInterrupt at"]
        return lines + _places(self.freed)

    def _gone(self) -> list[str]:
        if self.gone:
            have = "has" if len(self.gone) == 1 else "have"
            who = _upper(describe(self.gone))
            return [f"{who} {have} ended since. {_ENDS}", *self._not_heard()]
        return self._not_heard()

    def _not_heard(self) -> list[str]:
        if not self.ended:
            return []
        who = _upper(describe(_all(self.ended)))
        return [
            f"{who}: given KeyboardInterrupt, and not there any more. {_ENDS} They "
            "were at",
            *_places(self.ended),
        ]

    def _only_in_part(self) -> list[str]:
        wait = "waits" if len(self.left) == 1 else "wait"
        return [
            f"{_upper(describe(self.left))} {wait} still:",
            *self._reasons(),
            f"→ %pxunstick again: who came back may help now    {_KILL}",
        ]

    def _lost(self) -> list[str]:
        lost = []
        if self.ranks - self.gone and not (self.left or self.refusals):
            lost = ["Variables and communicators are as they were."]
        if self.dropped:
            many = "message" if self.dropped == 1 else "messages"
            lost.append(f"{self.dropped} {many} that nobody had received: thrown away.")
        return [" ".join(lost)] if lost else []

    def _reasons(self) -> list[str]:
        return [f"  {reason}." for reason in self.refusals]

    def _notes(self) -> list[str]:
        return [f"{note}." for note in self.notes]


def _places(calls: dict[str, str]) -> list[str]:
    """Where they were, the lowest rank first."""
    ranks = sorted(calls, key=lambda some: min(RankSet.parse(some)))
    return [f"  [{some}]  {calls[some]}" for some in ranks]


def _all(calls: dict[str, str]) -> RankSet:
    found = RankSet()
    for ranks in calls:
        found = found | RankSet.parse(ranks)
    return found


class Killed(Seen):
    """Which ranks were killed."""

    def __init__(self, ranks: RankSet, world: RankSet) -> None:
        self.ranks = ranks
        with_them = world - ranks
        self.text = f"{_upper(describe(ranks))}: killed, all that they had is lost."
        if with_them:
            self.text += (
                f" {_upper(describe(with_them))} are of the same MPI world and end with"
                " them, unless that MPI can do without."
            )
        self.text += " `cluster.restart_engines()` starts new ones.\n"


def interrupt(client: Client, targets: Sequence[int]) -> Interrupted:
    """Raise KeyboardInterrupt in what these ranks run."""
    done = client.link.wait(client.link.signal(signal.SIGINT, str(RankSet(targets))))
    return Interrupted(RankSet.parse(done["signalled"]))


def unstick(client: Client, targets: Sequence[int], insist: bool = False) -> Unstuck:
    """Bring the world of these ranks back."""
    link = client.link
    engines = link.core.engines
    worlds = {engines[i].world for i in targets}
    if len(worlds) > 1:
        raise UsageError("These are ranks of several worlds; name those of one.")
    future = link.ask("unstick", targets=str(RankSet(targets)), insist=insist)
    told: Any = link.wait(future, PATIENCE)
    return Unstuck(msgspec.convert(told, type=Freed))


def kill(client: Client, targets: Sequence[int]) -> Killed:
    """End these ranks at once."""
    engines = client.link.core.engines
    worlds = {engines[i].world for i in targets}
    world = RankSet(i for i, info in engines.items() if info.world in worlds)
    done = client.link.wait(client.link.signal(signal.SIGKILL, str(RankSet(targets))))
    return Killed(RankSet.parse(done["signalled"]), world)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]

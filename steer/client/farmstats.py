"""What a task farm does at this moment: `ex.stats()`.

The client knows what it submitted and what has come back, the hub knows the rest: what
waits for a rank, and what ranks hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steer.client.bars import bar
from steer.ranks import RankSet, describe

if TYPE_CHECKING:
    from steer.client.link import Link

MOST_LINES = 16
"""Engines that are told one by one."""


@dataclasses.dataclass(frozen=True)
class EngineStats:
    """One engine's share."""

    engine: int
    host: str
    tasks: int
    """That it has: one runs, the others are next."""
    load: float
    """Seconds that these will take, as far as such tasks were measured."""


@dataclasses.dataclass(frozen=True)
class FarmStats:
    """Numbers of tasks, all at one moment."""

    submitted: int
    """By this client."""
    ended: int
    failed: int
    """Of those that ended; cancelled ones too."""
    here: int
    """Wait in this client, because the hub has enough."""
    waiting: int
    """Wait in the hub; all clients' tasks."""
    held: int
    """Are with engines; all clients' tasks."""
    clients: int
    """Who have tasks there, this one among them."""
    engines: tuple[EngineStats, ...]

    @property
    def unfinished(self) -> int:
        """How many of this client's have not ended."""
        return self.submitted - self.ended

    @property
    def idle(self) -> RankSet:
        """Engines that have nothing to do."""
        return RankSet(e.engine for e in self.engines if not e.tasks)

    def __str__(self) -> str:
        share = bar(self.ended / self.submitted if self.submitted else 1)
        text = f"{share} {self.ended:,} of {self.submitted:,} tasks have ended"
        text += f", {self.failed:,} failed" if self.failed else ""
        parts = [f"{self.held:,} are with ranks", f"{self.waiting:,} wait for one"]
        if self.here:
            parts.append(f"{self.here:,} wait here, as the hub has enough")
        others = self.clients - 1
        if others > 0:
            whose = "another client's" if others == 1 else f"{others} other clients'"
            parts.append(f"{whose} are among them")
        lines = [text, "; ".join(parts)]
        busy = [e for e in self.engines if e.tasks]
        for engine in busy[:MOST_LINES]:
            load = f", {engine.load:.2g} s of work" if engine.load > 0 else ""
            count = f"{engine.tasks:,} {'task' if engine.tasks == 1 else 'tasks'}"
            lines.append(f"rank {engine.engine}: {count}{load}")
        if rest := busy[MOST_LINES:]:
            held = sum(e.tasks for e in rest)
            lines.append(f"{describe(e.engine for e in rest)}: {held:,} tasks")
        if self.idle:
            verb = "is" if len(self.idle) == 1 else "are"
            lines.append(f"{describe(self.idle)} {verb} idle")
        return "\n".join(lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def farm_stats(link: Link) -> FarmStats:
    """Ask the hub, and count what is here."""
    tasks = link.tasks
    told = link.wait(link.ask("tasks"))
    submitted, here = tasks.submitted, tasks.waiting
    return of_answer(told, link.client, submitted, submitted - tasks.unfinished, here)


def of_answer(
    told: Mapping[str, Any], client: str, submitted: int, ended: int, here: int
) -> FarmStats:
    """The hub's answer with what the client knows."""
    mine = told["clients"].get(client, {})
    engines = [
        EngineStats(e["engine"], e["host"], e["held"], e["load"])
        for e in told["engines"]
    ]
    others = [c for name, c in told["clients"].items() if name != client]
    return FarmStats(
        submitted=submitted,
        ended=ended,
        failed=mine.get("failed", 0),
        here=here,
        waiting=told["ready"],
        held=told["held"],
        clients=1 + sum(c["submitted"] > c["ended"] for c in others),
        engines=tuple(sorted(engines, key=lambda e: e.engine)),
    )

"""How a cluster ends: politely, then firmly, then surely, with a deadline for each.

::

    running --begin--> asked --> told --> killed --> swept
                         \\________\\_________\\________^   as soon as nobody is left

*asked*: engines got Quit; idle ones leave together at once, busy ones are interrupted.
*told*: SIGTERM to launchers and engines. *killed*: SIGKILL. *swept*: shared memory
of the dead is removed, and the hub ends. A stop of an idle cluster passes only *asked*.
"""

from __future__ import annotations

import enum
import signal

from steer.core.events import Action, End, Kill, KillJobs, Say, Send, Sweep
from steer.core.registry import Registry
from steer.wire.messages import Quit

ASKED_FOR = 1.5
TOLD_FOR = 1.5
KILLED_FOR = 2.0
"""Seconds in each step before the next one."""


class Step(enum.Enum):
    """How far it is; see the head of this file."""

    RUNNING = "running"
    ASKED = "asked"
    TOLD = "told"
    KILLED = "killed"
    SWEPT = "swept"


NEXT = {Step.ASKED: Step.TOLD, Step.TOLD: Step.KILLED, Step.KILLED: Step.SWEPT}
PATIENCE = {Step.ASKED: ASKED_FOR, Step.TOLD: TOLD_FOR, Step.KILLED: KILLED_FOR}


class Ending:
    """The way down of one cluster."""

    def __init__(self, registry: Registry, jobs: dict[str, int]) -> None:
        self.registry = registry
        self.jobs = jobs
        self.step = Step.RUNNING
        self.due: float | None = None
        self.segments: dict[str, None] = {}

    def begin(self, now: float) -> list[Action]:
        """Start to end; again does nothing."""
        if self.step is not Step.RUNNING:
            return []
        return self._enter(Step.ASKED, now)

    def deadline(self) -> float | None:
        """When this step has lasted long enough."""
        return self.due

    def look(self, now: float) -> list[Action]:
        """Go on if nobody is left, or if this step has lasted too long."""
        if self.due is None:
            return []
        if not self.registry.engines and not self.jobs:
            return self._enter(Step.SWEPT, now)
        if now >= self.due:
            return self._enter(NEXT[self.step], now)
        return []

    def remember(self, segments: tuple[str, ...]) -> None:
        """These files of a dead engine are to be swept when its world is gone."""
        self.segments.update(dict.fromkeys(segments))

    def _enter(self, step: Step, now: float) -> list[Action]:
        self.step = step
        self.due = now + PATIENCE[step] if step in PATIENCE else None
        engines = list(self.registry.engines.values())
        processes = tuple(
            (e.info.pid, e.info.began) for e in engines if self.registry.watchable(e)
        )
        match step:
            case Step.ASKED:
                peers = tuple(p for e in engines for p in (e.work, e.control))
                ask: list[Action] = [Send(peers, Quit("The cluster stops."))]
                if self.jobs and not engines:  # nobody has come yet who could be asked
                    ask.append(KillJobs(signal.SIGTERM))
                return ask + self.look(now)
            case Step.TOLD:
                return [
                    KillJobs(signal.SIGTERM),
                    Kill(processes, signal.SIGTERM),
                    Say("engines did not leave when asked; sent SIGTERM"),
                ]
            case Step.KILLED:
                return [
                    Kill(processes, signal.SIGKILL),
                    KillJobs(signal.SIGKILL),
                    Say("engines did not leave after SIGTERM; sent SIGKILL"),
                ]
            case Step.SWEPT:
                for engine in engines:
                    self.remember(engine.segments)
                return [Sweep(tuple(self.segments)), End()]
            case Step.RUNNING:
                return []

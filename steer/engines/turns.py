"""Whether main had a core: of a thread that has none, one cannot tell what it does.

The kernel counts for each thread how long it ran and how long it was ready to run while
others did. Elsewhere than on Linux nobody knows, and it is taken to have had one.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class Turns(NamedTuple):
    """What one thread had of its cores."""

    ran: float
    """Seconds on a core so far."""
    queued: float
    """Seconds for which it was ready and had none, without those since it is."""
    ready: bool
    """Whether it runs, or would if it had a core."""


def of_main() -> Turns | None:
    """What the main thread of this process had; in any thread."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/schedstat") as file:
            ran, queued, _ = file.read().split()
        with open(f"/proc/self/task/{os.getpid()}/stat") as file:
            state = file.read().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    return Turns(int(ran) / 1e9, int(queued) / 1e9, state == "R")


def without(before: Turns | None, after: Turns | None, passed: float) -> float:
    """For how much of the time between the two it was ready and had no core."""
    if before is None or after is None:
        return 0.0
    queued = after.queued - before.queued
    if after.ready:  # what it waits since the last time is not counted yet
        queued = max(queued, passed - (after.ran - before.ran))
    return min(max(queued, 0.0), passed)

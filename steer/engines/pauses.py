"""How a rank rests while it looks for something in MPI that wakes nobody.

It looks all the time at first, because most waits are short; then it naps, so that it
does not burn a core that its peers need.
"""

from __future__ import annotations

import os
import time

SPIN = 0.001
"""Seconds of looking all the time."""

NAP = 50e-6
LONG_NAP = 500e-6
"""After a tenth of a second nobody notices half a millisecond."""


class Pauses:
    """The pauses of one wait."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def rest(self) -> None:
        """Let others run for a moment."""
        waited = time.monotonic() - self._began
        if waited < SPIN:
            os.sched_yield()
        else:
            time.sleep(NAP if waited < 0.1 else LONG_NAP)

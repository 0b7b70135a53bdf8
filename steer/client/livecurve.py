"""A watch before one's eyes: its curve in a notebook, drawn anew while numbers come.

The picture is one output, updated; it costs its reader nothing when nothing comes, and
ends with the watch. Where no output can be updated, in a terminal, the curve is a line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from steer.client import curves, live
from steer.client.curvepicture import svg

if TYPE_CHECKING:
    from steer.client.watches import Watch

EVERY = 0.25
"""Seconds between two pictures."""

Later = Callable[[float, Callable[[], object]], object]
"""Does something after some seconds, in the thread that numbers come in."""


def show(watch: Watch, later: Later) -> None:
    """Show a watch where we are."""
    if live.updates_outputs():
        Picture(watch, later)
    else:
        sys.stdout.write(f"{curves.line(watch.curve)}\n")


class Picture:
    """One output of a notebook."""

    def __init__(self, watch: Watch, later: Later) -> None:
        self._watch = watch
        self._later = later
        self._id = live.new_id()
        self._drawn = 0.0
        self._due = False
        self._publish(update=False)
        watch.listeners.append(self._changed)

    def _changed(self, watch: Watch) -> None:
        """New numbers; in the I/O thread."""
        if self._due:
            return
        wait = self._drawn + EVERY - time.monotonic()
        if wait <= 0:
            self._draw()
        else:
            self._due = True
            self._later(wait, self._draw)

    def _draw(self) -> None:
        self._due = False
        try:
            self._publish(update=True)
        except (OSError, ValueError, RuntimeError):  # the notebook's kernel ends
            self._watch.listeners.remove(self._changed)

    def _publish(self, *, update: bool) -> None:
        curve = self._watch.curve
        data = {"text/plain": curves.line(curve), "text/html": svg(curve)}
        live.publish(data, {}, self._id, update=update)
        self._drawn = time.monotonic()

"""Below the prompt of IPython in a terminal: the curves of what is watched, live.

In [5]: %pxwatch residual
residual  ▇▆▅▄▃▂▁▁  point 423: min 3.1e-06 (r7)  med 3.2e-06  max 4.4e-06 (r2)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steer.client import curves

if TYPE_CHECKING:
    from steer.client.run import Run

MOST = 5
"""Lines; the latest watches."""
INTERVAL = 0.2
"""Seconds between two drawings of a prompt."""


class Below:
    """The lines below a prompt."""

    def __init__(self, prompt: Any, run: Run) -> None:
        self._prompt = prompt
        self._run = run
        prompt.app.min_redraw_interval = INTERVAL

    def draw(self) -> None:
        """Numbers have come, or a watch has begun or ended; from any thread."""
        shown = bool(self._run.watched())
        # None is no line, an empty text would be an empty one.
        self._prompt.bottom_toolbar = self.lines if shown else None
        self._prompt.app.invalidate()

    def lines(self) -> str:
        """What is watched, a line each."""
        watched = self._run.watched()[-MOST:]
        return "\n".join(curves.line(watch.curve) for watch in watched)

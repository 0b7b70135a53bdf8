"""What happens to a run, told to whoever has its magics: in a notebook or a console.

What was asked for here is answered where it was asked. All else is said when it comes:
what others do to the run, what was planned and is done now, ranks that are lost, the
end. `state` is what the run does now, for prompts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from steer.client.attending import attended
from steer.client.runstate import family_state

if TYPE_CHECKING:
    from steer.client.run import Run
    from steer.wire.messages import News, Sample

_PHASES = {
    "stopped": "stopped",
    "went": "running",
    "here": "here",
    "ending": "ending",
    "over": "over",
}
"""What news of that kind leave a family in."""


class Telling:
    """Listens to the news of one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.redraw: Callable[[], object] = lambda: None
        """Called, in any thread, when `state` or what is watched has changed."""
        self._frozen = False
        """Ranks may hold by themselves."""
        self._phases: dict[str, dict[str, Any]] = {}
        for family in run.status()["families"]:
            self._phases[family["family"]] = {
                key: family[key] for key in ("label", "phase", "point")
            }

    def __enter__(self) -> Self:
        steering = self.run.client.link.steering
        steering.listeners.append(self._heard)
        steering.takers.append(self._took)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Say no more."""
        steering = self.run.client.link.steering
        if self._heard in steering.listeners:
            steering.listeners.remove(self._heard)
            steering.takers.remove(self._took)

    @property
    def state(self) -> str:
        """What the run does, in a few words."""
        states = [family_state(family) for family in self._phases.values()]
        return ", ".join(dict.fromkeys(states)) or "no point yet"

    @property
    def runs(self) -> bool:
        """Whether no rank holds, as far as is known: what is sent there would wait."""
        phases = {family["phase"] for family in self._phases.values()}
        return not self._frozen and not phases - {"running", "ending"}

    def _heard(self, news: News) -> None:
        """In the I/O thread, which must go on whatever becomes of our output."""
        if news.run != self.run.name:
            return
        self._frozen = news.kind == "froze" or (self._frozen and news.kind != "went")
        if news.kind in _PHASES:
            self._phases[news.family] = {
                "label": news.family.rpartition("/")[2],
                "phase": _PHASES[news.kind],
                "point": news.point,
            }
        try:
            if not self._is_answered_here(news):
                sys.stdout.write(f"{self.run.name}: {news.text}\n")
                sys.stdout.flush()
            self.redraw()
        except (OSError, ValueError):  # nobody reads us any more
            self.close()

    def _took(self, sample: Sample, body: bytes) -> None:
        """Numbers of a watch; in the I/O thread."""
        self.redraw()

    def _is_answered_here(self, news: News) -> bool:
        link = self.run.client.link
        if news.kind == "waiting":
            return link.steering in attended
        if news.text.removeprefix("no more ").startswith("until "):
            return True  # how `until` is done; the stop that follows is told
        return any(id.startswith(f"{link.client}-") for id in news.answers)

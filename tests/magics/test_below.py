"""Below the prompt there is what is watched, and no line without it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from steer.client.curves import Curve, Sample
from steer.magics.below import MOST, Below


class Run:
    """Its watches are as a test says."""

    def __init__(self) -> None:
        self.watches: list[Any] = []

    def watched(self) -> list[Any]:
        return self.watches

    def watch(self, text: str) -> Curve:
        self.watches.append(SimpleNamespace(curve=Curve(text)))
        return self.watches[-1].curve


def prompt() -> Any:
    drawn: list[int] = []
    app = SimpleNamespace(invalidate=lambda: drawn.append(1), min_redraw_interval=None)
    return SimpleNamespace(app=app, bottom_toolbar=None, drawn=drawn)


def test_curves_stand_below_and_grow():
    run, below_what = Run(), prompt()
    below = Below(below_what, run)
    below.draw()
    assert below_what.bottom_toolbar is None

    curve = run.watch("residual")
    below.draw()
    assert below_what.bottom_toolbar() == "residual  nothing yet"
    curve.add(Sample(3, 1.0, 2.0, 3.0))
    assert below_what.bottom_toolbar().startswith("residual  ▁  point 3: min 1")
    assert len(below_what.drawn) == 2

    run.watches.clear()
    below.draw()
    assert below_what.bottom_toolbar is None


def test_of_many_the_latest_are_shown():
    run, below_what = Run(), prompt()
    for number in range(MOST + 3):
        run.watch(f"x{number}")
    Below(below_what, run).draw()

    lines = below_what.bottom_toolbar().splitlines()
    assert len(lines) == MOST
    assert lines[-1].startswith(f"x{MOST + 2} ")

"""Draw steering.svg from the table of `steer.core.round`.

    python docs/design/draw_rounds.py

Where the phases stand is decided here, what leads from one to another is not. A test
compares the picture with the table.
"""

from __future__ import annotations

import math
from pathlib import Path

from steer.core.round import TABLE, Phase

PICTURE = Path(__file__).with_name("steering.svg")

PLACES = {
    Phase.RUNNING: (110, 90),
    Phase.ARMING: (400, 80),
    Phase.ALIGNING: (830, 90),
    Phase.STOPPED: (830, 450),
    Phase.HERE: (590, 290),
    Phase.ENDING: (400, 560),
    Phase.OVER: (110, 560),
}
WIDTH, HEIGHT, HALF_WIDTH, HALF_HEIGHT = 960, 640, 58, 22
BEND = 0.09
"""How far an edge stands out to its left, so that two ways are two lines; of its
length."""

STYLE = """
text { font: 13px sans-serif; fill: #222; text-anchor: middle }
.phase { font-weight: bold }
rect { fill: #eef4fb; stroke: #30527a; stroke-width: 1.5 }
path { fill: none; stroke: #30527a; stroke-width: 1.3; marker-end: url(#head) }
.label { font-size: 11px; paint-order: stroke; stroke: #fff; stroke-width: 4px }
"""


def draw() -> str:
    """The picture."""
    edges: dict[tuple[Phase, Phase], list[str]] = {}
    for (start, turn), end in TABLE.items():
        edges.setdefault((start, end), []).append(turn.value)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" style="fill:#fff;stroke:none"/>',
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" '
        'style="fill:#30527a;stroke:none;marker-end:none"/></marker>',
    ]
    labels: list[str] = []
    for (start, end), turns in edges.items():
        line, (x, y) = _loop(start) if start is end else _edge(start, end)
        lines.append(f'<path d="{line}"/>')
        for number, turn in enumerate(turns):
            at = f'x="{x:.0f}" y="{y + 14 * number:.0f}"'
            labels.append(f'<text class="label" {at}>{turn}</text>')
    for phase, (x, y) in PLACES.items():
        lines.append(
            f'<rect x="{x - HALF_WIDTH}" y="{y - HALF_HEIGHT}" rx="8" '
            f'width="{2 * HALF_WIDTH}" height="{2 * HALF_HEIGHT}"/>'
        )
        lines.append(f'<text class="phase" x="{x}" y="{y + 5}">{phase.value}</text>')
    return "\n".join([*lines, *labels, "</svg>", ""])


def _edge(start: Phase, end: Phase) -> tuple[str, tuple[float, float]]:
    """A bent line from box to box, and where its text goes."""
    (ax, ay), (bx, by) = PLACES[start], PLACES[end]
    length = math.hypot(bx - ax, by - ay)
    out = max(26.0, BEND * length) / length
    dx, dy = out * (bx - ax), out * (by - ay)
    middle = (ax + bx) / 2 + dy * 2, (ay + by) / 2 - dx * 2
    first, last = _border(start, middle), _border(end, middle)
    line = "M{:.0f} {:.0f}Q{:.0f} {:.0f} {:.0f} {:.0f}".format(*first, *middle, *last)
    text = (ax + bx) / 2 + dy * 1.2, (ay + by) / 2 - dx * 1.2
    return line, text


def _loop(phase: Phase) -> tuple[str, tuple[float, float]]:
    """A line from a box to itself, above it."""
    x, y = PLACES[phase]
    top = y - HALF_HEIGHT
    line = f"M{x - 20} {top}C{x - 50} {top - 45} {x + 50} {top - 45} {x + 20} {top}"
    return line, (x, top - 40)


def _border(phase: Phase, towards: tuple[float, float]) -> tuple[float, float]:
    """Where a line from the middle of a box leaves it."""
    x, y = PLACES[phase]
    dx, dy = towards[0] - x, towards[1] - y
    scale = min(
        HALF_WIDTH / abs(dx) if dx else math.inf,
        HALF_HEIGHT / abs(dy) if dy else math.inf,
    )
    return x + dx * scale, y + dy * scale


if __name__ == "__main__":
    PICTURE.write_text(draw())

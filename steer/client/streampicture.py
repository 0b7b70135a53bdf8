"""The picture of a task stream: a row for each rank, a colour for each function.

A run that is wide enough is a rectangle that says what it was when pointed at. What is
narrower than a pixel cannot be seen: such runs are added up, pixel by pixel, as columns
whose height is how busy the rank was. So a million tasks make a picture of the same
size as a thousand, and it tells the same truth.

Text and lines take the page's colour, so that it is read on dark pages too.
"""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from steer.client.stream import Function, Run, TaskStream, short

COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#b8a200", "#7b5fb5",
    "#8c6d4f",
)  # fmt: skip
"""Told apart by people who see colours otherwise, too."""
OTHERS = "#9a9a9a"
"""For functions beyond these colours: those that took least."""
FAILED = "#d62728"
LEFT, RIGHT, TOP, AXIS, LEGEND = 64, 12, 28, 34, 18
TALLEST, LOWEST, TALL = 22, 3, 640
"""Pixels of a row, and of all rows if there are many."""
NARROW = 2.0
"""Pixels under which runs are added up."""
_TEXT = (
    'font-family="system-ui,sans-serif" font-size="12" '
    'fill="var(--jp-ui-font-color1,currentColor)"'
)


class Column(NamedTuple):
    """What short runs made of some pixels of a row."""

    x: float
    width: float
    share: float
    """How much of the time the rank ran, between 0 and 1."""
    name: str
    """The function that took most of it."""
    runs: int
    failed: int


class _Frame(NamedTuple):
    """Where things are: pixels for times and ranks."""

    width: float
    began: float
    scale: float
    """Pixels a second."""
    rows: Mapping[int, float]
    """Where each rank's row begins."""
    row: float

    @property
    def bottom(self) -> float:
        return TOP + self.row * len(self.rows)

    def x(self, time: float) -> float:
        return LEFT + (time - self.began) * self.scale


def svg(stream: TaskStream, width: int = 960) -> str:
    """The picture."""
    frame = _frame(stream, width)
    colours = colours_of(stream.functions)
    legend = [] if not stream.runs else list(_legend(stream.functions, frame, colours))
    height = frame.bottom + AXIS + LEGEND * len(legend)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" '
        f'width="{width}" style="max-width:100%" role="img" '
        f'aria-label="{_escape(stream.summary)}">',
        f'<text x="{LEFT}" y="17" {_TEXT}>{_escape(stream.summary)}</text>',
        *_rows(frame),
        *_axis(stream.seconds, frame),
        *_marks(stream, frame, colours),
        *legend,
        "</svg>",
    ]
    return "\n".join(parts)


def colours_of(functions: Sequence[Function]) -> dict[str, str]:
    """A colour for each function; those that took longest are told apart."""
    return {
        function.name: COLOURS[place] if place < len(COLOURS) else OTHERS
        for place, function in enumerate(functions)
    }


def page(stream: TaskStream, width: int = 960) -> str:
    """A page of its own: the picture, and its functions as a table."""
    rows = "\n".join(
        f"<tr><td>{_escape(f.name)}</td><td>{f.runs:,}</td><td>{f.failed:,}</td>"
        f"<td>{short(f.total)}</td><td>{short(f.median)}</td></tr>"
        for f in stream.functions
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{_escape(stream.summary)}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font-family: system-ui, sans-serif; margin: 24px }}
td, th {{ padding: 2px 14px 2px 0; text-align: right }}
td:first-child, th:first-child {{ text-align: left }}
</style></head><body>
{svg(stream, width)}
<table>
<tr><th>function</th><th>runs</th><th>failed</th><th>in all</th><th>median</th></tr>
{rows}
</table>
</body></html>
"""


def ticks(span: float, most: int = 8) -> list[float]:
    """Round times from 0 to the end, not more than so many."""
    if span <= 0:
        return [0.0]
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough * (1 - 1e-9))
    return [step * n for n in range(int(span / step * (1 + 1e-9)) + 1)]


def _frame(stream: TaskStream, width: int) -> _Frame:
    row = max(LOWEST, min(TALLEST, TALL / max(1, len(stream.engines))))
    rows = {engine: TOP + row * k for k, engine in enumerate(stream.engines)}
    inside = width - LEFT - RIGHT
    scale = inside / stream.seconds if stream.seconds > 0 else 0.0
    return _Frame(inside, stream.began, scale, rows, row)


def _rows(frame: _Frame) -> Iterator[str]:
    """The ranks' names, as many as there is room for, and the rows' ground."""
    every = max(1, math.ceil(14 / frame.row))
    for place, (engine, y) in enumerate(frame.rows.items()):
        if place % every == 0:
            middle = y + frame.row / 2 + 4
            yield (
                f'<text x="{LEFT - 8}" y="{middle:.1f}" text-anchor="end" {_TEXT}>'
                f"rank {engine}</text>"
            )
    height = frame.bottom - TOP
    yield (
        f'<rect x="{LEFT}" y="{TOP}" width="{frame.width:g}" height="{height:g}" '
        'fill="#8882"/>'
    )


def _axis(span: float, frame: _Frame) -> Iterator[str]:
    low = frame.bottom
    for time in ticks(span):
        x = LEFT + time * frame.scale
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{low + 4:g}" '
            'stroke="#8886" stroke-width="1"/>'
            f'<text x="{x:.1f}" y="{low + 18:g}" text-anchor="middle" {_TEXT}>'
            f"{short(time)}</text>"
        )


def _marks(
    stream: TaskStream, frame: _Frame, colours: Mapping[str, str]
) -> Iterator[str]:
    wide: list[Run] = []
    narrow: list[Run] = []
    for run in stream.runs:
        pixels = run.took * frame.scale
        (wide if pixels >= NARROW or not frame.scale else narrow).append(run)
    gap = 1 if frame.row > 8 else 0
    tall = frame.row - gap
    for engine, column in columns(narrow, frame.began, frame.scale):
        y, high = frame.rows[engine], max(1.0, tall * column.share)
        told = f"{column.runs:,} runs, most of them {column.name}, "
        told += f"{column.share:.0%} busy"
        told += f", {column.failed:,} failed" if column.failed else ""
        colour = FAILED if column.failed else colours[column.name]
        yield (
            f'<rect x="{LEFT + column.x:.4g}" y="{y + tall - high:.1f}" '
            f'width="{column.width:.4g}" height="{high:.1f}" fill="{colour}">'
            f"<title>{_escape(told)}</title></rect>"
        )
    for run in wide:
        x = frame.x(run.started)
        edge = "" if run.fine else f' stroke="{FAILED}" stroke-width="2"'
        pixels = max(1.0, run.took * frame.scale - (0.5 if run.fine else 1.5))
        yield (
            f'<rect x="{x:.2f}" y="{frame.rows[run.engine]:.1f}" '
            f'width="{pixels:.2f}" height="{tall:.1f}" '
            f'fill="{colours[run.name]}"{edge}>'
            f"<title>{_escape(told_of(run, frame.began))}</title></rect>"
        )


def columns(
    runs: Sequence[Run], began: float, scale: float
) -> Iterator[tuple[int, Column]]:
    """Short runs as columns, a pixel wide at least; neighbours that are alike are
    one."""
    merged: tuple[int, Column] | None = None
    for engine, column in _pixels(runs, began, scale):
        if merged and merged[0] == engine and _alike(merged[1], column):
            before = merged[1]
            column = before._replace(
                width=before.width + 1, runs=before.runs + column.runs
            )
        elif merged:
            yield merged
        merged = engine, column
    if merged:
        yield merged


def _pixels(
    runs: Sequence[Run], began: float, scale: float
) -> Iterator[tuple[int, Column]]:
    """What short runs made of each pixel, rank by rank."""
    busy: dict[tuple[int, int], dict[str, float]] = {}
    counts: Counter[tuple[int, int]] = Counter()
    failed: Counter[tuple[int, int]] = Counter()
    for run in runs:
        first, last = (run.started - began) * scale, (run.ended - began) * scale
        counts[run.engine, int(first)] += 1
        failed[run.engine, int(first)] += not run.fine
        for pixel in range(int(first), int(last) + 1):
            inside = min(last, pixel + 1) - max(first, pixel)
            here = busy.setdefault((run.engine, pixel), {})
            here[run.name] = here.get(run.name, 0.0) + inside
    for place in sorted(busy):
        names = busy[place]
        name = max(names, key=lambda n: (names[n], n))
        share = round(min(1.0, sum(names.values())), 2)
        yield (
            place[0],
            Column(place[1], 1, share, name, counts[place], failed[place]),
        )


def _alike(left: Column, right: Column) -> bool:
    return (
        left.x + left.width == right.x
        and left.name == right.name
        and abs(left.share - right.share) < 0.02
        and not (left.failed or right.failed)
    )


def told_of(run: Run, began: float) -> str:
    """A run in a sentence."""
    name = f"{run.name} {run.id}".rstrip()
    text = f"{name} on rank {run.engine}: {short(run.took)}, "
    text += f"from {short(run.started - began)}"
    if run.waited is not None:
        text += f", waited {short(run.waited)}"
    return text if run.fine else f"{text}, {run.status}"


def _legend(
    functions: Sequence[Function], frame: _Frame, colours: Mapping[str, str]
) -> Iterator[str]:
    y = frame.bottom + AXIS + 4
    for function in functions[: len(COLOURS)]:
        runs = f"{function.runs:,} {'run' if function.runs == 1 else 'runs'}"
        text = f"{function.name}: {runs}, median {short(function.median)}"
        text += f", {function.failed:,} failed" if function.failed else ""
        yield _line_of_legend(y, colours[function.name], text)
        y += LEGEND
    if rest := functions[len(COLOURS) :]:
        count = sum(function.runs for function in rest)
        yield _line_of_legend(y, OTHERS, f"{len(rest)} more functions: {count:,} runs")


def _line_of_legend(y: float, colour: str, text: str) -> str:
    return (
        f'<rect x="{LEFT}" y="{y - 10:g}" width="11" height="11" fill="{colour}"/>'
        f'<text x="{LEFT + 18}" y="{y:g}" {_TEXT}>{_escape(text)}</text>'
    )


def _escape(text: str) -> str:
    """Text for XML, which has no control characters."""
    return html.escape("".join(c if c >= " " else "�" for c in text))

"""The picture of a curve: a line for the median, and a band from the least to the most.

It is SVG within HTML and needs no library, here or in the browser. Text and lines take
the page's colour, so that it is read on dark pages too. Where a rank had no number, the
band has a gap and a red mark: a NaN is what one looks for.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from steer.client.curves import HUGE, Curve, Sample, is_logarithmic, short, told

COLOUR = "#0072b2"
BAD = "#d62728"
WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 70, 14, 26, 26
_TEXT = (
    'font-family="system-ui,sans-serif" font-size="12" '
    'fill="var(--jp-ui-font-color1,currentColor)"'
)
_GRID = 'stroke="#8884" stroke-width="1"'


class _Scale(NamedTuple):
    """Pixels for points and values."""

    first: int
    last: int
    low: float
    high: float
    logarithmic: bool

    def x(self, point: float) -> float:
        span = max(1, self.last - self.first)
        return LEFT + (WIDTH - LEFT - RIGHT) * (point - self.first) / span

    def y(self, value: float) -> float:
        level = math.log10(value) if self.logarithmic else value
        share = (level - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def svg(curve: Curve) -> str:
    """The picture of all samples."""
    said = told(curve.last) if curve.last else "nothing yet"
    title = f"{curve.name}: {said}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" style="max-width:100%" role="img" '
        f'aria-label="{_escape(title)}">',
        f'<text x="{LEFT}" y="16" {_TEXT}>{_escape(title)}</text>',
    ]
    if curve.samples:
        scale = _scale(curve.samples)
        parts += [*_grid(scale), *_marks(curve.samples, scale)]
    return "\n".join([*parts, "</svg>"])


def _scale(samples: Sequence[Sample]) -> _Scale:
    logarithmic = is_logarithmic(samples)
    drawn = [sample for sample in samples if sample.finite]
    low = min((sample.low for sample in drawn), default=0.0)
    high = max((sample.high for sample in drawn), default=1.0)
    if logarithmic:
        low, high = math.log10(low), math.log10(high)
    if not high - low > max(1e-12 * max(abs(low), abs(high)), 1 / HUGE):
        margin = max(abs(low), abs(high)) / 10
        margin = margin if margin > 1 / HUGE else 1.0
        low, high = low - margin, high + margin
    return _Scale(samples[0].point, samples[-1].point, low, high, logarithmic)


def _grid(scale: _Scale) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for value, label in levels(scale.low, scale.high, scale.logarithmic):
        y = scale.y(value)
        yield (
            f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" {_GRID}/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" {_TEXT}>'
            f"{label}</text>"
        )
    for point in points(scale.first, scale.last):
        x = scale.x(point)
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom + 4}" {_GRID}/>'
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" {_TEXT}>'
            f"{point}</text>"
        )


def levels(
    low: float, high: float, logarithmic: bool, most: int = 5
) -> list[tuple[float, str]]:
    """Round values between two, with their labels."""
    if logarithmic and math.floor(high) > math.ceil(low):
        every = max(1, math.ceil((math.floor(high) - math.ceil(low)) / most))
        powers = range(math.ceil(low), math.floor(high) + 1, every)
        return [(10.0**power, f"1e{power}") for power in powers]
    if logarithmic:
        low, high = 10**low, 10**high
    step = _step(high - low, most)
    first = math.ceil(low / step * (1 - 1e-9) if low > 0 else low / step)
    values = [step * n for n in range(first, first + most + 2)]
    return [(value, short(value)) for value in values if value <= high + step * 1e-9]


def points(first: int, last: int, most: int = 6) -> list[int]:
    """Round points from the first to the last."""
    step = max(1, round(_step(last - first, most))) if last > first else 1
    start = -(-first // step) * step
    return list(range(start, last + 1, step))


def _step(span: float, most: int) -> float:
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= rough * (1 - 1e-9))


def _marks(samples: Sequence[Sample], scale: _Scale) -> Iterator[str]:
    for part in _whole_parts(samples):
        top = [f"{scale.x(s.point):.1f},{scale.y(s.high):.1f}" for s in part]
        low = [f"{scale.x(s.point):.1f},{scale.y(s.low):.1f}" for s in part]
        middle = [f"{scale.x(s.point):.1f},{scale.y(s.median):.1f}" for s in part]
        if len(part) == 1:
            left, height = middle[0].split(",")
            yield f'<circle cx="{left}" cy="{height}" r="2" fill="{COLOUR}"/>'
            continue
        if any(not sample.same for sample in part):
            band = " ".join([*top, *reversed(low)])
            yield f'<polygon points="{band}" fill="{COLOUR}" fill-opacity="0.25"/>'
        yield (
            f'<polyline points="{" ".join(middle)}" fill="none" '
            f'stroke="{COLOUR}" stroke-width="1.5"/>'
        )
    for sample in samples:
        if not sample.finite:
            x = scale.x(sample.point)
            text = f"point {sample.point}: {told(sample)}"
            yield (
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" '
                f'stroke="{BAD}" stroke-width="2"><title>{_escape(text)}</title></line>'
            )


def _whole_parts(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """The samples that can be drawn, cut where one cannot."""
    part: list[Sample] = []
    for sample in samples:
        if sample.finite:
            part.append(sample)
        elif part:
            yield part
            part = []
    if part:
        yield part


def _escape(text: str) -> str:
    """Text for XML, which has no control characters."""
    return html.escape("".join(c if c >= " " else "�" for c in text))

"""What a watch has seen: for each point the least, the median and the most over ranks.

A curve keeps a bounded number of samples. When they become too many, neighbours are
joined: the least of the least and the most of the most, so that no peak is ever lost;
and the latest sample stays what it was. `line` says it in a terminal:

    residual  ▇▆▅▄▃▂▁▁  point 423: min 3.1e-06 (r7)  med 3.2e-06  max 4.4e-06 (r2)

`curvepicture` draws it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from steer.core.summary import BARS

MOST = 600
"""Samples that are kept: about as many as a picture has pixels."""
LOG_FROM = 1000.0
"""Numbers that are positive and so far apart are shown by their logarithms."""
HUGE = 1e300
"""Larger numbers cannot be drawn: their differences may be none."""
GAP = "·"
"""In a sparkline: there was no number."""


class Sample(NamedTuple):
    """What all ranks had at a point; NaN where a rank had no number."""

    point: int
    low: float
    median: float
    high: float
    low_rank: int = -1
    high_rank: int = -1

    @property
    def same(self) -> bool:
        """Whether all ranks had the same."""
        return self.low == self.high

    @property
    def finite(self) -> bool:
        """Whether all of it can be drawn."""
        return all(abs(value) < HUGE for value in self[1:4])  # NaN is not


class Curve:
    """The samples of one expression."""

    def __init__(self, name: str, most: int = MOST) -> None:
        self.name = name
        self.samples: list[Sample] = []
        self.points = 0
        """How many have come in all."""
        self.joined = 1
        """So many points, one after the other, are one sample now."""
        self._most = most
        self._open = 0
        """How many points the last sample stands for."""

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def last(self) -> Sample | None:
        """The latest."""
        return self._last if self.samples else None

    def add(self, sample: Sample) -> None:
        """Take the next; one whose point is not later than the last is old news."""
        last = self.last
        if last is not None and sample.point <= last.point:
            return
        self._last = sample
        self.points += 1
        if self.samples and self._open < self.joined:
            self.samples[-1] = _both(self.samples[-1], sample)
            self._open += 1
            return
        if len(self.samples) >= self._most:
            self._halve()
        self.samples.append(sample)
        self._open = 1

    def _halve(self) -> None:
        pairs = zip(self.samples[::2], self.samples[1::2], strict=False)
        odd = self.samples[-1:] if len(self.samples) % 2 else []
        self.samples = [_both(*pair) for pair in pairs] + odd
        self.joined *= 2


def _both(left: Sample, right: Sample) -> Sample:
    """Two samples as one, at the later point. NaN stays: it is what one looks for."""
    lowest = left if not right.low < left.low and not math.isnan(right.low) else right
    most = left if not right.high > left.high and not math.isnan(right.high) else right
    return Sample(
        right.point, lowest.low, right.median, most.high, lowest.low_rank,
        most.high_rank,
    )  # fmt: skip


def is_logarithmic(samples: Sequence[Sample]) -> bool:
    """Whether the logarithms tell more."""
    drawn = [sample for sample in samples if sample.finite]
    if not drawn or min(sample.low for sample in drawn) <= 0:
        return False
    # By the medians: one rank that is far away at times is no reason.
    medians = [sample.median for sample in drawn]
    return max(medians) > LOG_FROM * min(medians)


def sparkline(curve: Curve, width: int = 24) -> str:
    """The medians of the latest samples."""
    samples = curve.samples[-width:]
    values = [sample.median for sample in samples]
    if is_logarithmic(samples):
        values = [math.log10(value) if value > 0 else math.nan for value in values]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return GAP * len(values)
    low, span = min(finite), max(finite) - min(finite)
    return "".join(_bar(value, low, span) for value in values)


def _bar(value: float, low: float, span: float) -> str:
    if not math.isfinite(value):
        return GAP
    height = (value - low) / span if span > 0 else 0.0
    return BARS[min(int(height * len(BARS)), len(BARS) - 1)]


def short(value: float) -> str:
    """A number for people: `3.2e-06`, `413`, `0.25`."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4g}"


def told(sample: Sample) -> str:
    """A sample in words."""
    if sample.same:
        return f"{short(sample.median)} on all ranks"
    return (
        f"min {short(sample.low)}{_rank(sample.low_rank)}  "
        f"med {short(sample.median)}  "
        f"max {short(sample.high)}{_rank(sample.high_rank)}"
    )


def _rank(rank: int) -> str:
    return f" (r{rank})" if rank >= 0 else ""


def line(curve: Curve, width: int = 24) -> str:
    """The curve on one line."""
    if curve.last is None:
        return f"{curve.name}  nothing yet"
    bars = sparkline(curve, width)
    return f"{curve.name}  {bars}  point {curve.last.point}: {told(curve.last)}"

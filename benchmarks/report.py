"""From records to tables: medians with their spread, and ratios within each round."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.run import Record
from benchmarks.works import METRICS

SUBJECT = "steer"


def number(x: float) -> str:
    """Three digits are more than a shared machine gives."""
    if x >= 10_000:
        return f"{x / 1000:,.0f}k"
    if x >= 100:
        return f"{x:.0f}"
    return f"{x:.3g}"


def _spread(values: Sequence[float], sign: str = "") -> str:
    middle = sign + number(statistics.median(values))
    if len(values) == 1 or min(values) == max(values):
        return middle
    return f"{middle} ({number(min(values))}-{number(max(values))})"


def by_round(records: Iterable[Record], system: str, metric: str) -> dict[int, float]:
    """Each round's figure: the median within its session."""
    return {
        record.turn: statistics.median(record.figures[metric])
        for record in records
        if record.system == system and record.figures.get(metric)
    }


def ratios(
    records: Sequence[Record], metric: str, other: str, more_is_better: bool
) -> list[float]:
    """How many times better Steer was than the other, in each round that had both."""
    mine = by_round(records, SUBJECT, metric)
    theirs = by_round(records, other, metric)
    found = []
    for turn in sorted(mine.keys() & theirs.keys()):
        better, worse = mine[turn], theirs[turn]
        if not more_is_better:
            better, worse = worse, better
        if better > 0 and worse > 0:
            found.append(better / worse)
    return found


def tables(records: Sequence[Record]) -> str:
    """Figures, then ratios."""
    systems = list(dict.fromkeys(record.system for record in records))
    figures, compared = [], []
    for metric, unit, more in METRICS:
        name = f"{metric}, {unit}" if unit else metric
        cells = [list(by_round(records, s, metric).values()) for s in systems]
        if any(cells):
            figures.append([name, *(_spread(c) if c else "-" for c in cells)])
        others = [s for s in systems if s != SUBJECT]
        cells = [ratios(records, metric, s, more) for s in others]
        if any(cells):
            compared.append([name, *(_spread(c, "x") if c else "-" for c in cells)])
    parts = [conditions(records), _table(["median (spread)", *systems], figures)]
    if compared:
        title = f"{SUBJECT} is better by"
        parts.append(_table([title, *others], compared))
    return "\n\n".join(parts)


def facts() -> dict[str, Any]:
    """The machine, as far as it matters and without its name."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "kernel": platform.release().partition("-")[0],
    }


def conditions(records: Sequence[Record]) -> str:
    """What to know before believing the figures."""
    fact, loads = facts(), [record.load for record in records]
    counts = ", ".join(str(n) for n in sorted({record.n for record in records}))
    return (
        f"n = {counts} workers, {1 + max(r.turn for r in records)} rounds; "
        f"{fact['cores']} cores, Python {fact['python']}, Linux {fact['kernel']}; "
        f"load average before a session {_spread(loads)}"
    )


def _table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table that also reads well on a terminal."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * w for w in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )

"""What watches measure: thinned out on each rank, put together for all of them.

A rank may come to ten thousand points in a second, and nobody can look at so many. So
each rank sends its numbers in bundles, and leaves out all but every 2nd, 4th, 8th ...
when they become too many (`Thinned`). It counts from the first point of the watch,
which is the same on all ranks; therefore ranks that leave out differently many still
have points in common.

The hub puts the ranks' numbers together point by point (`Merged`): the least, the
median and the most over ranks, and which ranks these are. A point that some rank has
left out is left out. What is not a number somewhere is what one looks for, so it counts
as the most.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from steer.ranks import RankSet

BUNDLE = 20
"""Numbers in a bundle, about."""
WAITING = 1000
"""Points that wait for the numbers of slow ranks."""


class Row(NamedTuple):
    """What one rank had at a point: several numbers if it was an array."""

    point: int
    low: float
    mid: float
    high: float


class Whole(NamedTuple):
    """What all ranks had at a point."""

    point: int
    low: float
    median: float
    high: float
    low_rank: int
    high_rank: int


class Thinned:
    """The numbers of one watch on one rank that were not sent yet."""

    def __init__(self, most: int = BUNDLE) -> None:
        self._most = most
        self._count = 0
        """Points since the watch began."""
        self._stride = 1
        self._rows: list[tuple[int, Row]] = []
        self._latest: Row | None = None

    def add(self, row: Row) -> None:
        """Take what there is at the next point of the watch."""
        if self._count % self._stride == 0:
            self._rows.append((self._count, row))
            if len(self._rows) > self._most:
                self._stride *= 2
                kept = self._stride
                self._rows = [entry for entry in self._rows if entry[0] % kept == 0]
        self._count += 1
        self._latest = row

    def take(self) -> list[Row]:
        """The bundle, which is empty now. The latest number is always in it: all ranks
        may hold at that point."""
        rows = [row for _, row in self._rows]
        if self._latest is not None and (not rows or rows[-1] is not self._latest):
            rows.append(self._latest)
        self._rows, self._latest, self._stride = [], None, 1
        return rows


class Merged:
    """The numbers of one watch on all its ranks."""

    def __init__(self, ranks: RankSet) -> None:
        self._latest = dict.fromkeys(ranks, -1)
        """The last point of which each rank has said something."""
        self._waiting: dict[int, dict[int, Row]] = {}
        """By point, oldest first among those of one rank."""

    def add(self, rank: int, rows: Sequence[Row]) -> list[Whole]:
        """Take a rank's bundle; returns the points that are whole now, in order."""
        if rank not in self._latest:
            return []
        for row in rows:
            self._waiting.setdefault(row.point, {})[rank] = row
            self._latest[rank] = max(self._latest[rank], row.point)
        return self._whole()

    def lose(self, ranks: RankSet) -> list[Whole]:
        """These will send nothing more; others need not wait for them."""
        for rank in ranks:
            self._latest.pop(rank, None)
        return self._whole()

    def _whole(self) -> list[Whole]:
        if not self._latest:
            self._waiting.clear()
            return []
        here = self._latest.keys()
        found = [
            whole(point, its)
            for point, its in sorted(self._waiting.items())
            if its.keys() >= here
        ]
        said_by_all = min(self._latest.values())
        over = [point for point in self._waiting if point <= said_by_all]
        crowd = sorted(self._waiting)[: max(0, len(self._waiting) - WAITING)]
        for point in {*over, *crowd, *(row.point for row in found)}:
            del self._waiting[point]
        return found


def whole(point: int, rows: dict[int, Row]) -> Whole:
    """The numbers of all ranks at a point as one."""
    low = min(rows, key=lambda rank: (_or(rows[rank].low, math.inf), rank))
    high = max(rows, key=lambda rank: (_or(rows[rank].high, math.inf), -rank))
    for rank, row in sorted(rows.items(), reverse=True):
        if not (row.low <= row.mid <= row.high):  # one of them is not a number
            high = rank
    numbers = [row.mid for row in rows.values() if not math.isnan(row.mid)]
    median = statistics.median(numbers) if numbers else math.nan
    bad = rows[high]
    highest = bad.high if bad.low <= bad.mid <= bad.high else math.nan
    return Whole(point, rows[low].low, median, highest, low, high)


def _or(number: float, other: float) -> float:
    return other if math.isnan(number) else number

"""Which lines of some ranks correspond, though some ranks have said more than others.

Ranks that have said the same kinds of lines, numbers aside, are taken as one. The lines
of one such class after the other are merged into the rows of those before, as a patch
into a file: lines that occur once on either side are anchors; between two anchors equal
kinds follow each other in order; and where as many are left on either side, they stand
in each other's place.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from steer.core.summary import skeletons

MOST = 16
"""With more classes than this, ranks do not say the same at different times: they say
different things."""

Lines = Sequence[str]
Block = dict[int, list[str]]
"""Ranks with equally many lines, which correspond."""
Pair = tuple[int, int]


def align(said: Mapping[int, Lines]) -> list[Block] | None:
    """Rows of lines that correspond, those of the same ranks together in one block.

    Every rank's lines are in the blocks in its order, each once. None if too little is
    alike.
    """
    classes = _classes(said)
    if len(classes) > MOST:
        same = len({len(lines) for lines in said.values()}) == 1
        return by_position(said) if same else None
    rows: list[_Row] = []
    for number, ranks in enumerate(classes.values()):
        _merge(rows, number, list(said[ranks[0]]))
    return list(_blocks(rows, list(classes.values()), said))


def by_position(said: Mapping[int, Lines]) -> list[Block]:
    """All first lines are a row, and so on; the last rows are of fewer ranks."""
    blocks: list[Block] = []
    start = 0
    for end in sorted({len(lines) for lines in said.values()} - {0}):
        ranks = [rank for rank in sorted(said) if len(said[rank]) >= end]
        blocks.append({rank: list(said[rank][start:end]) for rank in ranks})
        start = end
    return blocks


def _classes(said: Mapping[int, Lines]) -> dict[tuple[str, ...], list[int]]:
    """Ranks by the kinds of their lines; the class of most ranks first."""
    same: dict[tuple[str, ...], list[int]] = {}
    for rank in sorted(said):
        same.setdefault(tuple(said[rank]), []).append(rank)
    if len(same) == 1:
        return same
    classes: dict[tuple[str, ...], list[int]] = {}
    for lines, ranks in same.items():
        classes.setdefault(tuple(skeletons(lines)), []).extend(ranks)
    found = sorted(classes.items(), key=lambda item: (-len(item[1]), min(item[1])))
    return {kinds: sorted(ranks) for kinds, ranks in found}


@dataclass(slots=True)
class _Row:
    text: str
    """Of the class that had it first."""
    kind: str
    lines: dict[int, int] = field(default_factory=dict)
    """The number of the line in each class that has it."""


def _merge(rows: list[_Row], number: int, lines: list[str]) -> None:
    """Put the lines of one more class where they belong."""
    kinds = skeletons(lines)
    pairs = _pairs([row.text for row in rows], lines)
    if 2 * len(pairs) <= min(len(rows), len(lines)):  # numbers agree only by chance
        pairs = []
    pairs = _filled([row.kind for row in rows], kinds, pairs)
    merged: list[_Row] = []
    row = line = 0
    for next_row, next_line in [*pairs, (len(rows), len(lines))]:
        between = range(line, next_line)
        here = rows[row:next_row]
        if len(here) == len(between):
            for old, mine in zip(here, between, strict=True):
                old.lines[number] = mine
            merged += here
        else:
            merged += here
            merged += [_Row(lines[i], kinds[i], {number: i}) for i in between]
        if next_row < len(rows):
            rows[next_row].lines[number] = next_line
            merged.append(rows[next_row])
        row, line = next_row + 1, next_line + 1
    rows[:] = merged


def _pairs(old: Lines, new: Lines) -> list[Pair]:
    """The most of the lines that occur once on either side, in an order that both have.

    What is known as patience sorting.
    """
    there = _once(old)
    mine = _once(new)
    common = [(there[text], place) for text, place in mine.items() if text in there]
    ends: list[int] = []
    piles: list[int] = []
    before: list[int] = []
    for index, (place, _) in enumerate(common):
        pile = bisect_left(ends, place)
        before.append(piles[pile - 1] if pile else -1)
        ends[pile : pile + 1] = [place]
        piles[pile : pile + 1] = [index]
    found = []
    index = piles[-1] if piles else -1
    while index >= 0:
        found.append(common[index])
        index = before[index]
    return found[::-1]


def _once(lines: Lines) -> dict[str, int]:
    counts = Counter(lines)
    return {line: place for place, line in enumerate(lines) if counts[line] == 1}


def _filled(old: Lines, new: Lines, anchors: list[Pair]) -> list[Pair]:
    """The anchors, and between them what is equal, in order."""
    if not anchors:
        anchors = _pairs(old, new)
    places: dict[str, list[int]] = {}
    for place, kind in enumerate(old):
        places.setdefault(kind, []).append(place)
    found: list[Pair] = []
    row = line = 0
    for end, next_line in [*anchors, (len(old), len(new))]:
        if end - row != next_line - line:
            found += _in_order(places, new, (row, end), (line, next_line))
        else:  # equally many: each in the other's place
            found += zip(range(row, end), range(line, next_line), strict=True)
        if end < len(old):
            found.append((end, next_line))
        row, line = end + 1, next_line + 1
    return found


def _in_order(
    places: dict[str, list[int]], new: Lines, rows: Pair, lines: Pair
) -> Iterator[Pair]:
    row, end = rows
    for line in range(*lines):
        there = places.get(new[line], [])
        at = bisect_left(there, row)
        if at < len(there) and there[at] < end:
            yield there[at], line
            row = there[at] + 1


def _blocks(
    rows: list[_Row], classes: list[list[int]], said: Mapping[int, Lines]
) -> Iterator[Block]:
    start = 0
    for end in range(1, len(rows) + 1):
        if end < len(rows) and rows[end].lines.keys() == rows[start].lines.keys():
            continue
        block: Block = {}
        for number, first in rows[start].lines.items():
            for rank in classes[number]:
                block[rank] = list(said[rank][first : first + end - start])
        yield dict(sorted(block.items()))
        start = end

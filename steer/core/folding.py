"""Texts of many ranks as few: equal ones become one, with the set of who said it.

`fold` takes whole texts, `fold_lines` takes output and folds it line by line, `render`
writes groups in columns::

    [0-2] (3)  cells 4096 residual 3.2e-04
    [3]        cells 4096 residual nan              ← differs

Texts that differ in numbers only are one group too, where showing them all would be
too much: `steer.core.templates`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from steer.core.aligning import Block, align
from steer.core.templates import in_common
from steer.ranks import RankSet

FEW = 4
"""So many different texts of a kind are all shown; of more, what is common to them."""
MARK = "← differs"
WIDTH = 88
_LONGEST_SET = 24
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Group:
    """Ranks that said the same, or the same but for numbers."""

    ranks: RankSet
    text: str
    """What to show; where numbers differ it holds `<rank>`, or min, med and max."""
    differs: bool = False
    """Whether more than half of the ranks said something else, all the same."""
    representative: str = ""
    """What the lowest of the ranks said, literally."""


def fold(texts: Mapping[int, str], *, few: int = FEW) -> list[Group]:
    """Fold whole texts; largest group first, then by lowest rank."""
    if not texts:
        return []
    ranks = sorted(texts)
    said = [texts[rank] for rank in ranks]
    if said.count(said[0]) == len(said):
        return [Group(rank_set(ranks), said[0], False, said[0])]
    groups = [
        Group(rank_set(of), text, False, texts[of[0]])
        for of, text in in_common(ranks, said, few)
    ]
    groups.sort(key=lambda group: (-len(group.ranks), group.ranks.min()))
    if 2 * len(groups[0].ranks) > len(ranks):
        groups[1:] = [replace(group, differs=True) for group in groups[1:]]
    return groups


def rank_set(ranks: Sequence[int]) -> RankSet:
    """A set of ascending ranks; ten times as fast as RankSet(ranks) for thousands."""
    if len(ranks) < 16:
        return RankSet.from_mask(sum(1 << rank for rank in ranks))
    bits = bytearray(b"0") * (ranks[-1] + 1)
    for rank in ranks:
        bits[~rank] = 49  # "1"
    return RankSet.from_mask(int(bits, 2))


# -- line by line


def fold_lines(texts: Mapping[int, str], *, few: int = FEW) -> list[Group]:
    """Fold output line by line, where lines correspond; in the order it was said.

    Neighbouring lines of the same ranks are one group, of several lines.
    """
    if not any("\n" in text for text in dict.fromkeys(texts.values())):
        return fold(texts, few=few)
    texts = {rank: text.removesuffix("\n") for rank, text in texts.items()}
    if len(dict.fromkeys(texts.values())) < 2:
        return fold(texts, few=few)
    blocks = align({rank: text.split("\n") for rank, text in texts.items()})
    if blocks is None:
        return fold(texts, few=few)
    groups: list[Group] = []
    for block in blocks:
        groups += _folded_rows(block, few)
    return _joined(groups)


def _folded_rows(block: Block, few: int) -> list[Group]:
    """Fold lines that correspond: all at once if that makes one group, else singly."""
    whole = fold({rank: "\n".join(lines) for rank, lines in block.items()}, few=few)
    if len(whole) == 1:
        return whole
    everyone = rank_set(list(block))
    groups = []
    for row in zip(*block.values(), strict=True):
        if row.count(row[0]) == len(row):
            groups.append(Group(everyone, row[0], False, row[0]))
        else:
            groups += fold(dict(zip(block, row, strict=True)), few=few)
    return groups


def _joined(groups: list[Group]) -> list[Group]:
    """Make one of neighbours of the same ranks."""
    found: list[list[Group]] = []
    for group in groups:
        last = found[-1][-1] if found else None
        if last and last.ranks == group.ranks and last.differs == group.differs:
            found[-1].append(group)
        else:
            found.append([group])
    return [_as_one(alike) for alike in found]


def _as_one(groups: list[Group]) -> Group:
    if len(groups) == 1:
        return groups[0]
    text = "\n".join(group.text for group in groups)
    said = "\n".join(group.representative for group in groups)
    return replace(groups[0], text=text, representative=said)


# -- as text


def silent(said: RankSet, total: RankSet) -> RankSet:
    """Who said nothing while nearly all did: one rank, or at most one in ten."""
    missing = total - said
    few = len(missing) <= max(1, len(total) // 10)
    return missing if few and len(total) >= 3 else RankSet()


def render(
    groups: Sequence[Group],
    total: RankSet | None = None,
    *,
    width: int = WIDTH,
    label: str = "",
    indent: int = 0,
) -> str:
    """Write groups in columns, a line end after each line.

    Args:
        total: all who could have said something; who did not is listed as missing.
        width: of the terminal; marks stay within it where the text does.
        label: stands before the text of every group: `Out: `.
        indent: columns to leave for the ranks at least, as what is above has them.
    """
    heads = [head(group.ranks) for group in groups]
    indent = max(indent, *(len(head) + 2 for head in heads), 0)
    bodies = [f"{label}{group.text}".rstrip("\n").split("\n") for group in groups]
    column = _mark_column(groups, bodies, width - indent)
    lines = []
    for group, said, (first, *more) in zip(groups, heads, bodies, strict=True):
        if group.differs:
            first += " " * max(2, column - columns(first)) + MARK
        lines.append(said.ljust(indent) + first)
        lines += [" " * indent + line for line in more]
    if total is not None and groups:
        missing = silent(union(group.ranks for group in groups), total)
        if missing:
            lines.append(f"{' ' * indent}missing: {missing}")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _mark_column(
    groups: Sequence[Group], bodies: Sequence[Sequence[str]], room: int
) -> int:
    """Where marks stand below each other, behind the lines that leave room for them."""
    furthest = room - len(MARK)
    widths = [columns(body[0]) for body in bodies]
    beside = [wide for wide in widths if wide + 4 <= furthest]
    return max(beside, default=0) + 4


def head(ranks: RankSet) -> str:
    """`[0-2,5] (4)`; the middle of a long set is left out, its size never."""
    count = f" ({len(ranks)})" if len(ranks) > 1 else ""
    return f"[{brief(ranks)}]{count}"


def brief(ranks: RankSet, longest: int = _LONGEST_SET) -> str:
    """A set of ranks in so many characters: `0,2,4,…,9998`."""
    text = str(ranks)
    if len(text) <= longest:
        return text
    *_, last = text.rsplit(",", 1)
    start = text[: max(longest - len(last) - 3, 1)].rpartition(",")[0]
    return f"{start},…,{last}" if start else f"…,{last}"


def columns(text: str) -> int:
    """How wide a terminal shows it."""
    if text.isascii() and "\x1b" not in text:
        return len(text)
    shown = _ESCAPE.sub("", text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in shown)
    return len(shown) + wide - sum(map(bool, map(unicodedata.combining, shown)))


def union(sets: Iterable[RankSet]) -> RankSet:
    """All ranks of some sets."""
    mask = 0
    for ranks in sets:
        mask |= ranks.mask
    return RankSet.from_mask(mask)

"""Texts of many ranks as few: equal ones become one, with the set of who said it.

`fold` takes whole texts, `fold_lines` takes output and folds it line by line, `render`
writes groups in columns::

    [0-2] (3)  cells 4096 residual 3.2e-04
    [3]        cells 4096 residual nan          ← differs
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from steer.ranks import RankSet

MARK = "← differs"
WIDTH = 88


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


def fold(texts: Mapping[int, str]) -> list[Group]:
    """Fold whole texts; largest group first, then by lowest rank."""
    said: dict[str, list[int]] = {}
    for rank, text in texts.items():
        said.setdefault(text, []).append(rank)
    groups = [(RankSet(ranks), text) for text, ranks in said.items()]
    groups.sort(key=lambda group: (-len(group[0]), group[0].min()))
    major = bool(groups) and 2 * len(groups[0][0]) > len(texts)
    return [
        Group(ranks, text, major and index > 0, text)
        for index, (ranks, text) in enumerate(groups)
    ]


def fold_lines(texts: Mapping[int, str]) -> list[Group]:
    """Fold output line by line, where lines correspond; in the order it was said."""
    return fold(texts)


def silent(said: RankSet, total: RankSet) -> RankSet:
    """Who said nothing while nearly all did: one rank, or at most one in ten."""
    missing = total - said
    return missing if _few(len(missing), len(total)) else RankSet()


def _few(missing: int, total: int) -> bool:
    return total >= 3 and missing <= max(1, total // 10)


def render(
    groups: Sequence[Group],
    total: RankSet | None = None,
    *,
    width: int = WIDTH,
    label: str = "",
) -> str:
    """Write groups in columns, a line end after each line.

    Args:
        total: all who could have said something; who did not is listed as missing.
        width: of the terminal; marks are put as far right as it lets them.
        label: stands before the text of every group: `Out[0]: `.
    """
    heads = [_head(group.ranks) for group in groups]
    wide = max(map(len, heads), default=0) + 2
    lines = []
    for group, head in zip(groups, heads, strict=True):
        first, *more = f"{label}{group.text}".rstrip("\n").split("\n")
        mark = f"    {MARK}" if group.differs else ""
        lines.append(f"{head:{wide}}{first}{mark}")
        lines += [f"{'':{wide}}{line}" for line in more]
    if total is not None and groups:
        missing = silent(_union(group.ranks for group in groups), total)
        if missing:
            lines.append(f"{'':{wide}}missing: {missing}")
    return "".join(f"{line}\n" for line in lines)


def _head(ranks: RankSet) -> str:
    count = f" ({len(ranks)})" if len(ranks) > 1 else ""
    return f"[{ranks}]{count}"


def _union(sets: Iterable[RankSet]) -> RankSet:
    mask = 0
    for ranks in sets:
        mask |= ranks.mask
    return RankSet.from_mask(mask)

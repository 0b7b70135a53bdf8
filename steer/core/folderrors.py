"""Errors of many ranks as few: one for each kind, with the ranks that have it.

A kind is the type, the lines of code that it passed through, and the message but for
its numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from steer.ranks import RankSet


class Failure(Protocol):
    """What is known of an exception: RemoteError and the wire's ErrorInfo fit."""

    @property
    def ename(self) -> str: ...  # noqa: D102  the names say it
    @property
    def evalue(self) -> str: ...  # noqa: D102
    @property
    def traceback(self) -> str | Sequence[str]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Ranks on which the same went wrong."""

    ranks: RankSet
    ename: str
    message: str
    """With `<rank>`, or min, med and max, where numbers differ."""
    where: str
    """The innermost frame: `solver.py:88 in rhs`."""
    traceback: str
    """Of the lowest rank."""

    def title(self, total: int) -> str:
        """`ZeroDivisionError ranks [3,7] (2 of 64) solver.py:88 in rhs`."""
        word = "rank" if len(self.ranks) == 1 else "ranks"
        of = f"({len(self.ranks)} of {total})"
        return f"{self.ename} {word} [{self.ranks}] {of} {self.where}".rstrip()


def fold_errors(errors: Mapping[int, Failure]) -> list[ErrorGroup]:
    """One group for each kind; largest first, then by lowest rank."""
    kinds: dict[tuple[str, str, str], list[int]] = {}
    for rank, error in errors.items():
        text = error.traceback
        text = text if isinstance(text, str) else "\n".join(text)
        kinds.setdefault((error.ename, error.evalue, text), []).append(rank)
    groups = [
        ErrorGroup(RankSet(ranks), ename, evalue, "", text)
        for (ename, evalue, text), ranks in kinds.items()
    ]
    return sorted(groups, key=lambda g: (-len(g.ranks), g.ranks.min()))

"""Errors of many ranks as few: one for each kind, with the ranks that have it.

A kind is the type, the lines of code that it passed through, and the message but for
its numbers. In one line it reads::

    ZeroDivisionError ranks [3,7] (2 of 64) solver.py:88 in rhs
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from steer.core.folding import brief, fold, rank_set
from steer.core.summary import skeletons
from steer.ranks import RankSet

_FRAME = re.compile(
    r'^ *File "(?P<file>[^"]*)", line (?P<line>\d+)(?:, in (?P<name>.*))?$'
)
# What ends a traceback of another exception, the cause of the one that follows.
_CAUSE = re.compile(
    r"^(?:The above exception was the direct cause|During handling of the above)"
)


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
    """The innermost frame: `solver.py:88 in rhs`; empty if none is known."""
    traceback: str
    """Of the lowest rank."""

    def title(self, total: int) -> str:
        """What and where it is, and on how many ranks of so many."""
        word = "rank" if len(self.ranks) == 1 else "ranks"
        who = f"{word} [{brief(self.ranks)}] ({len(self.ranks)} of {total})"
        return f"{self.ename} {who} {self.where}".rstrip()


Frame = tuple[str, str, str]


def fold_errors(errors: Mapping[int, Failure]) -> list[ErrorGroup]:
    """One group for each kind; largest first, then by lowest rank."""
    frames: dict[str, tuple[Frame, ...]] = {}
    kinds: dict[tuple[object, ...], list[int]] = {}
    for rank in sorted(errors):
        error = errors[rank]
        text = _text(error)
        if text not in frames:
            frames[text] = tuple(_frames(text))
        kind = tuple(skeletons(error.evalue.split("\n")))
        kinds.setdefault((error.ename, frames[text], kind), []).append(rank)
    groups = []
    for ranks in kinds.values():
        lowest = errors[ranks[0]]
        said = fold({rank: errors[rank].evalue for rank in ranks}, few=1)
        text = _text(lowest)
        message = "\n".join(group.text for group in said)
        where = _where(frames[text])
        groups.append(ErrorGroup(rank_set(ranks), lowest.ename, message, where, text))
    return sorted(groups, key=lambda group: (-len(group.ranks), group.ranks.min()))


def _text(error: Failure) -> str:
    text = error.traceback
    return text if isinstance(text, str) else "\n".join(text)


def _frames(traceback: str) -> Iterator[Frame]:
    """The lines of code in a traceback, of causes too."""
    for line in traceback.splitlines():
        found = _FRAME.match(line)
        if found is not None:
            yield found["file"], found["line"], found["name"] or ""
        elif _CAUSE.match(line):
            yield "", "", line


def _where(frames: tuple[Frame, ...]) -> str:
    """The innermost frame, in short."""
    for file, line, name in reversed(frames):
        if file.startswith("<cell "):  # its name is a digest
            inside = f" in {name}" if name not in ("", "<module>") else ""
            return f"line {line} of the cell{inside}"
        if file:
            short = file.rpartition("/")[2]
            return f"{short}:{line} in {name}" if name else f"{short}:{line}"
    return ""

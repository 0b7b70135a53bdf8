"""Folding what ranks print while they print it.

A line is held for its twins on other ranks, HOLD seconds at most, and then shown for
the ranks that have said it. Every rank's own lines are shown in its order, each once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from steer.core.folding import Group, fold, fold_lines
from steer.core.texts import collapse
from steer.ranks import RankSet

HOLD = 0.1
"""Seconds that a line waits for its twins."""


@dataclass(frozen=True, slots=True)
class Said:
    """A rank printed something, whole lines or not."""

    rank: int
    text: str
    stream: str = "stdout"


@dataclass(frozen=True, slots=True)
class Ended:
    """These ranks will say no more; nobody waits for them, their last words count."""

    ranks: RankSet


@dataclass(frozen=True, slots=True)
class Flush:
    """Something else of these ranks is to be shown now: what they said comes first."""

    ranks: RankSet


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline has come."""


Event = Said | Ended | Flush | Tick


@dataclass(frozen=True, slots=True)
class Show:
    """Write these lines below what is there."""

    stream: str
    texts: Mapping[int, str]
    """What each rank said, one or more whole lines; each ends with a line end."""
    missing: RankSet = field(default_factory=RankSet)
    """Who has not said it while nearly all others did."""
    late: bool = False
    """Whether others' share of these lines has been shown already."""

    @property
    def groups(self) -> list[Group]:
        """The lines, folded."""
        return fold_lines(self.texts)


class LiveFold:
    """Lines of many ranks; see the head of this file."""

    def __init__(self, ranks: Iterable[int]) -> None:
        self.ranks = RankSet(ranks)
        self._rests: dict[tuple[int, str], str] = {}

    def handle(self, event: Event, now: float) -> list[Show]:
        """What is to be shown now."""
        match event:
            case Said(rank, text, stream):
                text = self._rests.pop((rank, stream), "") + text
                lines, end, rest = text.rpartition("\n")
                if rest:
                    self._rests[rank, stream] = rest
                return [Show(stream, {rank: collapse(lines + end)})] if end else []
            case Ended(ranks) | Flush(ranks):
                return self._last_words(ranks)
            case Tick():
                return []

    def deadline(self) -> float | None:
        """When a Tick is due."""
        return None

    def pending(self, stream: str = "stdout") -> list[Group]:
        """The lines that are not ended yet: prompts, progress bars."""
        rests = self._rests.items()
        return fold({r: collapse(text) for (r, s), text in rests if s == stream})

    def _last_words(self, ranks: RankSet) -> list[Show]:
        shows = []
        for (rank, stream), text in list(self._rests.items()):
            if rank in ranks:
                del self._rests[rank, stream]
                shows.append(Show(stream, {rank: collapse(text) + "\n"}))
        return shows

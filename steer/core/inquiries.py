"""Questions to the ranks of a run that their I/O threads answer while main computes.

What are the parameters; may they be changed like that? Every rank is asked, equal
answers are folded, and the client has one answer: what was said, by which ranks, and
who said nothing. A rank whose threads are all frozen (a call that holds the GIL) is not
waited for longer than PATIENCE.
"""

from __future__ import annotations

import dataclasses

from steer.ranks import RankSet
from steer.wire.messages import News

PATIENCE = 1.0
"""Seconds that ranks have to answer."""

KIND = "answer"
"""Of the News that a client gets."""


@dataclasses.dataclass
class _Open:
    """A question that not all have answered."""

    id: str
    run: str
    missing: RankSet
    until: float
    said: dict[bytes, RankSet] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Answered:
    """What there is to tell a client."""

    client: str
    news: News


class Inquiries:
    """The questions that are open."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._count = 0

    def ask(self, id: str, run: str, ranks: RankSet, now: float) -> int:
        """Ranks are asked something: the number that their answers bear."""
        self._count += 1
        self._open[self._count] = _Open(id, run, ranks, now + PATIENCE)
        return self._count

    def heard(self, number: int, rank: int, body: bytes) -> list[Answered]:
        """A rank has answered."""
        inquiry = self._open.get(number)
        if inquiry is None or rank not in inquiry.missing:
            return []
        one = RankSet([rank])
        inquiry.missing -= one
        inquiry.said[body] = inquiry.said.get(body, RankSet()) | one
        return [] if inquiry.missing else [self._close(number)]

    def lose(self, rank: int) -> list[Answered]:
        """A rank will answer nothing more."""
        done = []
        for number, inquiry in list(self._open.items()):
            if rank in inquiry.missing:
                inquiry.missing -= RankSet([rank])
                if not inquiry.missing:
                    done.append(self._close(number))
        return done

    def tick(self, now: float) -> list[Answered]:
        """Time has gone by."""
        late = [number for number, open_ in self._open.items() if open_.until <= now]
        return [self._close(number) for number in late]

    def deadline(self) -> float | None:
        """When a tick is due."""
        return min((inquiry.until for inquiry in self._open.values()), default=None)

    def _close(self, number: int) -> Answered:
        inquiry = self._open.pop(number)
        said = sorted(inquiry.said.items(), key=lambda item: min(item[1]))
        facts = {
            "said": [[str(ranks), body] for body, ranks in said],
            "missing": str(inquiry.missing),
        }
        ids = (inquiry.id,)
        news = News(inquiry.run, "", KIND, "", ids, 0, "", facts)
        return Answered(inquiry.id.partition("-")[0], news)

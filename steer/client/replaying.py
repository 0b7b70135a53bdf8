"""A run is steered again as its journal says: the same at the same points.

What changed something is repeated: parameters, planned code, cells that ran at stops.
Stops and steps themselves change nothing, so the replay stops where it has to and
nowhere else. Actions that were planned are planned again for the very point at which
they were done; so they keep their order, also among each other. A deterministic program
comes to the same state, to the last bit.

What cannot be repeated is refused before anything is started: cells that ran where not
all ranks were at one point, arguments too large for a journal, points of several kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from steer.client.asyncresult import AsyncResult
from steer.client.journalfile import CELLS, PLANS, Deed, Journal
from steer.client.scheduling import Reports
from steer.core.plans import SLOTS
from steer.errors import UsageError
from steer.ranks import RankSet, describe
from steer.wire.plans import Changes, decode_deed, encode_deed

if TYPE_CHECKING:
    from steer.client.run import Run

Say = Callable[[str], object]

ENDED = ("ending", "over")
"""News that the program comes to no more points."""

REPORTED_WITHIN = 2.0
"""Seconds in which all ranks have said how a plan went that they have done."""

PATIENCE = 30.0
"""Seconds until the last rank ends when the first one has."""


def deeds_of(journal: Journal) -> list[Deed]:
    """Those that changed something; UsageError if one cannot be repeated."""
    watches = {deed.plan for deed in journal.deeds if deed.verb == "watch"}
    deeds = [
        deed
        for deed in journal.deeds
        if (deed.verb in CELLS and not _never_ran(deed))
        or (deed.verb in PLANS and deed.verb != "watch" and deed.ends not in watches)
    ]
    for deed in deeds:
        if problem := _problem(deed):
            raise UsageError(f"{deed.what!r} cannot be repeated: {problem}.")
    labels = {label for deed in deeds for label in deed.points}
    if len(labels) > 1:
        kinds = ", ".join(sorted(labels))
        raise UsageError(
            f"Things were done at points of several kinds, {kinds}: such a journal can "
            "be read, but not replayed."
        )
    return deeds


def _body_of(deed: Deed) -> bytes:
    """What the ranks are to do. It is planned long before, when parameters still have
    other values: whether they may be changed like that is seen where they are."""
    if deed.verb != "set":
        return deed.body
    changes = decode_deed("set", deed.body)
    assert isinstance(changes, Changes)
    return encode_deed(Changes(changes.parts, unchecked=True))


def _never_ran(deed: Deed) -> bool:
    ran = RankSet.parse(deed.ranks)
    for ranks, status in deed.statuses.items():
        if status == "aborted":
            ran -= RankSet.parse(ranks)
    return not ran


def _problem(deed: Deed) -> str:
    if deed.early:
        return "it ran before the program had begun"
    if not deed.points:
        return "not all of its ranks were at one point"
    if deed.large:
        return "what was sent was too large for the journal"
    return ""


class Replay:
    """The replay of a journal on a run that holds at its first point."""

    def __init__(
        self, run: Run, journal: Journal, say: Say = lambda text: None
    ) -> None:
        self._run = run
        self._deeds = deeds_of(journal)
        self._ranks = journal.ranks
        self._say = say
        self._here = 0
        self._plans: dict[int, int] = {}
        """What plans of the journal are called now."""
        self._ahead: dict[int, int] = {}
        """Plans that are not done yet: their points; 0 if they recur."""
        self._ending: dict[int, int] = {}
        """Those that recur until a point ahead."""
        self._once: list[int] = []
        """Those that do not recur."""
        self._reports = run.reports()

    def play(self, *, hold: bool = False) -> None:
        """Do all of it, and let the run go on, or `hold` it where the last thing was
        done."""
        size = len(RankSet.parse(self._run.status()["ranks"]))
        if self._ranks and size != self._ranks:
            raise UsageError(
                f"The journal is of a run with {self._ranks} ranks; this has {size}."
            )
        self._here = self._run.stop().point
        for number, deed in enumerate(self._deeds):
            if deed.verb in CELLS:
                self._go_to(deed.point, deed)
                self._repeat(deed)
            else:
                self._plan(deed, self._deeds[number:])
        # There, because it is over only when the last thing was done.
        last = max([self._here, *self._ahead.values()])
        if self._comes_to(last):
            self._tell_what_failed()
            if not hold:
                self._run.go()
            self._say(f"{len(self._deeds)} deeds were repeated.")
        else:
            self._tell_what_was_not_due(last)

    # -- plans

    def _plan(self, deed: Deed, rest: Sequence[Deed]) -> None:
        """Have it done at its point, which lies ahead, or is here."""
        self._make_room(deed, rest)
        run, point = self._run, deed.point
        if point < self._here:
            raise UsageError(self._too_late(deed))
        if deed.verb == "end":
            number = self._plans.get(deed.ends)
            if number is None:
                raise UsageError(
                    f"{deed.what!r}: the journal does not say what that is."
                )
            news = run.do("unplan", plan=number, point=point)
            self._end(number, point)
        else:
            news = run.do(
                "plan", verb=deed.verb, text=deed.text, body=_body_of(deed),
                point=point if point > self._here else 0, every=deed.every,
            )  # fmt: skip
            number = news.facts.get("plan", 0)
            self._plans[deed.plan] = number
            if not deed.every:
                self._once.append(number)
            self._ahead[number] = 0 if deed.every else point
        if news.kind != "planned" or news.point != point:
            raise UsageError(
                f"{deed.what!r} should be done at point {point}: {news.text}"
            )
        self._say(news.text)

    def _make_room(self, deed: Deed, rest: Sequence[Deed]) -> None:
        """Go on, without passing where something has yet to be done, until there is
        room on the ranks' pages for one more plan."""
        if deed.verb == "end" or self._has_room():
            return
        # One point before: what is planned for it may have to come first.
        first = min(later.point for later in rest)
        self._go_to(max(self._here, first - 1))
        alone = not any(d.verb == "end" and d.point == first for d in rest)
        if not self._has_room() and deed.point == first and alone:
            self._go_to(first)  # where there is room for what is done at once

    def _has_room(self) -> bool:
        """Whether one more may lie ahead."""
        here = self._here
        self._ahead = {n: p for n, p in self._ahead.items() if not p or p > here}
        self._ending = {n: p for n, p in self._ending.items() if p > here}
        return len(self._ahead) + len(self._ending) < SLOTS - 1

    def _end(self, number: int, point: int) -> None:
        """It is over from a point on, and has its place on the pages until then."""
        due = self._ahead.get(number)
        if due == 0:
            self._ending[number] = point
        elif due is None or due < point:
            return  # it is done before
        else:
            self._once.remove(number)
        del self._ahead[number]

    def _tell_what_failed(self) -> None:
        """As it may have done then: a journal has what was planned."""
        once = self._once[-Reports.KEPT :]
        self._reports.wait_for(once, REPORTED_WITHIN)
        for number in once:
            news = self._reports.over(number)
            if news is not None and news.facts.get("errors"):
                self._say(news.text)

    # -- cells

    def _go_to(self, point: int, deed: Deed | None = None) -> None:
        if point < self._here:
            raise UsageError(self._too_late(deed) if deed is not None else "")
        if not self._comes_to(point):
            raise UsageError(f"The run ended before it came to point {point}.")

    def _comes_to(self, point: int) -> bool:
        """Hold it there, or further than that if it is; false if it ends before."""
        if point > self._here:
            news = self._run.do("stop", point=point)
            if news.kind in ENDED:
                return False
            if news.kind != "stopped" or news.point != point:
                raise UsageError(f"The run did not come to point {point}: {news.text}")
            self._here = point
        return True

    def _tell_what_was_not_due(self, last: int) -> None:
        """The program ended before its last plans were due. So it may have done then: a
        journal has what was planned, and not whether the program came to that."""
        due = [number for number, point in self._ahead.items() if point]
        self._reports.wait_for(due, PATIENCE)
        ends = [news for n in due if (news := self._reports.over(n)) is not None]
        left = [news for news in ends if news.kind == "dropped"]
        for news in left:
            self._say(news.text)
        self._say(
            f"{len(self._deeds) - len(left)} deeds were repeated; the program ended "
            f"before point {last}."
        )

    def _too_late(self, deed: Deed) -> str:
        return (
            f"{deed.what!r} was done at point {deed.point}, and the run is at point "
            f"{self._here} already."
        )

    def _repeat(self, deed: Deed) -> None:
        """Run a cell again."""
        client, kind = self._run.client, deed.verb
        first = min(RankSet.parse(self._run.status()["ranks"]))
        ids = [first + rank for rank in RankSet.parse(deed.ranks)]
        frames = [deed.text.encode()] if kind == "execute" else list(deed.frames)
        name = "" if kind == "execute" else deed.text
        code = deed.text if kind == "execute" else None
        result = AsyncResult(client, kind, fname=name or kind, code=code)
        client[ids]._request(result, kind, ids, frames, name=name)
        result.wait()
        now = {
            rank - first: status for rank, status in _statuses(result) if status != "ok"
        }
        then = dict(_spread(deed.statuses))
        if now != then:
            self._say(
                f"At point {deed.point}, {deed.what!r} ended otherwise than before: "
                f"{_told(now)}, and not {_told(then)}."
            )


def _statuses(result: AsyncResult) -> Iterator[tuple[int, str]]:
    metadata: Any = result.metadata
    for one in metadata if isinstance(metadata, list) else [metadata]:
        yield one["engine_id"], one["status"]


def _spread(statuses: dict[str, str]) -> Iterator[tuple[int, str]]:
    for ranks, status in statuses.items():
        for rank in RankSet.parse(ranks):
            yield rank, status


def _told(statuses: dict[int, str]) -> str:
    """Which ranks did not come through."""
    return f"failed on {describe(statuses)}" if statuses else "done on all"

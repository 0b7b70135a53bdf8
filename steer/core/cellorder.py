"""In which order cells, plans and steps come that are asked for at a stop.

All ranks have to do them in one order, and ranks take what they are given whenever they
hold and are free. So the hub gives it to them in turn:

* A cell is not sent to ranks before all of them hold, nor while some of them have just
  been told of a plan that others know nothing of.
* What moves the ranks on, or is planned, waits for the cells that run.
* Cells that come behind something that waits, wait too.

Who waits for nothing sees nothing of this: the next thing is asked for when the last
one is answered. What is asked for while ranks are on their way is not kept waiting by
cells, which wait for them to hold: a stop that does not come about can be taken back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping

from steer.core.cellnotes import CellNotes
from steer.core.round import WAITING, Phase
from steer.core.roundevents import NOBODY
from steer.core.rounds import Rounds
from steer.ranks import RankSet
from steer.wire.messages import Steer


@dataclasses.dataclass
class Deferred:
    """Something that was asked for, and waits."""

    client: str
    message: Steer
    run: str
    name: str
    """What it was asked of: the run, or one of its families."""
    ticket: int


class CellOrder:
    """What waits for what."""

    def __init__(
        self,
        rounds: Rounds,
        cells: CellNotes,
        in_program: Callable[[RankSet], RankSet],
    ) -> None:
        self._rounds = rounds
        self._cells = cells
        self._in_program = in_program
        """Those of some ranks on which a program runs."""
        self.deferred: dict[str, Deferred] = {}

    def may_run(self, engines: Iterable[int], ticket: int) -> bool:
        """Whether work may be sent to these ranks that has waited since `ticket`, or
        (0) not yet."""
        ranks = self._in_program(RankSet(engines))
        if not ranks:
            return True
        held = NOBODY
        for family in self._rounds.families.values():
            round_, plans = family.round, family.plans
            if round_.phase in (Phase.STOPPED, Phase.HERE) and not plans.negotiating:
                held |= round_.ranks
            held |= round_.frozen
        return ranks <= held and not any(
            self._ranks(one.run) & ranks and (not ticket or one.ticket < ticket)
            for one in self.deferred.values()
        )

    def keeps_waiting(self, run: str) -> RankSet:
        """The ranks that something has to wait for that is asked of this run now; empty
        if it may be done."""
        if Phase.STOPPED not in self._phases(run):
            return NOBODY
        busy = self._cells.running(run)
        if not busy and any(one.run == run for one in self.deferred.values()):
            busy = self._ranks(run)
        return busy

    def defer(self, deferred: Deferred) -> None:
        """It has to wait."""
        self.deferred[deferred.message.id] = deferred

    def ready(self, gated: Mapping[int, RankSet]) -> Iterator[Deferred]:
        """What need not wait any more, in turn; `gated` are cells that wait, by their
        tickets. To be gone through while what it gives is done."""
        for one in list(self.deferred.values()):
            ranks = self._ranks(one.run)
            before = any(t < one.ticket and r & ranks for t, r in gated.items())
            held = any(p in (Phase.STOPPED, *WAITING) for p in self._phases(one.run))
            if not self._cells.running(one.run) and not (before and held):
                del self.deferred[one.message.id]
                yield one

    def _phases(self, run: str) -> list[Phase]:
        return [f.round.phase for f in self._rounds.families.values() if f.run == run]

    def _ranks(self, run: str) -> RankSet:
        known = self._rounds.runs.get(run)
        return known.ranks if known is not None else NOBODY

"""Which cells the journal of a run gets: those that ran where it was stopped.

They may have changed anything, so a replay has to run them again, at the same point. A
cell is noted when it is sent, which is when all its ranks hold (`cellorder`), and
before anything that comes behind it. How it ended is noted if it did not end well on
all. What was still waiting when the program ended on its ranks has changed nothing of
it, and is not noted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from steer.core.events import Action
from steer.core.fanout import Request
from steer.core.programs import Program
from steer.core.round import Phase
from steer.core.roundevents import NOBODY
from steer.core.rounds import Rounds
from steer.ranks import RankSet
from steer.wire.messages import Store

CHANGES = frozenset({"execute", "apply", "push", "clear"})
"""Kinds of requests that may change something."""


class NoteCell(Action, frozen=True):
    """For the journal: this request runs at a stop."""

    run: str
    places: dict[str, int]
    """The points at which its ranks hold, by family; empty if they do not."""
    ranks: RankSet
    id: str
    kind: str
    text: str
    """Its code, or the function's name."""
    who: str
    frames: Sequence[Any] = ()
    store: Store | None = None
    early: bool = False
    """The program had not begun: it waited for somebody."""


class NoteEnd(Action, frozen=True):
    """For the journal: how such a request ended, where it did not end well."""

    run: str
    id: str
    statuses: dict[str, str]
    """"error" or "aborted", by ranks."""


@dataclasses.dataclass
class _Cell:
    """A request that is under way."""

    request: Request
    ranks: RankSet
    run: str
    noted: bool = False
    at_a_stop: bool = False


class CellNotes:
    """Cells that run on ranks of runs."""

    def __init__(
        self,
        rounds: Rounds,
        run_of: Callable[[RankSet], str],
        who: Callable[[str], str],
    ) -> None:
        self._rounds = rounds
        self._run_of = run_of
        """The run that some ranks belong to; empty if there is none."""
        self._who = who
        """What a client's user is called."""
        self.open: dict[str, _Cell] = {}

    def began(self, request: Request) -> None:
        """A request came."""
        run = self._run_of(RankSet(request.uuids))
        if run and request.submit.kind in CHANGES:
            cell = _Cell(request, RankSet(request.uuids), run)
            self.open[request.submit.id] = cell

    def look(
        self, requests: Mapping[str, Request], programs: Mapping[str, Program]
    ) -> list[Action]:
        """See what was sent, and what has ended."""
        actions: list[Action] = []
        for id, cell in list(self.open.items()):
            request = cell.request
            if not cell.noted and not request.held_for:
                program = programs.get(cell.run)
                if program is None or program.has_left(cell.ranks):
                    del self.open[id]
                    continue
                actions.append(self._note(cell, self._places(cell), program.waits))
            if requests.get(id) is request and request.pending:
                continue
            del self.open[id]
            statuses = _statuses(request)
            if statuses:
                actions.append(NoteEnd(cell.run, id, statuses))
        return actions

    def running(self, run: str) -> RankSet:
        """The ranks of a run on which cells run, or will, at this stop."""
        busy = NOBODY
        for cell in self.open.values():
            if cell.run == run and cell.at_a_stop:
                busy |= RankSet(cell.request.pending)
        return busy

    def _places(self, cell: _Cell) -> dict[str, int]:
        """Where the ranks hold that it runs on, if all of them do."""
        places, held = {}, NOBODY
        for family in self._rounds.meant(cell.run):
            round_ = family.round
            if round_.phase is Phase.STOPPED and round_.ranks & cell.ranks:
                places[round_.family] = round_.target
                held |= round_.ranks
        return places if cell.ranks <= held else {}

    def _note(self, cell: _Cell, places: dict[str, int], early: bool) -> NoteCell:
        cell.noted, cell.at_a_stop = True, bool(places)
        request, submit = cell.request, cell.request.submit
        text = submit.name
        if submit.kind == "execute" and request.frames:
            text = bytes(request.frames[0]).decode(errors="replace")
        return NoteCell(
            cell.run, places, cell.ranks, submit.id, submit.kind, text,
            self._who(request.client), request.frames, submit.store, early,
        )  # fmt: skip


def _statuses(request: Request) -> dict[str, str]:
    bad: dict[str, list[int]] = {}
    for answered in request.answers:
        if answered.status != "ok":
            bad.setdefault(answered.status, []).extend(answered.engines)
    return {str(RankSet(ranks)): status for status, ranks in bad.items()}

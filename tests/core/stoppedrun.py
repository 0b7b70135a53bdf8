"""A run on ranks 0-3 whose points are of two kinds, and cells on them."""

from __future__ import annotations

from steer.core import roundevents as ev
from steer.core.cellnotes import CellNotes
from steer.core.cellorder import CellOrder
from steer.core.fanout import Request
from steer.core.programs import Program
from steer.core.roundevents import Asker
from steer.core.rounds import Rounds
from steer.ranks import RankSet
from steer.wire.messages import Submit

STEP, ATMOSPHERE = "sim/step", "sim/atmosphere"
ALL = RankSet(range(4))


class StoppedRun:
    """The hub's parts that care for cells."""

    def __init__(self):
        self.rounds = Rounds()
        self.requests = {}
        self.feed(ev.RunHere("sim", ALL))
        self.feed(ev.FamilyHere("sim", STEP, RankSet([0, 1])))
        self.feed(ev.FamilyHere("sim", ATMOSPHERE, RankSet([2, 3])))
        self.program = Program("sim", "w", ALL, 0, "sim.py", (), 0.0, here=ALL)
        run_of = {True: "sim", False: ""}
        self.notes = CellNotes(
            self.rounds, lambda ranks: run_of[ranks <= ALL], {"c": "ann@x"}.get
        )
        self.order = CellOrder(self.rounds, self.notes, lambda ranks: ranks & ALL)

    def feed(self, event):
        return self.rounds.handle(event, 0.0)

    def look(self):
        """What is noted of cells now."""
        return self.notes.look(self.requests, {"sim": self.program})

    def stop(self, family, point):
        """All its ranks hold there."""
        ranks = self.rounds.families[family].round.ranks
        self.feed(ev.Stop(Asker("s"), family))
        epoch = self.rounds.families[family].round.epoch
        self.feed(ev.Next(family, epoch, ranks, point))
        self.feed(ev.Held(family, epoch, ranks, point))

    def cell(
        self, id="c-1", code=b"u *= 2", ranks=range(2), kind="execute", held_for=()
    ):
        """A request came, and was sent, unless it is held for somebody."""
        submit = Submit(id, kind, str(RankSet(ranks)), name="f")
        uuids = dict.fromkeys(ranks, "uuid")
        request = Request(submit, "c", [code], dict(uuids), uuids)
        request.held_for = held_for
        self.requests[id] = request
        self.notes.began(request)
        return request

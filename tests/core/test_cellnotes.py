"""Which cells the journal of a run gets, and when."""

from __future__ import annotations

import pytest

from steer.core import roundevents as ev
from steer.core.cellnotes import CellNotes, NoteCell, NoteEnd
from steer.core.fanout import Answered, Request
from steer.core.roundevents import Asker
from steer.core.rounds import Rounds
from steer.ranks import RankSet
from steer.wire.messages import Submit

STEP, ATMOSPHERE = "sim/step", "sim/atmosphere"


class Hub:
    """A run on ranks 0-3, whose points are of two kinds."""

    def __init__(self):
        self.rounds = Rounds()
        self.requests = {}
        self.feed(ev.RunHere("sim", RankSet(range(4))))
        self.feed(ev.FamilyHere("sim", STEP, RankSet([0, 1])))
        self.feed(ev.FamilyHere("sim", ATMOSPHERE, RankSet([2, 3])))
        self.notes = CellNotes(self.rounds, self.run_of, {"c": "ann@x"}.get)

    def run_of(self, ranks):
        return "sim" if ranks <= RankSet(range(4)) else ""

    def feed(self, event):
        return self.rounds.handle(event, 0.0)

    def stop(self, family, point):
        ranks = self.rounds.families[family].round.ranks
        self.feed(ev.Stop(Asker("s"), family))
        epoch = self.rounds.families[family].round.epoch
        self.feed(ev.Next(family, epoch, ranks, point))
        self.feed(ev.Held(family, epoch, ranks, point))
        return self.notes.stopped("sim")

    def cell(self, id="c-1", code=b"u *= 2", ranks=range(2), kind="execute"):
        submit = Submit(id, kind, str(RankSet(ranks)), name="f")
        uuids = dict.fromkeys(ranks, "uuid")
        request = Request(submit, "c", [code], dict(uuids), uuids)
        self.requests[id] = request
        return self.notes.began(request)

    def end(self, id="c-1", **statuses):
        request = self.requests[id]
        request.pending.clear()
        for status, ranks in statuses.items():
            request.answers.append(Answered(list(ranks), status, [], [], []))
        return self.notes.look(self.requests)


@pytest.fixture
def hub():
    return Hub()


def test_at_a_stop_it_is_noted_at_once(hub):
    hub.stop(STEP, 7)
    (note,) = hub.cell()
    assert note == NoteCell(
        "sim", {STEP: 7}, RankSet([0, 1]), "c-1", "execute", "u *= 2", "ann@x",
        [b"u *= 2"], None,
    )  # fmt: skip
    assert hub.end(ok=[0, 1]) == []
    assert hub.notes.open == {}


def test_what_ends_badly_is_noted_with_its_ranks(hub):
    hub.stop(STEP, 7)
    hub.cell()
    assert hub.notes.look(hub.requests) == []
    assert hub.end(ok=[0], error=[1]) == [NoteEnd("sim", "c-1", {"1": "error"})]


def test_what_came_before_is_noted_when_all_hold(hub):
    assert hub.cell() == []
    (note,) = hub.stop(STEP, 7)
    assert note.places == {STEP: 7}
    assert hub.end(ok=[0, 1]) == []


def test_what_ran_while_not_all_held_has_no_place(hub):
    hub.cell()
    (note,) = hub.end(ok=[0, 1])
    assert note.places == {}


def test_all_families_that_its_ranks_belong_to_have_to_hold(hub):
    hub.stop(STEP, 7)
    assert hub.cell(ranks=range(4)) == []
    (note,) = hub.stop(ATMOSPHERE, 9)
    assert note.places == {STEP: 7, ATMOSPHERE: 9}


def test_a_function_goes_by_its_name(hub):
    hub.stop(STEP, 7)
    (note,) = hub.cell(kind="apply", code=b"pickle")
    assert (note.kind, note.text, note.frames) == ("apply", "f", [b"pickle"])


@pytest.mark.parametrize("kind", ["pull", "complete", "inspect"])
def test_what_changes_nothing_is_not_noted(hub, kind):
    hub.stop(STEP, 7)
    assert hub.cell(kind=kind) == []
    assert hub.notes.open == {}


def test_what_is_for_no_run_is_not_noted(hub):
    assert hub.cell(ranks=[8, 9]) == []
    assert hub.notes.open == {}


def test_a_request_that_is_forgotten_is_over(hub):
    hub.stop(STEP, 7)
    hub.cell()
    del hub.requests["c-1"]
    assert hub.notes.look(hub.requests) == []
    assert hub.notes.open == {}

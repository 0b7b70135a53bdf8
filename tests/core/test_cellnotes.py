"""Which cells the journal of a run gets, and when."""

from __future__ import annotations

import pytest

from steer.core.cellnotes import NoteCell, NoteEnd
from steer.core.fanout import Answered
from steer.ranks import RankSet

from .stoppedrun import ATMOSPHERE, STEP, StoppedRun


@pytest.fixture
def hub():
    return StoppedRun()


def end(hub, id="c-1", **statuses):
    """A cell has ended, in these ways on these ranks; what is noted."""
    request = hub.requests[id]
    request.pending.clear()
    for status, ranks in statuses.items():
        request.answers.append(Answered(list(ranks), status, [], [], []))
    return hub.look()


def test_it_is_noted_when_it_is_sent(hub):
    hub.stop(STEP, 7)
    hub.cell()
    (note,) = hub.look()
    assert note == NoteCell(
        "sim", {STEP: 7}, RankSet([0, 1]), "c-1", "execute", "u *= 2", "ann@x",
        [b"u *= 2"], None,
    )  # fmt: skip
    assert end(hub, ok=[0, 1]) == []
    assert hub.notes.open == {}


def test_what_waits_is_not_noted_yet(hub):
    hub.cell(held_for=("engine",))
    assert hub.look() == []
    hub.stop(STEP, 7)
    hub.requests["c-1"].held_for = ()
    (note,) = hub.look()
    assert note.places == {STEP: 7}


def test_what_ends_badly_is_noted_with_its_ranks(hub):
    hub.stop(STEP, 7)
    hub.cell()
    hub.look()
    assert hub.look() == []
    assert end(hub, ok=[0], error=[1]) == [NoteEnd("sim", "c-1", {"1": "error"})]


def test_what_was_never_sent_is_not_noted_as_done(hub):
    hub.cell(held_for=("engine",))
    (ended,) = end(hub, aborted=[0, 1])
    assert ended == NoteEnd("sim", "c-1", {"0-1": "aborted"})


def test_what_ran_while_not_all_held_has_no_place(hub):
    hub.cell()
    (note,) = end(hub, ok=[0, 1])
    assert note.places == {}


def test_all_families_that_its_ranks_belong_to_have_to_hold(hub):
    hub.stop(STEP, 7)
    hub.stop(ATMOSPHERE, 9)
    hub.cell(ranks=range(4))
    (note,) = hub.look()
    assert note.places == {STEP: 7, ATMOSPHERE: 9}


def test_a_function_goes_by_its_name(hub):
    hub.stop(STEP, 7)
    hub.cell(kind="apply", code=b"pickle")
    (note,) = hub.look()
    assert (note.kind, note.text, note.frames) == ("apply", "f", [b"pickle"])


@pytest.mark.parametrize("kind", ["pull", "complete", "inspect"])
def test_what_changes_nothing_is_not_noted(hub, kind):
    hub.stop(STEP, 7)
    hub.cell(kind=kind)
    assert hub.notes.open == {}


def test_what_is_for_no_run_is_not_noted(hub):
    hub.cell(ranks=[8, 9])
    assert hub.notes.open == {}


def test_a_request_that_is_forgotten_is_over(hub):
    hub.stop(STEP, 7)
    hub.cell()
    hub.look()
    del hub.requests["c-1"]
    assert hub.look() == []
    assert hub.notes.open == {}


def test_what_waited_until_the_program_had_ended_is_not_noted(hub):
    hub.cell(held_for=("engine",))
    hub.program.ended, hub.program.lost = RankSet([0]), {1: "failed"}
    hub.requests["c-1"].held_for = ()
    assert hub.look() == []
    assert hub.notes.open == {}
    hub.cell("c-2", ranks=range(4))  # on two it goes on
    (note,) = hub.look()
    assert (note.id, note.places) == ("c-2", {})


def test_what_ran_at_a_stop_is_noted_though_the_program_ends_then(hub):
    hub.stop(STEP, 7)
    hub.cell()
    assert hub.look()
    hub.program.ended = hub.program.ranks
    assert end(hub, error=[0]) == [NoteEnd("sim", "c-1", {"0": "error"})]


def test_what_ran_before_the_program_began_is_told_apart(hub):
    hub.program.waits = True
    hub.cell()
    (note,) = hub.look()
    assert note.early

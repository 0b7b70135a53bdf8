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
    return hub.notes.look(hub.requests)


def test_it_is_noted_when_it_is_sent(hub):
    hub.stop(STEP, 7)
    hub.cell()
    (note,) = hub.notes.look(hub.requests)
    assert note == NoteCell(
        "sim", {STEP: 7}, RankSet([0, 1]), "c-1", "execute", "u *= 2", "ann@x",
        [b"u *= 2"], None,
    )  # fmt: skip
    assert end(hub, ok=[0, 1]) == []
    assert hub.notes.open == {}


def test_what_waits_is_not_noted_yet(hub):
    hub.cell(held_for=("engine",))
    assert hub.notes.look(hub.requests) == []
    hub.stop(STEP, 7)
    hub.requests["c-1"].held_for = ()
    (note,) = hub.notes.look(hub.requests)
    assert note.places == {STEP: 7}


def test_what_ends_badly_is_noted_with_its_ranks(hub):
    hub.stop(STEP, 7)
    hub.cell()
    hub.notes.look(hub.requests)
    assert hub.notes.look(hub.requests) == []
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
    (note,) = hub.notes.look(hub.requests)
    assert note.places == {STEP: 7, ATMOSPHERE: 9}


def test_a_function_goes_by_its_name(hub):
    hub.stop(STEP, 7)
    hub.cell(kind="apply", code=b"pickle")
    (note,) = hub.notes.look(hub.requests)
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
    hub.notes.look(hub.requests)
    del hub.requests["c-1"]
    assert hub.notes.look(hub.requests) == []
    assert hub.notes.open == {}

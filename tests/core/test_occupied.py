"""Who is told that a program keeps ranks busy, and who is not."""

from __future__ import annotations

import pytest

from steer.core import roundevents as rv
from steer.core.cellnotes import NoteCell
from steer.core.roundevents import Asker
from steer.ranks import RankSet
from steer.wire import messages as wire
from steer.wire.messages import News

from .hubs import Hub, sent


@pytest.fixture
def hub():
    """Four ranks run a program, and a client is there."""
    hub = Hub()
    hub.join(4, run="sim")
    for rank in range(4):
        hub.hear(f"ce{rank}", wire.RunBegan("sim", "sim.py"))
    hub.hello()
    return hub


def news(actions):
    return [message for _, message in sent(actions, News) if message.kind == "queued"]


def test_who_sends_to_ranks_that_are_busy_is_told(hub):
    (told,) = news(hub.submit("a-1", "1-3"))
    assert told.text == (
        "ranks 1-3 run sim: what was sent there waits for its next stop, or its end."
    )
    assert told.facts == {"request": "a-1"}


def test_nobody_waits_for_what_is_asked_at_each_key(hub):
    submit = wire.Submit("a-1", "complete", "0-1")
    assert news(hub.hear("oa", submit, b"x")) == []


def test_ranks_that_have_ended_are_free(hub):
    for rank in (0, 1):
        hub.hear(f"ce{rank}", wire.RunEnded("sim"))
    assert news(hub.submit("a-1", "0-1")) == []
    (told,) = news(hub.submit("a-2", "0-2"))
    assert told.ranks == "2"
    assert told.text.startswith("rank 2 runs sim")


@pytest.mark.parametrize("all_say", [False, True])
def test_who_holds_where_it_is_is_free(hub, all_say):
    """The others are on their way, or have not said anything."""
    rounds = hub.core.wheel.rounds
    family, everybody, rank = "sim/step", RankSet(range(4)), RankSet([1])
    rounds.handle(rv.FamilyHere("sim", family, everybody), 1.0)
    rounds.handle(rv.Stop(Asker("s"), family), 1.0)
    rounds.handle(rv.Next(family, 1, everybody if all_say else rank, 12), 1.0)
    if all_say:
        rounds.handle(rv.Held(family, 1, rank, 12), 1.0)
    rounds.handle(rv.Here(Asker("h"), family), 1.0)
    (told,) = news(hub.submit("a-1", "0-3"))
    assert told.ranks == "0,2-3"


def test_without_a_program_nothing_is_said():
    hub = Hub()
    hub.join(2)
    hub.hello()
    assert news(hub.submit("a-1")) == []


def noted(actions):
    return [action for action in actions if isinstance(action, NoteCell)]


def test_what_has_waited_until_the_end_is_sent_and_is_none_of_the_journals(hub):
    hub.submit("a-1", "0-3")
    *before, last = (hub.hear(f"ce{rank}", wire.RunEnded("sim")) for rank in range(4))
    assert [sent(actions, wire.Submit) for actions in before] == [[], [], []]
    assert sent(last, wire.Submit)
    assert not noted(last)


def test_what_is_sent_before_the_beginning_is_noted_as_such():
    hub = Hub()
    hub.join(2, run="sim")
    for rank in range(2):
        hub.hear(f"ce{rank}", wire.RunBegan("sim", "sim.py", waits=True))
    hub.hello()
    (note,) = noted(hub.submit("a-1", "0-1"))
    assert note.early

"""Cells in the hub: what waits, what is sent, what is told when one fails."""

from __future__ import annotations

import pytest

from steer.core import events as ev
from steer.wire import messages as wire
from steer.wire.frames import pack, unpack
from steer.wire.messages import ErrorInfo, Submit

from .test_hub import Hub, sent

GONE = ev.Died("e1", "was killed by SIGKILL")


@pytest.fixture
def hub():
    """Four engines, two clients, and a cell on all of them under way."""
    hub = Hub()
    hub.join(4)
    hub.hello("a")
    hub.hello("b")
    assert peers(cell(hub, "a-1")) == (b"we0", b"we1", b"we2", b"we3")
    return hub


def cell(hub, number, targets="0-3"):
    return hub.submit(number, targets, number[0], joint=True)


def peers(actions):
    """Who is sent work; nobody, if it waits."""
    return tuple(peer for who, _ in sent(actions, Submit) for peer in who)


def end(hub, number, *engines):
    actions = []
    for engine in engines:
        actions += hub.answer(f"e{engine}", number)
    return actions


def fail(hub, number, engine):
    error = ErrorInfo("ZeroDivisionError", "division by zero")
    result = wire.Result(number, "error", 1.0, 2.0)
    return hub.hear(f"we{engine}", result, pack(error))


def told(actions):
    """What clients are told of each request: (status, ranks, text)."""
    found = {}
    for action in actions:
        if isinstance(action, ev.Send) and isinstance(action.message, wire.Replies):
            frames = list(action.frames)
            for part in action.message.parts:
                body = [frames.pop(0) for _ in range(part.frames)]
                text = "" if part.status == "ok" else unpack(body[0])[1]
                found.setdefault(action.message.id, []).append(
                    (part.status, part.ranks, text)
                )
    return found


def test_a_cell_is_sent_when_every_rank_has_ended_the_last(hub):
    assert peers(cell(hub, "b-1")) == ()
    assert peers(end(hub, "a-1", 0, 1, 2)) == ()
    assert peers(end(hub, "a-1", 3)) == (b"we0", b"we1", b"we2", b"we3")


def test_other_work_goes_at_once_while_no_cell_waits(hub):
    assert peers(hub.submit("b-1", "0", "b")) == (b"we0",)


def test_other_work_keeps_its_place_behind_a_waiting_cell(hub):
    cell(hub, "a-2", "0-1")
    assert peers(hub.submit("b-1", "0", "b")) == ()
    assert peers(hub.submit("b-2", "3", "b")) == (b"we3",)
    actions = end(hub, "a-1", 0, 1, 2, 3)
    assert [message.id for _, message in sent(actions, Submit)] == ["a-2", "b-1"]


def test_what_waits_is_queued_and_pending(hub):
    cell(hub, "a-2")
    (answer,) = hub.ask("queue")
    queues = dict(unpack(answer.frames[0])["engines"])
    assert queues[2] == ["a-1_2", "a-2_2"]


def test_a_failure_stops_the_cells_behind_at_once_and_on_all_ranks(hub):
    cell(hub, "a-2")
    cell(hub, "b-1", "2")
    hub.submit("b-2", "2", "b")
    actions = fail(hub, "a-1", 3)
    why = "the cell before it failed on rank 3 (ZeroDivisionError: division by zero)."
    assert told(actions) == {
        "a-1": [("error", "3", "division by zero")],
        "a-2": [("aborted", "0-3", f"This cell was not run on ranks 0-3: {why}")],
        "b-1": [("aborted", "2", f"This cell was not run on rank 2: {why}")],
    }
    assert peers(actions) == (b"we2",), "what is no cell goes on"


def test_a_failure_stops_also_those_that_wait_for_those_that_wait(hub):
    hub.register("e9", 0, 1, boot="here")
    hub.hear("ce9", wire.Ready("e9", 0, 1))
    cell(hub, "a-2", "3-4")
    cell(hub, "a-3", "4")
    assert set(told(fail(hub, "a-1", 0))) == {"a-1", "a-2", "a-3"}


def test_a_cell_after_the_failure_waits_and_runs(hub):
    fail(hub, "a-1", 3)
    assert peers(cell(hub, "a-2")) == ()
    assert len(peers(end(hub, "a-1", 0, 1, 2))) == 4


def test_a_dead_rank_stops_the_cells_behind(hub):
    cell(hub, "a-2", "2-3")
    found = told(hub.feed(GONE))
    ((status, ranks, text),) = found["a-2"]
    assert (status, ranks) == ("aborted", "2-3")
    assert "the cell before it failed on rank 1 (EngineError: Engine 1 (rank 1" in text


def test_a_cell_whose_rank_dies_before_its_turn_runs_nowhere(hub):
    end(hub, "a-1", 0, 1, 2, 3)
    cell(hub, "a-2", "2-3")
    assert peers(cell(hub, "b-1", "0-2")) == ()
    found = told(hub.feed(GONE))
    text = (
        "This cell was not run on ranks 0,2: rank 1, on which it was to run too, is "
        "gone."
    )
    assert ("aborted", "0,2", text) in found["b-1"]
    assert peers(end(hub, "a-2", 2, 3)) == ()


def test_a_waiting_cell_is_aborted_on_all_its_ranks(hub):
    cell(hub, "a-2")
    cell(hub, "a-3")
    actions = hub.hear("oa", wire.Abort(("a-2",), "1"))
    text = "This cell was not run on ranks 0-3: it was aborted."
    assert told(actions) == {"a-2": [("aborted", "0-3", text)]}
    assert sent(actions, wire.Abort) == []
    assert len(peers(end(hub, "a-1", 0, 1, 2, 3))) == 4


def test_a_cell_that_was_sent_is_not_aborted_on_some(hub):
    assert hub.hear("oa", wire.Abort(("a-1",), "0-3")) == []


def test_waiting_work_is_aborted_where_it_is_asked(hub):
    cell(hub, "a-2", "0-1")
    hub.submit("a-3", "0-1")
    actions = hub.hear("oa", wire.Abort(("a-3",), "1"))
    text = "This request was not run on rank 1: it was aborted."
    assert told(actions) == {"a-3": [("aborted", "1", text)]}
    end(hub, "a-1", 0, 1, 2, 3)
    assert peers(end(hub, "a-2", 0, 1)) == ()  # a-3 went right behind a-2


def test_a_signal_about_a_request_is_for_those_that_run_it(hub):
    cell(hub, "b-1")
    hub.answer("e0", "a-1")

    def signalled(request):
        return [a for a in hub.hear("oa", wire.Signal("q", "0-3", 2, request))
                if isinstance(a, ev.Kill)]  # fmt: skip

    assert signalled("b-1") == []
    assert signalled("nothing") == []
    (kill,) = signalled("a-1")
    assert [pid for pid, _ in kill.processes] == [101, 102, 103]


def test_after_a_cut_only_what_was_sent_is_sent_again(hub):
    cell(hub, "a-2")
    actions = hub.register("e0", 0, 4)
    assert [message.id for _, message in sent(actions, Submit)] == ["a-1"]


def test_the_cells_of_a_client_that_goes_still_run(hub):
    cell(hub, "b-1")
    hub.hear("ob", wire.Goodbye("b"))
    assert len(peers(end(hub, "a-1", 0, 1, 2, 3))) == 4


# -- a hub that is new


def come_again(hub, number, targets="0-3"):
    submit = Submit(number, "execute", targets, joint=True, resent=True)
    hub.hear(f"o{number[0]}", submit, b"x")
    event = ev.Recalled(number[0], submit, (b"x",), ())
    return hub.feed(event)


def new_hub(known=()):
    hub = Hub()
    for rank in range(2):
        hub.register(f"e{rank}", rank, 2, ready=True, known=known)
    hub.hello("a")
    return hub


def test_a_cell_that_engines_have_already_does_not_wait_again():
    hub = new_hub(known=("a-2",))
    assert peers(come_again(hub, "a-1", targets="0-1")) == (b"we0", b"we1")
    assert peers(come_again(hub, "a-2", targets="0-1")) == (b"we0", b"we1")
    assert peers(come_again(hub, "a-3", targets="0-1")) == ()


def test_an_answer_says_that_a_cell_has_begun():
    hub = new_hub()
    come_again(hub, "a-1", targets="0-1")
    assert peers(come_again(hub, "a-2", targets="0-1")) == ()
    assert peers(hub.answer("e0", "a-2")) == (b"we1",)


def test_a_cell_that_came_again_is_not_given_up():
    """The hub that is gone may have sent it: it lies in the queue of an engine."""
    hub = new_hub()
    come_again(hub, "a-1", targets="0-1")
    assert peers(come_again(hub, "a-2", targets="0-1")) == ()
    assert set(told(fail(hub, "a-1", 1))) == {"a-1"}
    assert hub.hear("oa", wire.Abort(("a-2",), "0-1")) == []
    assert peers(hub.answer("e0", "a-1")) == (b"we0", b"we1")


def test_whoever_waits_for_anothers_cell_hears_that_it_was_given_up(hub):
    cell(hub, "b-1")
    hub.ask("watch", id="b-1")
    (answer,) = sent(fail(hub, "a-1", 3), wire.Answer)
    assert answer == ((b"ia",), wire.Answer("q"))

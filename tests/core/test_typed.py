"""What ranks ask and people type, on its way through a hub that may be new."""

from __future__ import annotations

import pytest

from steer.core import events as ev
from steer.core.fanout import OUTPUT_WINDOW
from steer.wire import messages as wire
from steer.wire.frames import pack
from steer.wire.messages import Stream

from .test_hub import Hub, refusal, sent

QUESTION = pack((1, "n? ", False))


@pytest.fixture
def hub():
    """Give a hub with two engines and a client whose request both run."""
    hub = Hub()
    hub.join()
    hub.hello()
    hub.submit()
    return hub


def asks(hub, rank, body=QUESTION, stream=Stream.PROMPT):
    return hub.hear(f"ce{rank}", wire.Output("a-1", stream), body)


def typed(hub, targets="0-1", who="a", **more):
    return hub.hear(f"o{who}", wire.Typed("a-1", targets, 1, **more), b"7")


def heard(actions):
    """The pieces that the client gets."""
    return [
        (piece.ranks, piece.stream, frame)
        for action in actions
        if isinstance(action, ev.Send) and isinstance(action.message, wire.Outputs)
        for piece, frame in zip(action.message.pieces, action.frames, strict=True)
    ]


def tick(hub):
    hub.now += OUTPUT_WINDOW
    return hub.feed(ev.Tick())


def test_equal_questions_become_one(hub):
    asks(hub, 0)
    asks(hub, 1)
    assert heard(tick(hub)) == [("0-1", Stream.PROMPT, QUESTION)]


def test_an_answer_goes_to_the_ranks_that_still_run(hub):
    asks(hub, 0)
    ((peers, message),) = sent(typed(hub), wire.Typed)
    assert peers == (b"ce0", b"ce1")
    assert message.number == 1
    hub.answer("e1")
    ((peers, _),) = sent(typed(hub, closed="Nobody."), wire.Typed)
    assert peers == (b"ce0",)
    hub.answer("e0")
    assert sent(typed(hub), wire.Typed) == []


def test_nobody_answers_for_another(hub):
    hub.hello("b")
    peer, _, name, text = refusal(typed(hub, who="b"))
    assert (peer, name) == (b"ib", "ProtocolError")
    assert "does not belong to client b" in text


def test_questions_and_progress_are_not_kept(hub):
    asks(hub, 0)
    asks(hub, 0, pack((0, "steps", 1, 2)), Stream.PROGRESS)
    asks(hub, 0, b"text", Stream.STDOUT)
    request = hub.core.fanout.requests["a-1"]
    assert request.kept == {0: {"stdout": [b"text"]}}


def resent(hub):
    return heard(hub.submit(targets="0-1", resent=True))


def test_a_client_that_was_cut_off_hears_open_questions_again(hub):
    asks(hub, 0)
    tick(hub)
    hub.hello(sent=1)
    assert ("0", Stream.PROMPT, QUESTION) in resent(hub)
    typed(hub, "0")
    assert resent(hub) == []


@pytest.mark.parametrize("first", ["engine", "client"])
def test_a_new_hub_brings_open_questions(first):
    new = Hub()
    known = {"engine": 0, "ready": True, "known": ("a-1",)}
    submit = wire.Submit("a-1", "apply", "0", resent=True)
    if first == "client":
        new.hello(sent=1)
    new.register("e0", 0, 1, **known)
    asks(new, 0)
    if first == "engine":
        new.hello(sent=1)
    new.hear("ia", submit, b"x")
    typed(new, "0")  # too early: it is lost, and given again when the question comes
    pieces = heard(new.feed(ev.Recalled("a", submit, (b"x",), ())))
    assert ("0", Stream.PROMPT, QUESTION) in pieces
    ((peers, _),) = sent(typed(new, "0"), wire.Typed)
    assert peers == (b"ce0",)


def test_what_was_answered_meanwhile_is_not_asked(hub):
    new = Hub()
    new.register("e0", 0, 1, engine=0, ready=True)
    asks(new, 0)
    new.answer("e0")
    assert new.core.fanout._early == {}

"""Answers and output on their way back: merged, in order, and nothing twice."""

from __future__ import annotations

import pytest

from steer.core.events import Drop, Late, Note, Send
from steer.core.fanout import OUTPUT_BYTES, OUTPUT_WINDOW, REPLY_WINDOW, Fanout
from steer.core.registry import Registry
from steer.ranks import RankSet
from steer.wire.frames import unpack
from steer.wire.messages import (
    VERSION,
    ErrorInfo,
    Output,
    Outputs,
    Register,
    Replies,
    Result,
    Store,
    Stream,
    Submit,
)


@pytest.fixture
def engines():
    registry = Registry("here")
    return [
        registry.register(
            Register(VERSION, f"e{rank}", 1, 1, "h", "here", "j", rank, 4), 0.0
        )
        for rank in range(4)
    ]


@pytest.fixture
def fanout():
    fanout = Fanout()
    fanout.welcome("c")
    return fanout


def store(fd):
    return Store(1, fd, 100, ((0, 0, 100),))


def submit(fanout, engines, number=1, **more):
    request = Submit(f"c-{number}", "apply", "0-3", **more)
    return fanout.open("c", request, (b"x",), engines)


def answer(fanout, engine, frame=b"r", *, now=0.0, number=1, status="ok", store=None):
    result = Result(f"c-{number}", status, float(engine.id), 9.0, 0, store)
    return fanout.answer(engine, result, (frame,), now)


def printed(fanout, engine, text, *, now=0.0, stream=Stream.STDOUT):
    return fanout.output(engine, Output("c-1", stream), text, now)


def replies(actions):
    """(ranks, frame) of each part that was sent to the client."""
    return [
        (part.ranks, frame)
        for action in actions
        if isinstance(action, Send) and isinstance(action.message, Replies)
        for part, frame in zip(action.message.parts, action.frames, strict=True)
    ]


def outputs(actions):
    return [
        (piece.ranks, frame)
        for action in actions
        if isinstance(action, Send) and isinstance(action.message, Outputs)
        for piece, frame in zip(action.message.pieces, action.frames, strict=True)
    ]


def test_a_request_goes_to_its_engines_in_one_message(fanout, engines):
    request = Submit("c-1", "apply", "0-3")
    assert submit(fanout, engines) == [
        Send((b"we0", b"we1", b"we2", b"we3"), request, (b"x",)),
        Note("c-1"),
    ]


def test_equal_answers_share_a_part_with_times_in_rank_order(fanout, engines):
    submit(fanout, engines)
    for engine in (engines[3], engines[0], engines[2]):
        assert answer(fanout, engine) == []
    (send, note) = answer(fanout, engines[1])
    (part,) = send.message.parts
    assert (part.ranks, part.started) == ("0-3", (0.0, 1.0, 2.0, 3.0))
    assert send.peers == (b"ic",)
    assert send.frames == [b"r"]
    assert note == Note("c-1")


def test_different_answers_and_different_states_do_not(fanout, engines):
    submit(fanout, engines)
    answer(fanout, engines[0], b"a")
    answer(fanout, engines[1], b"b")
    answer(fanout, engines[2], b"a")
    got = replies(answer(fanout, engines[3], b"a", status="error"))
    assert got == [("0,2", b"a"), ("1", b"b"), ("3", b"a")]


def test_answers_wait_for_company_only_so_long(fanout, engines):
    submit(fanout, engines)
    assert answer(fanout, engines[0], now=1.0) == []
    assert answer(fanout, engines[1], now=1.004) == []
    assert fanout.deadline() == 1.0 + REPLY_WINDOW
    assert fanout.tick(1.0 + REPLY_WINDOW - 0.001) == []
    assert replies(fanout.tick(1.0 + REPLY_WINDOW)) == [("0-1", b"r")]
    assert fanout.deadline() is None
    answer(fanout, engines[2], now=2.0)
    assert replies(fanout.tick(2.0 + REPLY_WINDOW)) == [("2", b"r")]


def test_errors_do_not_wait_and_take_the_others_along(fanout, engines):
    submit(fanout, engines)
    answer(fanout, engines[0])
    got = replies(answer(fanout, engines[1], b"e", status="error"))
    assert got == [("0", b"r"), ("1", b"e")]


def test_output_is_sent_before_the_answer(fanout, engines):
    submit(fanout, engines[:1])
    printed(fanout, engines[0], b"hello")
    first, second, _ = answer(fanout, engines[0])
    assert isinstance(first.message, Outputs)
    assert isinstance(second.message, Replies)


def test_equal_output_shares_a_piece(fanout, engines):
    submit(fanout, engines)
    for engine in engines:
        assert printed(fanout, engine, b"a", now=1.0) == []
    assert fanout.deadline() == 1.0 + OUTPUT_WINDOW
    assert outputs(fanout.tick(1.0 + OUTPUT_WINDOW)) == [("0-3", b"a")]


def test_the_order_of_each_engines_pieces_is_kept(fanout, engines):
    submit(fanout, engines)
    says = {0: [b"a", b"b", b"a"], 1: [b"b", b"a", b"b"], 2: [b"a", b"a"], 3: [b"b"]}
    for turn in range(3):
        for number, texts in says.items():
            if turn < len(texts):
                printed(fanout, engines[number], texts[turn])
    sent = outputs(fanout.tick(1.0))
    for number, texts in says.items():
        assert [t for ranks, t in sent if number in RankSet.parse(ranks)] == texts
    assert len(sent) < sum(map(len, says.values()))


def test_one_text_on_two_streams_is_two_pieces(fanout, engines):
    submit(fanout, engines)
    printed(fanout, engines[0], b"a")
    printed(fanout, engines[1], b"a", stream=Stream.STDERR)
    assert outputs(fanout.tick(1.0)) == [("0", b"a"), ("1", b"a")]


def test_much_output_does_not_wait(fanout, engines):
    submit(fanout, engines)
    text = bytes(OUTPUT_BYTES // 2)
    assert printed(fanout, engines[0], text) == []
    assert len(outputs(printed(fanout, engines[1], text + b"1"))) == 2


def test_output_without_a_request_goes_to_its_client(fanout, engines):
    assert outputs(printed(fanout, engines[2], b"late")) == [("2", b"late")]
    fanout.goodbye("c")
    assert printed(fanout, engines[2], b"late") == []


def test_a_second_answer_is_dropped_with_what_it_holds(fanout, engines):
    submit(fanout, engines)
    answer(fanout, engines[0])
    assert answer(fanout, engines[0], b"again") == []
    assert answer(fanout, engines[0], store=store(5)) == [Drop(store(5))]
    fanout.check()


def test_an_answer_nobody_asked_for_is_the_journals(fanout, engines):
    result = Result("c-9", "ok", 0.0, 0.0)
    assert fanout.answer(engines[0], result, (b"r",), 0.0) == [Late(0, result, (b"r",))]
    submit(fanout, engines[:1])
    result = Result("c-1", "ok", 0.0, 0.0)
    assert fanout.answer(engines[1], result, (b"r",), 0.0) == [Late(1, result, (b"r",))]


def test_what_a_dead_engine_owed_fails_at_once(fanout, engines):
    submit(fanout, engines, 1)
    submit(fanout, engines[:1], 2)
    answer(fanout, engines[0], number=2)
    got = replies(fanout.fail(engines[0], ErrorInfo("EngineError", "It died."), 1.0))
    ((ranks, frame),) = got
    assert ranks == "0"
    assert unpack(frame)[:2] == ["EngineError", "It died."]
    fanout.check()


def test_a_request_is_forgotten_when_all_its_answers_are_saved(fanout, engines):
    submit(fanout, engines[:2])
    answer(fanout, engines[0])
    fanout.saved("c-1", 0)
    answer(fanout, engines[1])
    assert "c-1" in fanout.requests
    fanout.saved("c-1", 1)
    assert not fanout.requests


def test_what_an_earlier_hub_asked_for_does_not_count(fanout, engines):
    submit(fanout, engines[:1])
    answer(fanout, engines[0], store=store(2))
    assert fanout.saved("c-1", 3) == []
    assert "c-1" in fanout.requests


class Count:
    """Drops against what was adopted."""

    def __init__(self) -> None:
        self.dropped = []

    def __call__(self, actions):
        self.dropped += [a.store.fd for a in actions if isinstance(a, Drop)]
        return actions


def test_each_store_is_dropped_once_when_the_client_takes_them(fanout, engines):
    count = Count()
    count(submit(fanout, engines[:2], store=store(1)))
    count(answer(fanout, engines[0], store=store(2)))
    count(fanout.tick(1.0))
    request = fanout.requests["c-1"]
    actions, safe = fanout.release(request, RankSet([0]))
    count(actions)
    assert safe == [0]
    assert count(fanout.release(request, RankSet([0]))[0]) == []
    count(answer(fanout, engines[1], store=store(3)))
    assert count.dropped == [2, 1]
    assert "c-1" in fanout.requests, "the second store was not taken yet"
    count(fanout.release(request, RankSet([1]))[0])
    assert count.dropped == [2, 1, 3]
    assert not fanout.requests


def test_what_was_taken_is_not_sent_again(fanout, engines):
    submit(fanout, engines[:2])
    answer(fanout, engines[0], store=store(2))
    request = fanout.requests["c-1"]
    fanout.release(request, RankSet([0]))
    answer(fanout, engines[1], b"r")
    assert replies(fanout.again(request)) == [("1", b"r")]


def test_a_client_that_leaves_gives_its_stores_to_the_journal(fanout, engines):
    count = Count()
    submit(fanout, engines[:1], 1)
    submit(fanout, engines[1:2], 2)
    answer(fanout, engines[0], store=store(2), number=1)
    assert fanout.goodbye("c") == [Note("c-1")]
    (note,) = answer(fanout, engines[1], store=store(3), number=2)
    assert note == Note("c-2")
    count(fanout.saved("c-1", 0))
    count(fanout.saved("c-2", 1))
    assert count.dropped == [2, 3]
    assert not fanout.requests
    assert fanout.goodbye("c") == []


def test_a_client_that_is_away_gets_nothing(fanout, engines):
    submit(fanout, engines[:1])
    fanout.goodbye("c")
    printed(fanout, engines[0], b"a")
    assert answer(fanout, engines[0]) == [Note("c-1")]


@pytest.fixture
def closed(fanout):
    """Engines that may be sent nothing, and the tickets with which it was asked."""
    engines, tickets = {2}, []

    def open_for(ids, ticket):
        tickets.append(ticket)
        return not engines & set(ids)

    fanout.open_for = open_for
    return engines, tickets


def sent(actions):
    return [
        action.peers
        for action in actions
        if isinstance(action, Send) and isinstance(action.message, Submit)
    ]


def test_work_waits_for_engines_that_may_not_be_sent_any_yet(fanout, engines, closed):
    assert submit(fanout, engines) == [Note("c-1")]
    assert submit(fanout, engines, 2, joint=True) == [Note("c-2")]
    assert fanout.waiting() == {1: RankSet(range(4)), 2: RankSet(range(4))}
    assert fanout.let_through() == []
    fanout.check()
    closed[0].clear()
    assert [len(peers) for peers in sent(fanout.let_through())] == [4, 4]
    assert closed[1] == [0, 0, 1, 2, 1, 2]
    assert fanout.gated == {}
    fanout.check()


def test_what_waits_is_given_up_like_what_waits_for_its_turn(fanout, engines, closed):
    submit(fanout, engines, joint=True)
    request = fanout.requests["c-1"]
    assert request.surely_unsent
    actions = fanout.give_up(request, RankSet(request.pending), "it was aborted", 0.0)
    assert replies(actions)[0][0] == "0-3"
    assert fanout.gated == {}
    fanout.check()


def test_a_cell_behind_waits_for_its_turn_and_then_for_its_engines(
    fanout, engines, closed
):
    closed[0].clear()
    submit(fanout, engines, joint=True)
    submit(fanout, engines, 2, joint=True)
    closed[0].add(0)
    for engine in engines:
        assert sent(answer(fanout, engine)) == []
    fanout.check()
    closed[0].clear()
    assert len(sent(fanout.let_through())) == 1


def test_an_engine_that_has_it_from_an_earlier_hub_needs_no_leave(
    fanout, engines, closed
):
    submit(fanout, engines, resent=True)
    assert len(sent(answer(fanout, engines[0]))) == 1
    assert fanout.gated == {}
    fanout.check()

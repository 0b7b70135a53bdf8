"""Who talked to whom, and what met what, from rows of calls."""

from __future__ import annotations

from steer.core.tracerows import chrome, matrix, pairs


def row(op, began, ended, peer=-1, tag=-1, size=-1, comm="0-1 WORLD"):
    return (op, began * 1000, ended * 1000, peer, tag, size, comm, "/s.py", 7)


ROWS = {
    0: [row("Send", 1, 2, 1, 5, 80), row("send", 3, 4, 1, 5), row("Barrier", 8, 9)],
    1: [row("Recv", 0, 3, 0, 5, 80), row("Barrier", 5, 9), row("recv", 1, 2, 0, 6)],
}


def test_the_matrix_counts_messages_and_known_bytes():
    assert matrix(ROWS) == {(0, 1): (2, 80)}


def test_sends_meet_receives_of_their_tag_in_order():
    ((sender, send), (receiver, receive)) = next(iter(pairs(ROWS)))
    assert (sender, receiver) == (0, 1)
    assert send is ROWS[0][0]
    assert receive is ROWS[1][0]
    assert len(list(pairs(ROWS))) == 1


def test_another_communicator_does_not_match():
    other = {0: ROWS[0], 1: [row("Recv", 0, 3, 0, 5, 80, comm="0-1 #2")]}
    assert not list(pairs(other))


def test_a_track_for_each_rank_and_an_arrow_for_each_message():
    events = chrome(ROWS)["traceEvents"]
    assert [e["args"]["name"] for e in events if e["ph"] == "M"] == ["rank 0", "rank 1"]
    calls = [e for e in events if e["ph"] == "X"]
    assert len(calls) == 6
    assert calls[0] == {
        "ph": "X", "name": "Send", "pid": 0, "tid": 0, "ts": 1.0, "dur": 1.0,
        "args": {
            "peer": 1, "tag": 5, "bytes": 80, "comm": "0-1 WORLD", "at": "/s.py:7",
        },
    }  # fmt: skip
    (start,) = [e for e in events if e["ph"] == "s"]
    (end,) = [e for e in events if e["ph"] == "f"]
    assert start["id"] == end["id"]
    assert (start["tid"], start["ts"], end["tid"], end["ts"]) == (0, 1.0, 1, 3.0)

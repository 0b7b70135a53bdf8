"""Who talked to whom, and what met what, from rows of calls."""

from __future__ import annotations

import pytest

from steer.core import tracerows
from steer.core.tracerows import NOBODY, chrome, matrix, pairs


def row(op, began, ended, peer=-1, tag=-1, size=-1, comm="0-1 WORLD", came=None):
    if came is None:
        came = (peer, tag) if "ecv" in op and "Send" not in op else (-1, -1)
    return (op, began * 1000, ended * 1000, peer, tag, size, comm, "/s.py", 7, *came)


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
    assert "source" not in calls[0]["args"]


def met(rows, **more):
    """Which messages met, by when they were sent and received."""
    return [(a[1] // 1000, b[2] // 1000) for (_, a), (_, b) in pairs(rows, **more)]


def test_a_receive_of_anything_has_what_came():
    sends = [row("send", 1, 2, 1, 5), row("send", 3, 4, 1, 6)]
    recvs = [row("recv", 0, 3, -1, -1, came=(0, 5)), row("recv", 3, 5, came=(0, 6))]
    assert met({0: sends, 1: recvs}) == [(1, 3), (3, 5)]


@pytest.mark.parametrize("came", [(-1, -1), (-1, 5), (0, -1)])
def test_beside_a_receive_of_which_the_sender_is_not_known_nothing_is_certain(came):
    sends = [row("send", 1, 2, 1, 5), row("send", 3, 4, 1, 5)]
    recvs = [row("Irecv", 0, 1, came=came), row("recv", 3, 5, 0, 5)]
    assert met({0: sends, 1: recvs}) == []
    nobody = row("Recv", 0, 1, NOBODY, 5)
    assert met({0: sends, 1: [nobody, recvs[1]]}) == [(1, 5)]
    other = row("Irecv", 0, 1, came=(-1, 9))
    assert met({0: sends, 1: [other, recvs[1]]}) == [(1, 5)]


def test_what_was_probed_for_may_have_been_received_unseen():
    sends = [row("send", 1, 2, 1, 5), row("send", 3, 4, 1, 5)]
    assert met({0: sends, 1: [row("Mprobe", 0, 2), row("recv", 3, 5, 0, 5)]}) == []


def test_both_halves_of_sendrecv_meet():
    ring = {
        rank: [row("Sendrecv", 1, 4, (rank + 1) % 3, 5, came=((rank - 1) % 3, 5))]
        for rank in range(3)
    }
    found = [(sender, receiver) for (sender, _), (receiver, _) in pairs(ring)]
    assert sorted(found) == [(0, 1), (1, 2), (2, 0)]
    assert matrix(ring) == {(0, 1): (1, 0), (1, 2): (1, 0), (2, 0): (1, 0)}


def test_without_the_beginning_nobody_knows_which_is_which(monkeypatch):
    monkeypatch.setattr(tracerows, "KEPT", 2)
    whole = {0: [row("send", 5, 6, 1, 5)], 1: [row("recv", 5, 7, 0, 5)]}
    assert met(whole) == [(5, 7)]
    cut = {0: whole[0], 1: [row("recv", 1, 6, 0, 5), *whole[1]]}
    assert met(cut) == []
    assert tracerows.forgetful(cut) == [1]


def test_a_message_that_came_before_it_was_sent_shows_that_others_are_missing():
    rows = {0: [row("send", 5, 6, 1, 5)], 1: [row("recv", 1, 2, 0, 5)]}
    assert met(rows) == []
    assert met(rows, one_clock=False) == [(5, 2)]


def test_hosts_have_tracks_and_clocks_of_their_own():
    events = chrome(ROWS, {0: "here", 1: "there"})["traceEvents"]
    names = [e["args"]["name"] for e in events if e["name"] == "process_name"]
    assert names == ["here (its own clock)", "there (its own clock)"]
    assert {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"} == {(0, 0), (1, 1)}
    (end,) = [e for e in events if e["ph"] == "f"]
    assert (end["pid"], end["tid"]) == (1, 1)

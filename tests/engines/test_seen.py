"""What a rank says of its main thread: whom a call of MPI waits for."""

from __future__ import annotations

import pytest

from steer.core.rankstates import ANY, Call, Comm, Look, Spot
from steer.core.rankstates import Message as Sent
from steer.engines.seen import described

WORLD = Comm("0-3", "WORLD")
SPOT = Spot("/home/x/halo.py", 61, "exchange")


def told(call, still=1.0, rank=1):
    return described(7, rank, Look(SPOT, "", call, still))


@pytest.mark.parametrize(
    ("call", "text", "waits_for", "any_will_do"),
    [
        (Call("Recv", WORLD, receive=Sent(0, 5)), "Recv(source=0, tag=5)", "0", False),
        (Call("recv", WORLD, receive=Sent(ANY)), "recv(source=any)", "0,2-3", True),
        (Call("Send", WORLD, Sent(2)), "Send(dest=2)", "2", False),
        (Call("Sendrecv", WORLD, Sent(2), Sent(0)), "Sendrecv(dest=2, source=0)",
         "0,2", False),
        (Call("Barrier", WORLD), "Barrier()", "0,2-3", False),
        (Call("Bcast", WORLD, root=3), "Bcast(root=3)", "3", False),
        (Call("Gather", WORLD, root=1), "Gather(root=1)", "0,2-3", False),
        (Call("Gather", WORLD, root=0), "Gather(root=0)", "", False),
        (Call("Wait"), "Wait()", "", False),
        (Call("Barrier"), "Barrier()", "", False),
    ],
)  # fmt: skip
def test_whom_a_call_waits_for(call, text, waits_for, any_will_do):
    message = told(call)
    assert message.blocked
    assert (message.text, message.waits_for, message.any_will_do) == (
        text, waits_for, any_will_do,
    )  # fmt: skip
    assert message.where == "halo.py:61"


def test_a_call_that_has_just_begun_is_no_wait():
    assert not told(Call("Barrier", WORLD), still=0.01).blocked


def test_what_computes():
    message = described(7, 1, Look(SPOT, "time.sleep", None, 1.0))
    assert (message.blocked, message.text, message.where) == (
        False, "time.sleep", "halo.py:61",
    )  # fmt: skip

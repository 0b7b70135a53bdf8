"""Orders and reports survive their way, and garbage is refused."""

from __future__ import annotations

import pytest

from steer.core import roundevents as rv
from steer.core.orders import ORDERS, REPORTS, action_of, event_of, order, ordered
from steer.core.refound import Found, Slot
from steer.errors import ProtocolError
from steer.ranks import RankSet
from steer.wire.frames import decode, encode
from steer.wire.messages import Order, Ordered

SOME = RankSet([0, 2, 3])


@pytest.mark.parametrize(
    "action",
    [
        rv.Arm("sim/step", 9, SOME, 40),
        rv.Commit("sim/step", 9, SOME, 41),
        rv.Rest("sim/step", 9, SOME),
        rv.Release("sim/step", 9, SOME),
        rv.Prepare("sim/step", 3, SOME, 50, 10),
        rv.Confirm("sim/step", 3, SOME, 50),
        rv.Withdraw("sim/step", 3, SOME),
        rv.Thaw("sim/step", SOME),
        rv.Adopt("sim/step", SOME),
    ],
)
def test_an_order_arrives_for_the_ranks_that_it_is_for(action):
    assert type(action).__name__ in ORDERS
    message = decode(encode(order(action, SOME)))
    assert isinstance(message, Order)
    assert action_of(message) == action
    assert action_of(order(action, RankSet([2]))).ranks == RankSet([2])


@pytest.mark.parametrize(
    "event",
    [
        rv.Next("sim/step", 9, SOME, 41, 40, RankSet([2])),
        rv.Held("sim/step", 9, SOME, 41, "sim.py:3", "careful"),
        rv.Withdrew("sim/step", 9, SOME),
        rv.Voted("sim/step", 3, SOME, 50),
        rv.Froze("sim/step", SOME, 12, "u is nan", together=True),
        rv.Finished("sim", SOME),
        rv.Position("sim/step", 40, 12.5),
        Found("sim/step", SOME, 9, 41, (Slot(3, 50, 10),)),
    ],
)
def test_a_report_arrives(event):
    assert type(event).__name__ in REPORTS
    message = decode(encode(ordered(event)))
    assert isinstance(message, Ordered)
    assert event_of(message) == event


@pytest.mark.parametrize(
    "message",
    [
        Ordered("Lost", {"run": "sim", "ranks": "0", "how": "x"}),
        Ordered("Next", {}),
        Ordered("Finished", {"run": "sim", "ranks": "not ranks"}),
        Ordered("Finished", {"run": "sim", "ranks": 3}),
    ],
)
def test_what_is_no_report_is_refused(message):
    with pytest.raises(ProtocolError):
        event_of(message)

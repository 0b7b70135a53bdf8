"""The beginning and the end of runs, as the hub's core has them."""

from __future__ import annotations

import pytest

from steer.core import roundevents as rv
from steer.wire import messages as wire
from steer.wire.frames import unpack

from .hubs import Hub, sent


@pytest.fixture
def hub():
    """Two ranks and a client, which watches nothing yet."""
    hub = Hub()
    hub.join()
    hub.hello()
    return hub


def begin(hub, rank, **more):
    return hub.hear(f"ce{rank}", wire.RunBegan("sim", "sim.py", **more))


def told(actions):
    """What all clients are told of the program."""
    return [
        unpack(action.frames[0])
        for action in actions
        if isinstance(getattr(action, "message", None), wire.Notice)
        and action.message.what == "program"
    ]


def begins(actions):
    return [peers for peers, _ in sent(actions, wire.Begin)]


def test_who_started_a_program_hears_when_it_has_begun_on_all_ranks(hub):
    assert told(begin(hub, 0)) == []
    (program,) = told(begin(hub, 1))
    assert (program["run"], program["over"], program["waits"]) == ("sim", False, False)


def test_a_program_that_waits_begins_when_somebody_watches_it(hub):
    assert begins(begin(hub, 0, waits=True)) == []
    assert begins(begin(hub, 1, waits=True)) == []
    assert begins(hub.hear("oa", wire.Watching("a-1", ""))) == []  # all, and not this
    actions = hub.hear("oa", wire.Watching("a-2", "sim"))
    assert begins(actions) == [(b"ce0", b"ce1")]
    assert [program["waits"] for program in told(actions)] == [False]
    assert begins(hub.hear("oa", wire.Watching("a-3", "sim"))) == []


def test_ranks_that_come_when_somebody_watches_already_do_not_wait(hub):
    begin(hub, 0, waits=True)
    assert begins(hub.hear("oa", wire.Watching("a-1", "sim"))) == [(b"ce0",)]
    assert begins(begin(hub, 1, waits=True)) == [(b"ce0", b"ce1")]


@pytest.mark.parametrize("at", [0, 7])
def test_a_stop_that_was_wanted_at_the_start_is_there_before_the_family_may_go(hub, at):
    for rank in range(2):
        begin(hub, rank, stop_at=at)
    actions = hub.hear("ce0", wire.FamilyBorn("sim", "step"))
    kinds = [type(action).__name__ for action in actions]
    assert kinds.index("Arm") < kinds.index("Adopt")
    (arm,) = [action for action in actions if isinstance(action, rv.Arm)]
    assert arm.goal == at
    more = hub.hear("ce1", wire.FamilyBorn("sim", "step"))
    assert not any(isinstance(action, rv.Arm) for action in more)


def armed(actions):
    return {a.family: a.goal for a in actions if isinstance(a, rv.Arm)}


def test_a_stop_at_the_start_is_for_the_first_loop_of_each_rank(hub):
    """Ocean and atmosphere have loops of their own; neither runs past the point."""
    for rank in range(2):
        begin(hub, rank, stop_at=0)
    sea = wire.FamilyBorn("sim", "sea@0", members="0")
    assert armed(hub.hear("ce0", sea)) == {"sim/sea@0": 0}
    air = wire.FamilyBorn("sim", "air@1", members="1")
    assert armed(hub.hear("ce1", air)) == {"sim/air@1": 0}
    inner = wire.FamilyBorn("sim", "inner", before={"air@1": 3})
    assert armed(hub.hear("ce1", inner)) == {}


def test_a_stop_at_the_start_may_name_its_loop(hub):
    for rank in range(2):
        begin(hub, rank, stop_at=500, stop_label="main")
    assert armed(hub.hear("ce0", wire.FamilyBorn("sim", "spinup"))) == {}
    main = wire.FamilyBorn("sim", "main", before={"spinup": 10})
    assert armed(hub.hear("ce0", main)) == {"sim/main": 500}


def test_what_waits_for_a_first_point_is_done_to_the_first_loop_of_each_rank(hub):
    for rank in range(2):
        begin(hub, rank)
    hub.hear("oa", wire.Steer("a-1", "sim", "stop", {}, "ann@here"))
    sea = wire.FamilyBorn("sim", "sea@0", members="0")
    assert armed(hub.hear("ce0", sea)) == {"sim/sea@0": 0}
    air = wire.FamilyBorn("sim", "air@1", members="1")
    assert armed(hub.hear("ce1", air)) == {"sim/air@1": 0}


def test_of_loops_one_after_the_other_the_one_that_goes_on_is_stopped(hub):
    """Rank 1 has counted more points of the first than rank 0, when it left it."""
    for rank in range(2):
        begin(hub, rank)
        hub.hear(f"ce{rank}", wire.FamilyBorn("sim", "spinup"))
    for rank, left in ((0, 10), (1, 12)):
        main = wire.FamilyBorn("sim", "main", before={"spinup": left})
        hub.hear(f"ce{rank}", main)
    hub.feed(rv.Position("sim/spinup", 12))
    hub.feed(rv.Position("sim/main", 3))
    stop = wire.Steer("a-1", "sim", "stop", {}, "ann@here")
    assert armed(hub.hear("oa", stop)) == {"sim/main": 0}
    named = wire.Steer("a-2", "sim/spinup", "go", {}, "ann@here")
    hub.hear("oa", named)
    assert hub.core.wheel.rounds.families["sim/main"].round.phase.value == "arming"


def test_the_first_status_that_is_not_0_is_told_and_the_end(hub):
    for rank in range(2):
        begin(hub, rank)
    (program,) = told(hub.hear("ce1", wire.RunEnded("sim", 3)))
    assert (program["statuses"], program["over"]) == ({"1": 3}, False)
    actions = hub.hear("ce0", wire.RunEnded("sim", 0))
    (program,) = told(actions)
    assert (program["statuses"], program["over"]) == ({"1": 3}, True)
    assert sent(actions, wire.Quit)


def test_ranks_that_are_kept_are_not_sent_away(hub):
    for rank in range(2):
        begin(hub, rank)
    (program,) = told(hub.hear("ce0", wire.RunEnded("sim", 1, "failed", kept=True)))
    assert (program["kept"], program["lost"]) == (True, {"0": "failed"})
    actions = hub.hear("ce1", wire.RunEnded("sim", 0))
    assert not sent(actions, wire.Quit)
    assert [program["over"] for program in told(actions)] == [True]

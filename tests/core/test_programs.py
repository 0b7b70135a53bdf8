"""The programs of a hub: whose they are, where they run, when they are over."""

from __future__ import annotations

import pytest

from steer.core.audience import Audience
from steer.core.programs import Program, Programs
from steer.ranks import RankSet
from steer.wire.messages import FamilyBorn, Watching


def program(name, first, size, **more):
    ranks = RankSet(range(first, first + size))
    return Program(name, "w", ranks, first, f"{name}.py", (), 0.0, here=ranks, **more)


@pytest.fixture
def programs():
    """Two, and engines 6 and 7 without one."""
    return Programs(sim=program("sim", 0, 4), sea=program("sea", 4, 2))


def test_the_program_of_some_ranks(programs):
    assert programs.of(RankSet([1, 3])) == "sim"
    assert programs.of(RankSet([4])) == "sea"
    assert programs.of(RankSet([3, 4])) == ""
    assert programs.of(RankSet([6])) == ""


def test_ranks_on_which_one_runs(programs):
    everyone = RankSet(range(8))
    assert programs.busy(everyone) == RankSet(range(6))
    programs["sim"].ended = RankSet([0])
    programs["sim"].lost = {1: "failed"}
    programs["sea"].waits = True
    assert programs.busy(everyone) == RankSet([2, 3])


def test_the_only_one_need_not_be_named(programs):
    assert programs.only() == ""
    assert programs.which() == "Several programs run here: sim, sea. Name one."
    programs["sea"].ended = RankSet([4, 5])
    assert programs.only() == "sim"
    assert "No program runs here" in Programs().which()


def test_one_is_known_when_all_ranks_have_said_what_there_is(programs):
    assert programs.is_known("sim/step")
    assert not programs.is_known("other")
    programs["sim"].families = 1
    assert not programs.is_known("sim")
    programs["sim"].labels["step"] = RankSet(range(4))
    assert programs.is_known("sim")
    programs["sim"].here = RankSet([0])
    assert not programs.is_known("sim")
    programs["sim"].lost = dict.fromkeys([1, 2, 3], "died")
    assert programs.is_known("sim")


def test_members_of_a_family_are_engines_and_not_lost(programs):
    sea = programs["sea"]
    assert sea.members(FamilyBorn("sea", "step")) == RankSet([4, 5])
    assert sea.members(FamilyBorn("sea", "step@1", members="1")) == RankSet([5])
    sea.lost = {5: "died"}
    assert sea.members(FamilyBorn("sea", "step")) == RankSet([4])


def test_who_hears_of_a_run():
    audience = Audience()
    audience.introduce("a", "ann@here")
    assert (audience.user("a"), audience.user("b")) == ("ann@here", "b")
    audience.watch("a", Watching("a-1", "sim"))
    audience.watch("b", Watching("b-1", ""))
    assert audience.peers("sim") == (b"ia", b"ib")
    assert audience.peers("sea") == (b"ib",)
    assert audience.attends("sim")
    assert not audience.attends("sea")
    audience.watch("a", Watching("a-2", "sim", on=False))
    assert audience.peers("sim") == (b"ib",)
    audience.gone("b")
    assert audience.peers("sim") == ()

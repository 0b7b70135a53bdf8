"""Stops, steps and what keeps them waiting, with simulated ranks."""

from __future__ import annotations

import msgspec
import pytest

from steer.core import roundevents as ev
from steer.core.roundevents import Asker, Kind, Place, Sight
from steer.core.rounds import Rounds
from steer.ranks import RankSet

from .steered import FAMILY, World


@pytest.fixture
def world():
    return World(ranks=4, seed=1)


def stopped(world):
    tell = world.answer_to(world.ask(ev.Stop))
    assert tell.kind is Kind.STOPPED, tell
    return tell


def test_a_stop_says_where_and_how_long_it_took(world):
    world.run(0.5)
    tell = stopped(world)
    assert tell.text.startswith(f"stopped at point {tell.point} (sim.py:40)  4/4 held")
    assert tell.ranks == RankSet(range(4))
    assert tell.facts["together"]
    assert 0 <= tell.facts["drift"] <= 4


def test_many_stops_under_imbalance():
    for seed in range(100):
        world = World(ranks=5, seed=seed, end=10_000)
        for _ in range(3):
            world.run(world.random.random() / 10)
            stopped(world)
            world.ask(ev.Go)


def test_a_step_needs_no_negotiation(world):
    first = stopped(world)
    before = world.core.epoch
    tell = world.answer_to(world.ask(ev.Step, 10))
    assert tell.point == first.point + 10
    assert world.core.epoch == before
    assert tell.facts["from"] == first.point


def test_steps_wait_for_the_stop_before_them(world):
    ids = [world.ask(ev.Stop), world.ask(ev.Step, 2), world.ask(ev.Step, 3)]
    points = [world.answer_to(id).point for id in ids]
    assert points[1:] == [points[0] + 2, points[0] + 5]


def test_two_who_ask_get_one_stop(world):
    a, b = world.ask(ev.Stop), world.ask(ev.Stop)
    assert world.answer_to(a) is world.answer_to(b)


def test_a_stop_can_be_taken_back_and_asked_for_again(world):
    for _ in range(20):
        a = world.ask(ev.Stop)
        world.run(world.random.random() / 100)
        b = world.ask(ev.Go)
        world.answer_to(b)
        assert a in world.answers
    stopped(world)


def test_until_a_point_that_is_far(world):
    id = world.ask(ev.Stop, point=200)
    tell = world.answer_to(id, 10)
    assert (tell.kind, tell.point) == (Kind.STOPPED, 200)
    assert not [t for t in world.told if t.kind is Kind.WAITING]
    again = world.answer_to(world.ask(ev.Stop, point=300), 10)
    assert again.point == 300
    past = world.answer_to(world.ask(ev.Stop, point=250))
    assert "is past" in past.text


def test_a_point_that_is_far_and_ranks_that_come_to_none():
    """A step of a program that has got stuck is not waited for in silence."""
    core = Rounds()
    ranks = RankSet(range(2))
    core.handle(ev.FamilyHere("run", FAMILY, ranks), 0.0)
    core.handle(ev.Stop(Asker("q"), FAMILY, point=900), 0.0)
    core.handle(ev.Next(FAMILY, core.epoch, ranks, 900, 900), 0.0)

    def look(now, age):
        assert any(isinstance(a, ev.Look) for a in core.handle(ev.Tick(), now))
        sight = Sight(Place.RUNNING, 7, age, where="sim.py:9")
        done = core.handle(ev.Seen(FAMILY, ranks, sight), now)
        return [action.text for action in done if isinstance(action, ev.Tell)]

    assert look(0.5, 0.5) == []
    assert look(1.0, 2.9) == []
    (text,) = look(1.5, 3.4)
    assert "ranks 0-1 at point 7, computes at sim.py:9" in text
    assert look(2.0, 3.9) == []  # it was said


def test_a_stop_at_once_overtakes_one_that_is_far(world):
    far = world.ask(ev.Stop, point=900)
    world.run(0.2)
    near = world.ask(ev.Stop)
    assert world.answer_to(near).point < 900
    assert world.answer_to(far) is world.answer_to(near)


def test_a_run_that_has_ended_somewhere_lets_all_go():
    world = World(ranks=3, end=20, seed=3)
    world.run(0.01, until=lambda: world.ranks[0].c == 20)
    world.run(5, until=lambda: world.ranks[0].finished)
    tell = world.answer_to(world.ask(ev.Stop))
    assert tell.kind in (Kind.ENDING, Kind.OVER)
    world.run(5)
    assert all(rank.finished for rank in world.ranks)
    assert world.told[-1].kind is Kind.OVER


def test_a_step_beyond_the_end():
    world = World(ranks=3, end=20, seed=3)
    stopped(world)
    tell = world.answer_to(world.ask(ev.Step, 100))
    assert tell.kind is Kind.ENDING
    world.run(5)
    assert all(rank.finished for rank in world.ranks)


def test_a_dead_rank_is_left_out_and_named():
    world = World(ranks=4, seed=2, ring=False)
    world.run(0.1)
    id = world.ask(ev.Stop)
    world.die(3)
    tell = world.answer_to(id)
    assert tell.kind is Kind.STOPPED
    assert "Without rank 3: it was killed by SIGKILL." in tell.text
    assert not tell.facts["together"]


def test_who_waits_for_a_dead_rank_is_told_and_here_helps(world):
    world.run(0.1)
    world.die(2)
    id = world.ask(ev.Stop)
    world.run(3, until=lambda: any(t.kind is Kind.WAITING for t in world.told))
    waiting = next(t for t in world.told if t.kind is Kind.WAITING)
    assert waiting.facts["on_lost"]
    assert "rank 2 will not answer any more" in waiting.text
    here = world.answer_to(world.ask(ev.Here))
    assert here.kind is Kind.HERE
    assert world.answer_to(id) is here
    assert world.answer_to(world.ask(ev.Go)).kind is Kind.WENT


def test_a_slow_rank_is_named_once():
    world = World(ranks=2, seed=1, ring=False)
    world.run(0.1)
    slow = world.ranks[1]
    slow.due = True  # its step takes for ever
    world.heap = [item for item in world.heap if item[2].__closure__ is None]
    world.ask(ev.Stop)
    world.run(4)
    waiting = [t for t in world.told if t.kind is Kind.WAITING]
    assert 1 <= len(waiting) <= 2
    assert f"rank 1 at point {slow.c}, computes" in waiting[-1].text


class Manual:
    """A core and nothing else."""

    def __init__(self, ranks=2, logical=False):
        self.core = Rounds()
        self.all = RankSet(range(ranks))
        self.feed(ev.RunHere("r", self.all))
        self.feed(ev.FamilyHere("r", "f", self.all, logical=logical), 0.0)

    def feed(self, event, now=0.0):
        self.actions = self.core.handle(event, now)
        self.core.check()
        return self.actions

    def told(self, kind):
        return [a for a in self.actions if isinstance(a, ev.Tell) and a.kind is kind]


def rank(n):
    return RankSet([n])


def test_the_messages_of_a_round():
    m = Manual()
    a, both = Asker("1"), RankSet([0, 1])
    assert m.feed(ev.Stop(a, "f")) == [ev.Arm("f", 1, both)]
    assert m.feed(ev.Next("f", 1, rank(0), 7)) == []
    assert m.feed(ev.Next("f", 1, rank(1), 9)) == [ev.Commit("f", 1, both, 9)]
    assert m.feed(ev.Held("f", 1, rank(0), 9)) == []
    rest, tell, note = m.feed(ev.Held("f", 1, rank(1), 9), 0.02)
    assert rest == ev.Rest("f", 1, both)
    assert (tell.kind, tell.point, tell.answers) == (Kind.STOPPED, 9, ("1",))
    assert tell.facts["drift"] == 2
    assert note.verb == "stop"
    assert m.feed(ev.Step(a, "f", 5)) == [ev.Commit("f", 1, both, 14)]
    m.feed(ev.Held("f", 1, both, 14))
    release, tell, note = m.feed(ev.Go(a, "f"))
    assert release == ev.Release("f", 1, both)
    assert (note.verb, note.point) == ("go", 14)


def test_what_bears_another_epoch_is_dropped():
    m = Manual()
    m.feed(ev.Stop(Asker("1"), "f"))
    m.feed(ev.Go(Asker("2"), "f"))
    m.feed(ev.Stop(Asker("3"), "f"))
    assert m.feed(ev.Next("f", 1, m.all, 3)) == []
    m.feed(ev.Next("f", 2, m.all, 5))
    assert m.feed(ev.Held("f", 1, m.all, 5)) == []
    assert m.core.families["f"].round.missing() == m.all


def test_the_users_own_numbers_may_have_gaps():
    m = Manual(logical=True)
    m.feed(ev.Stop(Asker("1"), "f"))
    m.feed(ev.Next("f", 1, m.all, 11))
    assert m.feed(ev.Held("f", 1, rank(0), 12)) == [ev.Commit("f", 1, m.all, 12)]
    assert m.feed(ev.Held("f", 1, rank(1), 15)) == [ev.Commit("f", 1, m.all, 15)]
    m.feed(ev.Held("f", 1, rank(0), 15))
    assert m.told(Kind.STOPPED)[0].point == 15


def test_step_0_is_a_point_like_others_where_the_program_counts_from_0():
    m = Manual(logical=True)
    m.feed(ev.Stop(Asker("1"), "f"))
    m.feed(ev.Next("f", 1, m.all, 0))
    m.feed(ev.Held("f", 1, m.all, 0))
    assert m.told(Kind.STOPPED)[0].point == 0
    m.feed(ev.Plan(Asker("2"), "f", "set", "dt=1"))
    m.feed(ev.Has("f", 1, m.all))
    assert m.actions == [ev.Prepare("f", 1, m.all, 0, ahead=0)]
    m.feed(ev.Voted("f", 1, m.all, 0))
    assert m.told(Kind.PLANNED)[0].text == "dt=1: at point 0"
    m.feed(ev.Go(Asker("3"), "f"))
    (note,) = [a for a in m.actions if isinstance(a, ev.Note)]
    assert (note.verb, note.point) == ("go", 0)


def test_of_two_changes_in_a_row_the_later_one_is_not_done_first():
    """The margin may have become smaller meanwhile."""
    m = Manual()
    for number in (1, 2):
        m.feed(ev.Plan(Asker(str(number)), "f", "set", f"n={number}"))
        m.feed(ev.Has("f", number, m.all))
        (prepare,) = [a for a in m.actions if isinstance(a, ev.Prepare)]
        assert prepare.goal == (0, 127)[number - 1]
        m.feed(ev.Voted("f", number, m.all, 127))
    m.feed(ev.Plan(Asker("3"), "f", "run", "save()", point=500))
    m.feed(ev.Has("f", 3, m.all))
    m.feed(ev.Voted("f", 3, m.all, 500))
    for number in (1, 2):
        m.feed(ev.Applied("f", number, m.all, 127))
    m.feed(ev.Plan(Asker("4"), "f", "set", "n=4"))
    assert m.feed(ev.Has("f", 4, m.all)) == [ev.Prepare("f", 4, m.all, 0, ahead=1)]


def test_ranks_that_hold_at_different_places_are_a_caution():
    m = Manual()
    m.feed(ev.Stop(Asker("1"), "f"))
    m.feed(ev.Next("f", 1, m.all, 3))
    m.feed(ev.Held("f", 1, rank(0), 3, "a.py:1", "a receive from any source is open"))
    m.feed(ev.Held("f", 1, rank(1), 3, "a.py:9"))
    (tell,) = m.told(Kind.STOPPED)
    assert "rank 0 at a.py:1, rank 1 at a.py:9" in tell.text
    assert "On rank 0 a receive from any source is open: use steer.comm." in tell.text


def blocked_on(held):
    return Sight(Place.BLOCKED, 3, 1.0, "Recv", "a.py:7", rank(held))


def waiting_on_held(advance=0):
    m = Manual()
    m.feed(ev.Stop(Asker("1"), "f", advance=advance))
    m.feed(ev.Next("f", 1, m.all, 3))
    m.feed(ev.Held("f", 1, rank(0), 3))
    assert m.core.deadline() == 0.5
    assert m.feed(ev.Tick(), 0.5) == [ev.Look("f", rank(1))]
    m.feed(ev.Seen("f", rank(1), blocked_on(0)), 0.51)
    return m


def test_a_rank_that_waits_for_a_held_one_is_found():
    m = waiting_on_held()
    (tell,) = m.told(Kind.WAITING)
    assert "Rank 1 will not come there" in tell.text
    assert "--advance" in tell.text
    assert m.core.deadline() == 1.0
    (commit,) = m.feed(ev.Advance(Asker("2"), "f"), 0.6)
    assert commit == ev.Commit("f", 1, m.all, 4)
    m.feed(ev.Held("f", 1, m.all, 4), 0.7)
    assert m.told(Kind.STOPPED)[0].answers == ("1", "2")


def test_advance_by_itself_a_few_times():
    m = waiting_on_held(advance=1)
    assert m.actions == [ev.Commit("f", 1, m.all, 4)]
    m.feed(ev.Held("f", 1, rank(0), 4), 0.6)
    m.feed(ev.Tick(), 1.1)
    m.feed(ev.Seen("f", rank(1), blocked_on(0)), 1.2)
    assert m.told(Kind.WAITING)


def test_a_host_that_does_not_answer_is_said():
    m = Manual()
    m.feed(ev.Stop(Asker("1"), "f"))
    m.feed(ev.Next("f", 1, rank(0), 3))
    m.feed(ev.Tick(), 0.5)
    m.feed(ev.Tick(), 1.0)
    assert "rank 1 does not answer" in m.told(Kind.WAITING)[0].text


def test_a_rank_that_went_on_begins_the_round_anew():
    m = Manual()
    m.feed(ev.Stop(Asker("1"), "f"))
    m.feed(ev.Next("f", 1, rank(0), 3))
    assert m.feed(ev.Withdrew("f", 1, rank(0))) == [ev.Arm("f", 2, m.all)]


def test_families_that_share_ranks_are_not_stopped_together():
    m = Manual()
    m.feed(ev.FamilyHere("r", "g", m.all, "inner"))
    m.feed(ev.Stop(Asker("1"), "f"))
    m.feed(ev.Next("f", 1, m.all, 3))
    m.feed(ev.Held("f", 1, m.all, 3))
    m.feed(ev.Stop(Asker("2"), "g"))
    assert "cannot come to a point of inner" in m.told(Kind.REFUSED)[0].text


def test_families_that_share_none_are_stopped_by_one_word():
    m = Manual(4)
    m.core = Rounds()
    m.feed(ev.RunHere("r", RankSet(range(4))))
    m.feed(ev.FamilyHere("r", "ocean", RankSet([0, 1])))
    m.feed(ev.FamilyHere("r", "air", RankSet([2, 3])))
    arms = m.feed(ev.Stop(Asker("1"), "r"))
    assert [a.family for a in arms] == ["ocean", "air"]


def one_after_the_other(ended_at=10):
    """A short loop, and now another one on the same ranks."""
    m = Manual()
    m.feed(ev.Position("f", ended_at))
    for _ in m.all:  # each of its ranks says so
        m.feed(ev.FamilyHere("r", "r/main", m.all, "main", before={"f": ended_at}))
    m.feed(ev.Position("r/main", 400))
    return m


@pytest.mark.parametrize(
    ("verb", "action"),
    [
        (ev.Stop(Asker("1"), "r"), ev.Arm),
        (ev.Plan(Asker("1"), "r", "set", "dt=1"), ev.Hand),
    ],
)
def test_of_loops_one_after_the_other_the_last_is_meant(verb, action):
    m = one_after_the_other()
    m.feed(verb)
    assert [(type(a), a.family) for a in m.actions] == [(action, "r/main")]


def test_of_a_loop_in_another_the_outer_is_meant_once_it_has_come_round():
    m = Manual()
    m.feed(ev.FamilyHere("r", "r/inner", m.all, "inner", before={"f": 1}))
    m.feed(ev.Position("f", 1))
    assert [f.round.family for f in m.core.meant("r", to_come=True)] == ["r/inner"]
    m.feed(ev.Position("f", 2))
    assert [f.round.family for f in m.core.meant("r", to_come=True)] == ["f"]


def test_the_slowest_rank_says_where_a_loop_was_left():
    m = one_after_the_other(ended_at=10)
    m.feed(ev.Position("f", 12))
    assert [f.round.family for f in m.core.meant("r", to_come=True)] == ["f"]
    m.feed(ev.FamilyHere("r", "r/main", rank(1), "main", before={"f": 12}))
    assert [f.round.family for f in m.core.meant("r", to_come=True)] == ["r/main"]


def test_a_stop_where_the_ranks_are_answers_one_that_waits_where_they_were():
    m = Manual()
    m.feed(ev.Stop(Asker("1"), "r", point=500))
    m.feed(ev.Next("f", 1, m.all, 500))
    m.feed(ev.FamilyHere("r", "r/main", m.all, "main", before={"f": 10}))
    m.feed(ev.Position("f", 10))
    assert m.feed(ev.Stop(Asker("2"), "r")) == [
        ev.Release("f", 1, m.all), ev.Arm("r/main", 2, m.all),
    ]  # fmt: skip
    m.feed(ev.Next("r/main", 2, m.all, 7))
    m.feed(ev.Held("r/main", 2, m.all, 7))
    assert m.told(Kind.STOPPED)[0].answers == ("1", "2")


def test_a_loop_at_which_somebody_holds_is_not_left():
    m = Manual()
    m.feed(ev.FamilyHere("r", "r/main", m.all, "main", before={"f": 0}))
    m.feed(ev.Stop(Asker("1"), "f"))
    m.feed(ev.Next("f", 1, m.all, 1))
    m.feed(ev.Held("f", 1, rank(0), 1))
    m.feed(ev.Stop(Asker("2"), "r"))
    m.feed(ev.Held("f", 1, rank(1), 1))
    assert m.told(Kind.STOPPED)[0].answers == ("1", "2")


def test_a_loop_is_meant_by_its_label():
    m = one_after_the_other()
    m.feed(ev.FamilyHere("r", "r/sea@0", rank(0), "sea"))
    m.feed(ev.FamilyHere("r", "r/sea@1", rank(1), "sea"))
    names = {
        label: [f.round.family for f in m.core.meant(f"r/{label}")]
        for label in ("main", "sea", "sea@1", "air")
    }
    assert names == {
        "main": ["r/main"], "sea": ["r/sea@0", "r/sea@1"], "sea@1": ["r/sea@1"],
        "air": [],
    }  # fmt: skip


def test_what_names_a_loop_waits_for_it_and_go_takes_it_back():
    m = Manual()
    m.feed(ev.RunHere("later", RankSet([5])))
    m.feed(ev.FamilyHere("later", "later/spinup", RankSet([5])))
    m.feed(ev.Stop(Asker("1"), "later/main"))
    (tell,) = m.told(Kind.WAITING)
    assert tell.text == (
        "No rank of later has come to a point of 'main' yet (there are spinup); "
        "waiting for one."
    )
    m.feed(ev.Step(Asker("2"), "later/main"))
    assert m.told(Kind.REFUSED)
    m.feed(ev.Stop(Asker("3"), "later/end"))
    (arm,) = m.feed(ev.FamilyHere("later", "later/main", RankSet([5])))
    assert arm.family == "later/main"
    m.feed(ev.Go(Asker("4"), "later"))
    assert [tell.answers for tell in m.told(Kind.REFUSED)] == [("3",)]


def test_a_stop_before_the_first_point_waits_for_it():
    m = Manual()
    m.feed(ev.RunHere("later", RankSet([5])))
    m.feed(ev.Stop(Asker("1"), "later"))
    assert m.told(Kind.WAITING)
    arm = m.feed(ev.FamilyHere("later", "h", RankSet([5])))
    assert arm == [ev.Arm("h", 1, RankSet([5]))]


def test_go_takes_back_what_waits_for_a_first_point():
    m = Manual()
    m.feed(ev.RunHere("later", RankSet([5])))
    m.feed(ev.Go(Asker("0"), "later"))
    assert m.told(Kind.REFUSED)[0].answers == ("0",)
    m.feed(ev.Stop(Asker("1"), "later"))
    m.feed(ev.Step(Asker("2"), "later"))  # a mistake takes nothing back
    assert [tell.answers for tell in m.told(Kind.REFUSED)] == [("2",)]
    m.feed(ev.Go(Asker("3"), "later"))
    assert [tell.answers for tell in m.told(Kind.REFUSED)] == [("1",)]
    assert m.told(Kind.WENT)[0].answers == ("3",)
    assert m.feed(ev.FamilyHere("later", "h", RankSet([5]))) == []


def test_each_is_told_how_it_was_lost():
    m = Manual(2)
    m.feed(ev.Stop(Asker("1"), "f"))
    m.feed(ev.Lost("r", rank(1), "was killed by SIGKILL"))
    m.feed(ev.Lost("r", rank(0), "was killed by SIGTERM"))
    assert m.told(Kind.OVER)[0].text == (
        "The run has ended. Without rank 1: it was killed by SIGKILL. "
        "Without rank 0: it was killed by SIGTERM."
    )


def test_a_run_without_a_name_is_refused():
    m = Manual()
    m.feed(ev.Stop(Asker("1"), "nothing"))
    assert m.told(Kind.REFUSED)[0].answers == ("1",)


def test_step_and_advance_need_a_stop():
    m = Manual()
    for verb in (ev.Step, ev.Advance, ev.Here):
        m.feed(verb(Asker("1"), "f"))
        assert m.told(Kind.REFUSED), verb


@pytest.mark.parametrize(
    "verb",
    [
        ev.Advance(Asker("q"), "f", 0), ev.Advance(Asker("q"), "f", -3),
        ev.Stop(Asker("q"), "f", advance=-1), ev.Stop(Asker("q"), "f", -5),
        ev.Step(Asker("q"), "f", 0), ev.Unplan(Asker("q"), "f", 1, -1),
        ev.Plan(Asker("q"), "f", "set", "dt=1", every=-1),
        ev.Plan(Asker("q"), "f", "set", "dt=1", point=-1),
    ],
)  # fmt: skip
def test_fewer_points_than_none_are_refused_wherever_the_run_is(verb):
    """A target below where ranks hold would never come about."""
    m = waiting_on_held()
    m.feed(ev.RunHere("later", RankSet([5])))
    for family in ("f", "later"):
        (tell,) = m.feed(msgspec.structs.replace(verb, family=family), 0.6)
        assert (tell.kind, tell.answers) == (Kind.REFUSED, ("q",))


def test_a_breakpoint_holds_one_rank_and_go_lets_it_go():
    m = Manual()
    m.feed(ev.Froze("f", rank(1), 12, "breakpoint sim.py:3"))
    assert "rank 1 at point 12: breakpoint" in m.told(Kind.FROZE)[0].text
    assert ev.Thaw("f", rank(1)) in m.feed(ev.Go(Asker("1"), "f"))


def test_a_rank_asks_for_a_stop_of_all():
    m = Manual()
    m.feed(ev.Froze("f", rank(1), 12, "nan", hold=False))
    assert ev.Arm("f", 1, m.all) in m.actions


def test_ranks_that_agreed_hold_at_that_very_point():
    m = Manual()
    m.feed(ev.Froze("f", rank(0), 12, "nan", together=True))
    assert not [a for a in m.actions if isinstance(a, ev.Arm)]
    m.feed(ev.Froze("f", rank(1), 12, "nan", together=True))
    assert ev.Arm("f", 1, m.all) in m.actions
    commit, thaw = m.feed(ev.Next("f", 1, m.all, 12))
    assert commit == ev.Commit("f", 1, m.all, 12)
    assert thaw == ev.Thaw("f", m.all)


def test_all_dead_is_over():
    m = Manual()
    m.feed(ev.Stop(Asker("1"), "f"))
    m.feed(ev.Lost("r", m.all, "was killed by SIGKILL"))
    (tell,) = m.told(Kind.OVER)
    assert tell.answers == ("1",)
    assert m.core.families == {}
    assert m.core.deadline() is None


def test_late_messages_about_a_run_that_is_over_do_nothing():
    m = Manual()
    m.feed(ev.Finished("r", m.all))
    for event in (
        ev.Next("f", 1, m.all, 3), ev.Held("f", 1, m.all, 3),
        ev.Voted("f", 1, m.all, 3), ev.Froze("f", m.all, 3, "x"),
    ):  # fmt: skip
        assert m.feed(event) == []
    assert FAMILY not in m.core.families


def test_a_rank_that_holds_by_itself_is_not_in_the_way_of_a_stop():
    m = Manual()
    m.feed(ev.Stop(Asker("1"), "f"))
    m.feed(ev.Next("f", 1, m.all, 13))
    actions = m.feed(ev.Froze("f", rank(1), 12, "nan"))
    assert ev.Thaw("f", rank(1)) in actions
    m.feed(ev.Held("f", 1, m.all, 13))
    assert m.told(Kind.STOPPED)[0].point == 13


def test_a_condition_that_is_met_on_the_way_stops_there():
    m = Manual()
    m.feed(ev.Stop(Asker("1"), "f", 1000))
    m.feed(ev.Next("f", 1, m.all, 1000))
    m.feed(ev.Froze("f", rank(0), 12, "nan", together=True))
    m.feed(ev.Froze("f", rank(1), 12, "nan", together=True))
    assert ev.Arm("f", 2, m.all) in m.actions
    m.feed(ev.Next("f", 2, m.all, 12))
    m.feed(ev.Held("f", 2, m.all, 12))
    (stopped,) = m.told(Kind.STOPPED)
    assert stopped.answers == ("1",)
    assert stopped.point == 12
    (note,) = [a for a in m.actions if isinstance(a, ev.Note)]
    assert note.who == "ranks 0-1: nan"


def test_the_journal_gets_what_a_plan_did_and_which_one_was_ended():
    m = Manual()
    m.feed(ev.Plan(Asker("1", "me"), "f", "run", "save()", b"code", every=10))
    m.feed(ev.Has("f", 1, m.all))
    m.feed(ev.Voted("f", 1, m.all, 20))
    (made,) = [a for a in m.actions if isinstance(a, ev.Note)]
    m.feed(ev.Unplan(Asker("2"), "f", 1, 70))
    (prepare,) = [a for a in m.actions if isinstance(a, ev.Prepare) and a.ends]
    assert prepare.goal == 70
    m.feed(ev.Voted("f", 2, m.all, 70))
    (ended,) = [a for a in m.actions if isinstance(a, ev.Note)]
    assert (made.verb, made.point, made.every, made.plan) == ("run", 20, 10, 1)
    assert (made.body, made.who) == (b"code", "me")
    assert (ended.verb, ended.point, ended.ends) == ("end", 70, 1)

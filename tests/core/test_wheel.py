"""What a hub's core does about messages of steering: through the real `HubCore`."""

from __future__ import annotations

import pytest

from steer.core import events as ev
from steer.core import roundevents as rv
from steer.core.early import Early
from steer.core.refound import Found, Slot
from steer.core.roundevents import FREE
from steer.ranks import RankSet
from steer.wire import messages as wire
from steer.wire.frames import unpack

from .hubs import Hub, sent

ALL = RankSet(range(2))


@pytest.fixture
def hub():
    """Two ranks whose program has come to its first point, and a client."""
    hub = Hub()
    hub.join()
    hub.hello()
    for rank in range(2):
        begin(hub, rank)
        hub.hear(f"ce{rank}", wire.FamilyBorn("sim", "step"))
    return hub


def begin(hub, rank, **more):
    return hub.hear(f"ce{rank}", wire.RunBegan("sim", "sim.py", **more))


def steer(hub, verb, number=1, run="sim", resent=False, who="a", to=0, **arguments):
    id = f"{who}-{number}"
    message = wire.Steer(id, run, verb, arguments, "ann@here", resent, to)
    return hub.hear(f"o{who}", message)


def news(actions):
    return [message for _, message in sent(actions, wire.News)]


def of_kind(actions, kind):
    return [action for action in actions if isinstance(action, kind)]


def refusal(actions):
    ((peers, message),) = sent(actions, wire.Refused)
    assert peers == (b"ia",)
    return message.error.evalue


def stop(hub, number=1):
    """Ask for a stop, and let all ranks come to point 7."""
    (arm,) = of_kind(steer(hub, "stop", number), rv.Arm)
    assert arm.ranks == ALL
    (commit,) = of_kind(hub.feed(rv.Next("sim/step", arm.epoch, ALL, 7, 6)), rv.Commit)
    assert commit.point == 7
    held = rv.Held("sim/step", arm.epoch, ALL, 7, "sim.py:3")
    return hub.feed(held)


def test_a_stop_from_the_message_to_the_answer(hub):
    ((peers, said),) = sent(stop(hub), wire.News)
    assert peers == (b"ia",)
    assert (said.kind, said.point, said.answers) == ("stopped", 7, ("a-1",))
    assert said.text.startswith("stopped at point 7 (sim.py:3)  2/2 held")
    assert (said.run, said.family, said.ranks) == ("sim", "sim/step", "0-1")


def test_each_family_is_adopted_on_each_rank():
    hub = Hub()
    hub.join()
    for rank in range(2):
        begin(hub, rank)
        actions = hub.hear(f"ce{rank}", wire.FamilyBorn("sim", "step"))
        (adopt,) = of_kind(actions, rv.Adopt)
        assert adopt == rv.Adopt("sim/step", RankSet([rank]))
    assert set(hub.core.wheel.rounds.families) == {"sim/step"}


def test_a_family_of_a_communicator_has_its_members(hub):
    hub.hear("ce1", wire.FamilyBorn("sim", "ocean@1", members="1"))
    family = hub.core.wheel.rounds.families["sim/ocean@1"]
    assert family.round.ranks == RankSet([1])
    assert family.round.label == "ocean"


def test_members_are_numbered_as_in_the_world_and_ranks_as_engines():
    hub = Hub()
    hub.join(2)  # another world has the ids 0 and 1
    for rank in range(3):
        hub.register(f"f{rank}", rank, 3, job="other")
        hub.hear(f"cf{rank}", wire.Ready(f"f{rank}", rank, 3))
    hub.hear("cf1", wire.RunBegan("sim", "sim.py"))
    hub.hear("cf1", wire.FamilyBorn("sim", "step@1-2", members="1-2"))
    family = hub.core.wheel.rounds.families["sim/step@1-2"]
    assert family.round.ranks == RankSet([3, 4])


def test_all_who_watch_hear_it(hub):
    hub.hello("b")
    hub.hear("ob", wire.Watching("b-1", "sim"))
    hub.hello("c")
    ((peers, _),) = sent(stop(hub), wire.News)
    assert peers == (b"ia", b"ib")
    hub.hear("ob", wire.Watching("b-2", "sim", on=False))
    ((peers, _),) = sent(steer(hub, "go", 2), wire.News)
    assert peers == (b"ia",)


def test_a_client_that_is_gone_hears_nothing(hub):
    hub.hello("b")
    hub.hear("ob", wire.Watching("b-1", ""))
    hub.hear("ib", wire.Goodbye("b"))
    ((peers, _),) = sent(stop(hub), wire.News)
    assert peers == (b"ia",)


def test_who_watches_is_told_what_there_is(hub):
    actions = hub.hear("oa", wire.Watching("a-9", "sim"))
    ((frames, _),) = [(a.frames, a) for a in of_kind(actions, ev.Send)]
    (told,) = unpack(frames[0])["runs"]
    assert (told["run"], told["ranks"], told["over"]) == ("sim", "0-1", False)
    (family,) = told["families"]
    assert (family["label"], family["phase"]) == ("step", "running")


def test_a_request_for_several_families_has_one_answer(hub):
    for rank, name in enumerate(("ocean@0", "ocean@1")):
        hub.hear(f"ce{rank}", wire.FamilyBorn("sim", name, members=str(rank)))
    names = ["sim/ocean@0", "sim/ocean@1"]
    hub.core.wheel.rounds.runs["sim"].families.remove("sim/step")
    del hub.core.wheel.rounds.families["sim/step"]
    arms = of_kind(steer(hub, "stop"), rv.Arm)
    assert sorted(arm.family for arm in arms) == names
    said = []
    for arm in arms:
        hub.feed(rv.Next(arm.family, arm.epoch, arm.ranks, 5, 5))
        said += news(hub.feed(rv.Held(arm.family, arm.epoch, arm.ranks, 5, "x.py:1")))
    assert [each.answers for each in said if each.answers] == [("a-1",)]
    assert said[-1].text.count("1/1 held") == 2


def two_seas(hub):
    """Two loops, of a rank each."""
    for rank, name in enumerate(("sea@0", "air@1")):
        hub.hear(f"ce{rank}", wire.FamilyBorn("sim", name, members=str(rank)))
    hub.core.wheel.rounds.runs["sim"].families.remove("sim/step")
    del hub.core.wheel.rounds.families["sim/step"]
    hub.hear("oa", wire.Watching("a-50", "sim"))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("strange", "kind", "text"),
    [
        (True, "planned", "sea.dt=1: at point 9"),
        (False, "refused", "sea: sea.dt=1: at point 9\nair: No."),
    ],
)
def test_a_parameter_that_one_of_two_loops_has(hub, first, strange, kind, text):
    """The others say that it does not concern them, or that it may not be."""
    two_seas(hub)
    change = {"verb": "set", "text": "sea.dt=1", "body": b"x"}
    hub.hear("oa", wire.Steer("a-1", "sim", "plan", change, "ann@here"))
    said = []

    def sea():
        hub.hear("ce0", wire.PlanHere(1))
        said.extend(news(hub.feed(rv.Voted("sim/sea@0", 1, RankSet([0]), 9))))

    def air():
        no = wire.PlanHere(2, "No.", strange=strange)
        said.extend(news(hub.hear("ce1", no)))

    for answers in (sea, air) if first == 0 else (air, sea):
        answers()
    (answer,) = [one for one in said if one.answers]
    assert (answer.kind, answer.answers) == (kind, ("a-1",))
    assert sorted(answer.text.splitlines()) == sorted(text.splitlines())
    # Who listens hears of each family what has become of its plan.
    own = [one.kind for one in said if one.family == "sim/sea@0"]
    assert "planned" in own


def test_an_answer_that_was_lost_is_given_again(hub):
    (first,) = news(stop(hub))
    assert news(steer(hub, "stop", resent=True)) == [first]


def test_what_is_under_way_is_not_done_twice(hub):
    steer(hub, "stop")
    assert steer(hub, "stop", resent=True) == []


@pytest.mark.parametrize("verb", ["step", "plan", "advance"])
def test_what_a_hub_before_may_have_done_is_not_done_again(hub, verb):
    assert "started anew" in refusal(steer(hub, verb, 5, resent=True))


@pytest.mark.parametrize(
    ("verb", "arguments", "text"),
    [
        ("dance", {}, "There is no verb 'dance'"),
        ("stop", {"pont": 3}, "stop takes no 'pont'"),
        ("stop", {"point": "3"}, "of type int"),
        ("step", {"n": True}, "of type int"),
        ("plan", {}, "plan: "),
        ("stop", {"point": 1 << 62}, "points have numbers up to"),
    ],
)
def test_wrong_requests_are_refused_in_a_sentence(hub, verb, arguments, text):
    assert text in refusal(steer(hub, verb, **arguments))


def test_a_run_that_is_not_there(hub):
    (said,) = news(steer(hub, "stop", run="other"))
    assert (said.kind, said.answers) == ("refused", ("a-1",))
    assert "There is no run other" in said.text


def test_the_only_run_need_not_be_named(hub):
    assert of_kind(steer(hub, "stop", run=""), rv.Arm)
    empty = Hub()
    empty.hello()
    assert "No program runs here" in refusal(steer(empty, "stop", run=""))


def test_nobody_speaks_for_another_client(hub):
    hub.hello("b")
    message = wire.Steer("a-1", "sim", "stop")
    (refused, _) = hub.hear("ob", message)
    assert "does not belong to client b" in refused.message.error.evalue


def test_a_client_that_nobody_knows_is_asked_who_it_is(hub):
    ((peers, _),) = sent(steer(hub, "stop", who="z"), wire.WhoAreYou)
    assert peers == (b"iz",)
    assert not of_kind(steer(hub, "stop", who="z"), rv.Arm)


def test_what_was_lost_on_its_way_to_this_hub_is_done(hub):
    stop(hub)
    (commit,) = of_kind(steer(hub, "step", 5, resent=True, to=7, n=3), rv.Commit)
    assert commit.point == 10
    assert steer(hub, "step", 5, n=3) == []  # the first copy, which was slow


# -- ends


def test_ranks_leave_together_when_the_last_has_ended(hub):
    assert not sent(hub.hear("we0", wire.RunEnded("sim")), wire.Quit)
    ((peers, _),) = sent(hub.hear("we1", wire.RunEnded("sim")), wire.Quit)
    assert set(peers) == {b"we0", b"ce0", b"we1", b"ce1"}
    assert "sim" not in hub.core.wheel.rounds.runs


def test_ranks_of_a_run_that_is_kept_stay():
    hub = Hub()
    hub.join()
    for rank in range(2):
        begin(hub, rank, keep=True)
    for rank in range(2):
        assert not sent(hub.hear(f"we{rank}", wire.RunEnded("sim")), wire.Quit)


def test_a_dead_rank_is_left_out(hub):
    hub.hear("oa", wire.Watching("a-8", "sim"))
    said = news(hub.feed(ev.Died("e1", "was killed by SIGKILL")))
    assert [each.text for each in said] == ["Rank 1 was killed by SIGKILL."]
    family = hub.core.wheel.rounds.families["sim/step"]
    assert family.round.ranks == RankSet([0])


def test_a_rank_that_ended_and_then_goes_is_not_lost(hub):
    hub.hear("oa", wire.Watching("a-8", "sim"))
    hub.hear("we1", wire.RunEnded("sim"))
    said = news(hub.feed(ev.Died("e1", "exited with status 0")))
    assert not any(each.kind == "lost" for each in said)


def test_a_rank_that_failed_is_named(hub):
    hub.hear("oa", wire.Watching("a-8", "sim"))
    ended = wire.RunEnded("sim", 1, "failed with ValueError: x")
    said = news(hub.hear("we0", ended))
    assert "Rank 0 failed with ValueError: x." in [each.text for each in said]


# -- a hub that is new


def restored(until=10.0):
    hub = Hub(restoring_until=until)
    hub.hello()
    return hub


def come_back(hub, rank, families=1):
    hub.register(f"e{rank}", rank, 2, engine=rank, ready=True)
    actions = begin(hub, rank, families=families)
    return actions + hub.hear(f"ce{rank}", wire.FamilyBorn("sim", "step"))


def test_requests_wait_for_ranks_that_come_back():
    hub = restored()
    assert steer(hub, "stop", resent=True) == []
    assert not of_kind(come_back(hub, 0), rv.Arm)
    (arm,) = of_kind(come_back(hub, 1), rv.Arm)
    assert arm.ranks == ALL


def test_requests_do_not_wait_for_ever():
    hub = restored(until=10.0)
    assert steer(hub, "stop", resent=True) == []
    assert hub.core.deadline() <= 10.0
    hub.now = 10.0
    (said,) = news(hub.feed(ev.Tick()))
    assert (said.kind, said.answers) == ("refused", ("a-1",))


def test_a_stop_is_found_again_on_the_pages():
    hub = restored()
    come_back(hub, 0)
    hub.hear("oa", wire.Watching("a-7", "sim"))
    (arm,) = of_kind(
        hub.feed(Found("sim/step", RankSet([0]), 900, 7)), rv.Arm
    )  # fmt: skip
    assert arm.epoch > 900
    come_back(hub, 1)
    # The other was held too; nothing is armed twice.
    assert not of_kind(hub.feed(Found("sim/step", RankSet([1]), 900, 7)), rv.Arm)
    hub.feed(rv.Next("sim/step", arm.epoch, ALL, 7, 7))
    (said,) = news(hub.feed(rv.Held("sim/step", arm.epoch, ALL, 7, "sim.py:3")))
    assert (said.kind, said.point) == ("stopped", 7)


def test_ranks_that_ran_run_on():
    hub = restored()
    for rank in range(2):
        come_back(hub, rank)
        actions = hub.feed(Found("sim/step", RankSet([rank]), 900, FREE))
        assert not of_kind(actions, rv.Arm)


def test_plans_that_were_not_sure_everywhere():
    hub = restored()
    for rank in range(2):
        come_back(hub, rank)
    here = Slot(5, 40), Slot(6, -1), Slot(7, 50, 10)
    there = Slot(5, -1), Slot(6, -1), Slot(7, 50, 10)
    hub.feed(Found("sim/step", RankSet([0]), 9, FREE, here))
    actions = hub.feed(Found("sim/step", RankSet([1]), 9, FREE, there))
    assert of_kind(actions, rv.Confirm) == [rv.Confirm("sim/step", 5, RankSet([1]), 40)]
    assert of_kind(actions, rv.Withdraw) == [rv.Withdraw("sim/step", 6, ALL)]
    # What recurs goes on, and can be ended.
    plans = hub.core.wheel.rounds.families["sim/step"].plans
    assert plans.plans[7].event.every == 10
    (prepare,) = of_kind(steer(hub, "unplan", plan=7), rv.Prepare)
    assert prepare.ends == 7


def test_early_asks_once_more_after_each_change():
    early = Early(5.0)
    message = wire.Steer("a-1", "sim", "stop")
    assert early.wait("a", message, False, 1.0)
    assert early.wait("a", message, False, 1.0)
    assert early.deadline() == 5.0
    asked = []
    early.again(lambda who, m: asked.append((who, m)) or [])
    assert asked == [("a", message)]
    assert early.deadline() is None
    assert not early.wait("a", message, False, 5.0)
    assert not Early(None).wait("a", message, False, 1.0)


def test_a_plan_of_one_of_several_loops_is_ended_there(hub):
    one, rounds = RankSet([1]), hub.core.wheel.rounds
    hub.hear("ce1", wire.FamilyBorn("sim", "air", members="1"))
    rounds.handle(rv.Plan(rv.Asker("p"), "sim/air", "code", "a()", every=3), 0.0)
    rounds.handle(rv.Has("sim/air", 1, one), 0.0)
    rounds.handle(rv.Voted("sim/air", 1, one, 9), 0.0)
    (prepare,) = of_kind(steer(hub, "unplan", plan=1), rv.Prepare)
    assert (prepare.family, prepare.ends) == ("sim/air", 1)
    (told,) = news(steer(hub, "unplan", 2, plan=77))
    assert (told.kind, told.answers) == ("refused", ("a-2",))

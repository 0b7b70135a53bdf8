"""What is done at a point without stopping: at the same one on all ranks."""

from __future__ import annotations

from steer.core import roundevents as ev
from steer.core.plans import LASTING, PATIENCE, SLOTS
from steer.core.roundevents import FREE, Kind
from steer.ranks import RankSet

from .steered import World


def plan(world, text="dt=0.01", **options):
    tell = world.answer_to(world.ask(ev.Plan, "set", text, **options))
    assert tell.kind is Kind.PLANNED, tell
    return tell


def did(world):
    """What ranks did, which must be the same on all."""
    lists = [rank.did for rank in world.ranks]
    assert all(one == lists[0] for one in lists), lists
    return lists[0]


def test_all_ranks_switch_at_the_same_point():
    for seed in range(30):
        world = World(ranks=4, seed=seed, end=10_000)
        world.run(world.random.random() / 10)
        points = []
        for _ in range(5):
            points.append(plan(world).point)
            world.run(0.1)
        assert [point for _, point in did(world)] == points
        assert sum(t.kind is Kind.DONE for t in world.told) == 5


def test_at_a_point_and_ahead_and_every():
    world = World(ranks=3, seed=1, end=10_000)
    world.run(0.1)
    assert plan(world, point=200).point == 200
    high = max(rank.c for rank in world.ranks)
    world.feed(ev.Position("run/step", high, 300.0))
    assert plan(world, ahead=50).point == high + 50
    every = plan(world, every=100)
    world.run(3)
    again = [p for number, p in did(world) if number == every.facts["plan"]]
    assert again == [every.point + 100 * n for n in range(len(again))]
    assert len(again) > 5


def test_what_recurs_ends_at_one_point():
    world = World(ranks=3, seed=5, end=10_000)
    every = plan(world, every=3)
    world.run(0.2)
    number = every.facts["plan"]
    tell = world.answer_to(world.ask(ev.Unplan, number))
    assert tell.kind is Kind.PLANNED
    world.run(0.5)
    points = [point for plan, point in did(world) if plan == number]
    assert points
    assert max(points) < tell.point <= max(points) + 3


def test_at_a_stop_it_is_done_at_once():
    world = World(ranks=3, seed=2)
    world.run(0.1)
    at = world.answer_to(world.ask(ev.Stop)).point
    assert plan(world).point == at
    world.run(0.1)
    assert [point for _, point in did(world)] == [at]
    assert all(rank.held for rank in world.ranks)


def test_one_that_lies_ahead_survives_a_stop():
    world = World(ranks=3, seed=2)
    plan(world, point=200)
    world.answer_to(world.ask(ev.Stop))
    world.ask(ev.Go)
    world.run(2)
    assert [point for _, point in did(world)] == [200]


def test_a_point_that_never_comes():
    world = World(ranks=2, seed=2, end=30)
    id = world.ask(ev.Plan, "set", "dt=1", point=500)
    assert world.answer_to(id).kind is Kind.PLANNED
    world.run(5)
    dropped = [t for t in world.told if t.kind is Kind.DROPPED]
    assert dropped[0].text == "dt=1: not done, the run ended before"
    assert did(world) == []


def test_more_plans_than_a_page_has_room_for_wait():
    world = World(ranks=2, seed=2)
    ids = [world.ask(ev.Plan, "set", f"a={n}", point=100 + n) for n in range(SLOTS + 3)]
    world.run(0.1)
    assert len(world.core.families["run/step"].plans.plans) == LASTING
    waiting = [t.text for t in world.told if t.kind is Kind.WAITING]
    assert waiting == [
        f"a={n}: waiting, {LASTING} plans lie ahead already; `unplan` ends one"
        for n in range(LASTING, SLOTS + 3)
    ]
    assert plan(world, "dt=1").point < 100
    world.run(5)
    assert len(did(world)) == len(ids) + 1
    assert all(id in world.answers for id in ids)


def test_what_waits_for_room_is_listed_and_can_be_taken_back():
    world = World(ranks=2, seed=2)
    ids = [world.ask(ev.Plan, "set", f"a={n}", point=100 + n) for n in range(SLOTS)]
    world.run(0.1)
    plans = world.core.families["run/step"].plans
    assert [plan.event.text for plan in plans.listed()] == [
        f"a={n}" for n in range(SLOTS)
    ]
    (hidden,) = [plan.number for plan in plans.listed() if plan.waits]
    world.ask(ev.Unplan, hidden)
    assert world.answer_to(ids[-1]).kind is Kind.DROPPED
    world.run(5)
    assert len(did(world)) == LASTING


def done(world, number):
    """What was told of a plan that was done."""
    tells = [t for t in world.told if t.kind is Kind.DONE]
    return [t for t in tells if t.facts["plan"] == number]


def applied(world, number, rank, point, error="", seconds=0.0):
    one = RankSet([rank])
    world.feed(ev.Applied("run/step", number, one, point, error, seconds))


ERROR = "NameError: name 'dt' is not defined"


def test_an_error_on_a_rank_is_told_at_once_and_with_all_when_all_did_it():
    world = World(ranks=3, seed=2)
    number = plan(world, point=900).facts["plan"]
    applied(world, number, 1, 900, ERROR)
    (first,) = done(world, number)
    assert first.text == f"dt=0.01: failed on rank 1 at point 900: {ERROR}"
    assert "over" not in first.facts
    applied(world, number, 2, 900, ERROR)
    assert len(done(world, number)) == 1
    applied(world, number, 0, 900)
    text = f"dt=0.01: failed at point 900 on ranks 1-2: {ERROR}; done on rank 0"
    last = done(world, number)[-1]
    assert last.text == text
    assert last.facts == {"plan": number, "errors": {ERROR: "1-2"}, "over": True}


def test_what_recurs_and_fails_is_told_once():
    world = World(ranks=2, seed=2)
    number = plan(world, "render()", point=900, every=10).facts["plan"]
    for rank in (0, 1):
        applied(world, number, rank, 900, ERROR)
    first, both = done(world, number)
    assert both.text == f"render(): failed at point 900 on ranks 0-1: {ERROR}"
    applied(world, number, 1, 910, "")
    applied(world, number, 1, 920, ERROR)
    assert done(world, number) == [first, both]
    applied(world, number, 0, 930, "OSError: disk full")
    texts = [t.text for t in done(world, number)[2:]]
    assert texts == ["render(): failed on rank 0 at point 930: OSError: disk full"]
    assert number in world.core.families["run/step"].plans.plans


def test_what_took_long_says_so():
    world = World(ranks=2, seed=2)
    number = plan(world, "save()", point=900).facts["plan"]
    applied(world, number, 0, 900, seconds=0.2)
    applied(world, number, 1, 900, seconds=1.73)
    assert done(world, number)[0].text == "save(): done at point 900 in 1.7 s"


def test_where_a_page_has_no_room_it_is_tried_again():
    world = World(ranks=2, seed=2)
    prepare = world.prepare
    full = set(range(2))

    def no_room(rank, action):
        if rank.number in full:
            full.discard(rank.number)
            one = RankSet([rank.number])
            world.answer(rank, ev.Voted("run/step", action.plan, one, FREE))
        else:
            prepare(rank, action)

    world.prepare = no_room
    point = plan(world).point
    world.run(1)
    assert [at for _, at in did(world)] == [point]


def test_where_there_never_is_room_it_is_dropped():
    world = World(ranks=1, seed=2)
    one = RankSet([0])
    world.prepare = lambda rank, action: world.answer(
        rank, ev.Voted("run/step", action.plan, one, FREE)
    )
    tell = world.answer_to(world.ask(ev.Plan, "set", "dt=1"))
    assert tell.text == "dt=1: not done, there is no room for more plans; take one back"


def test_with_numbers_that_are_left_out_ranks_do_it_at_their_next():
    world = World(ranks=2, seed=2, logical=True)
    number = plan(world, point=900).facts["plan"]
    applied(world, number, 0, 900)
    applied(world, number, 1, 905)
    assert done(world, number)[0].text == "dt=0.01: done at point 900"


def test_a_rank_that_dies_before_it_did_it_is_not_waited_for():
    world = World(ranks=2, seed=2)
    number = plan(world, point=900).facts["plan"]
    applied(world, number, 0, 900)
    assert done(world, number) == []
    world.die(1)
    assert done(world, number)[0].text == "dt=0.01: done at point 900"


def test_a_host_that_does_not_vote_is_named():
    world = World(ranks=2, seed=2)
    world.order = lambda *_: None
    world.ask(ev.Plan, "set", "dt=1")
    world.run(1, until=lambda: any(t.kind is Kind.WAITING for t in world.told))
    assert "the hosts of ranks 0-1" in world.told[-1].text


def test_nonsense_is_refused():
    world = World(ranks=2, seed=2)
    at = world.answer_to(world.ask(ev.Stop)).point
    world.ask(ev.Step, 5)
    world.run(1)
    for options in ({"every": -1}, {"point": at}):
        id = world.ask(ev.Plan, "set", "dt=1", **options)
        assert world.answer_to(id).kind is Kind.REFUSED
    assert world.answer_to(world.ask(ev.Unplan, 77)).kind is Kind.REFUSED


def test_one_that_is_not_sure_is_taken_back_everywhere():
    world = World(ranks=2, seed=2)
    id = world.ask(ev.Plan, "set", "dt=1")
    number = world.core.plan
    back = world.ask(ev.Unplan, number)
    world.run(2)
    assert did(world) == []
    assert world.answers[id][0].kind is Kind.DROPPED
    assert world.answers[back][0].kind is Kind.DROPPED


def test_nobody_is_held_before_all_know_what_to_do():
    world = World(ranks=2, seed=2)
    asked = []
    world.do = asked.append
    world.ask(ev.Plan, "set", "dt=1", body=b"dt")
    (hand,) = asked
    assert (type(hand), hand.body, hand.ranks) == (ev.Hand, b"dt", RankSet([0, 1]))
    world.feed(ev.Has("run/step", hand.plan, RankSet([1])))
    assert asked == [hand]
    world.feed(ev.Has("run/step", hand.plan, RankSet([0])))
    assert type(asked[1]) is ev.Prepare


def test_what_may_not_be_done_on_some_is_done_on_none():
    for refusing, text in (
        ((1,), "rank 1: dt is below 1"),
        ((0, 1), "dt is below 1"),
    ):
        world = World(ranks=2, seed=2)
        asked = []
        world.hand = lambda *_: None
        id = world.ask(ev.Plan, "set", "dt=1")
        number = world.core.plan
        for rank in (0, 1):
            no = "dt is below 1" if rank in refusing else ""
            asked += world.core.handle(
                ev.Has("run/step", number, RankSet([rank]), no), 0.0
            )
        withdraw, tell = asked
        assert type(withdraw) is ev.Withdraw
        assert (tell.kind, tell.text, tell.answers) == (Kind.REFUSED, text, (id,))
        assert world.core.families["run/step"].plans.plans == {}


def test_a_rank_that_does_not_take_it_is_not_waited_for_long():
    world = World(ranks=2, seed=2)
    asked = []
    world.do = asked.append
    world.ask(ev.Plan, "set", "dt=1")
    world.feed(ev.Has("run/step", asked[0].plan, RankSet([1])))
    world.run(PATIENCE)
    assert type(asked[1]) is ev.Prepare


def test_a_plan_on_its_way_to_ranks_that_die_is_dropped():
    world = World(ranks=2, seed=2)
    id = world.ask(ev.Plan, "set", "dt=1")
    world.die(0)
    assert id not in world.answers
    world.die(1)
    assert world.answer_to(id).kind is Kind.DROPPED


def test_what_all_did_makes_room_on_the_page():
    world = World(ranks=2, seed=2)
    number = plan(world, point=900).facts["plan"]
    cleared, do = [], world.do
    world.do = lambda action: cleared.append(action) or do(action)
    applied(world, number, 0, 900)
    applied(world, number, 1, 900)
    assert ev.Clear("run/step", number, RankSet([0, 1])) in cleared

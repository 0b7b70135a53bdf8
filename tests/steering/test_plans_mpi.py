"""What is done at points without stopping: on real ranks, at the same step on all."""

from __future__ import annotations

import pytest

from steer.errors import PlanError, UsageError
from steer.testing.waiting import wait_until

from .runs import running

pytestmark = pytest.mark.mpi

PROGRAM = '''
    import random, textwrap, time
    from mpi4py import MPI
    import steer
    from steer.engines import points

    p = steer.params(
        dt=steer.Float(
            0.5, 0.0, 1.0, depends=lambda p: p.dt <= p.dx or "dt is above dx"
        ),
        dx=steer.Float(1.0, 0.0),
        n=steer.Int(0),
        load=steer.Float(1.0, per_rank=True),
        scheme=steer.Choice("rk4", "euler"),
    )
    comm = MPI.COMM_WORLD
    rank, size = comm.rank, comm.size
    chance = random.Random(rank)
    right, left = (rank + 1) % size, (rank - 1) % size

    # How long this rank holds at points, as seen by itself. As code of Steer's, or it
    # would be taken for the frame of the loop.
    holds, engine = {}, points._session._engine
    rest = engine.wait
    hook = """
    def wait(calm):
        began = time.perf_counter()
        rest(calm)
        held = holds.get(points._count, 0.0)
        holds[points._count] = held + time.perf_counter() - began
    """
    exec(compile(textwrap.dedent(hook), points.__file__, "exec"))
    engine.wait = wait

    def main():
        seen, did, last, longest = [], [], p.n, 0.0
        before = time.perf_counter()
        for step in steer.loop(range(10**9)):
            if p.n != last:
                seen.append((step, p.n))
                last = p.n
            time.sleep(chance.random() * 0.004)
            comm.sendrecv(step, right, source=left)
            longest = max(longest, time.perf_counter() - before)
            before = time.perf_counter()

    main()
'''


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with running(tmp_path_factory.mktemp("plans"), PROGRAM) as run:
        yield run


def alike(values):
    """What all ranks have, which must be the same."""
    assert all(value == values[0] for value in values), values
    return values[0]


def look(run, *names):
    """Stop, see what the ranks have, and let them go on."""
    at = run.stop(timeout=30).point
    values = [run[name] for name in names]
    run.go()
    return at, *values


def update_often(run, times):
    """Updates in a row: each at one step on all ranks, and nobody waits for one."""
    _, seen = look(run, "(seen.clear(), holds.clear())")
    start = run.params.n + 1
    plans = [run.set(n=start + number) for number in range(times)]
    plans[-1].wait(30)
    at, seen, longest, holds = look(run, "seen", "longest", "holds")
    switches = alike(seen)
    # The loop is at step k when it has passed point k + 1.
    where = {value: step + 1 for step, value in switches}
    for number, plan in enumerate(plans):
        value = start + number
        assert where.get(value, plan.point) == plan.point
    assert switches[-1] == (plans[-1].point - 1, start + times - 1)
    assert len({plan.point for plan in plans}) == len(switches)
    for held in holds:
        waits = {point: seconds for point, seconds in held.items() if point != at}
        assert all(seconds < max(longest) for seconds in waits.values()), waits


def test_a_hundred_updates_in_a_row(run):
    update_often(run, 100)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_hundred_updates_in_a_row(run):
    update_often(run, 500)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_hundred_updates_of_sixteen_ranks(tmp_path):
    with running(tmp_path, PROGRAM, n=16) as run:
        update_often(run, 500)


def test_an_update_at_a_point_that_is_named(run):
    at = run.stop(timeout=30).point
    later = run.set(scheme="euler", at=at + 20)
    sooner = run.set(dx=0.75, at="+5")
    assert (sooner.point, later.point) == (at + 5, at + 20)
    run.step(4)
    assert alike(run["p.dx"]) == 1.0
    run.step()
    assert alike(run["p.dx"]) == 0.75
    run.step(14)
    assert alike(run["p.scheme"]) == "rk4"
    run.step()
    assert alike(run["p.scheme"]) == "euler"
    run.set(scheme="rk4", dx=1.0).wait(30)
    assert alike(run["p.scheme"]) == "rk4"  # where all are held, at once
    run.go()


def test_what_may_not_be_is_refused_and_changes_nothing(run):
    for changes, said in (
        ({"dt": 7}, "dt is from 0.0 to 1.0, not 7.0."),
        ({"dt": 0.9, "dx": 0.5}, "dt may not be so: dt is above dx"),
        ({"dx": 0.1}, "dt may not be so: dt is above dx"),
        ({"du": 1}, "There is no parameter du; there are: dt, dx, n, load, scheme."),
        ({"dt": [1, 0.5, 1, 1]}, "dt is the same on all ranks; the program has to"),
        ({"load": [1, "a", 1, 1]}, "rank 1: load is a number, not 'a'."),
    ):
        with pytest.raises(UsageError) as raised:
            run.set(changes)
        assert str(raised.value).startswith(said)
    assert (run.params.dt, run.params.dx) == (0.5, 1.0)
    run.set(dt=0.9, dx=0.95).wait(30)
    run.set(dt=0.5, dx=1.0).wait(30)


def test_values_for_each_rank(run):
    run.set(load=[1, 2, 3, 4]).wait(30)
    assert run.params.load == {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
    run.set(load=5, ranks="1-2").wait(30)
    _, loads = look(run, "p.load")
    assert loads == [1.0, 5.0, 5.0, 4.0]
    text = repr(run.params)
    assert "1.0 on rank 0, 5.0 on ranks 1-2, 4.0 on rank 3" in text
    run.set(load=1.0).wait(30)
    assert run.params.load == 1.0


def test_code_works_in_the_frame_of_the_loop(run):
    plan = run.at("+5", "did.append((step, comm.allreduce(rank)))").wait(30)
    _, did = look(run, "did[-1]")
    assert alike(did) == (plan.point - 2, 6)  # `step` is still the one before


def test_a_function_of_the_users(run):
    def note(what, *, twice):
        import __main__

        __main__.noted = [what] * (2 if twice else 1)

    run.at("+1", note, "a", twice=True).wait(30)
    _, noted = look(run, "noted")
    assert alike(noted) == ["a", "a"]


def test_what_recurs_until_it_is_ended(run):
    look(run, "did.clear()")
    every = run.every(3, "did.append(step)")
    assert [plan["text"] for plan in run.plans()] == ["did.append(step)"]
    wait_until(lambda: len(look(run, "did")[1][0]) > 3, 30, "it to be done some times")
    ended = every.end()
    run.set(n=-1).wait(30)
    assert run.plans() == []
    last = (ended.point - 1 - every.point) // 3 * 3 + every.point
    assert alike(look(run, "did")[1]) == [
        point - 2 for point in range(every.point, last + 1, 3)
    ]


def test_an_error_is_told_and_the_program_goes_on(run):
    plan = run.at("+2", "1 / (rank - 2)")
    with pytest.raises(PlanError) as raised:
        plan.wait(30)
    assert str(raised.value) == (
        f"1 / (rank - 2): failed at point {plan.point} on rank 2: ZeroDivisionError: "
        "division by zero; done on ranks 0-1,3"
    )
    before, _ = look(run, "step")
    assert run.stop(timeout=30).point >= before
    run.go()


def test_many_plans_at_once(run):
    at = run.stop(timeout=30).point
    run["got"] = []
    plans = [run.at(at + 10, f"got.append({number})") for number in range(6)]
    run.go()
    more = [run.at("+1", f"got.append({number})") for number in range(6, 12)]
    for plan in [*plans, *more]:
        plan.wait(30)
    _, got = look(run, "got")
    assert sorted(alike(got)) == list(range(12))


def test_as_many_updates_as_one_likes_at_a_stop(run):
    at = run.stop(timeout=30).point
    for number in range(20):
        assert run.set(n=1000 + number).wait(30).point == at
    assert alike(run["p.n"]) == 1019
    run.go()

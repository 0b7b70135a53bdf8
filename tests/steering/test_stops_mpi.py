"""Stops of real ranks out of step: always at the same point, on all of them."""

from __future__ import annotations

import random

import pytest

from steer.errors import UsageError
from steer.testing.waiting import wait_until

from .runs import points_of, running

pytestmark = pytest.mark.mpi

IMBALANCED = """
    import random, sys, time
    from mpi4py import MPI
    import steer

    comm = MPI.COMM_WORLD
    rank, size = comm.rank, comm.size
    chance = random.Random(rank)
    right, left = (rank + 1) % size, (rank - 1) % size
    for step in steer.loop(range(10**9)):
        time.sleep(chance.random() * 0.002)
        got = comm.sendrecv(step, right, source=left)
        if step % 7 == 0:
            total = comm.allreduce(step)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with running(tmp_path_factory.mktemp("stops"), IMBALANCED) as run:
        yield run


def stop_often(run, times):
    """Stop it again and again, at moments of chance; each time at one point."""
    chance = random.Random(1)
    last = 0
    for number in range(times):
        news = run.stop(timeout=20)
        assert news.kind == "stopped"
        assert points_of(run) == [news.point] * len(run.view.targets)
        assert set(run["step"]) == {news.point - 2}  # the next is not assigned yet
        assert news.point >= last  # perhaps none has left yet
        last = news.point
        if number % 4 == 0:
            n = chance.randrange(1, 20)
            news = run.step(n, timeout=20)
            assert news.point == last + n
            assert points_of(run) == [news.point] * len(run.view.targets)
            last = news.point
        if number % 10 == 0:
            # Safe, because all of them are between the same two of their steps.
            run.execute("together = comm.allreduce(rank)")
            assert len(set(run["together"])) == 1
        run.go()


def test_many_stops_in_a_row(run):
    stop_often(run, 25)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_stops_of_four_ranks(run):
    stop_often(run, 200)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hundred_stops_of_sixteen_ranks(tmp_path):
    with running(tmp_path, IMBALANCED, n=16) as run:
        for _ in range(200):
            news = run.stop(timeout=20)
            assert (news.kind, news.ranks) == ("stopped", "0-15")
            assert points_of(run) == [news.point] * 16
            run.go()


def test_what_a_stop_says(run):
    news = run.stop(timeout=20)
    place = f"({run.script.name}:10)"
    assert news.text.startswith(f"stopped at point {news.point} {place}")
    assert "4/4 held" in news.text
    again = run.stop(timeout=20)
    assert (again.kind, again.point) == ("stopped", news.point)
    assert run.go().kind == "went"


def test_a_step_of_a_run_that_runs_is_refused(run):
    with pytest.raises(UsageError, match="stop it first"):
        run.step(3, timeout=20)


def test_a_stop_at_a_point_that_is_ahead(run):
    news = run.stop(timeout=20)
    run.go()
    assert run.stop(news.point + 50, timeout=30).point == news.point + 50
    run.go()


def test_a_stop_is_taken_back_and_asked_for_again(run):
    for _ in range(20):
        asked = run.ask("stop")
        run.go()
        assert asked.result(20).kind in ("stopped", "went")
        news = run.stop(timeout=20)
        assert points_of(run) == [news.point] * 4
        run.go()


def test_two_clients_see_what_either_does(run):
    from steer.client.run import connect

    with connect(run.name) as other:
        heard = []
        other.client.link.steering.listeners.append(lambda news: heard.append(news))
        news = run.stop(timeout=20)
        wait_until(lambda: any(n.kind == "stopped" for n in heard), 10, "the news")
        assert other.stop(timeout=20).point == news.point
        other.go()
        with pytest.raises(UsageError, match="stop it first"):
            run.step(timeout=20)


def test_ranks_sleep_while_they_are_held(run):
    run.stop(timeout=20)
    measure = "import resource; spent = resource.getrusage(resource.RUSAGE_SELF)"
    run.execute(f"{measure}; before = spent.ru_utime + spent.ru_stime")
    # Time goes by in another process: what counts is what the ranks use of it.
    with pytest.raises(AssertionError):
        wait_until(lambda: False, 1.0, "a second")
    run.execute(f"{measure}; used = spent.ru_utime + spent.ru_stime - before")
    assert max(run["used"]) < 0.1
    run.go()

"""Numbers of real ranks while they run, and conditions that stop them."""

from __future__ import annotations

import pytest

from steer.errors import UsageError
from steer.testing.waiting import wait_until

from .runs import points_of, running

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

SIMULATION = """
    import time
    from mpi4py import MPI
    import steer

    comm = MPI.COMM_WORLD

    def simulate():
        residual, field, trouble = 1.0, [0.0] * 4, False
        for step in steer.loop(range(10**9)):
            time.sleep(0.002)
            comm.Barrier()
            residual = 1.0 / (step + 1 + comm.rank)
            field = [comm.rank, step]

    simulate()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with running(tmp_path_factory.mktemp("watch"), SIMULATION, n=3) as run:
        yield run


@pytest.fixture(autouse=True)
def on_its_way(run):
    """Every test finds it running, and unwatched."""
    yield
    run.unwatch()
    run.go()


def test_a_curve_of_least_median_and_most_over_ranks(run):
    watch = run.watch("1 / residual")
    watch.wait(20, timeout=20)
    points = [sample.point for sample in watch.curve]
    assert points == sorted(set(points))
    for sample in watch.curve:
        # At point p the values are those of step p - 2.
        assert sample.low == pytest.approx(sample.point - 1)
        assert sample.median == pytest.approx(sample.point)
        assert sample.high == pytest.approx(sample.point + 1)
        assert (sample.low_rank, sample.high_rank) == (0, 2)
    assert "1 / residual" in repr(watch)
    assert repr(watch) in repr(run.watch())


def test_at_a_stop_one_sees_the_number_of_that_point(run):
    watch = run.watch("field").wait(1, timeout=20)
    news = run.stop(timeout=20)
    wait_until(lambda: watch.last and watch.last.point == news.point, 10, "its number")
    # An array: rank and step, of which the mean is between.
    assert (watch.last.low, watch.last.high) == (0.0, news.point - 2)


def test_the_same_is_not_watched_twice_and_others_see_it(run):
    watch = run.watch("residual", every=3)
    assert run.watch("residual", every=3) is watch
    with type(run)(type(run.client)(cluster_id=run.name), run.name) as other:
        (seen,) = other.watch()
        assert (seen.number, seen.text, seen.every) == (watch.number, "residual", 3)
        seen.wait(3, timeout=20)
        points = [sample.point for sample in seen.curve]
        assert len({point % 3 for point in points}) == 1
        seen.end()
    wait_until(lambda: run.watch() == [], 10, "the end of the watch")


def test_an_expression_that_fails_is_said_once_and_seen_as_not_a_number(run):
    told = []
    run.client.link.steering.listeners.append(told.append)
    watch = run.watch("resdiual")
    watch.wait(5, timeout=20)
    assert watch.last.high != watch.last.high  # NaN
    errors = [news for news in told if "NameError" in news.text]
    assert 1 <= len(errors) <= 3, errors


def test_until_a_condition_that_one_rank_meets(run):
    here = run.stop(timeout=20).point
    news = run.until(f"step >= {here + 20} and comm.rank == 1", timeout=20)
    assert news.kind == "stopped"
    assert here + 20 < news.point < here + 40
    assert points_of(run) == [news.point] * 3
    assert run.watch() == []
    assert set(run["step"]) == {news.point - 2}


def test_until_at_that_very_point(run):
    here = run.stop(timeout=20).point
    goal = here + 25
    news = run.until(f"comm.rank == 2 and step == {goal}", on="collective", timeout=20)
    assert set(run["step"]) == {goal}
    assert points_of(run) == [news.point] * 3


def test_until_while_it_runs(run):
    news = run.until("residual < 1", timeout=20)
    assert news.kind == "stopped"
    assert points_of(run) == [news.point] * 3


def test_until_a_point(run):
    here = run.stop(timeout=20).point
    run.go()
    assert run.until(f"step={here + 300}", timeout=20).point == here + 300


def test_a_rank_that_freezes_is_said_and_go_lets_it_go(run):
    told = []
    run.client.link.steering.listeners.append(told.append)
    here = run.status()["families"][0]["high"]
    run.watch(f"comm.rank == 1 and step == {here + 100}", on="freeze")
    wait_until(lambda: [n for n in told if n.kind == "froze"], 20, "the rank to hold")
    (news,) = [n for n in told if n.kind == "froze"]
    assert news.ranks == "1"
    assert "comm.rank == 1" in news.text
    run.unwatch()
    run.go()
    point = run.stop(timeout=20).point
    assert point > news.point


def test_all_freeze_together_and_the_run_is_stopped(run):
    told = []
    run.client.link.steering.listeners.append(told.append)
    here = run.stop(timeout=20).point
    run.watch(f"comm.rank == 0 and step >= {here + 30}", on="collective")
    run.go()
    wait_until(lambda: told and told[-1].kind == "stopped", 20, "the stop")
    assert told[-1].point == here + 32
    assert points_of(run) == [here + 32] * 3
    # It is true all the time from there on: that is one event.
    assert run.step(5, timeout=20).point == here + 37
    run.go()
    assert run.stop(timeout=20).point >= here + 37


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda run: run.watch("x ="), "no expression"),
        (lambda run: run.watch("x", on="often"), "one of freeze"),
        (lambda run: run.watch("x", every=0), "from 1 on"),
        (lambda run: run.unwatch("y"), "not watched"),
        (lambda run: run.until("x", on="freeze"), "one of align"),
    ],
)
def test_mistakes_are_said_before_anything_is_sent(run, call, what):
    with pytest.raises(UsageError, match=what):
        call(run)

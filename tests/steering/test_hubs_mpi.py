"""A hub that is killed while it holds a run, and ranks that no hub can reach."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from steer.errors import HubUnreachable
from steer.testing.waiting import wait_until

from .runs import log_of, points_of, running

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

PROGRAM = """
    import time
    from mpi4py import MPI
    import steer

    comm = MPI.COMM_WORLD
    for step in steer.loop(range(10**9)):
        time.sleep(0.001 * (1 + comm.rank % 2))
        comm.barrier()
"""


def kill_hub(run):
    pid = run.client.link.connection.hub_pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not run.cluster.controller.running, 5, "the hub's end")
    run.cluster.start_controller_sync(restore=True)


def phase(run):
    """What its points do; empty as long as it is not known again."""
    try:
        told = run.client.link.wait(run.client.link.ask("runs"))["runs"]
    except HubUnreachable:
        return ""
    families = told[0]["families"] if told else []
    return families[0]["phase"] if families else ""


def test_a_stop_outlives_its_hub(tmp_path):
    with running(tmp_path, PROGRAM) as run:
        before = run.stop(timeout=20)
        kill_hub(run)
        wait_until(lambda: phase(run) == "stopped", 20, "the stop to be found again")
        assert run.status()["families"][0]["point"] == before.point
        assert points_of(run) == [before.point] * 4
        news = run.step(3, timeout=20)
        assert news.point == before.point + 3
        run.go()
        again = run.stop(timeout=20)
        assert again.point >= news.point  # perhaps nobody has left it yet
        run.go()


@pytest.mark.slow
def test_a_run_that_ran_runs_on(tmp_path):
    with running(tmp_path, PROGRAM) as run:
        run.stop(timeout=20)
        run.go()
        kill_hub(run)
        wait_until(lambda: phase(run) == "running", 20, "it to be known again")
        news = run.stop(timeout=20)
        assert points_of(run) == [news.point] * 4
        run.go()


@pytest.mark.slow
def test_a_stop_that_was_under_way_comes_about(tmp_path):
    with running(tmp_path, PROGRAM) as run:
        far = run.stop(timeout=20).point + 1500
        run.go()
        asked = run.ask("stop", point=far)
        wait_until(lambda: phase(run) == "aligning", 20, "the round")
        kill_hub(run)
        # The new hub stops it where the ranks are, or at the point that they were on
        # their way to, if the client has asked again. It hears of it if the hub was not
        # away for so long that it was told so.
        wait_until(lambda: phase(run) == "stopped", 30, "the stop")
        assert len(set(points_of(run))) == 1
        with contextlib.suppress(HubUnreachable):
            assert asked.result(20).kind == "stopped"
        run.go()


# -- ranks that control themselves

ALONE = {"STEER_PAGES": "off"}


@pytest.mark.slow
def test_stops_without_shared_pages(tmp_path):
    with running(tmp_path, PROGRAM, environment=ALONE) as run:
        assert "controls its fences itself" in log_of(run)
        for _ in range(20):
            news = run.stop(timeout=20)
            assert "4/4 held" in news.text
            assert points_of(run) == [news.point] * 4
            assert run.step(3, timeout=20).point == news.point + 3
            assert points_of(run) == [news.point + 3] * 4
            run.go()


@pytest.mark.slow
def test_a_wait_with_the_gil_without_shared_pages(tmp_path):
    """A rank waits with the GIL for one that is held: that one goes on after a while,
    and the round begins anew."""
    source = """
        import random, time
        from mpi4py import MPI
        import steer

        comm = MPI.COMM_WORLD
        comms = [comm.Dup() for _ in range(150)]
        chance = random.Random(comm.rank)
        for number in steer.loop(range(10**9)):
            time.sleep(chance.random() * 0.02)
            if number < len(comms):
                comms[number].allreduce(1)  # holds the GIL until all are here
            else:
                comm.allreduce(1)
    """
    with running(tmp_path, source, environment=ALONE) as run:
        for _ in range(10):
            news = run.stop(timeout=30)
            assert news.kind == "stopped"
            assert points_of(run) == [news.point] * 4
            run.go()


@pytest.mark.slow
def test_who_keeps_a_round_waiting_without_shared_pages(tmp_path):
    from .test_waits_mpi import UNEQUAL

    with running(tmp_path, UNEQUAL, environment=ALONE) as run:
        said = []
        run.client.link.steering.listeners.append(said.append)
        run.ask("stop")
        wait_until(
            lambda: any("will not come there" in n.text for n in said), 20, "the reason"
        )
        assert run.do("here", 20).kind == "here"
        run.go()


def test_plans_outlive_their_hub(tmp_path):
    with running(tmp_path, PROGRAM) as run:
        at = run.stop(timeout=20).point
        run["did"] = []
        run.every(5, "did.append(step)")
        later = run.at(at + 10, "done = step")
        kill_hub(run)
        wait_until(lambda: phase(run) == "stopped", 20, "the stop to be found again")
        wait_until(lambda: len(run.plans()) == 2, 20, "the plans to be found again")
        texts = [plan["text"] for plan in run.plans()]
        assert texts == ["did.append(step)", "done = step"]
        run.step(11)
        assert len(run["did"][0]) == 3
        assert run["done"] == [at + 8] * 4
        assert [plan["text"] for plan in run.plans()] == ["did.append(step)"]
        assert run.unplan(run.plans()[0]["plan"]).number > later.number
        run.step(10)
        assert len(run["did"][0]) == 3
        assert run.plans() == []
        run.go()


@pytest.mark.slow
def test_updates_without_shared_pages(tmp_path):
    source = PROGRAM.replace(
        "for step", "p = steer.params(n=steer.Int(0))\n    for step"
    )
    with running(tmp_path, source, environment=ALONE) as run:
        plans = [run.set(n=number) for number in range(1, 30)]
        assert plans[-1].wait(20)
        run.stop(timeout=20)
        assert run["p.n"] == [29] * 4
        run.go()

"""Ranks that finish, fail or are killed while they are to be stopped: nobody hangs."""

from __future__ import annotations

import os
import signal

import pytest

from steer.errors import NotYet, UsageError
from steer.testing.waiting import wait_until

from .runs import points_of, running

pytestmark = pytest.mark.mpi

# No rank needs another, and each ends when it is told to.
ALONE = """
    import pathlib, sys, time
    from mpi4py import MPI
    import steer

    rank = MPI.COMM_WORLD.rank
    told = pathlib.Path(sys.argv[1])
    for step in steer.loop(range(10**9)):
        time.sleep(0.002)
        if (told / f"end{rank}").exists():
            break
        if (told / f"fail{rank}").exists():
            1 / 0
        while (told / f"wait{rank}").exists():
            (told / f"waits{rank}").touch()
    print("the end of", rank, flush=True)
"""


@pytest.mark.either_mpi
def test_a_rank_that_finishes_in_a_round_ends_it(tmp_path):
    with running(tmp_path, ALONE, str(tmp_path)) as run:
        (tmp_path / "wait2").touch()
        wait_until((tmp_path / "waits2").exists, 20, "rank 2 to be busy")
        asked = run.ask("stop")
        with pytest.raises(TimeoutError):
            asked.result(0.5)
        (tmp_path / "end2").touch()
        (tmp_path / "wait2").unlink()
        news = asked.result(20)
        # It has come to the next point and holds there, or it has come to its end.
        assert news.kind in ("stopped", "ending")
        if news.kind == "stopped":
            news = run.ask("step", n=2).result(20)
        assert news.kind == "ending"
        assert "rank 2 will come to no more points. All were let go" in news.text
        assert "The run ends: rank 2" in run.ask("stop").result(20).text
        for rank in range(4):
            (tmp_path / f"end{rank}").touch()
        run.cluster_ended()


@pytest.mark.slow
def test_a_run_that_ends_while_it_is_stopped_again_and_again(tmp_path):
    source = """
        import time
        from mpi4py import MPI
        import steer

        for step in steer.loop(range(300)):
            time.sleep(0.001)
    """
    with running(tmp_path, source, points=0) as run:
        kinds = []
        while not kinds or kinds[-1] in ("stopped", "went"):
            kinds.append(run.ask("stop").result(20).kind)
            kinds.append(run.ask("go").result(20).kind)
        assert kinds[-1] in ("refused", "over", "ending")
        run.cluster_ended()


@pytest.mark.slow
def test_a_rank_that_fails_is_left_out_and_named(tmp_path):
    with running(tmp_path, ALONE, str(tmp_path), post_mortem=True) as run:
        (tmp_path / "fail1").touch()
        wait_until(lambda: run.status()["lost"], 20, "rank 1 to fail")
        news = run.stop(timeout=20)
        assert news.kind == "stopped"
        assert "3/4 held" in news.text
        assert "Without rank 1: it failed with ZeroDivisionError" in news.text
        assert news.ranks == "0,2-3"
        run.go()


@pytest.mark.either_mpi
def test_a_rank_that_fails_in_a_round_is_left_out(tmp_path):
    with running(tmp_path, ALONE, str(tmp_path), post_mortem=True) as run:
        (tmp_path / "wait3").touch()
        wait_until((tmp_path / "waits3").exists, 20, "rank 3 to be busy")
        asked = run.ask("stop")
        wait_until(lambda: "stopping" in run.status().state, 20, "the round")
        (tmp_path / "fail3").touch()
        (tmp_path / "wait3").unlink()
        assert asked.result(20).kind == "stopped"
        news = run.ask("step", n=3).result(20)
        assert news.kind == "stopped"
        assert "Without rank 3" in news.text


def test_a_rank_that_is_killed_in_a_round(tmp_path):
    """Its launcher then ends the others too: whoever waits hears why."""
    with running(tmp_path, ALONE, str(tmp_path)) as run:
        (tmp_path / "wait0").touch()
        wait_until((tmp_path / "waits0").exists, 20, "rank 0 to be busy")
        heard = []
        run.client.link.steering.listeners.append(heard.append)
        asked = run.ask("stop")
        pids = {info.id: info.pid for info in run.client.link.core.engines.values()}
        os.kill(pids[0], signal.SIGKILL)
        assert asked.result(20).kind in ("stopped", "over", "ending")
        wait_until(
            lambda: any("was killed by SIGKILL" in news.text for news in heard), 20,
            "the reason",
        )  # fmt: skip
        wait_until(lambda: any(n.kind == "over" for n in heard), 20, "the end")


def test_two_loops_on_two_communicators(tmp_path):
    source = """
        import time
        from mpi4py import MPI
        import steer

        world = MPI.COMM_WORLD
        ocean = world.rank < 2
        comm = world.Split(ocean, world.rank)
        p = steer.params("ocean" if ocean else "air", dt=steer.Float(0.1, 0.0, 1.0))
        for step in steer.loop(range(10**9), comm=comm):
            comm.barrier()
            time.sleep(0.001 if ocean else 0.004)
    """
    with running(tmp_path, source) as run:
        wait_until(lambda: len(run.status()["families"]) == 2, 20, "both families")
        names = {f["ranks"]: f["family"] for f in run.status()["families"]}
        assert set(names) == {"0-1", "2-3"}
        link = run.client.link
        for _ in range(10):
            news = link.steer(names["0-1"], "stop").result(20)
            assert (news.kind, news.ranks) == ("stopped", "0-1")
            run.client[[0, 1]].execute("total = comm.allreduce(1)", block=True)
            assert run.client[[0, 1]].pull("total", block=True) == [2, 2]
            # The others have not stopped.
            before = high(run, names["2-3"])
            wait_until(lambda before=before: high(run, names["2-3"]) > before, 20, "it")
            link.steer(names["0-1"], "go").result(20)
        # A stop of the run stops both, each at a point of its own; one answer.
        news = run.stop(timeout=20)
        assert news.text.count("2/2 held") == 2
        assert {f["phase"] for f in run.status()["families"]} == {"stopped"}
        run.execute("total = world.allreduce(1)")
        assert run["total"] == [4] * 4
        # Each has parameters of its own; what the others do not have is not their no.
        assert "ocean.dt=0.5" in run.set({"ocean.dt": 0.5}, timeout=20).wait(20).text
        assert run["p.dt"] == [0.5, 0.5, 0.1, 0.1]
        with pytest.raises(UsageError, match="is from 0"):
            run.set({"air.dt": 7.0})
        with pytest.raises(UsageError, match="by its label which, of step@"):
            run.until("p.dt > 3")
        run.go()


def high(run, family):
    return next(f["high"] for f in run.status()["families"] if f["family"] == family)


@pytest.mark.either_mpi
def test_two_loops_one_after_the_other(tmp_path):
    """Whoever steers the run means the loop that it is in, or says which."""
    source = """
        import time
        import steer

        p = steer.params(dt=steer.Float(0.1, 0.0, 1.0))
        for step in steer.loop(range(10), "spinup"):
            pass
        for step in steer.loop(range(10**9), "main"):
            time.sleep(0.001)
    """
    how = {"stop_at": 20, "stop_label": "main"}
    with running(tmp_path, source, **how) as run:
        main = f"{run.name}/main"
        wait_until(lambda: "main: stopped at 20" in run.status().text, 20, "the stop")
        news = run.stop(timeout=20)
        assert (news.family, news.point) == (main, 20)
        assert run.set(dt=0.5).point == 20
        assert run.step(5, timeout=20).point == 25
        run.go()
        plan = run.set(dt=0.25, timeout=20).wait(20)
        assert plan.number in (2, 3)
        assert run.until("p.dt < 0.3", timeout=20).family == main
        # One that names what the ranks have left does not come about, nor does it
        # keep anybody from stopping them where they are.
        run.go(label="main")
        with pytest.raises(NotYet):
            run.stop(label="spinup", timeout=0.1)
        assert run.stop(timeout=20).family == main
        run.go()


@pytest.mark.slow
def test_labels_are_families_of_the_same_ranks(tmp_path):
    source = """
        import time
        from mpi4py import MPI
        import steer

        comm = MPI.COMM_WORLD
        for step in steer.loop(range(10**9)):
            for inner in range(3):
                steer.point("inner")
                time.sleep(0.001)
            comm.barrier()
    """
    with running(tmp_path, source) as run:
        wait_until(lambda: len(run.status()["families"]) == 2, 20, "both families")
        inner = f"{run.name}/inner"
        link = run.client.link
        for _ in range(10):
            news = link.steer(inner, "stop").result(20)
            assert (news.family, news.kind) == (inner, "stopped")
            # Nobody could come to a point of the other now.
            other = link.steer(f"{run.name}/step", "stop").result(20)
            assert other.kind == "refused"
            assert "inner is stopped; let it go" in other.text
            link.steer(inner, "go").result(20)
            news = link.steer(f"{run.name}/step", "stop").result(20)
            assert news.kind == "stopped"
            assert points_of(run) == [news.point] * 4
            link.steer(f"{run.name}/step", "go").result(20)


@pytest.mark.slow
def test_steps_with_the_programs_own_numbers(tmp_path):
    """Sub-cycling ranks leave numbers out; all stop at one that all have."""
    source = """
        import time
        from mpi4py import MPI
        import steer

        comm = MPI.COMM_WORLD
        stride = 1 + comm.rank % 2 * 4
        for step in range(0, 10**9, stride):
            steer.point(step=step)
            time.sleep(0.0005 * stride)
    """
    with running(tmp_path, source) as run:
        for _ in range(20):
            news = run.stop(timeout=20)
            assert news.point % 5 == 0
            assert run["step"] == [news.point] * 4
            run.go()

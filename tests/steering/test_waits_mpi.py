"""Rounds that cannot be complete: who keeps them waiting is said, and nobody hangs."""

from __future__ import annotations

import pytest

from steer.testing.waiting import wait_until

from .runs import high_of, points_of, running

pytestmark = pytest.mark.mpi

# A master that counts a point for each result, and workers that count one for each
# task: equal counts are not equal times.
UNEQUAL = """
    import time
    from mpi4py import MPI
    import steer

    comm = MPI.COMM_WORLD
    if comm.rank == 0:
        while True:
            for worker in range(1, comm.size):
                steer.point()
                comm.send(1, worker)
    else:
        while True:
            steer.point()
            comm.recv(source=0)
            time.sleep(0.002)
"""


@pytest.fixture
def news():
    return []


def heard(run, news):
    run.client.link.steering.listeners.append(news.append)
    return lambda kind: [each for each in news if each.kind == kind]


@pytest.mark.either_mpi
def test_unequal_rates_are_reported_and_do_not_hang(tmp_path, news):
    with running(tmp_path, UNEQUAL) as run:
        said = heard(run, news)
        asked = run.ask("stop")
        wait_until(lambda: any("will not come" in n.text for n in said("waiting")), 20,
                   "the reason")  # fmt: skip
        text = next(n.text for n in said("waiting") if "will not come" in n.text)
        assert "held: the program does not let its ranks come to" in text
        assert "recv(source=0" in text
        assert "--advance" in text
        assert not asked.done()
        here = run.do("here", 20)
        assert here.kind == "here"
        assert asked.result(20).kind == "here"
        run.go()
        before = run.status()["families"][0]["high"]
        wait_until(
            lambda: run.status()["families"][0]["high"] > before + 5, 20, "it to go on"
        )


@pytest.mark.either_mpi
def test_a_rank_that_computes_is_named_and_waited_for(tmp_path, news):
    slow, computes = tmp_path / "slow", tmp_path / "computes"
    source = f"""
        import os, pathlib
        from mpi4py import MPI
        import steer

        slow, computes = pathlib.Path({str(slow)!r}), pathlib.Path({str(computes)!r})
        comm = MPI.COMM_WORLD
        for step in steer.loop(range(10**9)):
            while comm.rank == 2 and slow.exists():
                computes.touch()
            comm.barrier()
    """
    with running(tmp_path, source) as run:
        said = heard(run, news)
        slow.touch()
        wait_until(computes.exists, 20, "the rank to compute")
        asked = run.ask("stop")
        wait_until(lambda: said("waiting"), 20, "the reason")
        text = said("waiting")[0].text
        assert "rank 2 at point" in text
        assert "computes at" in text
        assert not asked.done()
        slow.unlink()
        assert asked.result(20).kind == "stopped"


def test_a_wait_that_holds_the_gil_keeps_no_round_waiting(tmp_path):
    """mpi4py's first lower-case reduction on a communicator waits with the GIL."""
    source = """
        import random, time
        from mpi4py import MPI
        import steer

        comm = MPI.COMM_WORLD
        comms = [comm.Dup() for _ in range(150)]
        chance = random.Random(comm.rank)
        number = 0
        for step in steer.loop(range(10**9)):
            time.sleep(chance.random() * 0.01)
            if number < len(comms):
                comms[number].allreduce(1)  # holds the GIL until all are here
                number += 1
            else:
                comm.allreduce(1)
    """
    with running(tmp_path, source) as run:
        for _ in range(40):
            news = run.stop(timeout=20)
            assert news.kind == "stopped"
            assert points_of(run) == [news.point] * 4
            run.go()
        # A stop may come before a rank that was let go has moved: there are more stops
        # than points.
        wait_until(lambda: high_of(run) > 40, 20, "the program to go on")


def test_what_a_held_rank_owes_is_sent_meanwhile(tmp_path):
    """16 MB by rendezvous over TCP: the receiver needs the sender to let MPI go on."""
    source = """
        import numpy as np
        from mpi4py import MPI
        import steer

        comm = MPI.COMM_WORLD
        big = np.ones(16 << 20, "b")
        got = np.empty_like(big)
        for step in steer.loop(range(10**9)):
            if comm.rank % 2 == 0:
                request = comm.Isend(big, comm.rank + 1, tag=step)
                steer.point("inner")
                request.Wait()
            else:
                comm.Recv(got, comm.rank - 1, tag=step)
                steer.point("inner")
    """
    tcp = {
        "MPIR_CVAR_NOLOCAL": "1",
        "UCX_TLS": "tcp,self",
        "OMPI_MCA_pml": "ob1",
        "OMPI_MCA_btl": "self,tcp",
    }
    with running(tmp_path, source, environment=tcp) as run:
        wait_until(lambda: len(run.status()["families"]) == 2, 20, "both families")
        name = f"{run.name}/inner"
        for _ in range(10):
            news = run.client.link.steer(name, "stop").result(20)
            assert news.kind == "stopped", news
            run.execute("sums = int(got.sum()) if comm.rank % 2 else 0")
            assert set(run["sums"][1::2]) == {16 << 20}
            assert run.client.link.steer(name, "go").result(20).kind == "went"

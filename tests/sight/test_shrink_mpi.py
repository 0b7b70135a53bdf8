"""A rank dies, and the others go on: with Open MPI, if it was asked to allow that."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from steer.client.client import Client
from steer.client.cluster import Cluster
from steer.errors import LaunchError, SteerError, UsageError
from steer.testing.waiting import wait_until
from tests.sight.programs import SETUP
from tests.steering.runs import high_of, running

pytestmark = pytest.mark.mpi

LONG = 30.0


@pytest.fixture
def survivors(mpi: str, private_home: object) -> Iterator[Client]:
    """Three ranks that can do without one of them."""
    if mpi != "openmpi":
        pytest.skip("only Open MPI can do that")
    cluster = Cluster(
        n=3, engines="mpi", options={"survivors": "ulfm"}, shutdown_atexit=False
    )
    try:
        client = cluster.start_and_connect_sync()
        client[:].execute(SETUP, block=True)
        yield client
    finally:
        cluster.stop_cluster_sync()


def lose(rc: Client, rank: int) -> None:
    os.kill(rc.link.core.engines[rank].pid, signal.SIGKILL)
    wait_until(lambda: rank not in rc.ids, LONG, "the death to be known")


def test_a_world_goes_on_without_a_rank_and_with_a_new_one(survivors: Client) -> None:
    rc = survivors
    code = "comm.recv(source=(rank + 1) % size) if rank != 2 else time.sleep(600)"
    result = rc[:].execute(code, silent=False, block=False)
    wait_until(
        lambda: [rc[:].status().doing(i) for i in (0, 1)] == ["blocked"] * 2,
        LONG, "ranks that wait",
    )  # fmt: skip
    lose(rc, 2)
    shown = rc[:].stuck().text
    assert "[2]  dead (was killed by SIGKILL; it was last seen " in shown

    told = rc[:].shrink()
    assert (set(told.ranks), set(told.lost)) == ({0, 1}, {2})
    assert "go on as a world of 2" in told.text
    with pytest.raises(SteerError):
        result.get(LONG)
    rc[:].execute("total = comm.allreduce(1); comm.Barrier()", block=True)
    assert rc[:]["total"] == [2, 2]
    assert rc[:].pull("kept['rank']", block=True) == [0, 1]

    again = rc[:].shrink(replace=True)
    assert "rank 2 started anew" in again.text.lower()
    assert rc.ids == [0, 1, 2]
    rc[:].execute(f"{NAMES}\ntotal = comm.allreduce(rank)", block=True)
    assert rc[:]["total"] == [3] * 3
    assert rc[:]["rank"] == [0, 1, 2]
    assert rc[:2].pull("kept['rank']", block=True) == [0, 1]

    # It is a world like others: what hangs is explained, and comes back.
    result = rc[:].execute("comm.recv(source=(rank + 1) % 3)", block=False)
    wait_until(lambda: rc[:].stuck().verdict == "DEADLOCK", LONG, "a verdict")
    assert len(rc[:].unstick().ranks) == 3
    assert result.wait(LONG)
    rc[:].execute("total = comm.allreduce(1)", block=True)
    assert rc[:]["total"] == [3] * 3
    with pytest.raises(UsageError, match="No rank of this world has died"):
        rc[:].shrink()


NAMES = "from mpi4py import MPI\ncomm = MPI.COMM_WORLD\nrank = comm.Get_rank()"


@pytest.mark.slow
def test_any_rank_may_die_also_the_first_and_again(survivors: Client) -> None:
    rc = survivors
    for dead in (0, 1, 0):
        lose(rc, dead)
        told = rc[:].shrink(replace=True)
        assert set(told.lost) == {dead}
        rc[:].execute(f"{NAMES}\ntotal = comm.allreduce(rank)", block=True)
        assert rc[:]["total"] == [3] * 3
        assert rc[:]["rank"] == [0, 1, 2]


STEERED = """
    import time
    from mpi4py import MPI
    import steer

    comm = MPI.COMM_WORLD
    place = comm.rank
    for step in steer.loop(range(100_000)):
        total = comm.allreduce(1)
        time.sleep(0.002)
"""


@pytest.mark.parametrize("dead", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_held_program_goes_on_without_a_rank(mpi: str, tmp_path, dead: int) -> None:
    if mpi != "openmpi":
        pytest.skip("only Open MPI can do that")
    with running(tmp_path, STEERED, n=3, options={"survivors": "ulfm"}) as run:
        run.stop(timeout=LONG)
        lose(run.client, dead)
        left = [rank for rank in range(3) if rank != dead]
        with pytest.raises(UsageError, match="hold in the middle of a program"):
            run.shrink(replace=True)
        assert list(run.shrink().ranks) == left
        run.execute("total = comm.allreduce(1)")
        assert run["total"] == [2, 2]
        assert run["place"] == left
        before = high_of(run)
        run.go()
        wait_until(lambda: high_of(run) > before + 20, LONG, "the program to go on")
        told = run.stop(timeout=LONG)
        assert "2/3 held" in told.text
        assert run["total"] == [2, 2]


@pytest.mark.either_mpi
def test_an_mpi_that_cannot_says_so(mpi: str, private_home: object) -> None:
    if mpi != "mpich":
        pytest.skip("Open MPI can")
    cluster = Cluster(
        n=2, engines="mpi", options={"survivors": "ulfm"}, shutdown_atexit=False
    )
    with pytest.raises(LaunchError, match='has no option "survivors" here'):
        cluster.start_and_connect_sync()
    cluster.stop_cluster_sync()

"""Magics on MPI ranks: cells that communicate, and a world that loses a rank."""

from __future__ import annotations

import os
import threading

import pytest

from steer.client.cluster import Cluster
from steer.testing.waiting import wait_until

pytestmark = pytest.mark.mpi
SECONDS = 20


@pytest.fixture
def world(bare, home):
    """Three ranks; the notebook's magics work on them."""
    cluster = Cluster(n=3, shutdown_atexit=False)
    client = cluster.start_and_connect_sync(activate=True)
    bare.names["rc"] = client
    yield client
    cluster.close_sync()


def test_cells_are_collective(bare, world):
    bare.run("%%px\nfrom mpi4py import MPI\ncomm = MPI.COMM_WORLD\nrank = comm.rank")
    ran = bare.run("%%px\ntotal = comm.allreduce(rank)\nprint('total', total)")
    assert "total 3" in ran.out
    bare.run("%%px --when 'rank > 0'\nabove = comm.Split")
    assert world[:].pull("'above' in globals()", block=True) == [False, True, True]


def test_ctrl_c_where_a_rank_waits_for_another(bare, world, press, tmp_path):
    """Rank 0 is in Python and ends; the others are inside MPI and go on until then."""
    bare.run("%px from mpi4py import MPI; comm = MPI.COMM_WORLD; rank = comm.rank")
    mark = tmp_path / "rank0"
    press(mark.exists)
    ran = bare.fails(
        "%%px\nimport time, pathlib\nif rank == 0:\n"
        f"    try: pathlib.Path({str(mark)!r}).touch(); time.sleep(60)\n"
        "    finally: comm.send(1, 1); comm.send(1, 2)\n"
        "else: comm.recv(source=0)",  # or it was interrupted before: then it never does
        KeyboardInterrupt,
    )
    assert "Received Keyboard Interrupt" in ran.err
    assert "ranks 0-2 were interrupted" in str(ran.error)
    assert bare.run("%px comm.allreduce(1)").error is None


def test_a_rank_killed_in_a_cell(bare, world):
    """MPI may end the world with it; the cell ends and says who it was."""
    pid = world[1].apply_sync(os.getpid)
    magics = bare.shell.magics_manager.magics["line"]["px"].__self__

    def is_said():
        return magics.last is not None and all(magics.last.stdout)

    def kill():
        wait_until(is_said, SECONDS, "the output of all ranks")
        os.kill(pid, 9)

    killer = threading.Thread(target=kill)
    killer.start()
    ran = bare.run("%%px\nimport time\nprint('in the cell')\ntime.sleep(30)")
    killer.join(SECONDS)
    assert ran.error is not None
    assert "EngineError" in ran.shown
    assert "SIGKILL" in ran.shown
    assert "in the cell" in ran.out
    assert "/steer/client/" not in ran.shown
    assert bare.run("1 + 1").value == 2
    wait_until(lambda: 1 not in world.ids, SECONDS, "the rank to be missed")
    said = bare.mistake("%%px -t 1\n1")
    assert "Engine 1" in said

"""A kernel's start, losses and ends, with real ranks: nothing may be left behind.

Each test is checked for processes, shared memory and sockets by the mark `mpi`.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from steer.client.cluster import Cluster
from steer.config import list_clusters
from steer.kernel.plan import Plan
from steer.node.processes import is_alive
from steer.testing import wait_until

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

QUEUED = """
description = "ranks that wait in a queue until a file is there"
kind = "direct"
launch = ["sh", "-c", "until [ -e GO ]; do sleep 0.05; done; exec \\"$@\\"", "sh", "{engine}"]
each = true
[environment]
STEER_LOCAL = "1"
"""  # noqa: E501


@pytest.fixture
def go(tmp_path):
    """The file that lets ranks start."""
    return tmp_path / "go"


@pytest.fixture
def queued(go):
    """A kernel whose ranks do not start before there is that file."""
    recipe = go.with_name("queued.toml")
    recipe.write_text(QUEUED.replace("GO", str(go)))
    return Plan(n=2, engines=str(recipe))


def pids(front) -> list[int]:
    """The ranks' processes, and the hub's, once they are there."""
    front.run("x = 0")
    said = front.run(
        "%%local\nlink = rc.link\n"
        "[*(e.pid for e in link.core.engines.values()), link.connection.hub_pid]"
    )
    return [int(word) for word in said.text.strip("[]\n").split(",")]


# -- starting


@pytest.mark.slow
def test_the_front_end_is_answered_while_ranks_start(make, queued, go):
    front = make(queued)
    assert front.ask("kernel_info")["status"] == "ok"
    assert front.run("%%local\n6 * 7").of("execute_result")
    assert front.ask("complete", "pri")["matches"]
    assert front.ask("inspect", "print")["found"]
    # And the first cell says what it waits for.
    msg_id = front.send("print('at last')", allow_stdin=False)
    front.hear_until(msg_id, "starting ▕          ▏ 0 of 2 ranks")
    go.touch()
    front.hear_until(msg_id, "[0-1] (2)  at last")
    assert front.reply(msg_id)["status"] == "ok"


@pytest.mark.parametrize("cell", ["%%local\nview.apply_sync(lambda: 7)", "%px 7"])
def test_a_cell_here_waits_for_the_ranks_that_it_names(make, queued, go, cell):
    front = make(queued)
    msg_id = front.send(cell, allow_stdin=False)
    front.hear_until(msg_id, "starting ▕          ▏ 0 of 2 ranks")
    go.touch()
    front.hear_until(msg_id, "7")
    assert front.reply(msg_id)["status"] == "ok"


@pytest.mark.parametrize("cell", ["x = 1", "%%local\nview.apply(abs, 1)"])
def test_waiting_for_ranks_can_be_interrupted(make, queued, go, cell):
    front = make(queued)
    msg_id = front.send(cell, allow_stdin=False)
    front.hear_until(msg_id, "starting")
    front.manager.interrupt_kernel()
    reply = front.reply(msg_id)
    assert "go on starting; run the cell again" in reply["evalue"]
    go.touch()
    assert front.run("x = 1").reply["status"] == "ok"


def test_a_kernel_that_is_ended_while_ranks_start_leaves_nothing(make, queued):
    make(queued).end()


def test_a_failed_start_says_why_in_each_cell(make):
    front = make(Plan(n=2, engines="no-such-launcher"))
    for _ in range(2):
        said = front.run("x = 1")
        assert "could not start its ranks" in said.error
        assert 'No recipe is called "no-such-launcher"' in said.error
        assert "Restart the kernel" in said.error
        assert "Traceback" not in "".join(said.reply["traceback"])
    assert "42" in front.run("%%local\n6 * 7").text
    for cell in ("%%local\nrc.ids", "%px x = 1"):
        said = front.run(cell)
        assert "could not start its ranks" in said.error
        assert "Traceback" not in "".join(said.reply["traceback"])
    assert front.ask("complete", "pri")["matches"]


# -- losses


def test_a_rank_that_dies_is_named_and_cells_run_on_all_or_none(make):
    front = make(Plan(n=3, engines="local"))
    front.run("x = 0")
    front.run("%%local\nfor i in rc.ids: rc[i].push({'me': i}, block=True)")
    said = front.run("import os\nif me == 1: os.kill(os.getpid(), 9)\nprint('alive')")
    assert said.error.startswith("EngineError")
    assert "was killed by SIGKILL" in said.error
    said = front.run("x = 1")
    assert said.error.startswith("RanksLost: Rank 1 is gone, so the cell did not run")
    assert "was killed by SIGKILL" in said.error
    assert "Restart the kernel" in said.error
    assert "%%rank 0,2" in said.error
    assert "[0,2] (2)  here" in front.run("%%rank 0,2\nprint('here')").text


@pytest.mark.slow
def test_of_a_world_that_is_gone_the_first_death_is_told(make):
    front = make(Plan(n=3))
    front.run("%%rank 1\nimport os; os.kill(os.getpid(), 9)")
    wait_until(lambda: front.run("%%local\nlen(rc)").text.strip() == "0", 10, "the end")
    said = front.run("x = 1")
    assert said.error.startswith("RanksLost: All ranks are gone. Engine 1 (rank 1 of 3")
    assert "2 others ended after it. Restart the kernel" in said.error


@pytest.mark.slow
def test_a_dead_hub_is_named(make):
    front = make(Plan(n=1, engines="local"))
    *_, hub = pids(front)
    os.kill(hub, signal.SIGKILL)
    wait_until(lambda: not is_alive(hub), 5, "the hub to end")
    said = front.run("x = 1")
    assert "The hub of cluster" in said.error
    assert "Restart the kernel" in said.error


# -- restart and the end


@pytest.mark.slow
def test_restart_gives_new_ranks(make):
    front = make(Plan(n=2))
    front.run("x = 'old'")
    before = pids(front)
    front.manager.restart_kernel()
    front.client.wait_for_ready(timeout=20)
    assert not any(is_alive(pid) for pid in before)
    assert "NameError" in front.run("x").error
    assert (
        "[0-1] (2)  2" in front.run("from mpi4py import MPI; MPI.COMM_WORLD.size").text
    )


@pytest.mark.slow
def test_an_end_in_the_middle_of_a_cell_leaves_nothing(make):
    front = make(Plan(n=2))
    before = pids(front)
    msg_id = front.send("import time; print('sleeps', flush=True); time.sleep(60)")
    front.hear_until(msg_id, "sleeps")
    front.end()
    assert not any(is_alive(pid) for pid in before)


def test_a_killed_kernel_leaves_nothing(make, private_home):
    others = {c.cluster_id for c in list_clusters(None)}  # of hubs that tests killed
    front = make(Plan(n=2))
    before = pids(front)
    (ours,) = {c.cluster_id for c in list_clusters(None)} - others
    os.kill(front.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, before)), 5, "ranks and hub to end")
    wait_until(
        lambda: ours not in {c.cluster_id for c in list_clusters(None)},
        2,
        "the cluster's files to go",
    )


@pytest.mark.slow
def test_attached_kernels_leave_the_cluster(make):
    with Cluster(n=2, cluster_id="shared") as rc:
        rc[:].push({"x": 5}, block=True)
        front = make(Plan(cluster_id="shared", ranks="1"))
        assert front.run("x").of("execute_result")[0]["data"]["text/plain"] == "5"
        assert "rank 1" in front.ask("kernel_info")["banner"]
        front.run("x = 6")
        front.end()
        assert rc[:].get("x") == [5, 6]


def test_attaching_to_nothing_says_so(make):
    front = make(Plan(cluster_id="nothing"))
    said = front.run("x = 1")
    assert "could not attach to the cluster" in said.error
    assert "There is no connection file" in said.error


def test_cells_start_where_the_notebook_is(make, tmp_path: Path):
    front = make(Plan(n=1, engines="local"), cwd=str(tmp_path))
    assert str(tmp_path) in front.run("import os; print(os.getcwd())").text

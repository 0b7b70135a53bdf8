"""Clusters of MPI ranks: what mpiexec does with them, and what is left afterwards.

Run once with each MPI; the `mpi` mark also counts processes, segments and sockets.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from steer.client.cluster import Cluster
from steer.client.link import Link
from steer.config import Connection
from steer.errors import LaunchError
from steer.node.processes import find_by_environment
from steer.testing.waiting import wait_until

pytestmark = pytest.mark.mpi


@pytest.fixture
def cluster(make_cluster):
    made = make_cluster(engines="mpi", n=3)
    made.start_cluster_sync()
    made.wait_for_engines_sync()
    return made


def processes_of(cluster):
    path = os.path.abspath(cluster.cluster_file)
    return [p.pid for p in find_by_environment({"STEER_CONNECTION": path})]


def engines(cluster):
    return cluster._connected().core.engines


def launcher(cluster):
    (job,) = Connection.read(cluster.cluster_file).jobs
    return job["job"]["processes"][0][0]


def test_ids_are_ranks_of_one_world(cluster):
    found = engines(cluster)
    assert [found[i].rank for i in sorted(found)] == [0, 1, 2]
    assert {e.size for e in found.values()} == {3}
    assert len({e.world for e in found.values()}) == 1


def test_stop_is_quick(cluster):
    began = time.monotonic()
    cluster.stop_cluster_sync()
    # The promise is 0.4 s; a busy machine gets some more.
    assert time.monotonic() - began < 3
    assert processes_of(cluster) == []


def test_restart_gives_the_ranks_their_ids_again(cluster):
    before = {e.pid for e in engines(cluster).values()}
    cluster.restart_engines_sync()
    found = engines(cluster)
    assert [found[i].rank for i in sorted(found)] == [0, 1, 2]
    assert not before & {e.pid for e in found.values()}


def test_a_second_world_stands_beside_the_first(cluster):
    name = cluster.start_engines_sync(2)
    cluster.wait_for_engines_sync()
    found = engines(cluster)
    assert [found[i].rank for i in sorted(found)] == [0, 1, 2, 0, 1]
    cluster.stop_engines_sync(name)
    assert sorted(engines(cluster)) == [0, 1, 2]


def test_a_killed_mpiexec_leaves_no_rank(cluster):
    os.kill(launcher(cluster), signal.SIGKILL)
    wait_until(lambda: not processes_of(cluster), 5, "the ranks to go")
    wait_until(lambda: not engines(cluster), 1, "the ids to go")
    (one,) = cluster.engines.values()
    assert one.state == "after"
    assert "SIGKILL" in one.stop_data["how"]


def test_a_killed_rank_is_missed_within_a_second(cluster):
    victim = engines(cluster)[1].pid
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: 1 not in engines(cluster), 1, "rank 1 to be missed")


def test_a_killed_hub_comes_back_to_the_same_ranks(cluster):
    before = {e.id: e.pid for e in engines(cluster).values()}
    hub = Connection.read(cluster.cluster_file).hub_pid
    os.kill(hub, signal.SIGKILL)
    wait_until(lambda: not cluster.controller.running, 5, "the hub's end")
    cluster.start_controller_sync(restore=True)
    cluster.wait_for_engines_sync(3)

    def now():
        return {e.id: e.pid for e in engines(cluster).values()}

    wait_until(lambda: now() == before, 10, "the same ranks as before")


def test_a_killed_hub_loses_no_variable_and_no_client(cluster):
    with cluster.connect_client_sync() as rc:
        rc[:].push({"kept": 41}, block=True)
        os.kill(Connection.read(cluster.cluster_file).hub_pid, signal.SIGKILL)
        wait_until(lambda: not cluster.controller.running, 5, "the hub's end")
        cluster.start_controller_sync(restore=True)
        cluster.wait_for_engines_sync(3)
        wait_until(lambda: rc.ids == [0, 1, 2], 5, "the client to see them again")
        assert rc[:]["kept"] == [41, 41, 41]


def test_with_gives_a_client_and_leaves_nothing(home):
    with Cluster(n=3) as rc:
        assert rc.ids == [0, 1, 2]
        assert rc.cluster.n == 3
        rc[:].execute(
            "from mpi4py import MPI; total = MPI.COMM_WORLD.allreduce(1)", block=True
        )
        assert rc[:]["total"] == [3, 3, 3]
        cluster = rc.cluster
    assert processes_of(cluster) == []
    assert cluster.controller.state == "after"


def test_a_client_may_come_over_tcp(make_cluster):
    cluster = make_cluster(engines="mpi", n=2, ip="127.0.0.1")
    cluster.start_cluster_sync()
    cluster.wait_for_engines_sync()
    connection = Connection.read(cluster.cluster_file)
    assert connection.port
    elsewhere = connection.replace(ipc="ipc:///nowhere")
    link = Link(elsewhere, 5)
    assert sorted(link.core.engines) == [0, 1]
    link.close()


def test_a_killed_hub_and_a_stop_leave_nothing(cluster):
    os.kill(Connection.read(cluster.cluster_file).hub_pid, signal.SIGKILL)
    wait_until(lambda: not cluster.controller.running, 5, "the hub's end")
    cluster.stop_cluster_sync()
    assert processes_of(cluster) == []


def test_a_hub_that_comes_back_stops_as_cleanly(cluster):
    os.kill(Connection.read(cluster.cluster_file).hub_pid, signal.SIGKILL)
    wait_until(lambda: not cluster.controller.running, 5, "the hub's end")
    cluster.start_controller_sync(restore=True)
    cluster.wait_for_engines_sync(3)
    cluster.stop_cluster_sync()
    assert processes_of(cluster) == []


def test_a_stopped_rank_does_not_keep_stop_from_stopping(cluster):
    os.kill(engines(cluster)[2].pid, signal.SIGSTOP)
    cluster.stop_cluster_sync()
    assert processes_of(cluster) == []


def test_a_wrong_interpreter_is_told_with_its_words(make_cluster, tmp_path):
    """The engine dies before it registers: no waiting, and the reason is shown."""
    hidden = tmp_path / "mpi4py"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ImportError('No module named mpi4py')")
    cluster = make_cluster(
        engines="mpi", n=2, environment={"PYTHONPATH": str(tmp_path)}
    )
    cluster.start_cluster_sync()
    began = time.monotonic()
    with pytest.raises(LaunchError) as caught:
        cluster.wait_for_engines_sync(2)
    assert time.monotonic() - began < 10
    assert "mpi4py" in str(caught.value)
    assert "mpiexec" in str(caught.value)


def test_n_worlds_of_one_are_explained(make_cluster, tmp_path):
    recipe = tmp_path / "singletons.toml"
    recipe.write_text(
        'description = "forgets mpiexec"\nkind = "direct"\neach = true\n'
        'launch = ["{engine}"]\n'
    )
    cluster = make_cluster(engines=str(recipe), n=2)
    cluster.start_cluster_sync()
    with pytest.raises(LaunchError, match="each is alone in a world of its own"):
        cluster.wait_for_engines_sync(2)


def test_the_package_says_what_a_start_needs(make_cluster, monkeypatch, tmp_path):
    library = tmp_path / "none.so"
    cluster = make_cluster(
        engines="mpi", n=2, environment={"MPI4PY_LIBMPI": str(library)}
    )
    with pytest.raises(LaunchError, match="Correct this variable"):
        cluster.start_cluster_sync()


def test_a_program_that_is_killed_leaves_the_ranks_to_be_stopped(home):
    import subprocess
    import sys

    script = (
        "import sys\nfrom steer.client.cluster import Cluster\n"
        "c = Cluster(n=2, cluster_id='child').start_cluster_sync()\n"
        "c.wait_for_engines_sync()\nprint('ready', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout.readline() == "ready\n"
        child.kill()
    cluster = Cluster.from_file(cluster_id="child")
    assert sorted(engines(cluster)) == [0, 1]
    cluster.stop_cluster_sync()
    assert processes_of(cluster) == []

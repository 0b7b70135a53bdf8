"""Clusters as their users start, change, lose and stop them; real processes, no MPI.

What needs ranks is in test_cluster_mpi.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from steer.client.cluster import Cluster
from steer.client.starting import AlreadyRunning
from steer.config import Connection
from steer.errors import LaunchError, SteerError, UsageError
from steer.node.processes import is_alive
from steer.testing.waiting import wait_until


def processes_of(cluster):
    from steer.node.processes import find_by_environment

    path = os.path.abspath(cluster.cluster_file)
    return [p.pid for p in find_by_environment({"STEER_CONNECTION": path})]


def ready(cluster, n=None):
    cluster.start_cluster_sync(n)
    cluster.wait_for_engines_sync()
    return cluster


def engine_ids(cluster):
    return sorted(cluster._connected().core.engines)


def test_stop_leaves_neither_process_nor_file(make_cluster, private_home):
    cluster = ready(make_cluster(n=2))
    connection = Connection.read(cluster.cluster_file)
    assert len(processes_of(cluster)) == 2

    cluster.stop_cluster_sync()

    assert not is_alive(connection.hub_pid)
    assert not processes_of(cluster)
    assert not Path(cluster.cluster_file).parent.exists()
    assert not Path(connection.ipc.removeprefix("ipc://")).exists()
    with pytest.raises(ChildProcessError):  # reaped: no zombie is left
        os.waitpid(connection.hub_pid, os.WNOHANG)


def test_stop_again_does_nothing(make_cluster):
    cluster = ready(make_cluster())
    cluster.stop_cluster_sync()
    cluster.stop_cluster_sync()
    cluster.stop_controller_sync()
    assert cluster.controller.state == "after"


def test_stop_before_the_start_does_nothing(make_cluster):
    cluster = make_cluster()
    cluster.stop_cluster_sync()
    assert not Path(cluster.cluster_file).parent.exists()


def test_the_connection_file_is_its_owners_alone(make_cluster):
    cluster = ready(make_cluster())
    path = Path(cluster.cluster_file)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_engine_sets_tell_the_truth_without_being_told(make_cluster):
    cluster = ready(make_cluster(n=2))
    (name,) = cluster.engines
    assert cluster.engines[name].state == "running"
    assert cluster.engine_set.n == 2
    for pid in processes_of(cluster):
        os.kill(pid, signal.SIGKILL)

    wait_until(lambda: cluster.engines[name].state == "after", 5, "the set's end")

    assert "SIGKILL" in cluster.engines[name].stop_data["how"]


def test_engines_are_after_when_the_cluster_is(make_cluster):
    cluster = ready(make_cluster())
    assert [one.state for one in cluster.engines.values()] == ["running"]
    cluster.stop_cluster_sync()
    assert [one.state for one in cluster.engines.values()] == ["after"]


def test_a_stopped_cluster_starts_again_as_a_new_one(make_cluster):
    cluster = ready(make_cluster(n=2))
    cluster.stop_cluster_sync()
    ready(cluster, 1)
    assert [(one.n, one.state) for one in cluster.engines.values()] == [(1, "running")]


def test_repr_is_ipyparallels(make_cluster):
    cluster = make_cluster(cluster_id="x")
    assert repr(cluster) == "<Cluster(cluster_id='x', profile='default')>"
    ready(cluster)
    sets = list(cluster.engines)
    assert repr(cluster) == (
        "<Cluster(cluster_id='x', profile='default', controller=<running>, "
        f"engine_sets={sets})>"
    )


def test_repr_with_a_folder(tmp_path):
    cluster = Cluster(profile_dir=tmp_path, cluster_id="x")
    assert f"profile_dir={str(tmp_path)!r}" in repr(cluster)


def test_more_engines_get_the_next_ids(make_cluster):
    cluster = ready(make_cluster(n=2))
    cluster.start_engines_sync(1)
    cluster.wait_for_engines_sync()
    assert engine_ids(cluster) == [0, 1, 2]
    assert [one.n for one in cluster.engines.values()] == [2, 1]


def test_restart_gives_the_same_ids_and_other_processes(make_cluster):
    cluster = ready(make_cluster(n=2))
    before = processes_of(cluster)
    cluster.restart_engines_sync()
    assert engine_ids(cluster) == [0, 1]
    cluster.wait_for_engines_sync(2)
    assert not set(before) & set(processes_of(cluster))


def test_stop_engines_keeps_the_hub(make_cluster):
    cluster = ready(make_cluster(n=2))
    cluster.stop_engines_sync()
    assert cluster.controller.running
    assert engine_ids(cluster) == []
    assert processes_of(cluster) == []


def test_an_unknown_set_is_named(make_cluster):
    cluster = ready(make_cluster())
    with pytest.raises(KeyError, match="no engine set 'x'"):
        cluster.stop_engines_sync("x")


def test_one_engine_is_stopped_and_the_others_stay(make_cluster):
    cluster = ready(make_cluster(n=3))
    cluster.stop_engine_sync(1)
    assert engine_ids(cluster) == [0, 2]
    with pytest.raises(UsageError, match="no engine 1; there are 0,2"):
        cluster.stop_engine_sync(1)


def test_one_engine_is_signalled(make_cluster):
    cluster = ready(make_cluster(n=2))
    cluster.signal_engine_sync(0, signal.SIGKILL)
    wait_until(lambda: engine_ids(cluster) == [1], 5, "engine 0 to go")


def test_a_set_is_signalled(make_cluster):
    cluster = ready(make_cluster(n=2))
    cluster.signal_engines_sync(signal.SIGKILL)
    wait_until(lambda: engine_ids(cluster) == [], 5, "all engines to go")


def test_the_same_cluster_starts_only_once(make_cluster):
    ready(make_cluster(cluster_id="one"))
    with pytest.raises(AlreadyRunning, match="'one' is already running"):
        make_cluster(cluster_id="one").start_cluster_sync()


def test_of_two_who_start_at_once_one_is_refused(make_cluster):
    clusters = [make_cluster(cluster_id="race") for _ in range(2)]
    refused = []

    def start(cluster):
        try:
            cluster.start_cluster_sync()
        except AlreadyRunning as error:
            refused.append(error)

    threads = [threading.Thread(target=start, args=[c]) for c in clusters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    clusters[0].wait_for_engines_sync(1)


def test_an_unknown_keyword_is_a_sentence():
    with pytest.raises(TypeError, match="Cluster has no argument 'engine_count'"):
        Cluster(engine_count=4)


def test_what_ipyparallels_users_write_is_taken():
    cluster = Cluster(delay=1, controller_ip="127.0.0.1", engine_launcher_class="MPI")
    assert cluster._request.ip == "127.0.0.1"
    with pytest.raises(TypeError, match="not both"):
        Cluster(engines="mpi", engine_launcher_class="local")


def test_no_engines_are_no_number():
    with pytest.raises(UsageError, match="at least 1, not 0"):
        Cluster(n=0).start_cluster_sync()


def test_a_cluster_is_found_by_its_file(make_cluster):
    cluster = ready(make_cluster(cluster_id="found", n=2))
    other = Cluster.from_file(cluster.cluster_file)
    assert other.cluster_id == "found"
    assert list(other.engines) == list(cluster.engines)
    other.stop_cluster_sync()
    assert cluster.controller.state == "after"


def test_a_file_that_is_not_there_is_a_sentence(home):
    with pytest.raises(UsageError, match="Start a cluster with `steer start`"):
        Cluster.from_file()


def test_to_dict_and_back(tmp_path):
    cluster = Cluster(profile_dir=tmp_path, cluster_id="x", n=3, engines="local")
    again = Cluster.from_dict(cluster.to_dict())
    assert again.to_dict() == cluster.to_dict()
    assert not again.shutdown_atexit


def test_it_can_be_awaited(make_cluster):
    cluster = make_cluster(n=2)

    async def life():
        await cluster.start_cluster()
        await cluster.wait_for_engines()
        ids = engine_ids(cluster)
        await cluster.stop_cluster()
        return ids

    assert asyncio.run(life()) == [0, 1]
    assert cluster.controller.state == "after"


def test_the_environment_reaches_the_engines(make_cluster, tmp_path):
    cluster = ready(make_cluster(environment={"STEER_TEST_COLOUR": "blue"}))
    (pid,) = processes_of(cluster)
    assert b"STEER_TEST_COLOUR=blue" in Path(f"/proc/{pid}/environ").read_bytes()


def test_engines_run_where_they_are_told_to(make_cluster, tmp_path):
    cluster = ready(make_cluster(cwd=tmp_path))
    (pid,) = processes_of(cluster)
    assert os.readlink(f"/proc/{pid}/cwd") == str(tmp_path)


# -- when things go wrong


def test_a_launcher_that_fails_is_told_at_once(make_cluster, tmp_path):
    recipe = tmp_path / "broken.toml"
    script = "echo out of luck >&2; exit 3"
    recipe.write_text(
        'description = "broken"\nkind = "direct"\n'
        f'launch = ["sh", "-c", "{script}", "{{engine}}"]\n'.replace(', "{engine}"', "")
    )
    cluster = make_cluster(engines=str(recipe), n=2)
    cluster.start_cluster_sync()
    with pytest.raises(LaunchError) as caught:
        cluster.wait_for_engines_sync(2)
    text = str(caught.value)
    assert "out of luck" in text
    assert "status 3" in text


def test_engines_that_do_not_come_are_counted(make_cluster, tmp_path):
    recipe = tmp_path / "idle.toml"
    recipe.write_text(
        'description = "idle"\nkind = "direct"\nlaunch = ["sleep", "60"]\n'
    )
    cluster = make_cluster(engines=str(recipe), n=2, engine_timeout=0.3)
    cluster.start_cluster_sync()
    with pytest.raises(TimeoutError, match=r"Only 0 of 2 engines were there"):
        cluster.wait_for_engines_sync(2)


def test_an_unknown_recipe_is_a_sentence_and_leaves_only_logs(make_cluster):
    cluster = make_cluster(engines="nix")
    with pytest.raises(LaunchError, match='No recipe is called "nix"'):
        cluster.start_cluster_sync()
    assert {p.suffix for p in Path(cluster.cluster_file).parent.iterdir()} == {
        ".log"
    } | {""}


def test_a_killed_hub_is_restored_with_its_engines(make_cluster):
    cluster = ready(make_cluster(n=2, cluster_id="phoenix"))
    engines = processes_of(cluster)
    hub = Connection.read(cluster.cluster_file).hub_pid
    os.kill(hub, signal.SIGKILL)
    wait_until(lambda: not cluster.controller.running, 5, "the hub's end")
    assert [one.state for one in cluster.engines.values()] == ["running"]

    cluster.start_controller_sync(restore=True)
    cluster.wait_for_engines_sync(2)

    assert processes_of(cluster) == engines
    assert Connection.read(cluster.cluster_file).hub_pid != hub
    assert engine_ids(cluster) == [0, 1]


def test_a_start_does_not_forget_living_engines(make_cluster):
    cluster = ready(make_cluster(cluster_id="phoenix"))
    os.kill(Connection.read(cluster.cluster_file).hub_pid, signal.SIGKILL)
    wait_until(lambda: not cluster.controller.running, 5, "the hub's end")
    with pytest.raises(UsageError, match="start --restore --cluster-id phoenix"):
        make_cluster(cluster_id="phoenix").start_cluster_sync()


def test_a_restore_of_nothing_is_a_sentence(make_cluster):
    with pytest.raises(UsageError, match="nothing to restore"):
        make_cluster(cluster_id="never").start_controller_sync(restore=True)


def test_stale_files_are_replaced_and_it_is_said(make_cluster):
    cluster = ready(make_cluster(cluster_id="stale"))
    hub = Connection.read(cluster.cluster_file).hub_pid
    for pid in (hub, *processes_of(cluster)):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes_of(cluster), 5, "the processes' end")
    wait_until(lambda: not is_alive(hub), 5, "the hub's end")
    again = ready(make_cluster(cluster_id="stale"))
    assert "whose hub is gone" in again.replaced
    assert engine_ids(again) == [0]


def test_a_killed_hub_does_not_keep_stop_from_stopping(make_cluster):
    cluster = ready(make_cluster(n=2))
    os.kill(Connection.read(cluster.cluster_file).hub_pid, signal.SIGKILL)
    cluster.stop_cluster_sync()
    assert not processes_of(cluster)


def test_a_hub_that_hangs_is_killed(make_cluster, caplog, monkeypatch):
    monkeypatch.setattr("steer.client.cluster.QUESTION", 0.3)
    cluster = ready(make_cluster(n=2))
    cluster._close_link()
    os.kill(Connection.read(cluster.cluster_file).hub_pid, signal.SIGSTOP)
    cluster.stop_cluster_sync()
    assert not processes_of(cluster)
    assert "does not answer" in caplog.text


def test_a_port_in_use_is_a_sentence(make_cluster):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cluster = make_cluster(ip="127.0.0.1", port=port)
        with pytest.raises(LaunchError, match=rf"cannot listen on 127.0.0.1:{port}"):
            cluster.start_cluster_sync()
    assert not processes_of(cluster)


SCRIPT = """
import os, sys
from steer.client.cluster import Cluster
cluster = Cluster(n=2, engines="local", cluster_id="child", shutdown_atexit={atexit})
cluster.start_cluster_sync()
cluster.wait_for_engines_sync()
print("ready", flush=True)
{then}
"""


def run_child(then, atexit=True):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(then=then, atexit=atexit)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_program_that_ends_stops_its_cluster(home):
    with run_child("") as child:
        assert child.stdout.read() == "ready\n"
    assert child.returncode == 0
    with pytest.raises(UsageError):
        Cluster.from_file(cluster_id="child")


def test_a_program_may_leave_its_cluster_running(home):
    with run_child("", atexit=False) as child:
        assert child.stdout.read() == "ready\n"
    cluster = Cluster.from_file(cluster_id="child")
    assert cluster.controller.running
    cluster.stop_cluster_sync()


def test_a_killed_client_leaves_the_cluster_at_work(home):
    with run_child("sys.stdin.read()") as child:
        assert child.stdout.readline() == "ready\n"
        child.kill()
    cluster = Cluster.from_file(cluster_id="child")
    assert engine_ids(cluster) == [0, 1]
    cluster.stop_cluster_sync()
    assert not processes_of(cluster)


def test_a_forked_child_does_not_stop_its_parents_cluster(home):
    fork = "pid = os.fork()\nif pid: os.waitpid(pid, 0); sys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT.format(then=fork, atexit=True)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout.readline() == "ready\n"
        cluster = Cluster.from_file(cluster_id="child")
        assert engine_ids(cluster) == [0, 1]
        cluster._close_link()
        child.stdin.close()
    with pytest.raises(SteerError):
        Cluster.from_file(cluster_id="child")


def test_a_profile_says_what_the_call_does_not(tmp_path):
    (tmp_path / "steer_config.py").write_text(
        "c.Cluster.n = 3\nc.Cluster.engines = 'local'\nc.Cluster.engine_timeout = 7\n"
    )
    said = Cluster(profile_dir=tmp_path)
    assert (said.n, said._request.engines, said.engine_timeout) == (3, "local", 7)
    overruled = Cluster(profile_dir=tmp_path, n=2, engines="mpi", engine_timeout=9)
    assert (overruled.n, overruled._request.engines) == (2, "mpi")
    assert overruled.engine_timeout == 9

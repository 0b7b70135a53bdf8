"""The hub of a cluster that belongs to a process."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steer.client.cluster import Cluster
from steer.node.processes import find_by_environment, is_alive
from steer.testing import wait_until


@pytest.fixture
def owner():
    wait = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", wait], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


@pytest.fixture
def owned(owner, private_home):
    cluster = Cluster(engines="local", n=1, owner=owner.pid, shutdown_atexit=False)
    cluster.start_cluster_sync()
    yield cluster
    cluster.stop_cluster_sync()


def processes_of(cluster):
    return find_by_environment({"STEER_CONNECTION": cluster.cluster_file})


def test_a_cluster_ends_with_its_killed_owner_and_leaves_no_files(owner, owned):
    owned.wait_for_engines_sync()
    hub = owned.controller.pid
    owner.send_signal(signal.SIGKILL)  # and nobody reaps it: a zombie has ended too
    folder = Path(owned.cluster_file).parent
    wait_until(lambda: not is_alive(hub), 8, "the hub to end")
    wait_until(lambda: not folder.exists(), 5, "its folder to go")
    assert processes_of(owned) == []


def test_an_owner_that_is_gone_already_ends_the_hub(owner, private_home):
    owner.kill()
    owner.wait()
    cluster = Cluster(engines="local", n=1, owner=owner.pid, shutdown_atexit=False)
    cluster.start_cluster_sync()
    hub = cluster.controller.pid
    wait_until(lambda: not is_alive(hub), 8, "the hub to end")
    assert processes_of(cluster) == []
    cluster.stop_cluster_sync()


def test_a_stopped_cluster_with_a_living_owner_leaves_it_alone(owner, owned):
    owned.wait_for_engines_sync()
    owned.stop_cluster_sync()
    assert owner.poll() is None

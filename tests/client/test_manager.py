"""ClusterManager, and cleaning through its function."""

import os
import signal

import pytest

from steer.client.manager import ClusterManager, clean_cluster_files
from steer.config import Connection
from steer.testing.waiting import wait_until


def test_a_running_cluster_is_loaded_and_stopped_by_its_key(make_cluster):
    cluster = make_cluster(cluster_id="c", n=2).start_cluster_sync()
    manager = ClusterManager()
    assert list(manager.load_clusters()) == ["default:c"]
    found = manager.get_cluster("default:c")
    found.stop_cluster_sync()
    assert not cluster.controller.running
    assert manager.load_clusters() == {}


def test_a_new_cluster_stays_until_it_is_removed(home):
    manager = ClusterManager()
    key, cluster = manager.new_cluster(cluster_id="x", shutdown_atexit=False)
    assert key == "default:x"
    assert manager.load_clusters() == {key: cluster}
    with pytest.raises(KeyError, match="There is a cluster 'default:x' already"):
        manager.new_cluster(cluster_id="x", shutdown_atexit=False)
    manager.remove_cluster(key)
    assert manager.clusters == {}
    with pytest.raises(KeyError, match="no cluster 'default:x'"):
        manager.get_cluster(key)


def test_profiles_get_a_default_cluster_if_asked(home):
    manager = ClusterManager()
    found = manager.load_clusters(profiles=["a", "b"], init_default_clusters=True)
    assert list(found) == ["a:", "b:"]
    assert found["a:"].controller.state == "before"


def test_cleaning_spares_what_runs_and_ends_what_has_lost_its_hub(make_cluster, home):
    running = make_cluster(cluster_id="running").start_cluster_sync()
    dead = make_cluster(cluster_id="dead").start_cluster_sync()
    os.kill(Connection.read(dead.cluster_file).hub_pid, signal.SIGKILL)
    wait_until(lambda: not dead.controller.running, 5, "the hub's end")
    said = []
    done = clean_cluster_files([str(home / "profile_default")], log=said.append)
    assert done == said
    assert "Removed the files of cluster 'dead'." in done
    assert running.controller.running
    assert not os.path.exists(os.path.dirname(dead.cluster_file))

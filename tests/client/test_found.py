"""The states of a cluster, seen from its files and processes only."""

import fcntl
import os

import pytest

from steer.client.found import (
    Found,
    State,
    find_all,
    find_in,
    leftover_folders,
    lock_path,
    look,
)
from steer.config import ClusterFiles, Connection
from steer.hosts import host_name, kernel
from steer.node.processes import start_time


def write(files, **fields):
    files.make()
    given = {"host": host_name(), "boot": kernel(), **fields}
    Connection(cluster_id=files.cluster_id, ipc="ipc:///none", **given).write(
        files.connection
    )
    return files


@pytest.fixture
def files(home):
    return ClusterFiles(cluster_id="c")


def test_a_cluster_whose_hub_lives_is_running(files):
    me = os.getpid()
    write(files, hub_pid=me, hub_began=start_time(me))
    assert look(files).state is State.RUNNING


def test_a_pid_that_was_given_to_another_process_is_no_hub(files):
    me = os.getpid()
    write(files, hub_pid=me, hub_began=start_time(me) - 1)
    assert look(files).state is State.STALE


def test_a_cluster_that_somebody_locks_is_starting(files):
    write(files)
    with open(lock_path(files), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert look(files).state is State.STARTING
        assert look(files, lock_is_ours=True).state is State.STALE
    assert look(files).state is State.STALE


def test_a_file_from_another_host_says_nothing_here(files):
    write(files, host="far-away", boot="another-boot:pid:[1]")
    assert look(files).state is State.ELSEWHERE


def test_a_file_from_before_a_reboot_is_stale(files):
    me = os.getpid()
    write(files, boot="another-boot:pid:[1]", hub_pid=me, hub_began=start_time(me))
    assert look(files).state is State.STALE


def test_a_file_that_cannot_be_read_is_stale_and_says_why(files):
    write(files)
    files.connection.write_text("nonsense")
    found = look(files)
    assert found.state is State.STALE
    assert "is not a connection file" in found.problem


def test_next_steps_name_the_cluster():
    files = ClusterFiles("work", "c")
    step = Found(files, State.DEAD, None).next_step
    assert "steer start --restore --cluster-id c --profile work" in step
    assert Found(files, State.RUNNING, None).next_step == ""


def test_clusters_are_found_by_profile_and_by_folder(home):
    write(ClusterFiles("a", "one"))
    write(ClusterFiles("b", ""))
    assert [f.name for f in find_all()] == ["one", "default"]
    assert [f.name for f in find_all("a")] == ["one"]
    assert [f.name for f in find_in(home / "profile_b")] == ["default"]


def test_folders_with_nothing_but_logs_are_leftovers(home):
    write(ClusterFiles("a", "one"))
    left = ClusterFiles("a", "two").make()
    left.log("hub").write_text("what it said")
    assert list(leftover_folders()) == [left.folder]

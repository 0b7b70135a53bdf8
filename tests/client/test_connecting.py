"""Which cluster a client means."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from steer.client.connecting import find_connection
from steer.config import ClusterFiles, Connection
from steer.errors import UsageError
from steer.node.processes import start_time


def write(name: str, *, alive: bool = True) -> Connection:
    """Leave a connection file; the hub that lives is this process."""
    files = ClusterFiles("", name).make()
    began = start_time(os.getpid()) or 0
    connection = Connection(
        cluster_id=name, host="here", ipc="ipc://x",
        hub_pid=os.getpid(), hub_began=began if alive else began + 1,
    )  # fmt: skip
    connection.write(files.connection)
    return connection


def find(info: object = None, cluster_id: str = "") -> Connection:
    return find_connection(info, "", None, cluster_id)


def test_by_file_description_or_name(home: Path) -> None:
    connection = write("one")
    path = ClusterFiles("", "one").connection
    described = msgspec.json.decode(path.read_bytes())
    for info in (connection, path, str(path), described):
        assert find(info) == connection
    assert find(cluster_id="one") == connection
    by_folder = find_connection(None, "", home / "profile_default", "one")
    assert by_folder == connection


def test_the_only_one_that_runs(home: Path) -> None:
    with pytest.raises(UsageError, match="No cluster is running"):
        find()
    write("dead", alive=False)
    with pytest.raises(UsageError, match="No cluster is running"):
        find()
    connection = write("one")
    assert find() == connection
    write("two")
    with pytest.raises(UsageError, match="Several clusters are running: 'one', 'two'"):
        find()


def test_what_is_no_cluster_is_said_in_words(home: Path) -> None:
    with pytest.raises(UsageError, match="no description of a connection"):
        find({"url": 3})
    with pytest.raises(UsageError, match="There is no connection file"):
        find(cluster_id="nowhere")
    with pytest.raises(ValueError, match="takes a connection file, not an address"):
        find("tcp://10.0.0.1:99")

"""Which cluster a `Client` means: by file, by description, by name, or the one there
is.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from steer.client.filewatch import FileWatch
from steer.config import ClusterFiles, Connection, list_clusters
from steer.errors import UsageError
from steer.node.processes import same_process


def find_connection(
    info: Any, profile: str, profile_dir: str | os.PathLike[str] | None, cluster_id: str
) -> Connection:
    """The connection that these arguments of `Client` name."""
    if isinstance(info, Connection):
        return info
    if isinstance(info, Mapping):
        try:
            return msgspec.convert(info, Connection)
        except msgspec.ValidationError as error:
            raise UsageError(
                f"This is no description of a connection: {error}."
            ) from None
    if isinstance(info, str) and "://" in info:
        raise ValueError(
            f"A Client takes a connection file, not an address like {info}."
        )
    if info is not None:
        return Connection.read(Path(info).expanduser())
    folder = Path(profile_dir) if profile_dir else None
    files = ClusterFiles(profile, cluster_id, folder)
    if cluster_id or folder or files.connection.exists():
        return Connection.read(files.connection)
    return _only_one(profile)


def wait_for_hub(files: ClusterFiles, seconds: float) -> bool:
    """Whether the hub of a cluster is there within some seconds."""
    deadline = time.monotonic() + seconds
    with FileWatch(files.make().folder) as news:
        poller = select.poll()
        poller.register(news, select.POLLIN)
        while not _lives(files):
            left = deadline - time.monotonic()
            if left <= 0 or not poller.poll(left * 1000):
                return _lives(files)
            news.drain()
    return True


def _lives(files: ClusterFiles) -> bool:
    try:
        connection = Connection.read(files.connection)
    except UsageError:
        return False
    return same_process(connection.hub_pid, connection.hub_began)


def _only_one(profile: str) -> Connection:
    """The one that runs, if nobody said which."""
    running = []
    for files in list_clusters(profile):
        connection = Connection.read(files.connection)
        if same_process(connection.hub_pid, connection.hub_began):
            running.append(connection)
    if len(running) == 1:
        return running[0]
    if not running:
        raise UsageError(
            "No cluster is running. Start one with `steer start -n 4`, or here with "
            "`steer.Cluster(n=4)`."
        )
    names = ", ".join(repr(c.cluster_id) for c in running)
    raise UsageError(f"Several clusters are running: {names}. Name one by cluster_id=.")

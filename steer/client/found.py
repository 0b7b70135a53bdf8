"""What is known of a cluster from outside: its files, its hub's process, its engines'.

No hub is asked here, so this works for clusters whose hub is dead, hangs, or was killed
in the middle of something. A cluster is

    running     its hub lives
    starting    somebody is just starting it
    elsewhere   its hub is on another host, where nobody here can look
    dead        its hub is gone, engines still live: restore it, or end them
    stale       nothing lives: what is left are files
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from steer.config import ClusterFiles, Connection, ipython_dir, list_clusters
from steer.errors import UsageError
from steer.hosts import host_name, kernel
from steer.node.processes import (
    Process,
    find_by_environment,
    is_alive,
    pids,
    same_process,
    start_time,
)

__all__ = [
    "Found",
    "State",
    "connection_path",
    "find_all",
    "find_in",
    "hub_lives",
    "look",
]
__all__ += ["is_locked", "leftover_folders", "living_jobs", "lock_path"]
__all__ += ["strays"]


class State(Enum):
    """See the head of this file."""

    RUNNING = "running"
    STARTING = "starting"
    ELSEWHERE = "elsewhere"
    DEAD = "dead"
    STALE = "stale"


@dataclass(frozen=True)
class Found:
    """One cluster, as it was at one moment."""

    files: ClusterFiles
    state: State
    connection: Connection | None
    orphans: tuple[Process, ...] = ()
    """Living processes of a cluster without a hub."""
    problem: str = ""
    """Why its connection file cannot be read."""

    @property
    def name(self) -> str:
        """How its user calls it."""
        return self.files.cluster_id or "default"

    @property
    def engines(self) -> int:
        """How many engines its jobs were asked for."""
        jobs = self.connection.jobs if self.connection else []
        return sum(int(job["n"]) for job in jobs)

    @property
    def launchers(self) -> str:
        """The recipes of its jobs."""
        jobs = self.connection.jobs if self.connection else []
        return ", ".join(dict.fromkeys(str(job["job"]["recipe"]) for job in jobs))

    @property
    def next_step(self) -> str:
        """What its user should do, if anything."""
        option = f" --cluster-id {self.name}" if self.files.cluster_id else ""
        if self.files.profile not in ("", "default"):
            option += f" --profile {self.files.profile}"
        match self.state:
            case State.DEAD:
                return (
                    f"`steer start --restore{option}` brings the hub back, "
                    "`steer clean` ends the engines"
                )
            case State.STALE:
                return "`steer clean` removes its files"
            case _:
                return ""


def connection_path(files: ClusterFiles) -> Path:
    """The connection file's one true name, as the processes of the cluster know it."""
    return Path(os.path.abspath(files.connection))


def lock_path(files: ClusterFiles) -> Path:
    """The file that whoever starts a cluster, and then its hub, holds locked."""
    return files.folder / "lock"


def look(files: ClusterFiles, *, lock_is_ours: bool = False) -> Found:
    """Find out about one cluster."""
    locked = not lock_is_ours and is_locked(files)
    try:
        connection = Connection.read(files.connection)
    except UsageError as error:
        if locked:
            return Found(files, State.STARTING, None)
        left = _processes(files)
        state = State.DEAD if left else State.STALE
        problem = str(error) if files.connection.exists() else ""
        return Found(files, state, None, left, problem)
    if connection.boot and connection.boot != kernel():
        state = State.STALE if _before_reboot(connection) else State.ELSEWHERE
        return Found(files, state, connection)
    if hub_lives(connection):
        return Found(files, State.RUNNING, connection)
    if locked:
        return Found(files, State.STARTING, connection)
    left = _processes(files)
    return Found(files, State.DEAD if left else State.STALE, connection, left)


def _before_reboot(connection: Connection) -> bool:
    """Whether it ran here, but before this host was started again."""
    boot = kernel().partition(":")[0]
    return connection.host == host_name() and connection.boot.partition(":")[0] != boot


def hub_lives(connection: Connection) -> bool:
    """Whether the hub that wrote this file is still the process it was."""
    return (
        connection.hub_pid > 0
        and same_process(connection.hub_pid, connection.hub_began)
        and is_alive(connection.hub_pid)
    )


def is_locked(files: ClusterFiles) -> bool:
    """Whether somebody is starting this cluster, or its hub lives."""
    try:
        fd = os.open(lock_path(files), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno == errno.EWOULDBLOCK
    finally:
        os.close(fd)
    return False


def _processes(files: ClusterFiles) -> tuple[Process, ...]:
    marks = {"STEER_CONNECTION": str(connection_path(files))}
    return tuple(sorted(find_by_environment(marks)))


def living_jobs(files: ClusterFiles) -> set[str]:
    """The jobs of which something lives, whether or not there is a hub to ask."""
    try:
        jobs = [entry["job"] for entry in Connection.read(files.connection).jobs]
    except UsageError:
        return set()
    return {str(job["id"]) for job in jobs if find_by_environment(job["marks"])}


def find_all(profile: str | None = None) -> list[Found]:
    """All clusters of a profile, or of all profiles."""
    return [look(files) for files in list_clusters(profile)]


_MARK = re.compile(rb"(?:^|\0)STEER_CONNECTION=([^\0]+)")
_HUB = re.compile(rb"\0steer\.hub\0--connection\0([^\0]+)")


def strays() -> dict[str, list[Process]]:
    """Hubs, launchers and engines whose connection file is gone, by its path."""
    found: dict[str, list[Process]] = {}
    for pid in pids():
        match = _MARK.search(_read(pid, "environ")) or _HUB.search(
            _read(pid, "cmdline")
        )
        began = start_time(pid)
        if pid == os.getpid() or match is None or began is None or not is_alive(pid):
            continue
        path = os.fsdecode(match[1])
        # As that process sees it: a container has files of its own.
        if not os.path.exists(f"/proc/{pid}/root{path}"):
            found.setdefault(path, []).append(Process(pid, began))
    return found


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # gone meanwhile, or another user's
        return b""


def find_in(profile_folder: Path) -> list[Found]:
    """All clusters of a profile that is named by its folder."""
    found = []
    for path in sorted(profile_folder.glob("steer/*/cluster.json")):
        name = path.parent.name
        files = ClusterFiles(
            cluster_id="" if name == "default" else name,
            profile_folder=profile_folder,
        )
        found.append(look(files))
    return found


def leftover_folders(profile_folders: list[Path] | None = None) -> Iterator[Path]:
    """Folders of clusters that are over: logs without a connection file."""
    if profile_folders is None:
        profile_folders = sorted(ipython_dir().glob("profile_*"))
    for profile_folder in profile_folders:
        for folder in sorted(profile_folder.glob("steer/*")):
            if folder.is_dir() and not (folder / "cluster.json").exists():
                yield folder

"""Remove what dead clusters have left: processes, sockets, files, shared memory of MPI.

Whatever belongs to something that lives stays, unless force is used; and what cannot be
known to be ours (another user's, another host's) stays always.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

from steer.client.asking import ask_to_end
from steer.client.found import (
    Found,
    State,
    find_all,
    find_in,
    is_locked,
    leftover_folders,
    strays,
)
from steer.client.stopping import (
    KILL_PATIENCE,
    end_by_force,
    remove_files,
    stop_cluster,
    wait_gone,
)
from steer.config import ClusterFiles, runtime_dir
from steer.node import sweep
from steer.node.signals import send_all

__all__ = ["clean_cluster_files", "clean_host"]

Say = Callable[[str], None]

MAKING = 60.0
"""Seconds after which a shared file that nobody maps will not be mapped any more."""


def clean_cluster_files(
    profile_dirs: list[str] | None = None,
    *,
    log: Say | None = None,
    force: bool = False,
) -> list[str]:
    """Clean up after the clusters of these profile folders, or of all profiles.

    Clusters that run are left alone, or with force ended. Returns what was done, one
    sentence each, and gives each to `log`.
    """
    done: list[str] = []

    def say(text: str) -> None:
        done.append(text)
        if log is not None:
            log(text)

    if profile_dirs is None:
        clusters = find_all()
    else:
        clusters = [f for folder in profile_dirs for f in find_in(Path(folder))]
    for found in clusters:
        _clean(found, force, say)
    folders = None if profile_dirs is None else [Path(d) for d in profile_dirs]
    for folder in leftover_folders(folders):
        if not is_locked(
            ClusterFiles(cluster_id=folder.name, profile_folder=folder.parents[1])
        ):
            shutil.rmtree(folder, ignore_errors=True)
            say(f"Removed the logs in {folder}.")
    return done


def _clean(found: Found, force: bool, say: Say) -> None:
    match found.state:
        case State.RUNNING if force:
            stop_cluster(found.files, ask_to_end, say)
            say(f"Stopped cluster {found.name!r}.")
        case State.DEAD | State.STALE:
            killed = end_by_force(found.files, found.connection)
            if killed:
                say(f"Ended {len(killed)} processes of cluster {found.name!r}.")
            remove_files(found.files, found.connection, logs=True)
            say(f"Removed the files of cluster {found.name!r}.")
        case State.RUNNING | State.STARTING | State.ELSEWHERE:
            pass


def clean_host() -> list[str]:
    """Clean what no cluster's files lead to: stray ranks, sockets, files of MPI."""
    done: list[str] = []
    for path, processes in strays().items():
        mapped = {name for p in processes for name in sweep.mapped_by(p.pid)}
        killed = send_all(processes, signal.SIGKILL)
        wait_gone(killed, KILL_PATIENCE)
        sweep.sweep(mapped)
        done.append(
            f"Ended {len(killed)} processes of a cluster whose file {path} is gone."
        )
    for dead in _dead_sockets():
        dead.unlink(missing_ok=True)
        done.append(f"Removed the socket {dead}.")
    now = time.time()
    left = sweep.sweep(_old_shared_files(now)) + sweep.sweep_topology(0.0, now - MAKING)
    return done + [f"Removed {name}, which an MPI program has left." for name in left]


def _dead_sockets() -> list[Path]:
    """Our local sockets on which nobody listens."""
    return [
        path
        for path in runtime_dir().iterdir()
        if stat.S_ISSOCK(path.lstat().st_mode) and not _listens(path)
    ]


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError:  # busy, or not ours to know
            return True
    return True


def _old_shared_files(now: float) -> list[str]:
    """All files in /dev/shm that are not just being made; `sweep` knows MPI's own."""
    old = []
    for path in Path("/dev/shm").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_mtime < now - MAKING:
                old.append(str(path))
    return old

"""How a cluster ends: its hub is asked, and where that does not help, all is killed.

The hub ends its engines itself, politely at first (core/ending.py), and is watched
until its process is gone. Where there is no hub to ask, or none that answers, the
processes are found by what they inherited from their job, and killed; what they leave
in /dev/shm and in our folders is removed.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from steer.client.found import State, connection_path, hub_lives, look
from steer.config import ClusterFiles, Connection
from steer.errors import SteerError
from steer.launch.job import Job
from steer.node import sweep
from steer.node.processes import Process, find_by_environment, same_process
from steer.node.signals import send_all
from steer.node.watch import Watch

__all__ = ["end_by_force", "remove_files", "stop_cluster", "wait_gone"]

HUB_PATIENCE = 7.0
"""Seconds that a hub may need to end: its own three steps take five."""

KILL_PATIENCE = 5.0
"""Seconds in which killed processes must be gone."""

Say = Callable[[str], None]


def stop_cluster(
    files: ClusterFiles,
    ask: Callable[[Connection], None],
    say: Say | None = None,
    *,
    keep_logs: bool = False,
) -> bool:
    """End a cluster, whatever state it is in; False if there is nothing to end.

    `ask` asks its hub to end, and may fail: then it is killed, and `say` is told why.
    """
    say = say or (lambda text: None)
    found = look(files)
    if found.connection is None and not found.orphans:
        return False
    if found.state is State.ELSEWHERE and found.connection is not None:
        ask(found.connection)  # nobody here could do more
        return True
    clean = False
    if found.state is State.RUNNING and found.connection is not None:
        clean = _ask_hub(found.connection, ask, say)
    if not clean:
        latest = look(files)
        killed = end_by_force(files, latest.connection or found.connection)
        if killed:
            say(f"Killed {len(killed)} processes of cluster {found.name!r}.")
    remove_files(files, found.connection, logs=clean and not keep_logs)
    return True


def _ask_hub(
    connection: Connection, ask: Callable[[Connection], None], say: Say
) -> bool:
    hub = Process(connection.hub_pid, connection.hub_began)
    name = connection.cluster_id or "default"
    try:
        ask(connection)
    except SteerError as error:
        say(f"The hub of cluster {name!r} does not answer ({error}); killing it.")
        return False
    if wait_gone([hub], HUB_PATIENCE):
        say(
            f"The hub of cluster {name!r} was asked to end and still runs after "
            f"{HUB_PATIENCE:.0f} s; killing it."
        )
        return False
    return True


def end_by_force(files: ClusterFiles, connection: Connection | None) -> list[Process]:
    """Kill hub, launchers and engines, wait until they are gone, sweep; who was there.

    The hub goes first, so that it starts and writes nothing more.
    """
    killed: list[Process] = []
    if connection is not None and hub_lives(connection):
        hub = Process(connection.hub_pid, connection.hub_began)
        killed += send_all([hub], signal.SIGKILL)
        wait_gone([hub], KILL_PATIENCE)
    jobs = [Job.adopt(entry["job"]) for entry in connection.jobs] if connection else []
    marks = {"STEER_CONNECTION": str(connection_path(files))}
    mapped: set[str] = set()
    deadline = time.monotonic() + KILL_PATIENCE
    while time.monotonic() < deadline:
        # Again, because a launcher may have been starting one more just now.
        living = set(find_by_environment(marks))
        living.update(process for job in jobs for process in job.processes())
        if not living:
            break
        mapped.update(name for p in living for name in sweep.mapped_by(p.pid))
        killed += send_all(sorted(living), signal.SIGKILL)
        wait_gone(living, deadline - time.monotonic())
    for job in jobs:
        job.sweep(mapped)
        job.close()
    sweep.sweep(mapped)
    return killed


def wait_gone(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Wait for processes to end, and reap our children; those that are still there."""
    poller = select.poll()
    watches: dict[int, tuple[Process, Watch]] = {}
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            watch = Watch.on(process)
            watches[watch.fileno()] = process, watch
            poller.register(watch.fileno(), select.POLLIN)
    deadline = time.monotonic() + seconds
    try:
        while watches:
            left = max(0.0, deadline - time.monotonic())
            ready = poller.poll(left * 1000)
            for fd, _ in ready:
                poller.unregister(fd)
                process, watch = watches.pop(fd)
                watch.close()
                _reap(process)
            if not ready:
                break
        return sorted(process for process, _ in watches.values())
    finally:
        for _, watch in watches.values():
            watch.close()


def _reap(process: Process) -> None:
    """Take the status of a child of ours that has ended, so that no zombie stays.

    By start time too: its number may already be that of another child.
    """
    if same_process(*process):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


# -- files


def remove_files(
    files: ClusterFiles,
    connection: Connection | None,
    *,
    logs: bool,
    keep_lock: bool = False,
) -> None:
    """Remove a cluster's files; without `logs` those stay, to be read."""
    if connection is not None:
        _unlink(Path(connection.ipc.removeprefix("ipc://")))
    folder = files.folder
    with contextlib.suppress(FileNotFoundError):
        for path in list(folder.iterdir()):
            if path.suffix == ".log" and not logs:
                continue
            if path.name == "lock" and keep_lock:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                _unlink(path)
    for empty in (folder, folder.parent):
        with contextlib.suppress(OSError):  # not empty: it is not over with
            empty.rmdir()


def _unlink(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()

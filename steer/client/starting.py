"""How a cluster comes to life: files, a hub, and waiting until it listens.

    we ── lock, connection file, Popen ──> hub ── mpiexec ──> ranks
    we <── its connection file, replaced: the hub listens (or its pidfd: it is dead)

The hub starts the engines itself, before anything else, and is their launcher's parent;
so nothing here waits for anything but the hub's sockets. It inherits our lock on the
cluster's folder: of two who start the same cluster at once, one is told so.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from steer import importpath
from steer.client.filewatch import FileWatch
from steer.client.found import (
    Found,
    State,
    connection_path,
    hub_lives,
    lock_path,
    look,
)
from steer.client.stopping import end_by_force, remove_files, wait_gone
from steer.config import ClusterFiles, Connection
from steer.errors import LaunchError, UsageError
from steer.hosts import host_name, kernel
from steer.launch import diagnose
from steer.node.processes import Process, start_time
from steer.node.watch import Exit, Watch, describe

__all__ = ["AlreadyRunning", "Request", "recipe_name", "restore_hub", "start_hub"]

HUB_TIMEOUT = 20.0
"""Seconds for a hub to listen; it needs a quarter of one, but hosts may be busy."""

DYING = 2.0
"""Seconds that a killed process may need to be gone."""

_ALIASES = {"mpi": "mpiexec"}
_OF_ENGINES = (
    *("STEER_CONNECTION", "STEER_JOB", "STEER_SIZE", "STEER_RECIPE"),
    *("STEER_INDEX", "STEER_LOCAL"),
)
"""Variables by which an engine is known; a hub that is started from one is none."""
_TAIL_LINES = 15


class AlreadyRunning(UsageError):
    """The cluster is there already."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be started; without engines a hub alone."""

    engines: str = "mpi"
    n: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    ip: str = ""
    port: int = 0
    location: str = ""
    log_level: str = "info"
    owner: int | None = None
    """The process that the hub does not outlive."""
    respawn: bool = False
    """Whether engines without MPI are started again when they die."""
    program: tuple[str, ...] = ()
    """What each engine runs: arguments of `python -m steer.engines`."""
    stdio: tuple[int, ...] = ()
    """Descriptors that the engines' launcher gets for its 0, 1 and 2."""


@dataclass
class Hub:
    """A hub that we have started, and the file that it has written."""

    connection: Connection
    replaced: str = ""
    """What was found in its place and removed, as a sentence."""


def recipe_name(engines: str) -> str:
    """The recipe that is meant: "mpi" is what everybody says for "mpiexec"."""
    return _ALIASES.get(engines, engines)


def start_hub(
    files: ClusterFiles, request: Request, meanwhile: Callable[[], None] | None = None
) -> Hub:
    """Start a hub with its first engines; returns as soon as it listens.

    `meanwhile` is called while the hub starts, for what its caller needs afterwards.
    """
    lock = _lock(files)
    try:
        replaced = _make_room(look(files, lock_is_ours=True), files)
        path = connection_path(files)
        new_connection(files, request).write(path)
        arguments = _first_job(request) if request.n else []
        hub = _run(
            files,
            lock,
            [*arguments, *_owner(request), "--log-level", request.log_level],
            request,
            meanwhile,
        )
        hub.replaced = replaced
        return hub
    finally:
        os.close(lock)


def restore_hub(files: ClusterFiles, owner: int | None = None) -> Hub:
    """Start a hub in the place of one that died, on the same connection file."""
    lock = _lock(files)
    try:
        found = look(files, lock_is_ours=True)
        if found.state is State.RUNNING:
            raise AlreadyRunning(_already(files))
        if found.connection is None:
            raise UsageError(
                f"There is nothing to restore: {found.problem or 'no file'} "
                f"({files.connection}). Start a cluster with `steer start`."
            )
        request = Request(owner=owner)
        return _run(files, lock, ["--restore", *_owner(request)], request)
    finally:
        os.close(lock)


def new_connection(files: ClusterFiles, request: Request) -> Connection:
    """What a hub needs to know; it adds its pid, its port and its jobs."""
    connection = Connection(
        cluster_id=files.cluster_id,
        profile=files.profile,
        host=host_name(),
        ipc=files.new_socket(),
        ip=request.ip,
        port=request.port,
        boot=kernel(),
        started=time.time(),
        respawn=request.respawn,
    )
    if not request.ip:
        return connection
    import zmq  # only for TCP's keys; the hub starts while others import it

    public, secret = zmq.curve_keypair()
    server_public, server_secret = zmq.curve_keypair()
    return connection.replace(
        addresses=_addresses(request),
        server_key=server_public,
        server_secret_key=server_secret,
        public_key=public,
        secret_key=secret,
    )


def _addresses(request: Request) -> tuple[str, ...]:
    """Where others find a hub that listens on this address, best first."""
    if request.location:
        return (request.location,)
    if request.ip in ("*", "0.0.0.0", "::"):
        import socket

        return tuple(dict.fromkeys((socket.getfqdn(), host_name())))
    return (request.ip,)


# -- its place


def _lock(files: ClusterFiles) -> int:
    """Hold the cluster's folder; whoever else starts it now is refused."""
    files.make()
    fd = os.open(lock_path(files), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _locked(fd):
        # A killed hub looks dead before the last of its threads lets go of its files.
        _wait_for_the_dying(files)
        if not _locked(fd):
            os.close(fd)
            raise AlreadyRunning(_already(files))
    return fd


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Other errors: a file system without locks, and the hub's pid must do.
        return error.errno != errno.EWOULDBLOCK
    return True


def _wait_for_the_dying(files: ClusterFiles) -> None:
    try:
        connection = Connection.read(files.connection)
    except UsageError:
        return
    if connection.hub_pid and not hub_lives(connection):
        wait_gone([Process(connection.hub_pid, connection.hub_began)], DYING)


def _already(files: ClusterFiles) -> str:
    name = files.cluster_id or "default"
    return (
        f"The cluster {name!r} is already running. Connect to it, stop it with "
        "`steer stop`, or start another one with --cluster-id."
    )


def _make_room(found: Found, files: ClusterFiles) -> str:
    """Remove what a cluster of the same name left, unless something of it lives."""
    name = found.name
    match found.state:
        case State.RUNNING:
            raise AlreadyRunning(_already(files))
        case State.ELSEWHERE:
            host = found.connection.host if found.connection else "another host"
            raise UsageError(
                f"The cluster {name!r} runs on {host}. Stop it there, or start another "
                f"one with --cluster-id; if it is gone, remove {files.connection}."
            )
        case State.DEAD:
            raise UsageError(
                f"The hub of cluster {name!r} is gone, but {len(found.orphans)} of its "
                f"processes still run: {found.next_step}."
            )
        case State.STARTING | State.STALE:
            existed = files.connection.exists()
            remove_files(files, found.connection, logs=True, keep_lock=True)
            if not existed:
                return ""
            return f"Replaced the files of cluster {name!r}, whose hub is gone."


# -- its process


def _first_job(request: Request) -> list[str]:
    arguments = [
        *("--start", recipe_name(request.engines)),
        *("--n", str(request.n)),
        *("--options", msgspec.json.encode(dict(request.options)).decode()),
    ]
    if request.cwd:
        arguments += ["--cwd", os.path.abspath(request.cwd)]
    if request.program:
        arguments += ["--program", msgspec.json.encode(request.program).decode()]
    if request.stdio:
        arguments += ["--stdio", msgspec.json.encode(request.stdio).decode()]
    return arguments


def _owner(request: Request) -> list[str]:
    if request.owner is None:
        return []
    return ["--owner", f"{request.owner}:{start_time(request.owner) or 0}"]


def _run(
    files: ClusterFiles,
    lock: int,
    arguments: list[str],
    request: Request,
    meanwhile: Callable[[], None] | None = None,
) -> Hub:
    path = connection_path(files)
    log = files.log("hub")
    said = log.stat().st_size if log.exists() else 0
    with FileWatch(files.folder) as news:
        held = (lock, *request.stdio)
        child = _spawn(path, log, held, arguments, request.environment)
        try:
            if meanwhile is not None:
                meanwhile()
            connection = _wait_until_it_listens(child, path, news, log, said)
        except BaseException:
            _undo(files, child, keep="--restore" in arguments)
            raise
    child.returncode = 0  # it may outlive us; no warning is due when we forget it
    return Hub(connection)


def _spawn(
    path: Path,
    log: Path,
    held: tuple[int, ...],
    arguments: list[str],
    extra: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    environment = {k: v for k, v in os.environ.items() if k not in _OF_ENGINES}
    importpath.tell(environment)
    environment.update(extra)
    # -P: a file named random.py where the user happens to be must not be ours.
    command = [sys.executable, "-P", "-m", "steer.hub", "--connection", str(path)]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    output = os.open(log, flags, 0o600)
    try:
        return subprocess.Popen(
            [*command, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a notebook's Ctrl-C and a closed terminal
            pass_fds=held,
        )
    finally:
        os.close(output)


def _wait_until_it_listens(
    child: subprocess.Popen[bytes], path: Path, news: FileWatch, log: Path, said: int
) -> Connection:
    deadline = time.monotonic() + HUB_TIMEOUT
    watch = Watch(child.pid)
    try:
        poller = select.poll()
        poller.register(watch.fileno(), select.POLLIN)
        poller.register(news.fileno(), select.POLLIN)
        while True:
            connection = Connection.read(path)
            if connection.hub_pid == child.pid and hub_lives(connection):
                return connection
            left = deadline - time.monotonic()
            ready = [fd for fd, _ in poller.poll(max(0.0, left) * 1000)]
            if watch.fileno() in ready:
                raise _died(watch.how() or Exit(), log, said)
            if not ready:
                raise LaunchError(
                    f"The hub did not listen within {HUB_TIMEOUT:.0f} s.",
                    output="\n".join(_tail(log, said)),
                    next_step=f"Read its log, {log}.",
                )
            news.drain()
    finally:
        watch.close()


def _died(end: Exit, log: Path, said: int) -> LaunchError:
    """A hub's last words: its own sentence if it left one."""
    lines = _tail(log, said)
    text = "\n".join(lines)
    _, found, reason = text.partition("steer hub: ")
    if found:
        return LaunchError(reason.strip())
    return LaunchError(
        f"The hub {describe(end)} before it listened.",
        output="\n".join(lines[-_TAIL_LINES:]),
        exit_status=end.returncode,
        next_step=diagnose.next_step(text) or f"Read its log, {log}.",
    )


def _tail(log: Path, said: int) -> list[str]:
    """What has been logged since a hub was started."""
    try:
        with log.open("rb") as file:
            file.seek(said)
            return diagnose.clean(file.read().decode("utf-8", "replace"))
    except OSError:
        return []


def _undo(files: ClusterFiles, child: subprocess.Popen[bytes], *, keep: bool) -> None:
    """A hub that does not listen is of no use, nor are the engines it has started."""
    child.kill()
    child.wait()
    if keep:
        return  # a restore that failed: the engines are what must not be lost
    found = look(files, lock_is_ours=True)
    end_by_force(files, found.connection)
    remove_files(files, found.connection, logs=False, keep_lock=True)

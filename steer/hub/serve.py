"""Bind, serve, clean up: the life of a hub's sockets."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from steer import sockets
from steer.config import Connection
from steer.core.events import Heard, SavedTasks
from steer.errors import LaunchError
from steer.eventloop import Loop
from steer.hub.jobs import Jobs
from steer.hub.journal import Journal
from steer.hub.ledger import Ledger
from steer.hub.shell import Shell
from steer.node.processes import Process
from steer.node.watch import Exit, Watch, describe
from steer.wire.messages import Shutdown

log = logging.getLogger("steer.hub")

MOST_SOCKETS = 65_000
MOST_FILES = 262_144
JOURNAL_SECONDS = 2.0


def serve(
    connection: Connection,
    folder: Path,
    jobs: Jobs,
    bound: Callable[[int], None],
    owner: Process | None = None,
    restored: bool = False,
) -> None:
    """Serve a cluster until it ends; `bound` is told the TCP port, or 0.

    With an owner it ends no later than that process, however that one ends.
    """
    _raise_limit()
    context: zmq.Context[Any] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, MOST_SOCKETS)
    loop = Loop()
    sock = sockets.router(context)
    doorkeeper = None
    try:
        bound(_bind(sock, connection))
        if connection.ip:
            doorkeeper = sockets.Doorkeeper(context, loop, [connection.public_key])
        journal = Journal(folder / "journal.sqlite", on_error=_warn)
        ledger = Ledger(journal, loop)
        shell = Shell(
            context, sock, ledger, jobs, loop, connection.cluster_id, restored,
            connection.respawn,
        )  # fmt: skip
        ledger.saved = shell.saved
        ledger.saved_tasks = lambda client, number: shell.feed(
            SavedTasks(client, number)
        )
        jobs.attend(loop, shell.feed)
        _on_sigterm(loop, shell)
        if owner is not None:
            _follow(owner, loop, shell)
        loop.run()
        ledger.flush()
        if not journal.close(JOURNAL_SECONDS):
            log.error("the journal did not end in time; its last records may be lost")
    finally:
        sock.close()
        if doorkeeper is not None:
            doorkeeper.close()
        loop.close()
        context.term()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(connection.ipc.removeprefix("ipc://"))


def _raise_limit() -> None:
    """As many descriptors as we may: each peer is some, and so is each large argument
    and value that is under way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _bind(sock: zmq.Socket[bytes], connection: Connection) -> int:
    """Listen: always on the local path, on TCP too if asked."""
    path = connection.ipc.removeprefix("ipc://")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # of a hub that was killed
    port = 0
    if connection.ip:
        try:
            port = sockets.bind_tcp(
                sock, connection.ip, connection.port,
                connection.server_key, connection.server_secret(),
            )  # fmt: skip
        except zmq.ZMQError as error:
            raise LaunchError(
                f"The hub cannot listen on {connection.ip}:{connection.port}: {error}.",
                next_step="Choose another --port, or leave it out to get a free one.",
            ) from None
        sock.curve_server = False  # an endpoint keeps what it was bound with
    sock.bind(connection.ipc)
    return port


def _on_sigterm(loop: Loop, shell: Shell) -> None:
    """SIGTERM ends the cluster as `steer stop` does."""
    signal.signal(signal.SIGTERM, lambda *_: loop.call_soon(lambda: _stop(shell)))
    loop.wake_on_signals()


def _stop(shell: Shell) -> None:
    shell.feed(Heard(b"", Shutdown("", "", True)))


def _follow(owner: Process, loop: Loop, shell: Shell) -> None:
    """End as soon as the owner has ended, which may have been killed unasked."""
    try:
        watch = Watch.on(owner)
    except ProcessLookupError:
        loop.call_soon(lambda: _stop(shell))
        return

    def ended() -> None:
        loop.remove_reader(watch.fileno())
        how = watch.how()
        watch.close()
        log.info("the owner, process %d, %s", owner.pid, describe(how or Exit()))
        _stop(shell)

    loop.add_reader(watch.fileno(), ended)


def _warn(error: Exception) -> None:
    log.error("the journal: %s", error)

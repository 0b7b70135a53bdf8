"""A real hub's process for tests, and peers that speak to it through bare sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import zmq

from steer import sockets
from steer.client.link import Link
from steer.config import ClusterFiles, Connection, new_cluster_id
from steer.hosts import host_name, kernel
from steer.testing import wait_until
from steer.wire.frames import decode, encode, unpack
from steer.wire.messages import Hello, Message, Welcome
from steer.wire.peers import peer_name


class Cluster:
    """The files and the hub of one cluster."""

    def __init__(self, **more: Any) -> None:
        self.files = ClusterFiles("", new_cluster_id()).make()
        public, secret = zmq.curve_keypair()
        server, server_secret = zmq.curve_keypair()
        self.connection = Connection(
            cluster_id=self.files.cluster_id, host=host_name(), boot=kernel(),
            ipc=self.files.new_socket(), public_key=public, secret_key=secret,
            server_key=server, server_secret_key=server_secret, **more,
        )  # fmt: skip
        self.connection.write(self.files.connection)
        self.hub: subprocess.Popen[bytes] | None = None
        self.links: list[Link] = []

    def start(self, *options: str) -> None:
        with open(self.files.log("hub"), "ab") as log:
            self.hub = subprocess.Popen(
                [sys.executable, "-m", "steer.hub", "--connection",
                 str(self.files.connection), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def kill_hub(self) -> None:
        assert self.hub is not None
        self.hub.kill()
        self.hub.wait(5)

    def link(self, engines: int = 0) -> Link:
        """A client, as soon as so many engines are there."""
        link = Link(self.connection)
        self.links.append(link)
        with link.changed:
            ready = link.changed.wait_for(lambda: len(link.core.engines) >= engines, 20)
        assert ready, self.log()
        return link

    def log(self) -> str:
        return self.files.log("hub").read_text()

    def launcher(self) -> int:
        """The pid of mpiexec."""
        job = Connection.read(self.files.connection).jobs[0]["job"]
        return int(job["processes"][0][0])

    def stop(self) -> None:
        """End all as a client would; if the hub is dead, start it again for that."""
        assert self.hub is not None
        if self.hub.poll() is not None and self.hub.returncode != 0:
            self.start("--restore")
            self.link()  # before that, a signal would kill it
        if self.hub.poll() is None:
            self.hub.send_signal(signal.SIGTERM)
        code = self.hub.wait(15)
        for link in self.links:
            link.close()
        assert code == 0, self.log()


class Sink:
    """What came for one request."""

    def __init__(self) -> None:
        self.parts: list[tuple[Any, list[Any]]] = []
        self.outputs: list[tuple[Any, Any]] = []
        self.error: Any = None
        self._ended = threading.Event()

    def part(self, part: Any, frames: list[Any]) -> None:
        self.parts.append((part, frames))

    def output(self, piece: Any, frame: Any) -> None:
        self.outputs.append((piece, bytes(frame)))

    def done(self) -> None:
        self._ended.set()

    def refused(self, error: Any) -> None:
        self.error = error
        self._ended.set()

    def notify(self) -> None:
        pass

    def wait(self, seconds: float) -> Sink:
        assert self._ended.wait(seconds), f"only {self.parts} came in {seconds} s"
        return self

    def errors(self) -> dict[str, tuple[str, str]]:
        """For each failed part its name and text."""
        return {
            part.ranks: tuple(unpack(frames[0])[:2])
            for part, frames in self.parts
            if part.status == "error"
        }


def run(link: Link, kind: Any, frames: list[Any], targets: Any = None) -> Sink:
    """Submit, without waiting."""
    sink = Sink()
    where = list(link.core.engines) if targets is None else targets
    link.submit(kind, where, frames, sink)
    return sink


class Bare:
    """A peer that may say anything."""

    def __init__(self, connection: Connection, who: str, *roles: Any) -> None:
        self.who = who
        self.context = zmq.Context()
        self.socks = {}
        for role in roles:
            name = peer_name(role, who)
            sock = sockets.dealer(self.context, name, connection.ipc, None)
            sock.linger = 0
            sock.connect(connection.ipc)
            self.socks[role] = sock

    def send(self, role: str, *frames: Any) -> None:
        head = frames[0]
        first = encode(head) if isinstance(head, Message) else head
        self.socks[role].send_multipart([first, *frames[1:]])

    def hear(self, role: str, kind: type[Message]) -> tuple[Any, list[bytes]]:
        """The next message of a kind, others skipped."""
        sock = self.socks[role]
        while sock.poll(10_000):
            frames = sock.recv_multipart()
            message = decode(frames[0])
            if isinstance(message, kind):
                return message, frames[1:]
        raise AssertionError(f"no {kind.__name__} came")

    def hello(self) -> Welcome:
        self.send("in", Hello(1, self.who, os.getpid(), 0, "elsewhere"))
        return self.hear("in", Welcome)[0]

    def close(self) -> None:
        for sock in self.socks.values():
            sock.close(0)
        self.context.term()


def is_gone(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return True
    return status == "Z"


def wait_gone(pids: list[int], seconds: float) -> None:
    wait_until(lambda: all(map(is_gone, pids)), seconds, f"{pids} to end")

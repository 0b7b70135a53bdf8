"""A hub's end of the wire for one real engine, as a test wants to play it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import zmq

from steer import sockets
from steer.config import Connection
from steer.hosts import host_name
from steer.wire import payload
from steer.wire.frames import decode, encode, unpack
from steer.wire.messages import (
    Enrolled,
    ErrorInfo,
    Functions,
    Message,
    Outcome,
    Outcomes,
    Ready,
    Register,
    Task,
    Tasks,
)
from steer.wire.peers import parse_peer, peer_name

M = TypeVar("M", bound=Message)
SECONDS = 20.0


class FakeHub:
    """A socket that engines connect to; hears them, and says what it is told to."""

    def __init__(self, folder: Path) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.url = f"ipc://{folder}/hub"
        self.folder = folder
        self.open()
        self.heard: list[tuple[str, Message, list[Any]]] = []
        self.uuid = ""
        self.pid = 0
        self.turn = 0
        self.numbers = 100
        self.frames: list[Any] = []
        self.passed: list[tuple[str, Message, list[Any]]] = []
        """What came before the last message that `wait` has found."""
        self.taught: set[bytes] = set()

    def open(self) -> None:
        """Listen."""
        self.sock = sockets.router(self.context)
        self.sock.bind(self.url)

    def restart(self) -> None:
        """Be another hub, which knows nothing."""
        self.sock.close(linger=0)
        self.heard.clear()
        self.taught.clear()
        self.open()

    def close(self) -> None:
        """Stop listening."""
        self.sock.close(linger=0)
        self.context.term()

    def number(self) -> int:
        """For a task."""
        self.numbers += 1
        return self.numbers

    # -- hearing

    def receive(self, seconds: float = SECONDS) -> bool:
        """Take what has come, or wait for it."""
        if not self.sock.poll(int(seconds * 1000)):
            return False
        name, *frames = sockets.receive(self.sock)
        role, self.uuid = parse_peer(name)
        message = decode(frames[0])
        self.heard.append((str(role), message, frames[1:]))
        return True

    def wait(
        self, kind: type[M], fits: Callable[[M], bool] = lambda m: True
    ) -> tuple[M, list[Any]]:
        """The next message of this kind that fits; it is not heard again."""
        deadline = time.monotonic() + SECONDS
        while True:
            for place, (_, message, frames) in enumerate(self.heard):
                if isinstance(message, kind) and fits(message):
                    self.passed = self.heard[:place]
                    del self.heard[place]
                    return message, frames
            left = deadline - time.monotonic()
            assert left > 0, f"no {kind.__name__} came: {self.heard}"
            self.receive(left)

    def outcomes(self, count: int, client: str = "ann") -> dict[int, Outcome]:
        """The next so many outcomes, by task."""
        found: dict[int, Outcome] = {}
        while len(found) < count:
            message, frames = self.wait(Outcomes, lambda m: m.client == client)
            for outcome in message.outcomes:
                found[outcome.id] = outcome
                if frames:
                    self.frames = frames
        return found

    # -- saying

    def say(
        self, message: Message, frames: Sequence[Any] = (), role: str = "control"
    ) -> None:
        """Send it to the engine."""
        name = peer_name(role, self.uuid)  # type: ignore[arg-type]
        self.sock.send_multipart([name, encode(message), *frames])

    def teach(self, function: Any, role: str = "work") -> bytes:
        """Send a function; returns its name."""
        body = b"".join(payload.dumps(function))
        digest = name_of(body)
        if digest not in self.taught:
            self.taught.add(digest)
            self.say(Functions((digest,)), (body,), role)
        return digest

    def give(
        self,
        calls: dict[int, tuple[Any, ...]],
        role: str = "work",
        client: str = "ann",
        number: int = 0,
        **more: Any,
    ) -> None:
        """Send tasks: number to function and arguments; the number of their options."""
        tasks = tuple(
            Task(i, self.teach(call[0], role), arguments(*call[1:]), number)
            for i, call in calls.items()
        )
        self.say(Tasks(client, tasks, turn=self.turn, **more), role=role)

    def enrol(self) -> Register:
        """Let the engine in."""
        register, _ = self.wait(Register)
        self.turn = register.turn
        self.say(Enrolled(0, os.getpid(), -1))
        if not register.ready:
            self.wait(Ready)
        return register


def name_of(body: bytes) -> bytes:
    """The name of a function."""
    return hashlib.blake2b(body, digest_size=16).digest()


def arguments(*args: Any, **kwargs: Any) -> bytes:
    """A task's body."""
    (body,) = payload.dumps((args, kwargs))
    return bytes(body)


def value(outcome: Outcome) -> Any:
    """What a task returned."""
    assert outcome.status == 0, error(outcome)
    return payload.loads([outcome.body])


def error(outcome: Outcome) -> ErrorInfo:
    """What a task raised."""
    return unpack(outcome.body, type=ErrorInfo)


def start_engine(hub: FakeHub) -> subprocess.Popen[bytes]:
    """An engine without MPI that belongs to this hub."""
    path = hub.folder / "cluster.json"
    Connection(cluster_id="", host=host_name(), ipc=hub.url).write(path)
    environment = dict(os.environ, STEER_CONNECTION=str(path), STEER_LOCAL="1")
    return subprocess.Popen([sys.executable, "-m", "steer.engines"], env=environment)

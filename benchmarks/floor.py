"""The least that a hub between a client and n engines can cost with pyzmq.

A limit and not a product: nothing is checked, locked, logged, repeated or remembered.
The shape is Steer's: one ROUTER socket in a hub process that reads no payload, arrays
as frames of their own. The caller's own thread sends and receives, so that no thread
has to be woken. To the hub go `[to, body, buffer...]`, where `to` is an engine's name
or ALL; everything from an engine is relayed to the client as `[from, body, buffer...]`.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks import tasks

if TYPE_CHECKING:
    import zmq  # imported late: other systems must not need it

ALL, END = b"*", b""
LIMIT_MS = 60_000
"""The longest that anybody here waits for a message."""


class Floor:
    """A hub and n engines, without MPI."""

    name = "floor"
    module_name = "zmq"
    note = "bare pyzmq: client, relay, engines, no features; a limit, not a peer"

    def __init__(self, n: int) -> None:
        self.n = n
        self.names = [b"%d" % i for i in range(n)]

    def load(self) -> None:
        import zmq

        self.context: zmq.Context[Any] = zmq.Context()

    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="floor")
        self.place = f"ipc://{self.folder.name}/hub"
        roles = [("hub", str(self.n)), *(("engine", str(i)) for i in range(self.n))]
        self.children = [self._spawn(*role) for role in roles]
        self.sock = _dealer(self.context, self.place, b"client")
        self.sock.recv()  # all engines are there
        assert self._all(tasks.same, 2) == [2] * self.n

    def _spawn(self, role: str, argument: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "benchmarks.floor", role, self.place, argument]
        return subprocess.Popen(command)

    def stop(self) -> None:
        self._send(ALL, END)
        for child in self.children:
            child.wait(LIMIT_MS / 1000)
        self.context.destroy(linger=0)
        self.folder.cleanup()

    # -- work

    def each(self) -> None:
        self._all(tasks.run, "a = 1")

    def one(self, function: Callable[..., Any], *args: Any) -> Any:
        self._send(self.names[0], *_dumps((function, args)))
        return self._answers(1)[0]

    def push(self, array: Any) -> None:
        self._all(tasks.hold, "x", array)

    def pull(self) -> Any:
        return self.one(tasks.give, "x")

    def scatter(self, array: Any) -> None:
        for name, part in zip(self.names, tasks.parts(array, self.n), strict=True):
            self._send(name, *_dumps((tasks.hold, ("y", part))))
        self._answers(self.n)

    def gather(self) -> Any:
        import numpy

        return numpy.concatenate(self._all(tasks.give, "y"))

    def stream(self, lines: int) -> int:
        return sum(text.count("\n") for text in self._all(tasks.printed, lines))

    # -- messages

    def _all(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        self._send(ALL, *_dumps((function, args)))
        return self._answers(self.n)

    def _send(self, to: bytes, *frames: Any) -> None:
        self.sock.send_multipart([to, *frames], copy=len(frames) == 1)

    def _answers(self, count: int) -> list[Any]:
        """Values by the engines' numbers, in which order they may come."""
        found = {}
        for _ in range(count):
            sender, body, *buffers = self.sock.recv_multipart(copy=False)
            found[int(sender.bytes)] = pickle.loads(body.buffer, buffers=buffers)
        return [found[number] for number in sorted(found)]


def hub(place: str, n: int) -> None:
    """Relay until the client says END."""
    import zmq

    sock = zmq.Context().socket(zmq.ROUTER)
    sock.sndhwm = sock.rcvhwm = 0
    sock.rcvtimeo = LIMIT_MS * 10
    sock.bind(place)
    greeted: set[bytes] = set()
    while len(greeted) < n + 1:
        greeted.add(sock.recv_multipart()[0])
    sock.send_multipart([b"client", b"ready"])
    names = sorted(greeted - {b"client"})
    while True:
        sender, *frames = sock.recv_multipart(copy=False)
        if sender.bytes != b"client":
            sock.send_multipart([b"client", sender, *frames], copy=False)
            continue
        to, *rest = frames
        for name in names if to.bytes == ALL else [to]:
            sock.send_multipart([name, *rest], copy=False)
        if rest[0].bytes == END:
            sock.close(linger=1000)
            return


def engine(place: str, number: int) -> None:
    """Call what comes until it is END."""
    import zmq

    sock = _dealer(zmq.Context(), place, b"%d" % number)
    while True:
        body, *buffers = sock.recv_multipart(copy=False)
        if not len(body):
            return
        function, args = pickle.loads(body.buffer, buffers=buffers)
        frames = _dumps(function(*args))
        sock.send_multipart(frames, copy=len(frames) == 1)


def _dealer(context: zmq.Context[Any], place: str, name: bytes) -> zmq.Socket[Any]:
    import zmq

    sock: zmq.Socket[Any] = context.socket(zmq.DEALER)
    sock.identity = name
    sock.sndhwm = sock.rcvhwm = 0
    sock.rcvtimeo = LIMIT_MS * (1 if name == b"client" else 10)
    sock.connect(place)
    sock.send(b"hello")
    return sock


def _dumps(value: Any) -> Sequence[Any]:
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return [body, *(buffer.raw() for buffer in buffers)]


if __name__ == "__main__":
    role, place, argument = sys.argv[1:]
    {"hub": hub, "engine": engine}[role](place, int(argument))

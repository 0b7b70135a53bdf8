"""Sockets with the options that Steer needs, decided in one place.

* TCP always has CURVE, and the hub admits only the cluster's own client key (RFC 27,
  ZAP). A local socket lies in a folder of mode 0700 instead: encryption would cost a
  factor of 7.
* Heartbeats are libzmq's: its own thread answers them, GIL or no GIL.
* A peer that connects again under its name takes the place of its old connection
  (ROUTER_HANDOVER). It learns of that from its socket's monitor (`watch_link`) and
  introduces itself again. (PROBE_ROUTER tells the hub of first connections only: libzmq
  reuses the pipe; with IMMEDIATE it would not, but then a busy thread cannot be
  connected at all.)
* No high-water marks on the hub's side: libzmq would drop silently there. Bounds are
  kept where they can be explained, in the peers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import zmq
from zmq.utils import z85

from steer.eventloop import Loop

HEARTBEAT_MS = 1000
SILENCE_MS = 5000
LINGER_MS = 500
RECONNECT_MS = 20
RECONNECT_MAX_MS = 500
COPY_BELOW = 64 << 10


class Keys(msgspec.Struct, frozen=True):
    """What a client or engine needs for CURVE."""

    server: bytes
    public: bytes
    secret: bytes


def _common(sock: zmq.Socket[bytes]) -> None:
    sock.linger = LINGER_MS
    sock.set_hwm(0)
    sock.heartbeat_ivl = HEARTBEAT_MS
    sock.heartbeat_timeout = SILENCE_MS
    sock.heartbeat_ttl = SILENCE_MS
    sock.copy_threshold = COPY_BELOW


def router(context: zmq.Context[Any]) -> zmq.Socket[bytes]:
    """The hub's one socket; bind it with `bind_ipc` and `bind_tcp`."""
    sock: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
    _common(sock)
    sock.router_handover = True
    sock.router_mandatory = True
    sock.set(zmq.BACKLOG, 4096)
    return sock


def bind_tcp(
    sock: zmq.Socket[bytes], ip: str, port: int, public: bytes, secret: bytes
) -> int:
    """Listen on TCP with CURVE; returns the port."""
    sock.zap_domain = b"steer"
    sock.curve_server = True
    sock.curve_publickey = public
    sock.curve_secretkey = secret
    sock.bind(f"tcp://{ip}:{port or '*'}")
    return int(sock.get_string(zmq.LAST_ENDPOINT).rpartition(":")[2])


def dealer(
    context: zmq.Context[Any], name: bytes, url: str, keys: Keys | None
) -> zmq.Socket[bytes]:
    """A peer's socket under its name, not yet connected: `connect(url)` it."""
    sock: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    _common(sock)
    sock.routing_id = name
    sock.reconnect_ivl = RECONNECT_MS
    sock.reconnect_ivl_max = RECONNECT_MAX_MS
    if keys is not None and url.startswith("tcp:"):
        sock.curve_serverkey = keys.server
        sock.curve_publickey = keys.public
        sock.curve_secretkey = keys.secret
    return sock


def monitor(sock: zmq.Socket[Any]) -> zmq.Socket[Any]:
    """What `watch_link` reads. Made before the socket is connected, it misses
    nothing."""
    return sock.get_monitor_socket(
        int(zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED)
    )


def unmonitor(sock: zmq.Socket[Any], monitor: zmq.Socket[Any]) -> None:
    """End a monitor, in this order: libzmq sends its events blocking and under a lock,
    so that one event with nobody to read it would hang whoever closes the socket."""
    sock.disable_monitor()
    monitor.close()


def receive(sock: zmq.Socket[Any], flags: int = 0) -> list[Any]:
    """One message. Its first two frames are bytes; large ones behind them are not
    copied."""
    frames: list[Any] = [sock.recv(flags)]
    more = sock.getsockopt  # `sock.rcvmore` costs three times as much
    while more(zmq.RCVMORE):
        if len(frames) < 2:
            frames.append(sock.recv())
            continue
        frame = sock.recv(copy=False)
        frames.append(frame.buffer if len(frame) >= COPY_BELOW else frame.bytes)
    return frames


_READABLE = int(zmq.POLLIN)


def receive_all(
    sock: zmq.Socket[Any], handle: Callable[[list[Any]], None], limit: int = 64
) -> None:
    """Hand over what has come, at most `limit` messages so that others get their
    turn."""
    state = sock.getsockopt
    for _ in range(limit):
        events: Any = state(zmq.EVENTS)
        if not events & _READABLE:  # half as dear as to be told Again
            return
        handle(receive(sock, zmq.NOBLOCK))


def send(sock: zmq.Socket[Any], frames: Sequence[Any]) -> None:
    """Send a message; large frames are not copied, and must not be changed until
    sent."""
    large = any(len(frame) >= COPY_BELOW for frame in frames)
    sock.send_multipart(frames, copy=not large)


def watch_link(
    loop: Loop,
    monitor: zmq.Socket[Any],
    on_link: Callable[[], None],
    on_cut: Callable[[], None],
) -> None:
    """Report in the loop when a monitored socket is connected and when it is cut
    off."""

    def heard() -> None:
        while monitor.poll(0):
            # An event's first frame: its number in 16 bits, then a value. The reader in
            # zmq.utils.monitor would import asyncio, 30 ms in every process.
            (event,) = struct.unpack_from("=H", monitor.recv_multipart()[0])
            if event == zmq.Event.HANDSHAKE_SUCCEEDED:
                on_link()
            elif event == zmq.Event.DISCONNECTED:
                on_cut()

    loop.add_reader(monitor, heard)


class Doorkeeper:
    """Admits to a CURVE socket those who hold one of the known client keys (ZAP)."""

    def __init__(
        self, context: zmq.Context[Any], loop: Loop, clients: Sequence[bytes]
    ) -> None:
        self._known = {z85.decode(key) for key in clients}
        self._sock = context.socket(zmq.REP)
        self._sock.linger = 0
        self._sock.bind("inproc://zeromq.zap.01")
        loop.add_reader(self._sock, self._asked)

    def _asked(self) -> None:
        """Answer one question, in the frames of RFC 27."""
        frames = self._sock.recv_multipart()
        version, request = frames[:2]
        mechanism, credentials = frames[5], frames[6:]
        local = mechanism == b"NULL"
        known = mechanism == b"CURVE" and credentials[0] in self._known
        status = (b"200", b"OK") if known or local else (b"400", b"unknown key")
        self._sock.send_multipart([version, request, *status, b"steer", b""])

    def close(self) -> None:
        """Close its socket."""
        self._sock.close()

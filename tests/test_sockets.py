"""Who gets in, who is told of a cut, and who takes whose place."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import ClassVar

import pytest
import zmq

from steer import sockets
from steer.eventloop import Loop
from steer.sockets import Doorkeeper, Keys

SECONDS = 10_000
"""Milliseconds, that is, in which what must come comes."""


class Context(zmq.Context):
    """Holds its sockets until all of them are closed together."""

    opened: ClassVar[list[zmq.Socket]] = []

    def socket(self, *arguments, **named):
        self.opened.append(super().socket(*arguments, **named))
        return self.opened[-1]


@pytest.fixture
def context():
    context = Context()
    yield context
    for sock in Context.opened:
        sock.close(0)
    Context.opened.clear()
    context.term()


@pytest.fixture
def loop():
    """A loop in a thread of its own, as in the hub."""
    loop = Loop()
    yield loop
    loop.close()


def serve(loop):
    thread = threading.Thread(target=loop.run)
    thread.start()
    return thread


def stop(loop, thread):
    loop.call_soon(loop.stop)
    thread.join(10)


def ask(router, dealer):
    """One message there and back."""
    dealer.send_multipart([b"hello", b"there"])
    assert router.poll(SECONDS), "the message did not come"
    frames = sockets.receive(router)
    router.send_multipart([frames[0], b"yes"])
    assert dealer.poll(SECONDS), "the answer did not come"
    return frames, dealer.recv()


@pytest.fixture
def local(context, private_home):
    router = sockets.router(context)
    url = f"ipc://{private_home}/run/sock"
    router.bind(url)
    yield router, url
    router.close(0)
    os.unlink(url.removeprefix("ipc://"))


def dealer(context, url, name=b"ia", keys=None):
    sock = sockets.dealer(context, name, url, keys)
    sock.linger = 0
    sock.connect(url)
    return sock


def test_a_peer_is_known_by_its_name(context, local):
    router, url = local
    assert ask(router, dealer(context, url)) == ([b"ia", b"hello", b"there"], b"yes")


def test_who_is_not_there_is_known_at_once(context, local):
    router, _ = local
    with pytest.raises(zmq.ZMQError) as caught:
        sockets.send(router, [b"ix", b"hello"])
    assert caught.value.errno == zmq.EHOSTUNREACH


def test_a_newcomer_of_the_same_name_takes_the_place(context, local):
    router, url = local
    first = dealer(context, url)
    ask(router, first)
    second = dealer(context, url)
    assert ask(router, second)[1] == b"yes"
    assert not first.poll(0)


def test_links_and_cuts_are_reported(context, loop, private_home):
    url = f"ipc://{private_home}/run/links"
    told = []
    changed = threading.Condition()

    def tell(what):
        with changed:
            told.append(what)
            changed.notify_all()

    def wait_for(*expected):
        with changed:
            assert changed.wait_for(lambda: told == list(expected), 10), told

    sock = sockets.dealer(context, b"ia", url, None)
    monitor = sockets.monitor(sock)
    sockets.watch_link(loop, monitor, lambda: tell("link"), lambda: tell("cut"))
    thread = serve(loop)
    sock.connect(url)
    for number in range(3):
        router = sockets.router(context)
        router.bind(url)
        wait_for(*["link", "cut"] * number, "link")
        router.close(0)
        wait_for(*["link", "cut"] * (number + 1))
    stop(loop, thread)
    sockets.unmonitor(sock, monitor)
    os.unlink(url.removeprefix("ipc://"))


def test_large_frames_come_uncopied_and_the_first_two_as_bytes(context, local):
    router, url = local
    sock = dealer(context, url)
    sockets.send(sock, [b"h", b"s", bytes(sockets.COPY_BELOW), b""])
    assert router.poll(SECONDS)
    frames = sockets.receive(router)
    assert [type(frame) for frame in frames] == [
        bytes, bytes, bytes, memoryview, bytes,
    ]  # fmt: skip


def test_others_get_their_turn(context, local):
    router, url = local
    sock = dealer(context, url)
    for number in range(5):
        sock.send(b"%d" % number)
    got = []
    while len(got) < 5:
        assert router.poll(SECONDS)
        before = len(got)
        sockets.receive_all(router, lambda frames: got.append(frames[1]), limit=2)
        assert len(got) - before <= 2
    assert got == [b"0", b"1", b"2", b"3", b"4"]


class Secured:
    """A hub's socket on TCP, with its doorkeeper."""

    def __init__(self, context, loop):
        self.server, server_secret = zmq.curve_keypair()
        self.public, self.secret = zmq.curve_keypair()
        self.doorkeeper = Doorkeeper(context, loop, [self.public])
        self.router = sockets.router(context)
        port = sockets.bind_tcp(self.router, "127.0.0.1", 0, self.server, server_secret)
        self.url = f"tcp://127.0.0.1:{port}"


@pytest.fixture
def secured(context, loop):
    hub = Secured(context, loop)
    thread = serve(loop)
    yield hub
    stop(loop, thread)
    hub.doorkeeper.close()
    hub.router.close(0)


def handshake(context, url, keys):
    """How the first handshake ended."""
    events = (
        zmq.Event.HANDSHAKE_SUCCEEDED
        | zmq.Event.HANDSHAKE_FAILED_AUTH
        | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
        | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
        | zmq.Event.DISCONNECTED
    )
    sock = sockets.dealer(context, b"ia", url, keys)
    sock.linger = 0
    monitor = sock.get_monitor_socket(int(events))
    sock.connect(url)
    assert monitor.poll(SECONDS), "no handshake at all"
    event = zmq.Event(int.from_bytes(monitor.recv_multipart()[0][:2], "little"))
    sockets.unmonitor(sock, monitor)
    return sock, event


def shout(sock):
    """Say something, if there is even a pipe to say it into."""
    with contextlib.suppress(zmq.Again):
        sock.send(b"hello", zmq.NOBLOCK)


def test_the_right_key_is_admitted(context, secured):
    keys = Keys(secured.server, secured.public, secured.secret)
    sock, event = handshake(context, secured.url, keys)
    assert event == zmq.Event.HANDSHAKE_SUCCEEDED
    assert ask(secured.router, sock)[1] == b"yes"


def test_another_clients_key_is_refused(context, secured):
    public, secret = zmq.curve_keypair()
    keys = Keys(secured.server, public, secret)
    _, event = handshake(context, secured.url, keys)
    assert event == zmq.Event.HANDSHAKE_FAILED_AUTH


def test_a_public_key_without_its_secret_is_refused(context, secured):
    _, secret = zmq.curve_keypair()
    keys = Keys(secured.server, secured.public, secret)
    sock, event = handshake(context, secured.url, keys)
    assert event != zmq.Event.HANDSHAKE_SUCCEEDED
    shout(sock)
    assert not secured.router.poll(200)


def test_a_hub_with_another_key_is_not_trusted(context, secured):
    other, _ = zmq.curve_keypair()
    keys = Keys(other, secured.public, secured.secret)
    sock, event = handshake(context, secured.url, keys)
    assert event != zmq.Event.HANDSHAKE_SUCCEEDED
    shout(sock)
    assert not secured.router.poll(200)


def test_without_keys_nobody_gets_in(context, secured):
    sock, event = handshake(context, secured.url, None)
    assert event != zmq.Event.HANDSHAKE_SUCCEEDED
    shout(sock)
    assert not secured.router.poll(200)

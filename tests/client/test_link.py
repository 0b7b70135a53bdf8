"""The client's connection: it can be left at any moment, whatever the hub does then."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import zmq

from steer import sockets
from steer.client import link as link_module
from steer.client.undisturbed import Undisturbed
from steer.errors import HubUnreachable
from steer.wire.messages import Ask

from ..hub.hubs import Cluster


@pytest.fixture
def cluster():
    cluster = Cluster()
    cluster.start()
    yield cluster
    cluster.stop()


def test_a_hub_that_goes_after_the_io_thread_leaves_the_link_closable(cluster):
    """Between the end of the thread and that of the sockets the hub may be cut off;
    nobody reads the event any more."""
    link = cluster.link()
    link._loop.call_soon(link._loop.stop)
    link._thread.join(5)
    cluster.kill_hub()
    closing = threading.Thread(target=link.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive(), "closing waits for libzmq, which waits for us"
    with pytest.raises(HubUnreachable):
        link.ask("history")


def test_ctrl_c_in_the_middle_of_a_message_leaves_the_next_one_whole(
    cluster, monkeypatch
):
    link = cluster.link()

    def send(sock, frames):
        for frame in frames:
            sock.send(frame, 0 if frame is frames[-1] else zmq.SNDMORE)
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as slow:
        slow.setattr(sockets, "send", send)
        with pytest.raises(KeyboardInterrupt):
            link._send(Ask("1", "history"), b"more")
    link.wait(link.ask("history"), 5)
    link.close()


def test_ctrl_c_comes_after_what_it_must_not_disturb():
    done = []

    def send():
        with Undisturbed():
            with Undisturbed():
                os.kill(os.getpid(), signal.SIGINT)
                done.append("inner")
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        send()
    assert done == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_that_is_ignored_stays_so_and_other_threads_set_no_handlers():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    seen = []

    def elsewhere():
        with Undisturbed():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(5)
    assert seen == [before]


@pytest.fixture
def patience(monkeypatch):
    """A hub takes seconds to start on a busy machine; nobody shall give it up."""
    monkeypatch.setattr(link_module, "TROUBLE_AFTER", 60.0)


@pytest.mark.usefixtures("patience")
def test_what_a_hub_was_asked_when_it_was_killed_the_next_one_answers(cluster):
    link = cluster.link()
    cluster.hub.send_signal(signal.SIGSTOP)  # it has taken the question, and no more
    question = link.ask("history")
    cluster.kill_hub()
    cluster.start("--restore")
    assert link.wait(question, 30) == {"msg_ids": []}


@pytest.mark.usefixtures("patience")
def test_what_a_hub_may_have_done_already_is_not_asked_again(cluster):
    link = cluster.link()
    cluster.hub.send_signal(signal.SIGSTOP)
    signal_sent = link.signal(0, "0")
    cluster.kill_hub()
    cluster.start("--restore")
    link.wait(link.ask("history"), 30)
    assert not signal_sent.done()

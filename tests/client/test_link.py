"""The client's connection: it can be left at any moment, whatever the hub does then."""

from __future__ import annotations

import threading

import pytest

from steer.errors import HubUnreachable

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

"""A hub's process against peers that say anything: it answers and goes on."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from steer.client.link import Link
from steer.wire import messages as wire
from steer.wire.frames import MAX_HEADER, encode, pack

from ..wire.strategies import any_message
from .hubs import Bare, Cluster

BOOT = "elsewhere"
"""Processes of such a peer cannot be watched: the hub touches none for it."""


@pytest.fixture(scope="module")
def cluster():
    cluster = Cluster()
    cluster.start()
    cluster.link()
    yield cluster
    cluster.stop()


@pytest.fixture
def peer(cluster):
    peer = Bare(cluster.connection, "peer", "out", "in")
    peer.hello()
    yield peer
    peer.send("out", wire.Goodbye("peer"))
    peer.close()


def alive(cluster: Cluster, peer: Bare) -> None:
    """The hub still answers, this peer and others."""
    peer.send("out", wire.Ask("peer-alive", "queue"), pack({}))
    while True:
        message, _ = peer.hear("in", wire.Answer)
        if message.id == "peer-alive":
            break
    link: Link = cluster.links[0]
    assert "msg_ids" in link.wait(link.ask("history"))


@pytest.mark.parametrize(
    "frames",
    [
        [b"\xff\xfe nonsense"],
        [b"\x93\x01\x02\x03"],
        [pack(["NoSuchMessage", 1])],
        [pack(["Submit", 1, 2, 3])],
        [encode(wire.Ask("q", "queue"))[:-3], pack({})],
        [bytes(MAX_HEADER + 1)],
        [b"\x91" * 100_000],
        [encode(wire.Welcome(1, 1, "", False, 0, ()))],
        [encode(wire.Submit("other-1", "apply", "0")), b"x"],
        [encode(wire.Ask("q", "nonsense")), pack({})],
        [encode(wire.Ask("q", "queue")), b"\xc1"],
        [encode(wire.Ask("q", "queue"))],
        [encode(wire.Signal("q", "0", 1000))],
        [encode(wire.Hello(99, "peer", 1, 0, BOOT))],
    ],
)
def test_what_is_no_message_is_refused(cluster, peer, frames):
    peer.send("out", *frames)
    refused, _ = peer.hear("in", wire.Refused)
    assert refused.error.ename == "ProtocolError"
    assert refused.error.evalue.endswith(".")
    alive(cluster, peer)


def test_far_too_many_frames(cluster, peer):
    peer.send("out", encode(wire.Ask("q", "queue")), *[b""] * 70_000)
    assert peer.hear("in", wire.Refused)[0].error.ename == "ProtocolError"
    alive(cluster, peer)


@pytest.mark.parametrize("role", ["work", "control", "out", "in"])
def test_an_empty_message(cluster, peer, role):
    other = Bare(cluster.connection, "empty", role)
    other.send(role, b"")
    alive(cluster, peer)
    other.close()


LOOKS = ["query", "history", "purge", "fetch", "jobs", "stop_job", "signal_job"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5)
    | st.floats() | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
KEYS = st.sampled_from(
    ["query", "keys", "msg_ids", "engines", "all", "job", "signum", "n", "ids", "id"]
)


@hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(
    what=st.sampled_from([*LOOKS, "queue", "status", "watch", "engines"]),
    arguments=st.dictionaries(KEYS, VALUES, max_size=3),
)
def test_any_question_gets_an_answer(cluster, peer, what, arguments):
    peer.send("out", wire.Ask("q", what), pack(arguments))
    sock = peer.socks["in"]
    assert sock.poll(5000), f"no answer to {what} {arguments}"
    sock.recv_multipart()


@pytest.mark.parametrize(
    "arguments",
    [{}, {"n": "x"}, {"n": -1}, {"n": 1, "recipe": "no such"}, {"n": 1, "options": 5},
     {"n": 1, "environment": [1]}, {"n": 1, "recipe": 5}, {"n": 2**63},
     {"n": 1, "recipe": "local", "cwd": "/no/such/folder"}],
)  # fmt: skip
def test_a_start_that_cannot_be_is_refused(cluster, peer, arguments):
    peer.send("out", wire.Ask("q", "start"), pack(arguments))
    assert peer.hear("in", wire.Refused)[0].id == "q"
    alive(cluster, peer)


def harmless(message: wire.Message) -> bool:
    """Whether it cannot rightly end the hub or touch a process of this host."""
    if isinstance(message, wire.Shutdown):
        return not message.hub
    return getattr(message, "boot", BOOT) != "here"


@hypothesis.settings(
    max_examples=20,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(seed=st.integers(0, 2**32), pool=st.lists(any_message(), min_size=20))
def test_random_messages_of_all_kinds(cluster, peer, seed, pool):
    """Some thousand in all, true and false ones, from engines and from clients."""
    chance = random.Random(seed)
    engine = Bare(cluster.connection, "engine", "work", "control")
    pool = [message for message in pool if harmless(message)]
    pool += [
        wire.Register(1, "engine", 1, 0, "h", BOOT, "j", 0, 1),
        wire.Ready("engine", 0, 1),
        wire.Submit(f"peer-{seed}", "apply", "0-3"),
        wire.Result(f"peer-{seed}", "ok", 0.0, 0.0),
        wire.Output(f"peer-{seed}", wire.Stream.STDOUT),
        wire.Leaving("engine", "left"),
    ]
    for _ in range(100):
        frames = [bytes(chance.randrange(40)) for _ in range(chance.randrange(3))]
        some, role = chance.choice(
            [(peer, "out"), (peer, "in"), (engine, "work"), (engine, "control")]
        )
        some.send(role, chance.choice(pool), *frames)
    peer.hello()
    alive(cluster, peer)
    engine.close()


class Bomb:
    """Writes a file wherever it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_the_hub_never_unpickles(cluster, peer, tmp_path):
    bomb = pickle.dumps(Bomb(str(tmp_path / "exploded")))
    engine = Bare(cluster.connection, "rank", "work", "control")
    engine.send("control", wire.Register(1, "rank", 1, 0, "h", BOOT, "j", 0, 1))
    number = engine.hear("control", wire.Enrolled)[0].engine
    engine.send("control", wire.Ready("rank", 0, 1))
    peer.hear("in", wire.Joined)
    peer.send("out", wire.Submit("peer-7", "apply", str(number)), bomb)
    _, frames = engine.hear("work", wire.Submit)
    assert frames == [bomb]
    engine.send("control", wire.Output("peer-7", wire.Stream.DATA), bomb)
    # By the same socket: what goes by the other one may overtake it.
    engine.send("control", wire.Result("peer-7", "ok", 0.0, 0.0), bomb)
    assert peer.hear("in", wire.Outputs)[1] == [bomb]
    assert peer.hear("in", wire.Replies)[1] == [bomb]
    engine.hear("control", wire.Acknowledge)
    peer.send("out", wire.Ask("q", "fetch"), pack({"msg_ids": [f"peer-7_{number}"]}))
    _, answer = peer.hear("in", wire.Answer)
    assert bomb in answer[0]
    assert not Path(tmp_path / "exploded").exists()
    engine.close()


def test_a_result_whose_memory_is_gone_is_an_error(cluster, peer):
    engine = Bare(cluster.connection, "rank2", "work", "control")
    engine.send("control", wire.Register(1, "rank2", 1, 0, "h", BOOT, "j", 0, 1))
    number = engine.hear("control", wire.Enrolled)[0].engine
    engine.send("control", wire.Ready("rank2", 0, 1))
    peer.hear("in", wire.Joined)
    peer.send("out", wire.Submit("peer-8", "apply", str(number)), b"")
    engine.hear("work", wire.Submit)
    lie = wire.Store(2**40, 3, 100, ((0, 0, 100),))
    engine.send("work", wire.Result("peer-8", "ok", 0.0, 0.0, 0, lie), b"")
    replies, frames = peer.hear("in", wire.Replies)
    assert replies.parts[0].status == "error"
    assert b"was lost with its owner" in frames[0]
    peer.send("out", wire.Submit("peer-9", "apply", str(number), store=lie), b"")
    refused, _ = peer.hear("in", wire.Refused)
    assert refused.id == "peer-9"
    engine.close()

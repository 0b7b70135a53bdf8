"""Names of sockets."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from steer.wire.peers import parse_peer, peer_name


@pytest.mark.parametrize("role", ["work", "control", "out", "in"])
def test_there_and_back(role):
    assert parse_peer(peer_name(role, "0a1b")) == (role, "0a1b")


def test_the_four_sockets_have_four_names():
    names = {peer_name(role, "x") for role in ("work", "control", "out", "in")}
    assert len(names) == 4


@hypothesis.given(st.binary(max_size=20))
def test_any_name_is_somebody_or_nobody(name):
    role, who = parse_peer(name)
    assert role in ("work", "control", "out", "in", None)
    assert isinstance(who, str)


@pytest.mark.parametrize("name", [b"", b"\x00\x80\x00\x00\x29", b"q1"])
def test_a_stranger(name):
    assert parse_peer(name)[0] is None

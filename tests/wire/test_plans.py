"""What plans do, as it travels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.errors import ProtocolError
from steer.wire.plans import (
    Call,
    Change,
    Changes,
    Code,
    decode_deed,
    encode_deed,
    verb_of,
)


@pytest.mark.parametrize(
    "deed",
    [
        Changes((Change({"dt": 0.1, "out": True, "scheme": "rk4", "n": 3}),)),
        Changes((Change({"load": 1.0}, "0-3,7"), Change({"load": 2.0}, "4-6"))),
        Code("checkpoint()\n"),
        Call("render", b"\0pickle"),
    ],
)
def test_there_and_back(deed):
    assert decode_deed(verb_of(deed), encode_deed(deed)) == deed


def test_a_rank_gets_what_is_meant_for_it():
    changes = Changes(
        (Change({"a": 1, "b": 1}), Change({"b": 2}, "1-2"), Change({"b": 3}, "2"))
    )
    assert [changes.on(rank) for rank in range(3)] == [
        {"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 3},
    ]  # fmt: skip
    assert Changes((Change({"a": 1}, "5"),)).on(0) == {}


@given(st.sampled_from(["set", "code", "call", "dance"]), st.binary())
def test_any_bytes_are_a_deed_or_an_error(verb, body):
    try:
        decode_deed(verb, body)
    except ProtocolError as error:
        assert str(error).endswith(".")

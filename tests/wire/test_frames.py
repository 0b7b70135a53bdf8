"""Any bytes give a message or a ProtocolError, and nothing else."""

from __future__ import annotations

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from steer.errors import ProtocolError
from steer.wire.frames import MAX_HEADER, decode, encode
from steer.wire.messages import Message, Ping, Submit

from .strategies import EVERY, any_message

NAMES = st.sampled_from([kind.__name__ for kind in EVERY])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
    | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


def read(header: bytes | memoryview) -> Message | None:
    """The message; None for a ProtocolError; any other exception comes out."""
    try:
        message = decode(header)
    except ProtocolError as error:
        assert str(error).endswith(".")
        return None
    assert isinstance(message, EVERY)
    return message


@hypothesis.given(st.binary(max_size=200))
def test_noise(header):
    read(header)
    read(memoryview(header))


@hypothesis.given(NAMES, st.lists(VALUES, max_size=12))
def test_a_true_name_with_false_fields(name, fields):
    read(msgspec.msgpack.encode([name, *fields]))


@hypothesis.given(any_message(), st.data())
def test_every_true_header_cut_short(message, data):
    header = encode(message)
    cut = data.draw(st.integers(0, len(header) - 1))
    assert read(header[:cut]) is None


@hypothesis.given(any_message(), st.binary(min_size=1, max_size=20))
def test_a_true_header_with_more_behind(message, more):
    assert read(encode(message) + more) is None


@hypothesis.given(any_message(), st.data())
def test_a_true_header_with_changed_bytes(message, data):
    header = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(header) - 1))
        header[place] = data.draw(st.integers(0, 255))
    read(bytes(header))


@pytest.mark.parametrize("opening", [b"\x91", b"\xdc\x00\x01", b"\x81\xa1a"])
@pytest.mark.parametrize("depth", [100, 10_000, 1_000_000])
def test_deep_nesting(opening, depth):
    assert read((opening * depth)[:MAX_HEADER]) is None


@pytest.mark.parametrize("depth", [100, 10_000, 1_000_000])
def test_deep_nesting_in_a_field_too_many(depth):
    """A newer peer's further fields are skipped, however they look."""
    ping = msgspec.msgpack.encode("Ping")
    read((b"\x92" + ping + b"\x91" * depth + b"\xc0")[:MAX_HEADER])
    assert read(b"\x92" + ping + b"\xc0") == Ping()


def test_a_false_length_allocates_nothing():
    assert read(b"\xdd\xff\xff\xff\xff") is None
    assert read(b"\x92\xa6Submit\xdb\xff\xff\xff\xff") is None


def test_text_that_is_no_utf8():
    header = encode(Submit("c-1", "apply", "0")).replace(b"c-1", b"\xff\xfe1")
    assert read(header) is None


def test_too_long():
    with pytest.raises(ProtocolError, match="allowed"):
        decode(bytes(MAX_HEADER + 1))

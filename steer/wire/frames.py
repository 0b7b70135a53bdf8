"""A message to its header frame and back. Any bytes give a message or a
ProtocolError."""

from collections.abc import Sequence
from typing import Any

import msgspec

from steer.errors import ProtocolError
from steer.wire.messages import AnyMessage, Message

MAX_HEADER = 4 << 20
"""Bytes. The longest honest headers name ten thousand ranks with their times: under 1
MiB."""

MAX_FRAMES = 65_536
"""A payload of more buffers than this is packed by the sender; more is an attack or a
bug."""

Frames = Sequence[Any]
"""What follows a header: objects with the buffer protocol, opened by the two ends
only."""

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)

pack = _encoder.encode
unpack = msgspec.msgpack.decode


def encode(message: Message) -> bytes:
    """The header frame of a message."""
    return _encoder.encode(message)


def decode(header: bytes | memoryview) -> AnyMessage:
    """The message in a header frame; ProtocolError if it is none."""
    if len(header) > MAX_HEADER:
        raise ProtocolError(
            f"A header of {len(header)} bytes came, and {MAX_HEADER} are allowed."
        )
    try:
        return _decoder.decode(header)
    except (
        msgspec.MsgspecError,
        UnicodeDecodeError,
        RecursionError,
        ValueError,
    ) as error:
        raise ProtocolError(f"A header could not be read: {error}.") from None

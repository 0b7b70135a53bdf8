"""Every message survives its way."""

from __future__ import annotations

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from steer.wire import messages
from steer.wire.frames import decode, encode
from steer.wire.messages import Message

from .strategies import EVERY, message_of


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
@hypothesis.given(data=st.data())
def test_a_message_comes_out_as_it_went_in(kind, data):
    message = data.draw(message_of(kind))
    assert decode(encode(message)) == message
    assert type(decode(encode(message))) is kind


def test_every_message_of_the_module_travels():
    defined = {
        value
        for value in vars(messages).values()
        if isinstance(value, type)
        and issubclass(value, Message)
        and value is not Message
    }
    assert defined == set(EVERY)


def test_messages_cannot_be_changed():
    with pytest.raises(AttributeError):
        messages.Abort(("a",), "0").targets = "1"


def test_a_peer_without_the_newest_fields_is_understood():
    """A field is added at the end with a default, so an older peer's array is
    shorter."""
    full = msgspec.msgpack.decode(encode(messages.Submit("c-1", "apply", "0")))
    assert decode(msgspec.msgpack.encode(full[:4])) == messages.Submit(
        "c-1", "apply", "0"
    )

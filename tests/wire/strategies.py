"""Honest messages of every kind, for tests of all rooms."""

from __future__ import annotations

import typing

from hypothesis import strategies as st

from steer.wire import messages
from steer.wire.messages import Message

EVERY: tuple[type[Message], ...] = typing.get_args(messages.AnyMessage)
"""The types of all messages that travel."""

_text = st.text(st.characters(codec="utf-8"), max_size=20)


def message_of(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Any message of this type."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: _value(hint) for name, hint in hints.items()})


def any_message() -> st.SearchStrategy[Message]:
    """Any message at all."""
    return st.sampled_from(EVERY).flatmap(message_of)


def _value(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    if hint is str:
        return _text
    if hint is int:
        return st.integers(-(2**63), 2**64 - 1)
    if hint is typing.Any:
        return st.one_of(st.none(), st.booleans(), st.integers(0, 99), _text)
    if hint is float:
        return st.floats(allow_nan=False)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and arguments[-1] is ...:
        return st.lists(_value(arguments[0]), max_size=4).map(tuple)
    if origin is tuple:
        return st.tuples(*map(_value, arguments))
    if origin is dict:
        return st.dictionaries(*map(_value, arguments), max_size=3)
    if isinstance(hint, type) and issubclass(hint, messages.Fact):
        return st.builds(
            hint, **{n: _value(h) for n, h in typing.get_type_hints(hint).items()}
        )
    if type(None) in arguments:
        return st.one_of(
            *(st.none() if a is type(None) else _value(a) for a in arguments)
        )
    return st.from_type(hint)

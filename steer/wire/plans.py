"""What a plan does, as it travels to the ranks and stays in the journal.

Changes of parameters and code are plain data, so that a journal can be read, and
replayed, by any version of the program. A function is a pickle. The verbs of plans:

    set    parameters get other values                       Changes
    code   Python in the frame of the loop                   Code
    call   a function that came along, with its arguments    Call
    watch  an expression: numbers for users, or a condition  Watch
"""

from typing import Any

import msgspec

from steer.errors import ProtocolError
from steer.ranks import RankSet


class Change(msgspec.Struct, frozen=True, array_like=True):
    """New values of parameters, by name."""

    values: dict[str, Any]
    ranks: str = ""
    """On these engines; on all if empty."""


class Changes(msgspec.Struct, frozen=True, array_like=True):
    """What `set` does: all of it at once on a rank, or nothing."""

    parts: tuple[Change, ...]
    unchecked: bool = False
    """Whether it may be done is only seen where it is done: what is planned before it
    decides about that, as in a replay."""

    def on(self, rank: int) -> dict[str, Any]:
        """The values that this rank gets."""
        mine: dict[str, Any] = {}
        for part in self.parts:
            if not part.ranks or rank in RankSet.parse(part.ranks):
                mine |= part.values
        return mine


class Code(msgspec.Struct, frozen=True, array_like=True):
    """What `code` does."""

    source: str


class Call(msgspec.Struct, frozen=True, array_like=True):
    """What `call` does."""

    name: str
    pickled: bytes
    """(function, args, kwargs)"""


class Watch(msgspec.Struct, frozen=True, array_like=True):
    """What `watch` does."""

    expression: str
    on: str = ""
    """What to do when it is true, "freeze", "align" or "collective"; empty: it is a
    number to be seen."""
    once: bool = False
    """Only the first time."""
    period: float = 0.1
    """Seconds between two messages."""


Deed = Changes | Code | Call | Watch

_VERBS: dict[str, type[Deed]] = {
    "set": Changes, "code": Code, "call": Call, "watch": Watch,
}  # fmt: skip


def verb_of(deed: Deed) -> str:
    """What a plan that does this is called."""
    return next(verb for verb, kind in _VERBS.items() if type(deed) is kind)


def encode_deed(deed: Deed) -> bytes:
    """The body of a plan."""
    return msgspec.msgpack.encode(deed)


def decode_deed(verb: str, body: bytes) -> Deed:
    """What the body of a plan says; ProtocolError if it makes no sense."""
    kind = _VERBS.get(verb)
    if kind is None:
        raise ProtocolError(f"There is no plan of the kind {verb!r}.")
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"A plan could not be read: {error}.") from None

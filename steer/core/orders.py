"""Orders for controllers that are in another process, and what those say, as messages.

Where the node cannot map a rank's page, or cannot put its memory in order (another
host, a sandbox), the rank's own I/O thread is the controller. It gets the very actions
of the core that the node would carry out, and answers with the very events.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from steer.core import roundevents as rv
from steer.core.events import Action, Event
from steer.core.refound import Found
from steer.errors import ProtocolError
from steer.ranks import RankSet
from steer.wire.messages import Order, Ordered


class Locate(Action, frozen=True):
    """Say how far the families of these ranks are; only asked of those far away."""

    ranks: RankSet


ORDERS: dict[str, type[Action]] = {
    kind.__name__: kind
    for kind in (
        rv.Arm, rv.Commit, rv.Rest, rv.Release, rv.Prepare, rv.Confirm, rv.Withdraw,
        rv.Clear, rv.Thaw, rv.Adopt, Locate,
    )
}  # fmt: skip
"""What controllers do."""

REPORTS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        rv.Next, rv.Held, rv.Withdrew, rv.Voted, rv.Froze, rv.Finished, rv.Position,
        Found,
    )
}  # fmt: skip
"""What they say."""

Kind = TypeVar("Kind", bound=msgspec.Struct)


def order(action: Action, ranks: RankSet) -> Order:
    """An action, for these of its ranks."""
    fields = _plain(action) | {"ranks": str(ranks)}
    return Order(type(action).__name__, fields)


def ordered(event: Event) -> Ordered:
    """An event."""
    return Ordered(type(event).__name__, _plain(event))


def action_of(message: Order) -> Action:
    """The action in a message; ProtocolError if there is none."""
    return _made(ORDERS.get(message.what), message.fields)


def event_of(message: Ordered) -> Event:
    """The event in a message; ProtocolError if there is none."""
    return _made(REPORTS.get(message.what), message.fields)


def _plain(struct: msgspec.Struct) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(struct, enc_hook=str)
    return made


def _made(kind: type[Kind] | None, fields: dict[str, Any]) -> Kind:
    if kind is None:
        raise ProtocolError("A controller does and says nothing of the kind.")
    try:
        return msgspec.convert(fields, kind, dec_hook=_rank_set)
    except (msgspec.ValidationError, ValueError) as error:
        raise ProtocolError(f"This is no {kind.__name__}: {error}.") from None


def _rank_set(kind: type, value: Any) -> RankSet:
    if kind is not RankSet or not isinstance(value, str):
        raise ValueError(f"{value!r} is no set of ranks")
    return RankSet.parse(value)

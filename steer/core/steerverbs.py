"""The verbs of steering as clients send them: which there are, what each takes."""

from __future__ import annotations

import typing

from steer.core import roundevents as rv
from steer.core.roundevents import FURTHEST, Asker, Verb
from steer.errors import ProtocolError
from steer.wire.messages import Steer

_VERBS: dict[str, type[Verb]] = {
    "stop": rv.Stop,
    "go": rv.Go,
    "step": rv.Step,
    "advance": rv.Advance,
    "here": rv.Here,
    "plan": rv.Plan,
    "until": rv.Plan,
    "unplan": rv.Unplan,
}
_ARGUMENTS = {
    verb: {
        name: hint
        for name, hint in typing.get_type_hints(kind).items()
        if name not in ("asker", "family")
    }
    for verb, kind in _VERBS.items()
}

QUESTIONS = ("params",)
"""What the ranks' I/O threads answer."""

BEHIND_CELLS = ("stop", "go", "step", "plan", "until", "unplan")
"""What comes behind the cells that run where a run is stopped: else it might come
before one on some ranks, and behind it on others."""

ONCE = ("step", "plan", "until", "advance")
"""What is not done again for a client that does not know whether it was done."""

TOO_FAR = f"points have numbers up to {FURTHEST:,}."


def event_of(message: Steer, family: str) -> Verb:
    """What a client asks for."""
    kind = _VERBS.get(message.verb)
    if kind is None:
        known = ", ".join(_VERBS)
        raise ProtocolError(f"There is no verb {message.verb!r}; there are {known}.")
    hints = _ARGUMENTS[message.verb]
    for name, value in message.arguments.items():
        if name not in hints:
            raise ProtocolError(f"{message.verb} takes no {name!r}.")
        if type(value) is not hints[name]:
            raise ProtocolError(
                f"{name} of {message.verb} is {value!r}, and should be of type "
                f"{hints[name].__name__}."
            )
        if type(value) is int and abs(value) > FURTHEST:
            raise ProtocolError(f"{name} of {message.verb} is {value}: {TOO_FAR}")
    try:
        return kind(Asker(message.id, message.who), family, **message.arguments)
    except TypeError as error:
        raise ProtocolError(f"{message.verb}: {error}.") from None


def unsure(verb: str) -> str:
    """What is said to one who asks again."""
    return (
        f"The hub was started anew while {verb} was under way: look at where the run "
        "is, and ask again if it was not done."
    )

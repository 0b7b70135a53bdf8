"""Completions and descriptions from a rank, for front ends: while a person types.

The lowest rank of a view is asked. A rank that is busy cannot answer; then the request
is taken back and the answer is an empty one, as it is when there is no rank at all.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steer.errors import SteerError
from steer.wire.frames import pack, unpack
from steer.wire.messages import ErrorInfo, Insight, Kind, Part, Piece

if TYPE_CHECKING:
    from steer.client.viewing import View

PATIENCE = 1.0
"""Seconds that somebody who types can wait."""


def complete(
    view: View, code: str, pos: int | None = None, timeout: float = PATIENCE
) -> dict[str, Any]:
    """What may stand at a position of the code, as Jupyter's complete_reply has it."""
    pos = len(code) if pos is None else pos
    answer = _ask(view, "complete", (code, pos), timeout)
    return answer or {
        "matches": [], "cursor_start": pos, "cursor_end": pos, "metadata": {},
    }  # fmt: skip


def inspect(
    view: View,
    code: str,
    pos: int | None = None,
    detail: int = 0,
    timeout: float = PATIENCE,
) -> dict[str, Any]:
    """What the name at a position means, as Jupyter's inspect_reply has it."""
    pos = len(code) if pos is None else pos
    answer = _ask(view, "inspect", (code, pos, detail), timeout)
    return answer or {"found": False, "data": {}, "metadata": {}}


def _ask(view: View, kind: Kind, what: Any, timeout: float) -> dict[str, Any] | None:
    link = view.client.link
    sink = _Sink()
    if link.trouble is not None:
        return None
    try:
        engine = min(view._ids()[0])
        request = link.submit(kind, [engine], [pack(what)], sink)
        if not sink.ended.wait(timeout):
            link.abort([request.submit.id], str(engine))
    except (SteerError, IndexError):  # nobody is there, or not this one
        return None
    return sink.answer


class _Sink:
    """Where the one answer goes; output is nobody's concern."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.answer: dict[str, Any] | None = None

    def part(self, part: Part, frames: Sequence[Any]) -> None:
        """Take the answer."""
        if part.status == "ok":
            self.answer = unpack(frames[0])

    def output(self, piece: Piece, frame: Any) -> None:
        """Leave it."""

    def done(self) -> None:
        """The answer is here."""
        self.ended.set()

    def refused(self, error: ErrorInfo) -> None:
        """There is no answer."""
        self.ended.set()

    def insight(self, message: Insight, content: Any) -> None:
        """Leave it."""

    def notify(self) -> None:
        """The hub is gone, or back: waiting has a short end anyway."""

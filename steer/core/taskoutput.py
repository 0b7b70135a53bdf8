"""What tasks print: handed to their clients at once, and kept for the journal.

Both within bounds, for a task may print a gigabyte: the hub's queue to a slow client
must not grow without end, and the journal is for looking things up.
"""

from __future__ import annotations

from steer.wire.messages import Stream

SHOWN = 16 << 20
"""Bytes of one task's output that its client gets."""

KEPT = 64 << 10
"""Bytes of its text that the journal keeps; the head, that is."""


class Printed:
    """What one task has printed so far."""

    __slots__ = ("kept", "shown", "size")

    def __init__(self) -> None:
        self.shown = 0
        self.size = 0
        self.kept: dict[str, list[bytes]] = {}

    def add(self, stream: Stream, frame: bytes, more: str) -> bytes | None:
        """Note a piece; returns what to show: nothing more after SHOWN, but `more`
        once."""
        if self.size < KEPT and stream in (Stream.STDOUT, Stream.STDERR):
            self.size += len(frame)
            self.kept.setdefault(stream.value, []).append(frame)
        if self.shown > SHOWN:
            return None
        self.shown += len(frame)
        if self.shown <= SHOWN:
            return frame
        return more.encode() if stream in (Stream.STDOUT, Stream.STDERR) else None

    def texts(self) -> dict[str, str] | None:
        """The text that is kept, by stream."""
        if not self.kept:
            return None
        return {
            name: b"".join(frames)[:KEPT].decode(errors="replace")
            for name, frames in self.kept.items()
        }

"""Which task an engine runs, written where it can be read when the engine is dead.

A few bytes of memory that the hub maps while the engine lives. So of all tasks that a
dead engine had, only the one that ran is taken for failed. Writing costs the engine
less than a microsecond.
"""

from __future__ import annotations

import mmap
import os
import struct

from steer.shm import opened

_FORM = struct.Struct("=q32s")
SIZE = _FORM.size
NOBODY = ("", -1)
"""No task ran."""


class BlackBox:
    """The engine's side."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("steer-box", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, SIZE)
        self._map = mmap.mmap(self.fd, SIZE)
        self._write = _FORM.pack_into
        self.rests()

    def runs(self, client: str, number: int) -> None:
        """This task runs now."""
        self._write(self._map, 0, number, client.encode())

    def rests(self) -> None:
        """No task runs now."""
        self._write(self._map, 0, -1, b"")


class Reader:
    """The hub's side; OSError or ValueError if it cannot be had."""

    def __init__(self, pid: int, fd: int) -> None:
        own = opened(pid, fd, SIZE)
        try:
            self._map = mmap.mmap(own, SIZE, access=mmap.ACCESS_READ)
        finally:
            os.close(own)

    def running(self) -> tuple[str, int]:
        """The task that ran last, or NOBODY."""
        number, client = _FORM.unpack_from(self._map)
        name = client.rstrip(b"\0").decode(errors="replace")
        return (name, number) if number >= 0 else NOBODY

    def close(self) -> None:
        """Let go of it."""
        self._map.close()

"""Be told when a file is put into a folder: inotify, which Python lacks.

A hub says that it listens by replacing its connection file. Whoever started it waits
for that here, beside the hub's process, without asking again and again.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Self

__all__ = ["FileWatch"]

_MOVED_TO = 0x80
"""IN_MOVED_TO of <sys/inotify.h>: our files are written aside and moved into place."""
_ENOUGH = 65536


class FileWatch:
    """A descriptor that is readable when a file has been moved into the folder."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0 or (
            libc.inotify_add_watch(self._fd, os.fsencode(folder), _MOVED_TO) < 0
        ):
            code = ctypes.get_errno()
            self.close()
            raise OSError(code, os.strerror(code), str(folder))

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._fd

    def drain(self) -> None:
        """Forget what has been reported; look at the folder after this."""
        try:
            os.read(self._fd, _ENOUGH)
        except BlockingIOError:
            pass  # somebody was quicker, or nothing came: the next report will come

    def close(self) -> None:
        """Stop watching."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

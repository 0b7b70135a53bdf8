"""Ctrl-C waits until a message has left.

Python raises KeyboardInterrupt between any two steps: half a message on a socket would
become the beginning of the next one, and a request whose answers nobody takes would be
known to the hub alone.
"""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any


class Undisturbed:
    """What runs in it runs to its end; then Ctrl-C does what it does otherwise."""

    __slots__ = ("_before", "_pressed")

    def __enter__(self) -> None:
        self._before: Any = None
        self._pressed: Any = None
        if threading.current_thread() is not threading.main_thread():
            return  # Python runs handlers in the main thread only
        before = signal.getsignal(signal.SIGINT)
        if callable(before):
            self._before = before
            signal.signal(signal.SIGINT, self._press)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._before is None:
            return
        signal.signal(signal.SIGINT, self._before)
        if self._pressed is not None:
            self._before(*self._pressed)

    def _press(self, number: int, frame: Any) -> None:
        self._pressed = (number, frame)

"""A program's own input and output, where it is steered: they are left as they were.

What a script prints goes to whoever started it, byte by byte and at once, by the
launcher's own ways; what it reads comes from there. Only while it is held is it as in
every engine: descriptors 1 and 2 are caught, because what a cell prints is for those
who sent it, and `input` asks them.
"""

from __future__ import annotations

import builtins
import contextlib
import getpass
import os
import sys
from collections.abc import Iterator
from typing import Any

from steer.engines.output import Capture


class Passing:
    """Descriptors 0, 1 and 2 of a rank with a program; to be made before the engine
    makes them its own."""

    def __init__(self) -> None:
        self._keyboard = _dup(0)
        self._reads = _reading()
        self._capture: Capture | None = None

    def begin(self, capture: Capture) -> None:
        """The program begins."""
        self._capture = capture
        self._to_program()

    def end(self) -> None:
        """The program is over: from now on this is an engine like others."""
        self._to_users()
        self._capture = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While the program is held."""
        if self._capture is None:
            yield
            return
        self._to_users()
        try:
            yield
        finally:
            self._to_program()

    def told(self, name: str, text: str) -> bool:
        """Hand on what belongs to no request, such as what a thread of the program has
        printed at a hold; says whether there was a program to print it."""
        if self._capture is None:
            return False
        real = self._capture.real_stdout
        if name == "stderr":
            real = self._capture.real_stderr
        with contextlib.suppress(OSError):  # who started it has closed it
            real.write(text)
            real.flush()
        return True

    def _to_program(self) -> None:
        assert self._capture is not None
        self._capture.pass_by()
        self._swap()

    def _to_users(self) -> None:
        assert self._capture is not None
        self._swap()
        self._capture.catch()

    def _swap(self) -> None:
        """Exchange what is read from: the launcher's, or nothing but questions."""
        if self._keyboard >= 0:
            now = os.dup(0)
            os.dup2(self._keyboard, 0)
            os.close(self._keyboard)
            self._keyboard = now
        mine, self._reads = self._reads, _reading()
        sys.stdin, builtins.input, getpass.getpass = mine


def _reading() -> tuple[Any, Any, Any]:
    return sys.stdin, builtins.input, getpass.getpass


def _dup(descriptor: int) -> int:
    """A copy; -1 if there is nothing to copy."""
    try:
        return os.dup(descriptor)
    except OSError:
        return -1

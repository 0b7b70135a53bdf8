"""A terminal for tests: runs a script in a pty, and knows what the screen shows.

It understands what Steer writes: line ends, carriage returns, cursor up, erasing what
is below, and colours, which it drops.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from fcntl import ioctl

_SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


class Screen:
    """What a terminal shows after some output; it scrolls without an end."""

    def __init__(self, columns: int = 80) -> None:
        self.columns = columns
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0

    def write(self, text: str) -> None:
        """Obey what a program writes."""
        position = 0
        while position < len(text):
            found = _SEQUENCE.match(text, position)
            if found:
                self._obey(found[1], found[2])
                position = found.end()
            else:
                self._put(text[position])
                position += 1

    def _obey(self, numbers: str, letter: str) -> None:
        if letter == "A":
            self._row = max(0, self._row - int(numbers or 1))
        elif letter == "J":
            del self._rows[self._row + 1 :]
            del self._rows[self._row][self._column :]
        elif letter != "m":
            raise ValueError(f"This screen does not know ESC[{numbers}{letter}.")

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._down()
        elif character >= " ":
            if self._column == self.columns:
                self._down()
                self._column = 0
            row = self._rows[self._row]
            row.extend(" " * (self._column + 1 - len(row)))
            row[self._column] = character
            self._column += 1

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._rows):
            self._rows.append([])

    @property
    def lines(self) -> list[str]:
        """The lines, without spaces at their ends."""
        return ["".join(row).rstrip() for row in self._rows]

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines).rstrip("\n") + "\n"


class Session:
    """A script under way in a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int, columns: int) -> None:
        self.screen = Screen(columns)
        self.raw = ""
        self.times: list[tuple[float, int]] = []
        """When how much had come."""
        self._process, self._fd = process, fd
        self._pending = b""

    def read_until(self, seen: Callable[[str], bool], seconds: float = 20) -> bool:
        """Read until the screen shows something; False if the script ended before."""
        end = time.monotonic() + seconds
        while not seen(self.screen.text):
            if not self._read(end):
                return False
        return True

    def read_all(self, seconds: float = 30) -> str:
        """Read until the script has ended; what the screen shows then."""
        end = time.monotonic() + seconds
        while self._read(end):
            pass
        return self.screen.text

    def type(self, text: str) -> None:
        """What a person types."""
        os.write(self._fd, text.encode())

    def resize(self, columns: int) -> None:
        """Make the window narrower or wider."""
        _set_size(self._fd, columns)

    def _read(self, end: float) -> bool:
        left = end - time.monotonic()
        ready = select.select([self._fd], [], [], max(0.0, left))[0]
        assert ready, f"nothing came in time; the screen shows:\n{self.screen.text}"
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # how Linux says that the other side has gone
            return False
        if not data:
            return False
        whole = self._pending + data
        text = whole.decode("utf-8", "ignore")
        self._pending = whole[len(text.encode()) :]
        self.raw += text
        self.times.append((time.monotonic(), len(self.raw)))
        self.screen.write(text)
        return True

    def wait(self, seconds: float = 20) -> int:
        """The script's exit status."""
        return self._process.wait(seconds)


def _set_size(fd: int, columns: int) -> None:
    ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


@contextlib.contextmanager
def in_terminal(code: str, columns: int = 80, arguments: Sequence[str] = ()):
    """Run Python code whose input and output are a terminal."""
    ours, theirs = pty.openpty()
    _set_size(theirs, columns)
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("COLUMNS", None)
    environment.pop("LINES", None)
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=theirs, stdout=theirs,
        stderr=theirs, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Session(process, ours, columns)
    finally:
        process.kill()
        process.wait()
        os.close(ours)

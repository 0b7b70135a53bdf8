"""A region of text that is replaced while things go on.

A terminal's region is at the bottom: what others print meanwhile appears above it. A
notebook's is one output that is updated. A plain file, a pipe or a console that cannot
update its outputs gets nothing until the region is closed, and then only its final
text: nobody wants a hundred bars in a log.

Nothing happens by itself: who holds the region knows from `pace` when to come again.
A region belongs to the thread that calls it; only the writes that a terminal's region
lets pass may come from any thread.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TextIO

INTERVAL = 0.1
"""Seconds between two updates at least: a person reads no faster."""
SCREEN = threading.RLock()
"""Whoever writes to the terminal in several steps holds it; there is one screen."""
_visible: list[Terminal] = []
before_questions: list[Callable[[], object]] = []
"""What shows all that was printed until now: a question follows what led to it."""


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Have the terminal to oneself, to ask a person something: regions are away."""
    for catch_up in before_questions:
        catch_up()
    with SCREEN, contextlib.ExitStack() as stack:
        for region in _visible:
            stack.enter_context(region.aside())
        yield


class Region(Protocol):
    """What all regions do."""

    pace: float
    """When the next update will be shown, in monotonic time; what comes before is
    not."""

    def update(self, text: str, html: str | None = None) -> None:
        """Show this instead, unless it is too early."""

    def close(self, final: str | None = None, html: str | None = None) -> None:
        """Leave this there for good; the region has gone."""


class Paced:
    """Updates at most every INTERVAL."""

    def __init__(self) -> None:
        self.pace = 0.0

    def update(self, text: str, html: str | None = None) -> None:
        """Show this instead, unless it is too early."""
        now = time.monotonic()
        if now >= self.pace:
            self.pace = now + INTERVAL
            self._draw(text, html)

    def _draw(self, text: str, html: str | None) -> None:
        raise NotImplementedError


class Plain:
    """Nothing but the final text."""

    def __init__(self, file: TextIO | None = None) -> None:
        self.pace = 0.0
        self._file = file

    def update(self, text: str, html: str | None = None) -> None:
        """Show nothing."""

    def close(self, final: str | None = None, html: str | None = None) -> None:
        """Print the final text."""
        if final:
            (self._file or sys.stderr).write(final.rstrip("\n") + "\n")


class Terminal(Paced):
    """The bottom lines of a terminal.

    While the region is visible, what is written to `sys.stdout` and `sys.stderr` goes
    through it: the region steps aside, and is drawn again when the line has ended.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        super().__init__()
        self._file = file or sys.stderr
        self._lines: list[str] = []
        """What is on the screen now."""
        self._hidden: list[str] = []
        """What was on the screen before somebody wrote half a line."""
        self._replaced: list[tuple[str, TextIO, _Above]] = []

    def _draw(self, text: str, html: str | None) -> None:
        with SCREEN:
            if not text and self not in _visible:
                return
            if self not in _visible:
                self._replace()
            from steer.client.markup import cut  # what scripts do not need

            room = _size()
            lines = text.rstrip("\n").split("\n")[-max(1, room.lines - 1) :]
            lines = [cut(line, room.columns - 1) for line in lines]
            if self._hidden:
                self._hidden = lines  # drawn when the line above has ended
                return
            self._put(self._erased() + "\n".join(lines))
            self._lines = lines

    def close(self, final: str | None = None, html: str | None = None) -> None:
        """Erase the region, and leave the final text where it was."""
        with SCREEN:
            end = "\n" if self._hidden and final else ""
            text = "" if not final else final.rstrip("\n") + "\n"
            self._put(self._erased() + end + text)
            self._lines, self._hidden = [], []
            for name, original, above in self._replaced:
                if getattr(sys, name) is above:
                    setattr(sys, name, original)
            self._replaced = []
            if self in _visible:
                _visible.remove(self)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Write to the terminal directly: the region is away in the meantime."""
        with SCREEN:
            lines = self._lines
            self._put(self._erased())
            self._lines = []
            try:
                yield
            finally:
                self._put("\n".join(lines))
                self._lines = lines

    def pass_on(self, file: TextIO, text: str) -> None:
        """Let somebody write above the region."""
        with SCREEN:
            lines = self._lines or self._hidden
            erased = self._erased()
            if erased:
                self._put(erased)
            file.write(text)
            file.flush()  # the other stream may be next, and has a buffer of its own
            ended = text.endswith("\n")
            self._lines, self._hidden = (lines, []) if ended else ([], lines)
            if ended and lines:
                self._put("\n".join(lines))

    def _erased(self) -> str:
        """What takes the region from the screen, wherever the lines broke."""
        if not self._lines:
            return ""
        from steer.client.markup import cells

        width = _size().columns
        rows = sum(max(1, -(-cells(line) // width)) for line in self._lines)
        return "\r" + (f"\x1b[{rows - 1}A" if rows > 1 else "") + "\x1b[J"

    def _put(self, text: str) -> None:
        if text:
            self._file.write(text)
            self._file.flush()

    def _replace(self) -> None:
        _visible.append(self)
        for name in ("stdout", "stderr"):
            original = getattr(sys, name)
            if _is_terminal(original):
                above = _Above(self, original)
                setattr(sys, name, above)
                self._replaced.append((name, original, above))


def _size() -> os.terminal_size:
    import shutil

    return shutil.get_terminal_size()


class _Above(io.TextIOBase):
    """A terminal's stream while there is a region below it."""

    def __init__(self, region: Terminal, file: TextIO) -> None:
        self._region, self._original = region, file

    def write(self, text: str, /) -> int:
        if text:
            self._region.pass_on(self._original, text)
        return len(text)

    def flush(self) -> None:
        self._original.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._original.fileno()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class Notebook(Paced):
    """One output of a notebook's cell, updated; text and HTML."""

    def __init__(self) -> None:
        super().__init__()
        self._id = ""

    def _draw(self, text: str, html: str | None) -> None:
        from steer.client.markup import to_html

        data = {"text/plain": text}
        data["text/html"] = to_html(text) if html is None else html
        update = bool(self._id)
        self._id = self._id or new_id()
        publish(data, {}, self._id, update=update)

    def close(self, final: str | None = None, html: str | None = None) -> None:
        """Let the final text take the place of all before it."""
        if final or (self._id and final is not None):
            self._draw(final, html)
        elif self._id:
            self._draw("", "")


def new_id() -> str:
    """A name for an output, to update it by."""
    return f"steer-{os.urandom(12).hex()}"


def publish(
    data: dict[str, Any], metadata: dict[str, Any], name: str, *, update: bool
) -> None:
    """Show something as the output of that name, for the first time or again."""
    import IPython.display

    IPython.display.publish_display_data(  # type: ignore[no-untyped-call]
        data, metadata, transient={"display_id": name}, update=update
    )


def open_region(file: TextIO | None = None) -> Region:
    """The region that fits where we are."""
    if updates_outputs():
        return Notebook()
    target = file or sys.stderr
    if _is_terminal(target):
        return Terminal(target)
    return Plain(target)


def _is_terminal(file: Any) -> bool:
    if os.environ.get("TERM") == "dumb":
        return False
    try:
        return bool(file.isatty())
    except (AttributeError, ValueError):  # no file at all, or a closed one
        return False


def updates_outputs() -> bool:
    """Whether we are in a kernel whose front end updates outputs.

    Consoles do not, and no message says so. But notebooks say which cell it is, and
    who runs notebooks without a person (nbclient, papermill) takes no input.
    """
    shell = in_shell()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return False
    request = kernel.get_parent("shell")
    asks = request.get("content", {}).get("allow_stdin", False)
    return bool(request.get("metadata")) or not asks


def in_kernel() -> bool:
    """Whether what is printed goes to a Jupyter front end."""
    return getattr(in_shell(), "kernel", None) is not None


def in_shell() -> Any:
    """The IPython shell that this runs in, or None; IPython is not imported for it."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()

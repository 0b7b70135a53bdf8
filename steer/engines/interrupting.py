"""KeyboardInterrupt that main raises when the call that it is in has ended.

A call of MPI hears of no signal. `interrupt_main` notes one without any, as for
`Stillness` (`looking.py`), and its handler runs before main's next bytecode that looks.
SIGINT would not do: a program may have a handler of its own, which raises nothing, and
main would go on with what it was sent only to be freed. So this is a signal of ours,
and its handler looks at a word that can be taken back: as long as main is in its call,
nothing has happened. If what main ran then is over, by itself, nothing is raised: what
comes after the user's code is ours. If a SIGINT was there before, main has raised
KeyboardInterrupt for that, which is as good.

Who sets it names the *try* (`core/unsticking.py`). If nobody says within LASTS that
ranks are freed now, it is taken back here: the hub has died, and the call may end by
itself in an hour.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from steer.engines.looking import carries

SIGNAL = signal.SIGRTMIN + 8
"""Never sent, only noted for main; no other use of it is known."""
LASTS = 30.0
"""Seconds without a word after which it is taken back."""


class Interrupt:
    """The interrupt of one main thread."""

    def __init__(self, raising: Callable[[], None] = lambda: None) -> None:
        self._raising = raising
        self._word: list[str] = []
        """The try that wants it; empty if nobody does. Taken out in one step, by main
        or by who takes it back."""
        self._frames: list[FrameType] = []
        """The user's, whose call is to end."""
        self._handled: BaseException | None = None
        """What main was handling before."""
        self._main = threading.main_thread().ident or 0
        self._kept = False
        self._handler = self._came
        self.raised = ""
        """The last try whose interrupt main has raised."""
        self.came = threading.Event()
        """Set when main raises."""

    def install(self) -> None:
        """Begin; in the main thread."""
        signal.signal(SIGNAL, self._handler)

    def _came(self, signum: int, frame: FrameType | None) -> None:
        try:
            name = self._word.pop()
        except IndexError:  # taken back
            return
        frames, self._frames = self._frames, []
        before, self._handled = self._handled, None
        now, self._kept = sys.exc_info()[1], False
        already = isinstance(now, KeyboardInterrupt) and now is not before
        if not already and not _meet(frame, frames):
            return
        self.raised = name
        self.came.set()
        self._raising()
        if not already:
            raise KeyboardInterrupt

    @property
    def pending(self) -> str:
        """The try that waits for main to raise."""
        return self._word[0] if self._word else ""

    def set(self, name: str, frame: FrameType) -> str:
        """Have main raise when the call of this frame ends; or why it cannot."""
        if signal.getsignal(SIGNAL) != self._handler:
            return f"the program has a handler of its own for signal {int(SIGNAL)}"
        self.came.clear()
        self._frames = _users(frame)
        self._handled = _handled_by(self._main)
        self._word[:] = [name]
        _thread.interrupt_main(SIGNAL)  # type: ignore[arg-type]
        return ""

    def keep(self, name: str) -> bool:
        """Something is done now by which its call ends: from here on only main ends
        this. Says whether it is pending."""
        if self.pending != name:
            return False
        self._kept = True
        return self.pending == name

    def take_back(self, name: str) -> None:
        """If main has not raised yet, and nothing was done for it, it will not."""
        if self.pending == name and not self._kept:
            self._word.clear()
            self._frames, self._handled = [], None


def _handled_by(thread: int) -> BaseException | None:
    """The exception that a thread handles."""
    found = sys._current_exceptions().get(thread)
    return found[1] if isinstance(found, tuple) else found  # 3.12: only itself


def _users(frame: FrameType | None) -> list[FrameType]:
    """From this frame on outwards, without those that run the user's code."""
    found: list[FrameType] = []
    users = False
    while frame is not None and not (users and carries(frame)):
        users |= not carries(frame)
        found.append(frame)
        frame = frame.f_back
    return found


def _meet(frame: FrameType | None, frames: list[FrameType]) -> bool:
    while frame is not None:
        if any(frame is other for other in frames):
            return True
        frame = frame.f_back
    return False

"""How the I/O thread sees what main does: its stack, its call, since when it is still.

Nothing here stops main or runs on it, but for one thing: the *pending call*. CPython
keeps a list of signals whose handlers main is to run before its next bytecode that
looks (every call that returns, every turn of a loop, does). `interrupt_main` puts one
there without any signal of the system's, so that no sleep is cut short. As long as the
handler has not run, main has returned from nothing: it is in the one native call in
which it was when the call was put there. That is the proof that verdicts need, and it
costs main 1 µs when it comes back.

`Stillness` keeps one such call pending. It only knows how long main has been still
since it was armed, so the engine arms it while a cell runs long, not only when it is
asked."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from time import monotonic
from types import FrameType

from steer.core.rankstates import Call, Look, Open, Spot
from steer.core.stacks import DEEPEST
from steer.engines import blocked, turns
from steer.engines.underway import open_operations

SIGNAL = signal.SIGRTMIN + 7
"""Never sent, only put into the list of main; no other use of it is known."""

NATIVE_AFTER = 0.05
"""Seconds without a bytecode after which main is in native code: a thread that wants
the GIL has it after 5 ms, and main's turn comes again at once."""

_LIBRARIES = ("/mpi4py/", "/steer/engines/", "/IPython/")


class Stillness:
    """Since when main has certainly run no bytecode."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._turns: turns.Turns | None = None
        self._runs = 0
        self._before: object = None

    def install(self) -> None:
        """Begin; in the main thread."""
        self._before = signal.signal(SIGNAL, self._ran)

    def remove(self) -> None:
        """End; in the main thread."""
        self._since = None
        signal.signal(SIGNAL, self._before or signal.SIG_DFL)  # type: ignore[arg-type]

    def _ran(self, signum: int, frame: FrameType | None) -> None:
        self._since = None
        self._runs += 1

    def arm(self) -> None:
        """Make sure that one call is pending; in any thread."""
        if self._since is None:
            self._turns = turns.of_main()
            self._since = monotonic()
            _thread.interrupt_main(SIGNAL)  # type: ignore[arg-type]

    @property
    def runs(self) -> int:
        """Grows when main has moved after it was armed."""
        return self._runs

    def runs_quickly(self) -> bool:
        """Whether main has run bytecode since it was armed last."""
        return self._since is None

    def seconds(self) -> float:
        """For how long main has certainly been still; 0 if it has moved, or nobody
        armed."""
        since = self._since
        return 0.0 if since is None else monotonic() - since

    def in_native_code(self) -> bool:
        """Whether main has been in one native call for long enough to say so: on a
        crowded machine it may just have had no core."""
        still = self.seconds()
        if still < NATIVE_AFTER:
            return False
        had_none = turns.without(self._turns, turns.of_main(), still)
        return still - had_none > NATIVE_AFTER / 2


class Watcher:
    """Looks at the main thread from another one."""

    def __init__(self, main: int | None = None) -> None:
        self._main = main or threading.main_thread().ident
        self.still = Stillness()

    def frame(self) -> FrameType | None:
        """The frame that main is in."""
        return sys._current_frames().get(self._main or 0)

    def stack(self) -> list[tuple[str, int, str]]:
        """Main's stack, the outermost first, without what carries the user's code."""
        return stack_of(self.frame())

    def look(self, *, deep: bool = False) -> Look:
        """What main does. Ask again after `NATIVE_AFTER` if `still` is less than that:
        only then native code can be told from Python.

        Args:
            deep: also look for requests and threads, as a verdict needs.
        """
        self.still.arm()
        runs = self.still.runs
        frame = self.frame()
        if frame is None:
            return Look(Spot())
        at = frame.f_lasti
        spot = user_spot(frame)
        call, native = _call_of(frame)
        opened = open_operations() if deep and call is not None else Open()
        still = self.still.seconds()
        if self.still.runs != runs or frame.f_lasti != at or still == 0.0:
            return Look(spot)  # it went on meanwhile: what was read belongs to no time
        if call or not self.still.in_native_code():
            native = ""
        return Look(spot, native, call, still, opened)


def _call_of(frame: FrameType) -> tuple[Call | None, str]:
    """The call of MPI that waits, told from the frame nearest to it that can tell."""
    said = ""
    for each in _near(frame):
        call, native = blocked.pending(each)
        said = said or native
        if call is not None:
            return call, said
    return None, said


def _near(frame: FrameType | None) -> Iterator[FrameType]:
    """The innermost frame, and those around it as long as they are of libraries: a
    method of `mpi4py.util.pkl5` waits in another one."""
    while frame is not None:
        yield frame
        if not _of_library(frame):
            return
        frame = frame.f_back


def _of_library(frame: FrameType) -> bool:
    return any(part in frame.f_code.co_filename for part in _LIBRARIES)


def users_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame that is the user's own; None if there is none.

    Code of ours that the user's calls, a point for one, may wait in some library: what
    is called from our code is the user's only if it is not installed.
    """
    inside = mine = within = None
    while frame is not None:
        if not carries(frame):
            if mine is None and not _of_library(frame):
                mine = frame
            within = frame
        elif mine is not None and within is not None:
            if not _is_installed(within):
                return mine
            inside, mine = inside or mine, None
        frame = frame.f_back
    if mine is not None and within is not None and not _is_installed(within):
        return mine
    return inside or mine


def user_spot(frame: FrameType) -> Spot:
    """The innermost line that is the user's own."""
    return _spot(users_frame(frame) or frame)


def _spot(frame: FrameType) -> Spot:
    code = frame.f_code
    file = code.co_filename
    if not file.isascii():  # it may hold halves of characters, which cannot travel
        file = file.encode(errors="backslashreplace").decode()
    return Spot(file, frame.f_lineno or 0, code.co_qualname)


def stack_of(frame: FrameType | None) -> list[tuple[str, int, str]]:
    """A stack as it travels. Frames of the engine's own are left out, outermost and
    innermost ones, if there is anything else; of an endless recursion the middle is."""
    users = users_frame(frame)
    found: list[FrameType] = []
    while frame is not None:
        if frame is users and any(map(carries, found)):
            found.clear()  # it called us
        found.append(frame)
        frame = frame.f_back
    found.reverse()
    first = next((i for i, each in enumerate(found) if not carries(each)), 0)
    found = found[first:]
    if len(found) > 2 * DEEPEST:  # the reader cuts it further, and says so
        found = found[:DEEPEST] + found[-DEEPEST:]
    spots = map(_spot, found)
    return [(spot.file, spot.line, spot.function) for spot in spots]


_STDLIB = os.path.join(os.path.dirname(os.__file__), "")


def _is_installed(frame: FrameType) -> bool:
    """Whether it is of a library, not of somebody's script or cell."""
    file = frame.f_code.co_filename
    return file.startswith(_STDLIB) or "-packages/" in file  # site-, dist-


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def carries(frame: FrameType) -> bool:
    """Whether it is of the machinery around the user's code."""
    file = frame.f_code.co_filename
    return file.startswith((_PACKAGE, "<frozen")) or "/IPython/" in file

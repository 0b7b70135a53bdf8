"""Looking into the error that ended the last request of this rank, or into the program
that is held here.

    command("where", 0)            its frames, the innermost last, one of them marked
    command("p", 1, "len(u)")      an expression in the frame one up from the innermost

Frames are counted from the innermost, because ranks that failed alike may have come
there on different ways. What is evaluated runs on main, which is free then: the I/O
thread would be the wrong place for code of the user's.
"""

from __future__ import annotations

import linecache
import reprlib
import traceback
from types import FrameType
from typing import Any

from steer.engines import here
from steer.engines.looking import carries
from steer.engines.tracebacks import users_frames

NOTHING = "no error is kept on this rank"
LONGEST = 2000
"""Characters of a value."""

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 400
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = 12


def command(
    word: str, up: int, argument: str = "", held: bool = False
) -> tuple[int, str]:
    """How many frames there are, and what a command shows in one of them.

    Args:
        word: the command.
        up: which frame.
        argument: an expression.
        held: if no cell has failed since, look at the frames of the program that holds.
    """
    runner = here.current
    if runner is None:
        return 0, NOTHING
    if held and runner.failed_before is None:
        frames, last = _held_frames(), "held at a point"
    elif runner.mourned is not None:
        runner.failure, error = runner.mourned
        frames, last = users_frames(error), _said(error)
    else:
        return 0, NOTHING
    if not frames:
        return 0, last
    place = max(0, len(frames) - 1 - up)
    frame, line = frames[place]
    if word == "where":
        return len(frames), _where(frames, place, last)
    if word == "locals":
        return len(frames), _locals(frame)
    if word == "p":
        return len(frames), _value(frame, argument)
    return len(frames), _spot(frame, line)


def _held_frames() -> list[tuple[FrameType, int]]:
    """Those of the program, as far as the point where it holds."""
    found = []
    frame = here.held
    while frame is not None and not carries(frame):
        found.append((frame, frame.f_lineno))
        frame = frame.f_back
    return found[::-1]


def _said(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).rstrip()


def _spot(frame: FrameType, line: int) -> str:
    code = frame.f_code
    source = linecache.getline(code.co_filename, line, frame.f_globals).strip()
    name = code.co_filename.rpartition("/")[2]
    return f"{name}:{line} in {code.co_qualname}\n    {source}"


def _where(frames: list[tuple[FrameType, int]], place: int, last: str) -> str:
    lines = []
    for at, (frame, line) in enumerate(frames):
        mark = "→" if at == place else " "
        lines += [f"{mark} {part}" for part in _spot(frame, line).split("\n")]
    return "\n".join([*lines, last])


def _locals(frame: FrameType) -> str:
    shown = [
        f"{name} = {_safe(value)}"
        for name, value in frame.f_locals.items()
        if not name.startswith("__")
    ]
    return "\n".join(shown[:100]) or "no variables"


def _value(frame: FrameType, expression: str) -> str:
    try:
        value = eval(expression, frame.f_globals, frame.f_locals)
        text = repr(value)
    except Exception as error:  # noqa: BLE001  whatever the expression raises
        text = f"{type(error).__name__}: {error}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _safe(value: Any) -> str:
    try:
        return _repr.repr(value)
    except Exception as error:  # noqa: BLE001  a __repr__ of the user's
        return f"<its repr failed: {type(error).__name__}>"

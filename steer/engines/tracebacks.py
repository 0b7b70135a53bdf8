"""An exception as plain text, the same on every rank: equal errors can then be folded.

Python's own form, with source lines and causes, and the frames of the user's code only:
none of Steer, none of IPython. IPython is not needed for it, and not asked.
"""

from __future__ import annotations

import importlib.util
import os
import traceback
from types import FrameType, TracebackType

import msgspec

LONGEST = 64 * 1024
"""Characters of a message; a longer one (somebody raised an array) loses its middle."""


class Report(msgspec.Struct, frozen=True):
    """An exception and what is said about it; `traceback` holds lines, ends cut off."""

    ename: str
    evalue: str
    traceback: list[str]
    exception: BaseException


def format_error(error: BaseException) -> Report:
    """Describe an exception; never fails itself."""
    ename = type(error).__name__
    evalue = shorten(_text_of(error))
    try:
        whole = traceback.TracebackException.from_exception(error, compact=True)
        _leave_us_out(whole)
        text = "".join(whole.format())
    except Exception:  # noqa: BLE001  # its own methods raise, or memory is short
        text = f"{ename}: {evalue}"
    lines = [shorten(line) for line in text.rstrip().splitlines()]
    return Report(ename, evalue, lines, error)


def _leave_us_out(whole: traceback.TracebackException | None) -> None:
    """Take our frames out of an exception and of all that it carries."""
    if whole is None:
        return
    kept = [frame for frame in whole.stack or () if not _is_ours(frame.filename)]
    # None is how an exception without a traceback has it: no headline is written.
    whole.stack = traceback.StackSummary.from_list(kept) if kept else None  # type: ignore[assignment]
    for other in (whole.__cause__, whole.__context__, *(whole.exceptions or ())):
        _leave_us_out(other)


def users_part(tb: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames that led to the user's code."""
    while tb is not None and _is_ours(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return tb


def users_frames(error: BaseException) -> list[tuple[FrameType, int]]:
    """The frames of an error with their lines, the outermost first, without ours: an
    interrupt is raised in a handler of ours."""
    found = []
    tb = error.__traceback__
    while tb is not None:
        if not _is_ours(tb.tb_frame.f_code.co_filename):
            found.append((tb.tb_frame, tb.tb_lineno))
        tb = tb.tb_next
    return found


def shorten(text: str) -> str:
    """The text, or its two ends and how much is missing between."""
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} … {len(text) - 2 * half:,} characters … {text[-half:]}"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # a user's __str__ may do anything
        return "<its text cannot be had: __str__ failed>"


def _folder(package: str) -> str:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return os.path.join(places[0], "") if places else "\0"


_OURS = (_folder("steer"), _folder("IPython"))


def _is_ours(filename: str) -> bool:
    return filename.startswith(_OURS)

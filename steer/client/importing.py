"""What a block of code imports, seen without changing the import system for others.

`builtins.__import__` is what an import statement calls. It is replaced while a block
runs, and looks only at calls from a block's own frame: imports of other threads, and
those that an imported module makes itself, pass by. Under which name a module is then
known, the statement's own byte code says.
"""

from __future__ import annotations

import builtins
import contextlib
import dis
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

Seen = list[tuple[str, str]]
"""Statements, and the sentences that announce them."""

BETWEEN = ("CACHE", "IMPORT_FROM", "POP_TOP", "SWAP")
"""What may stand between an import and the names that it assigns."""

_lock = threading.Lock()
_blocks: dict[types.FrameType, list[Seen]] = {}
"""For each frame its blocks: one may be inside another."""
_real = builtins.__import__


@contextlib.contextmanager
def watching() -> Iterator[Seen]:
    """Collect each import statement of the with-block."""
    global _real
    frame = _frame_of_block()
    seen: Seen = []
    with _lock:
        if not _blocks:
            _real, builtins.__import__ = builtins.__import__, _import
        _blocks.setdefault(frame, []).append(seen)
    try:
        yield seen
    finally:
        with _lock:
            _blocks[frame] = [other for other in _blocks[frame] if other is not seen]
            if not _blocks[frame]:
                del _blocks[frame]
            if not _blocks:
                builtins.__import__ = _real


def _import(name: str, *args: Any, **kwargs: Any) -> Any:
    found = _real(name, *args, **kwargs)
    frame = sys._getframe(1)
    blocks = _blocks.get(frame)
    level = args[3] if len(args) > 3 else kwargs.get("level", 0)
    if blocks and not level:
        names = args[2] if len(args) > 2 else kwargs.get("fromlist")
        for seen in blocks:
            seen.append(_statement(name, names, _stored(frame)))
    return found


def _frame_of_block() -> types.FrameType:
    """The frame that has the with-block, outside ourselves and contextlib."""
    frame = sys._getframe(1)
    ours = ("contextlib", "steer.client.views", __name__)
    while frame.f_back is not None and frame.f_globals.get("__name__") in ours:
        frame = frame.f_back
    return frame


def _stored(frame: types.FrameType) -> list[str]:
    """The names that the import statement under way assigns."""
    names: list[str] = []
    importing = False
    for step in dis.get_instructions(frame.f_code):
        if step.offset == frame.f_lasti:
            importing = True
        elif not importing:
            continue
        elif step.opname.startswith("STORE_"):
            names.append(str(step.argval))
        elif step.opname not in BETWEEN:
            break
    return names


def _statement(name: str, names: Any, stored: list[str]) -> tuple[str, str]:
    """The statement, and its sentence. What is renamed keeps its own name as well."""
    if not names:
        known = stored[0] if stored else name
        renamed = "" if known == name.partition(".")[0] else f", {name} as {known}"
        return f"import {name}{renamed}", f"importing {name}"
    pairs = zip(names, stored if len(stored) == len(names) else names, strict=True)
    listed = ", ".join(n if n == s else f"{n}, {n} as {s}" for n, s in pairs)
    return f"from {name} import {listed}", f"importing {','.join(names)} from {name}"

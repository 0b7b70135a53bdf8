"""What a block of code imports, seen without changing the import system for others.

`builtins.__import__` is what an import statement calls; it is replaced only while the
block runs and acts only for imports of the thread that runs it, made by the block's own
module.
"""

from __future__ import annotations

import builtins
import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def watching() -> Iterator[list[tuple[str, str]]]:
    """Collect (statement, sentence) for each import statement of the block."""
    seen: list[tuple[str, str]] = []
    real = builtins.__import__
    thread = threading.get_ident()
    module = _caller()

    def importing(name: str, *args: Any, **kwargs: Any) -> Any:
        found = real(name, *args, **kwargs)
        scope = args[0] if args else kwargs.get("globals")
        fromlist = args[2] if len(args) > 2 else kwargs.get("fromlist")
        level = args[3] if len(args) > 3 else kwargs.get("level", 0)
        if threading.get_ident() == thread and scope is module and not level:
            seen.append(_statement(name, fromlist))
        return found

    builtins.__import__ = importing
    try:
        yield seen
    finally:
        builtins.__import__ = real


def _caller() -> dict[str, Any]:
    """The globals of the code that has the with-block."""
    frame = sys._getframe(2)
    ours = ("contextlib", "steer.client.views", __name__)
    while frame.f_back is not None and frame.f_globals.get("__name__") in ours:
        frame = frame.f_back
    return frame.f_globals


def _statement(name: str, names: Any) -> tuple[str, str]:
    if not names:
        return f"import {name}", f"importing {name}"
    listed = ", ".join(names)
    return f"from {name} import {listed}", f"importing {listed} from {name}"

"""`breakpoint()` in a program that is steered: its rank holds there.

There is no terminal to debug at, but there are clients: they hear of it, look and work
in the frame as at any hold, and let the rank go on. Where a rank cannot hold (before
the first point, in a cell) `breakpoint()` is Python's own; in a cell its questions go
to who sent the cell.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from steer.engines import inframe
from steer.engines.points import Session


@contextlib.contextmanager
def breakpoints(session: Session) -> Iterator[None]:
    """Meanwhile they hold. Who sets PYTHONBREAKPOINT wants something else."""
    if os.environ.get("PYTHONBREAKPOINT"):
        yield
        return

    def hold(*args: Any, **kwargs: Any) -> None:
        where = inframe.site(inframe.loops_frame())
        if session.hold(f"breakpoint() at {where}"):
            return
        import pdb

        pdb.Pdb().set_trace(sys._getframe(1))

    before, sys.breakpointhook = sys.breakpointhook, hold
    try:
        yield
    finally:
        if sys.breakpointhook is hold:
            sys.breakpointhook = before

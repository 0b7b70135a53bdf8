"""Waits for requests among the calls that are noted, where CPython tells of calls.

A request has no class of ours, and most of them are waited for where no name of the
program's leads. From 3.12 on `sys.monitoring` reports each call; a place that calls
something else is reported once and never again, so that the rest of a program pays
nothing. Before 3.12 waits are not noted.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import CodeType
from typing import Any

from mpi4py import MPI

WAITS = frozenset(
    ("Wait", "wait", "Waitall", "waitall", "Waitany", "waitany", "Waitsome", "waitsome")
)
Note = Callable[[tuple[Any, ...]], None]

_monitoring: Any = getattr(sys, "monitoring", None)
_tool: int | None = None


def switch(on: bool, note: Note) -> None:
    """Begin, or end."""
    if _monitoring is None:
        return
    _end()
    if on:
        _begin(note)


def _begin(note: Note) -> None:
    global _tool
    free = (n for n in range(6) if _monitoring.get_tool(n) is None)
    _tool = next(free, None)
    if _tool is None:  # debuggers and profilers have them all
        return
    events = _monitoring.events
    began: dict[int, int] = {}
    now, me = time.time_ns, threading.get_ident

    def called(code: CodeType, at: int, function: Any, first: Any) -> Any:
        if not _is_wait(function, first):
            return _monitoring.DISABLE
        began[me()] = now()
        return None

    def returned(code: CodeType, at: int, function: Any, first: Any) -> Any:
        since = began.pop(me(), 0)
        if since:
            name = function.__name__
            note((name, since, now(), None, None, -1, None, code, at))

    _monitoring.use_tool_id(_tool, "steer.mpi")
    _monitoring.register_callback(_tool, events.CALL, called)
    _monitoring.register_callback(_tool, events.C_RETURN, returned)
    _monitoring.register_callback(_tool, events.C_RAISE, returned)
    _monitoring.set_events(_tool, events.CALL)
    _monitoring.restart_events()


def _end() -> None:
    global _tool
    if _tool is None:
        return
    events = _monitoring.events
    _monitoring.set_events(_tool, 0)
    for event in (events.CALL, events.C_RETURN, events.C_RAISE):
        _monitoring.register_callback(_tool, event, None)
    _monitoring.free_tool_id(_tool)
    _tool = None


def _is_wait(function: Any, first: Any) -> bool:
    """Whether it is `request.Wait`, called with the request, or `Request.Waitall`."""
    if getattr(function, "__name__", "") not in WAITS:
        return False
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type):
        return issubclass(owner, MPI.Request)
    return isinstance(first, MPI.Request)

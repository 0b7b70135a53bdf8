"""What makes communication unsafe where a rank is about to hold: open requests.

A receive that the program has begun may take a message that a cell sends on the same
communicator, and one that it sends may reach a cell. MPI has no list of requests, so
they are looked for where programs keep them: in the variables of the loop and of its
callers, in containers and objects there, and among the youngest objects of all, which
costs a fraction of a millisecond. What a library in C keeps is not seen.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from steer.engines import inframe

OPEN = "requests of the program are open, so that messages may get mixed up"
"""Becomes "On ranks 0-3 requests of the program are open, ...: use steer.comm."."""

DEEPEST = 6
"""Containers and objects within each other: `self.halo.requests`, with their
dictionaries."""
MOST = 5_000
"""Things to look at; what a program keeps in its loop is less."""
_WIDEST = 256
"""Items of a container that holds requests, rather than data."""


def caution(frame: FrameType | None) -> str:
    """What to warn of, at a point that this frame came to; empty if all is well.

    On main only: whether a request is complete is asked of MPI, without completing it.
    """
    MPI = sys.modules.get("mpi4py.MPI")
    if MPI is None or MPI.Is_finalized():
        return ""
    places = [inframe.variables_of(each) for each in _callers(frame)]
    for thing in _requests(MPI.Request, places):
        if thing and not _is_complete(thing, MPI):
            return OPEN
    return ""


def _is_complete(request: Any, MPI: Any) -> bool:
    try:
        return bool(request.Get_status())
    except MPI.Exception:
        return False


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    """The frame and those of the program that led there."""
    while frame is not None:
        if not inframe.is_ours(frame):
            yield frame
        frame = frame.f_back


def _requests(cls: type, places: list[dict[str, Any]]) -> Iterator[Any]:
    """Requests of MPI; no code of the program's runs on the way."""
    for generation in (0, 1):
        for thing in gc.get_objects(generation):
            if issubclass(type(thing), cls):
                yield thing
    left = MOST
    seen: set[int] = set()
    things: list[Any] = [value for place in places for value in place.values()]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for thing in things:
            if issubclass(type(thing), cls):
                yield thing
            elif id(thing) not in seen and left > 0:
                left -= 1
                seen.add(id(thing))
                inner += _inside(thing)
        things = inner


def _inside(thing: Any) -> list[Any]:
    """What a container or an object of the program's own holds."""
    kind = type(thing)
    if kind not in _CONTAINERS and (
        kind.__module__ in _QUIET or issubclass(kind, type)
    ):
        return []
    held = gc.get_referents(thing)
    return held if len(held) <= _WIDEST else []


_CONTAINERS = (list, tuple, dict, set)
_QUIET = ("builtins", "numpy", "mpi4py.MPI")

"""Snapshots of a program's variables, taken and put back where it holds.

These functions run on main, in a hold, on every rank, because `client/snapshots.py` has
them run. A snapshot is only of use if all ranks have it: so all `check` whether it can
be before any of them gives up the one before it. How values are kept is in `copies`.
"""

from __future__ import annotations

import dataclasses
import types
from typing import Any

from steer.engines import here, inframe
from steer.engines.caution import caution
from steer.engines.copies import Copies, unseen

Told = dict[str, Any]
"""What the client is told: plain data."""


@dataclasses.dataclass
class _Snapshot:
    """One."""

    point: int
    values: dict[str, Any]
    copies: Copies


_snapshots: list[_Snapshot] = []
"""One or none: a simulation may fill half of the memory."""


def check(names: tuple[str, ...]) -> Told:
    """Whether these variables could be kept now, or all of the loop's that can be."""
    if refusal := _unsafe():
        return {"refused": refusal}
    variables = _variables()
    missing = [name for name in names if name not in variables]
    if missing:
        return {"refused": f"the loop has no variable {missing[0]}"}
    if not names and not _own(variables):
        return {"refused": "the loop has no variables yet"}
    for name in sorted(names):
        if what := unseen(variables[name]):
            return {"refused": f"{name} is of type {what}, whose state cannot be seen"}
    return {"refused": ""}


def take(names: tuple[str, ...], point: int) -> Told:
    """Keep what these variables hold, or all of the loop's that can be kept."""
    told = check(names)
    if told["refused"]:
        return told
    variables = _variables()
    chosen = {name: variables[name] for name in names} if names else _own(variables)
    _snapshots.clear()  # before: there may be no room for two
    copies = Copies(chosen)
    for name in copies.left_out.keys() & chosen.keys():
        del chosen[name]
    _snapshots.append(_Snapshot(point, chosen, copies))
    size, left_out = copies.size, copies.left_out
    return told | {"names": sorted(chosen), "size": size, "left_out": left_out}


def drop() -> None:
    """Forget the last one."""
    if _snapshots:
        _snapshots.pop()


def look() -> Told:
    """Whether the last one can be put back now."""
    if refusal := _unsafe():
        return {"refused": refusal}
    if not _snapshots:
        return {"refused": "there is no snapshot"}
    return {"refused": "", "point": _snapshots[-1].point}


def put_back() -> Told:
    """Put back the last one; it is kept."""
    snapshot = _snapshots[-1]
    snapshot.copies.restore()
    variables = _variables()
    for name, value in snapshot.values.items():
        variables[name] = value
    return {"refused": "", "names": sorted(snapshot.values)}


def _unsafe() -> str:
    """Why variables should be left alone now."""
    if caution(inframe.loops_frame()):
        return "requests of MPI are open, and their messages cannot be put back"
    return ""


def _variables() -> dict[str, Any]:
    """Those of the loop, which can be assigned."""
    runner: Any = here.current
    variables: dict[str, Any] = runner.namespace.variables
    return variables


def _own(variables: dict[str, Any]) -> dict[str, Any]:
    """What the loop works with, rather than what the program is made of."""
    frame = inframe.loops_frame()
    assert frame is not None
    names = inframe.variables_of(frame)
    other = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
    return {
        name: variables[name]
        for name in names
        if not name.startswith("_")
        and name in variables
        and not isinstance(variables[name], other)
        and type(variables[name]).__module__ not in ("__future__", "mpi4py.MPI")
    }

"""Snapshots of a program's variables, taken and put back where it holds.

These functions run on main, in a hold, on every rank, because `client/snapshots.py` has
them run. A snapshot is only of use if all ranks have it: so `take` says why it cannot
be, and the client has the others drop theirs. How values are kept is in `copies`.
"""

from __future__ import annotations

import dataclasses
import types
from typing import Any

from steer.engines import here, inframe
from steer.engines.caution import caution
from steer.engines.copies import Copies

KEPT = 1
"""Snapshots: a simulation may fill half of the memory."""

Told = dict[str, Any]
"""What the client is told: plain data."""


@dataclasses.dataclass
class _Snapshot:
    """One."""

    point: int
    values: dict[str, Any]
    copies: Copies


_snapshots: list[_Snapshot] = []


def take(names: tuple[str, ...], point: int) -> Told:
    """Keep what these variables hold, or all of the loop's that can be kept."""
    if refusal := _unsafe():
        return {"refused": refusal}
    variables = _variables()
    missing = [name for name in names if name not in variables]
    if missing:
        return {"refused": f"the loop has no variable {missing[0]}"}
    chosen = {name: variables[name] for name in names} if names else _own(variables)
    if not chosen:
        return {"refused": "the loop has no variables yet"}
    copies = Copies(chosen)
    left = {path for path in copies.left_out if path in chosen}
    if names and left:
        name = min(left)
        what = copies.left_out[name]
        return {"refused": f"{name} is of type {what}, whose state cannot be seen"}
    for name in left:
        del chosen[name]
    _snapshots.append(_Snapshot(point, chosen, copies))
    del _snapshots[:-KEPT]
    told = {"names": sorted(chosen), "size": copies.size, "left_out": copies.left_out}
    return {"refused": ""} | told


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

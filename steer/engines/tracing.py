"""The calls of MPI that this rank makes, noted while somebody wants it.

Communicators that the program knows by name are replaced by ones of a class whose calls
note themselves: what, when, with whom, how much, at which line. Off puts the plain ones
back, so that nothing is left behind. Communicators made while it is on note too.

Not seen: calls of a communicator that a function keeps in a local variable since before
it was switched on, waits for requests, and calls that libraries make in C.
"""

from __future__ import annotations

import functools
import inspect
import sys
import time
from collections import deque
from collections.abc import Callable
from types import CodeType
from typing import Any

from mpi4py import MPI

from steer.core.mpiops import OPS
from steer.core.tracerows import KEPT, NOBODY, UNKNOWN, Row
from steer.engines import here, mpi, waitsnoted
from steer.engines.comms import Members, as_number

ring: deque[tuple[Any, ...]] = deque(maxlen=KEPT)

_MAKING = (
    "Split",
    "Split_type",
    "Create",
    "Create_group",
    "Create_cart",
    "Dup",
    "Clone",
)
_STARTING = ("Isend", "isend", "Issend", "issend", "Irecv", "irecv")
_DATA = ("buf", "obj", "sendbuf", "sendobj")
_JOINT = """
    Barrier barrier Bcast bcast Gather gather Gatherv Scatter scatter Scatterv Allgather
    allgather Allgatherv Alltoall alltoall Alltoallv Reduce reduce Allreduce allreduce
    Scan scan Exscan exscan
""".split()  # noqa: SIM905


class Traced(MPI.Intracomm):
    """A communicator whose calls note themselves."""

    world: list[int]
    """Its ranks, as those of the world."""
    key: str


def traced(comm: Any) -> Any:
    """The same communicator, whose calls are noted."""
    if type(comm) is not MPI.Intracomm or comm == MPI.COMM_NULL:
        return comm
    made = Traced(comm)
    members = Members(MPI, comm)
    made.world = [members.rank(i) for i in range(comm.Get_size())]
    described = members.describe("")
    made.key = f"{described.ranks} {described.name}".strip()
    return made


_CALL = """
def call({taken}):
    {before}
    began = now()
    try:
        result = original({given})
    except BaseException:
        frame = frame_of(1)
        note((name, began, now(), {peer}, {tag}, {size}, self, frame.f_code,
              frame.f_lasti))
        raise
    ended = now()
    frame = frame_of(1)
    note((name, began, ended, {peer}, {tag}, {size}, self, frame.f_code, frame.f_lasti,
          {came}))
    return result
"""
"""Written out for each method: gathering arguments of any kind, and looking for some
among them, would take longer than all the rest. What can be made of a note later is
made then."""


_STATUS = """
    wild = source == any_source or {tag} == any_tag
    if wild and status is None:
        status = Status()
"""
"""Of a receive of anything: what came, its Status tells. Read at once: it may be the
program's, which uses it again."""


def _noting(name: str) -> Callable[..., Any]:
    original = getattr(MPI.Intracomm, name)
    parameters = list(inspect.signature(original).parameters.values())
    names = [parameter.name for parameter in parameters]
    defaults = {
        f"_{parameter.name}": parameter.default
        for parameter in parameters
        if parameter.default is not parameter.empty
    }
    taken = (f"{n}=_{n}" if f"_{n}" in defaults else n for n in names)
    data = names[1] if len(names) > 1 and names[1] in _DATA else ""
    tag = _first(names, "recvtag", "tag")
    came, before = "None", "pass"
    if "source" in names:
        came = f"(source, {tag})"
    if "source" in names and "status" in names:
        came = f"(status.Get_source(), status.Get_tag()) if wild else {came}"
        before = _STATUS.format(tag=tag).strip()
    text = _CALL.format(
        before=before, came=came,
        taken=", ".join(taken), given=", ".join(names),
        peer=_first(names, "dest", "source"), tag=_first(names, "tag", "sendtag"),
        size=f"{data}.nbytes if type({data}) is array else size({data})"
        if data else "-1",
    )  # fmt: skip
    known = defaults | {
        "original": original, "name": name, "note": ring.append, "now": time.time_ns,
        "frame_of": sys._getframe, "size": _size, "array": _array(),
        "Status": MPI.Status, "any_source": MPI.ANY_SOURCE, "any_tag": MPI.ANY_TAG,
    }  # fmt: skip
    # A file that is not there: nobody shall read the lines of this one instead.
    exec(compile(text, f"{__file__}:{name}", "exec"), known)
    call: Callable[..., Any] = functools.wraps(original)(known["call"])
    return call


def _first(names: list[str], *wanted: str) -> str:
    return next((name for name in wanted if name in names), "None")


def _array() -> Any:
    try:
        from numpy import ndarray
    except ImportError:
        return None
    return ndarray


def rows() -> list[Row]:
    """What was noted, as it travels."""
    return [_row(*noted) for noted in list(ring)]


def _row(
    name: str,
    began: int,
    ended: int,
    peer: Any,
    tag: Any,
    size: int,
    comm: Traced | None,
    code: CodeType,
    at: int,
    came: tuple[Any, Any] | None = None,
) -> Row:
    source, tag_came = came or (None, None)
    lines = (line for start, end, line in code.co_lines() if start <= at < end)
    return (
        name, began, ended, _whom(comm, peer), _number(tag), size,
        "" if comm is None else comm.key, code.co_filename, next(lines, 0) or 0,
        _whom(comm, source), _number(tag_came),
    )  # fmt: skip


def _whom(comm: Traced | None, peer: Any) -> int:
    """A rank of the world."""
    other = as_number(peer)
    if comm is None or other is None:
        return UNKNOWN
    if other == MPI.PROC_NULL:
        return NOBODY
    return comm.world[other] if 0 <= other < len(comm.world) else UNKNOWN


def _number(tag: Any) -> int:
    found = as_number(tag)
    return UNKNOWN if found is None else max(found, UNKNOWN)


def _size(data: Any) -> int:
    """Bytes, as far as that is known without looking closely."""
    if type(data) is list and data:
        data = data[0]
    size = getattr(data, "nbytes", -1)
    return size if type(size) is int else -1


def _making(name: str) -> Callable[..., Any]:
    original = getattr(MPI.Intracomm, name)

    @functools.wraps(original)
    def call(self: Traced, *args: Any, **named: Any) -> Any:
        made = original(self, *args, **named)
        return traced(MPI.Intracomm(made)) if type(made) is Traced else traced(made)

    return call


def _fill() -> None:
    for name, op in OPS.items():
        if op.parameters[:1] in (("data",), ("buf",), ("source",)) and hasattr(
            MPI.Intracomm, name
        ):
            setattr(Traced, name, _noting(name))
    for name in (*_JOINT, *_STARTING):
        setattr(Traced, name, _noting(name))
    for name in _MAKING:
        setattr(Traced, name, _making(name))


_fill()


def switch(on: bool) -> int:
    """Have calls noted, or no more; how many communicators that concerns. On main."""
    runner = here.current
    assert runner is not None
    change = traced if on else plain
    count = 0
    for variables in (vars(MPI), runner.namespace.variables):
        for name, value in list(variables.items()):
            wanted = type(value) is (MPI.Intracomm if on else Traced)
            if wanted and value not in (MPI.COMM_SELF, mpi.own):
                variables[name] = change(value)
                count += 1
    if on:
        ring.clear()
    waitsnoted.switch(on, ring.append)
    return count


def plain(comm: Any) -> Any:
    """The same communicator, as MPI has it."""
    return MPI.Intracomm(comm)

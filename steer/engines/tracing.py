"""The calls of MPI that this rank makes, noted while somebody wants it.

Communicators that the program knows by name are replaced by ones of a class whose calls
note themselves: what, when, with whom, how much, at which line. Off puts the plain ones
back, so that nothing is left behind. Communicators made while it is on note too.

Not seen: calls of a communicator that a function keeps in a local variable since before
it was switched on, waits for requests, and calls that libraries make in C.
"""

from __future__ import annotations

import functools
import sys
import time
from collections import deque
from collections.abc import Callable
from types import CodeType
from typing import Any

from mpi4py import MPI

from steer.core.mpiops import OPS
from steer.core.tracerows import KEPT, Row
from steer.engines import here, mpi
from steer.engines.comms import Members, as_number

ring: deque[tuple[Any, ...]] = deque(maxlen=KEPT)

_now = time.time_ns
_MAKING = (
    "Split",
    "Split_type",
    "Create",
    "Create_group",
    "Create_cart",
    "Dup",
    "Clone",
)
_STARTING = {
    **dict.fromkeys(("Isend", "isend", "Issend", "issend"), ("data", "dest", "tag")),
    **dict.fromkeys(("Irecv", "irecv"), ("buf", "source", "tag")),
}
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


def _noting(name: str, parameters: tuple[str, ...]) -> Callable[..., Any]:
    original = getattr(MPI.Intracomm, name)
    peer_at, peer_name = _place(parameters, "dest", "source")
    tag_at, tag_name = _place(parameters, "tag", "sendtag")
    note = ring.append
    frame_of = sys._getframe

    @functools.wraps(original)
    def call(self: Traced, *args: Any, **named: Any) -> Any:
        began = _now()
        try:
            return original(self, *args, **named)
        finally:
            ended = _now()
            peer = args[peer_at] if 0 <= peer_at < len(args) else named.get(peer_name)
            tag = args[tag_at] if 0 <= tag_at < len(args) else named.get(tag_name)
            frame = frame_of(1)
            # What can be made of it later is made then.
            note(
                (
                    name, began, ended, peer, tag, _size(args[0]) if args else -1,
                    self.__dict__, frame.f_code, frame.f_lasti,
                )
            )  # fmt: skip

    return call


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
    about: dict[str, Any],
    code: CodeType,
    at: int,
) -> Row:
    world, other = about["world"], as_number(peer)
    known = other is not None and 0 <= other < len(world)
    lines = (line for start, end, line in code.co_lines() if start <= at < end)
    number = as_number(tag)
    return (
        name, began, ended, world[other] if known else -1,
        -1 if number is None else number, size, about["key"], code.co_filename,
        next(lines, 0) or 0,
    )  # fmt: skip


def _place(parameters: tuple[str, ...], *names: str) -> tuple[int, str]:
    """Where an argument stands, and how it is called."""
    for name in names:
        if name in parameters:
            return parameters.index(name), name
    return -1, ""


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
            setattr(Traced, name, _noting(name, op.parameters))
    for name in _JOINT:
        setattr(Traced, name, _noting(name, OPS[name].parameters))
    for name, parameters in _STARTING.items():
        setattr(Traced, name, _noting(name, parameters))
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
    return count


def plain(comm: Any) -> Any:
    """The same communicator, as MPI has it."""
    return MPI.Intracomm(comm)

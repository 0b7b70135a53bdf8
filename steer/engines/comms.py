"""Communicators and peers, named alike on all ranks.

A handle is a local matter, and so is a rank in a communicator. What all ranks agree
about: the ranks of the world that a communicator has and, if it is a duplicate, the how
manyth of which. The name that the program gave it is shown, and proves nothing.

All calls of MPI here are local by the standard (Group_translate_ranks and its like do
not communicate), so that another thread than main may make them while main is blocked,
given MPI_THREAD_MULTIPLE."""

from __future__ import annotations

import ast
import operator
import re
import sys
from types import FrameType
from typing import Any

from steer.core.rankstates import ANY, UNKNOWN, Comm, Message
from steer.ranks import RankSet

_LONGEST_NAME = 24
_DEFAULT_NAME = re.compile(r"MPI[ _]COMM", re.IGNORECASE)


class Members:
    """A communicator's ranks as those of the world."""

    def __init__(self, MPI: Any, comm: Any) -> None:
        self._MPI = MPI
        self._comm = comm
        groups: list[Any] = []

        def group(made: Any) -> Any:
            groups.append(made)
            return made

        try:
            local = peers = all_of_it = group(comm.Get_group())
            if comm.Is_inter():
                peers = group(comm.Get_remote_group())
                all_of_it = group(MPI.Group.Union(local, peers))
            world = group(numbering(MPI).Get_group())
            self._all = MPI.Group.Translate_ranks(all_of_it, None, world)
            self._to = MPI.Group.Translate_ranks(peers, None, world)
        finally:  # main may have freed the communicator in the middle
            for made in groups:
                made.Free()

    def describe(self, text: str) -> Comm:
        """The communicator, as all its ranks name it."""
        MPI = self._MPI
        inside = [rank for rank in self._all if rank != MPI.UNDEFINED]
        name, sure = self._name()
        if "MPI" in text or name:
            text = ""
        if not sure or name.startswith("#"):
            text = self._given() or text
        whole = len(inside) == len(self._all)
        return Comm(str(RankSet(inside)), name, text, sure, whole)

    def _name(self) -> tuple[str, bool]:
        MPI = self._MPI
        if self._comm == MPI.COMM_WORLD:
            return "WORLD", True
        if self._comm == MPI.COMM_SELF:
            return "SELF", True
        number = name_of(self._comm)
        return number, bool(number)

    def _given(self) -> str:
        """The name that the program gave it, for showing: ranks may give one
        communicator different ones, and several the same."""
        own = str(self._comm.Get_name())
        return "" if _DEFAULT_NAME.match(own) else own[:_LONGEST_NAME]

    def rank(self, peer: int) -> int:
        """A peer's rank in the world."""
        if not 0 <= peer < len(self._to) or self._to[peer] == self._MPI.UNDEFINED:
            return UNKNOWN
        return int(self._to[peer])

    def message(self, peer: Any, tag: Any) -> Message | None:
        """A message from or to a peer; None if that is nobody."""
        MPI = self._MPI
        found = as_number(peer)
        if found is None:
            return Message(UNKNOWN, _tag(MPI, tag))
        if found == MPI.PROC_NULL:
            return None
        known = ANY if found == MPI.ANY_SOURCE else self.rank(found)
        return Message(known, _tag(MPI, tag))


def as_number(value: Any) -> int | None:
    """A rank or a tag, which may be a number of numpy's."""
    cls = type(value)  # isinstance would ask the object, if it is of the program's
    if issubclass(cls, int):
        return int.__index__(value)
    numpy = cls.__module__ == "numpy" and hasattr(cls, "__index__")
    return operator.index(value) if numpy and not getattr(value, "ndim", 0) else None


def _tag(MPI: Any, tag: Any) -> int:
    found = as_number(tag)
    if found is None:
        return UNKNOWN
    return ANY if found == MPI.ANY_TAG else found


_keyval: int | None = None
_numbering: Any = None
"""The communicator whose ranks are those of the world, if COMM_WORLD has become another
since (`shrinking.py`)."""


def numbering(MPI: Any) -> Any:
    """The communicator whose ranks are those by which the hub knows this world's."""
    return MPI.COMM_WORLD if _numbering is None else _numbering


def number_by(comm: Any) -> None:
    """From now on it is this one."""
    global _numbering
    _numbering = comm


class Origin:
    """How a communicator came to be: `#2` is the second duplicate of the world, `#2.1`
    the first of that.

    Kept with the communicator, by MPI: it ends with it, and a later one of the same
    handle does not inherit it.
    """

    def __init__(self, name: str = "", counts: bool = True) -> None:
        self.name = name
        self._counts = counts
        self._duplicates = 0

    def copied(self, counts: bool = True) -> Origin:
        """That of the next duplicate; MPI has all ranks make them in one order.

        Args:
            counts: it is a duplicate, of one that is itself the world or a duplicate.
        """
        if not (counts and self._counts):
            return Origin(counts=False)
        self._duplicates += 1
        return Origin(f"{self.name}{'.' if self.name else '#'}{self._duplicates}")


def name_duplicates(MPI: Any) -> None:
    """Number the duplicates of the world from now on, on all ranks.

    MPI calls us when it copies attributes, which it does for duplicates only: of what
    is made by Split and its kind the ranks have to tell enough. Open MPI 5 copies them
    for Create_group too, on those ranks that take part; they would count otherwise than
    the rest from then on.
    """
    global _keyval
    everywhere = not MPI.Get_library_version().startswith("Open MPI")

    def copied(comm: Any, keyval: int, origin: Origin) -> Origin:
        return origin.copied(everywhere or called(sys._getframe(1)) != "Create_group")

    _keyval = MPI.Comm.Create_keyval(copied)
    MPI.COMM_WORLD.Set_attr(_keyval, Origin())


def called(frame: FrameType) -> str:
    """The name of the function that a frame calls now; empty if its source does not
    tell."""
    from steer.engines.blocked import call_node

    node = call_node(frame)
    if node is None:
        return ""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    known = frame.f_locals.get(name, frame.f_globals.get(name))
    return str(getattr(known, "__name__", ""))


def name_of(comm: Any) -> str:
    """The name that it has as a duplicate; empty if it is none, or nobody counted."""
    origin = None if _keyval is None else comm.Get_attr(_keyval)
    return origin.name if isinstance(origin, Origin) else ""

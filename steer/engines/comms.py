"""Communicators and peers, named alike on all ranks.

A handle is a local matter, and so is a rank in a communicator. What all ranks agree
about: the ranks of the world that a communicator has, the name that the user gave it,
and, if its making was observed, its number among those of the same ranks.

All calls of MPI here are local by the standard (Group_translate_ranks and its like do
not communicate), so that another thread than main may make them while main is blocked,
given MPI_THREAD_MULTIPLE."""

from __future__ import annotations

import operator
import re
import sys
from typing import Any

from steer.core.rankstates import ANY, UNKNOWN, Comm, Message
from steer.ranks import RankSet

_DEFAULT_NAME = re.compile(r"MPI[ _]COMM", re.IGNORECASE)


class Members:
    """A communicator's ranks as those of the world."""

    def __init__(self, MPI: Any, comm: Any) -> None:
        self._MPI = MPI
        self._comm = comm
        local = comm.Get_group()
        between = comm.Is_inter()
        self._peers = comm.Get_remote_group() if between else local
        all_of_it = MPI.Group.Union(local, self._peers) if between else local
        world = MPI.COMM_WORLD.Get_group()
        self._all = MPI.Group.Translate_ranks(all_of_it, None, world)
        self._to = MPI.Group.Translate_ranks(self._peers, None, world)
        groups = [local, world]
        groups += [self._peers, all_of_it] if between else []
        for group in groups:
            group.Free()

    def describe(self, text: str) -> Comm:
        """The communicator, as all its ranks name it."""
        MPI = self._MPI
        inside = [rank for rank in self._all if rank != MPI.UNDEFINED]
        name, sure = self._name()
        if "MPI" in text or name:
            text = ""
        whole = len(inside) == len(self._all)
        return Comm(str(RankSet(inside)), name, text, sure, whole)

    def _name(self) -> tuple[str, bool]:
        MPI = self._MPI
        if self._comm == MPI.COMM_WORLD:
            return "WORLD", True
        if self._comm == MPI.COMM_SELF:
            return "SELF", True
        number = number_of(self._comm)
        own = self._comm.Get_name()
        if own and not _DEFAULT_NAME.match(own):
            return own, True
        return (f"#{number}", True) if number else ("", False)

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
    if isinstance(value, int):
        return value
    numpy = type(value).__module__ == "numpy" and hasattr(value, "__index__")
    return operator.index(value) if numpy and not getattr(value, "ndim", 0) else None


def _tag(MPI: Any, tag: Any) -> int:
    found = as_number(tag)
    if found is None:
        return UNKNOWN
    return ANY if found == MPI.ANY_TAG else found


_keyval: int | None = None


def observe(comm: Any) -> None:
    """Number a communicator that was just made; all its ranks must do so, in the order
    in which they made those of the same ranks (as the standard has them made in).

    The number is kept with the communicator, by MPI: it ends with it, and a later one
    of the same handle does not inherit it.
    """
    global _keyval
    MPI = sys.modules["mpi4py.MPI"]
    if _keyval is None:
        _keyval = MPI.Comm.Create_keyval()
    members = Members(MPI, comm).describe("").ranks
    _made[members] = _made.get(members, 0) + 1
    comm.Set_attr(_keyval, _made[members])


_made: dict[str, int] = {}


def number_of(comm: Any) -> int:
    """The number that `observe` gave it; 0 if it gave none."""
    number = None if _keyval is None else comm.Get_attr(_keyval)
    return int(number or 0)

"""MPI's blocking calls as mpi4py names them: what each waits for, what it is given.

One table for two readers: the wait-for graph asks what a call needs, and the engine,
which reconstructs a call from a frame, asks which argument stands where.

Names are those of mpi4py 4.1. What is not here never blocks for long, or is unknown;
both make a rank one that may go on, which can only hide a verdict, never invent one.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass


class Need(enum.Enum):
    """Who must do something before the call can return."""

    MESSAGE = enum.auto()
    """Whoever sends or receives the messages that the call names."""
    ALL = enum.auto()
    """Every member: nobody leaves before the last has come."""
    ROOT = enum.auto()
    """The root gives; a tree of messages may need others too."""
    AT_ROOT = enum.auto()
    """The root needs every member; the others may need any."""
    SOME = enum.auto()
    """Members, but which ones the standard does not say."""
    REQUEST = enum.auto()
    """What was begun before; by whom it is ended, the call does not say."""


@dataclass(frozen=True, slots=True)
class Op:
    """A call."""

    need: Need
    parameters: tuple[str, ...] = ()


_BY_NEED = {
    Need.ALL: """
        Barrier barrier Allreduce allreduce Allgather allgather Allgatherv Alltoall
        alltoall Alltoallv Alltoallw Reduce_scatter Reduce_scatter_block
        Dup Clone Dup_with_info Split Split_type Create Create_cart Create_graph
        Create_dist_graph Create_dist_graph_adjacent Sub Merge Fence Agree
    """,
    Need.SOME: """
        Scan scan Exscan exscan Neighbor_allgather neighbor_allgather
        Neighbor_allgatherv Neighbor_alltoall neighbor_alltoall Neighbor_alltoallv
        Neighbor_alltoallw Create_group Create_intercomm Free Disconnect Shrink
        Lock Lock_all Unlock Unlock_all Flush Flush_all Start Complete Post Allocate
        Allocate_shared Create_dynamic Open Close Set_view Set_size Preallocate Sync
        Read_all Write_all Read_at_all Write_at_all Read_ordered Write_ordered
    """,
    Need.REQUEST: "Wait wait Waitall waitall Waitany waitany Waitsome waitsome",
}
_GIVES = re.compile(r"(?i:all(r|g|t)|neighbor_|reduce_s|scan|exscan)\w*")
"""Collectives whose first argument is what a rank gives."""


def _table() -> dict[str, Op]:
    send = Op(Need.MESSAGE, ("data", "dest", "tag"))
    receive = Op(Need.MESSAGE, ("buf", "source", "tag", "status"))
    probe = Op(Need.MESSAGE, ("source", "tag", "status"))
    both = ("data", "dest", "sendtag", "buf", "source", "recvtag", "status")
    replace = ("data", "dest", "sendtag", "source", "recvtag", "status")
    table = {
        **dict.fromkeys(("Send", "send", "Ssend", "ssend", "Rsend"), send),
        **dict.fromkeys(("Bsend", "bsend"), send),
        **dict.fromkeys(("Recv", "recv"), receive),
        **dict.fromkeys(("Probe", "probe", "Mprobe", "mprobe"), probe),
        **dict.fromkeys(("Sendrecv", "sendrecv"), Op(Need.MESSAGE, both)),
        "Sendrecv_replace": Op(Need.MESSAGE, replace),
        **dict.fromkeys(("Bcast", "bcast"), Op(Need.ROOT, ("data", "root"))),
        "Scatter": Op(Need.ROOT, ("data", "buf", "root")),
        "Scatterv": Op(Need.ROOT, ("data", "buf", "root")),
        "scatter": Op(Need.ROOT, ("data", "root")),
        "Gather": Op(Need.AT_ROOT, ("data", "buf", "root")),
        "Gatherv": Op(Need.AT_ROOT, ("data", "buf", "root")),
        "gather": Op(Need.AT_ROOT, ("data", "root")),
        "Reduce": Op(Need.AT_ROOT, ("data", "buf", "op", "root")),
        "reduce": Op(Need.AT_ROOT, ("data", "op", "root")),
    }
    for need, names in _BY_NEED.items():
        for name in names.split():
            given = ("data", "buf") if name[:1].isupper() else ("data",)
            table[name] = Op(need, given if _GIVES.fullmatch(name) else ())
    return table


OPS = _table()

_OWN_PICKLED = frozenset(("reduce", "allreduce", "scan", "exscan"))


def matches_as(op: str) -> str:
    """The collective that MPI itself sees.

    `bcast` is `Bcast` twice, so either could meet the other; the lower-case reductions
    are messages on a communicator of their own (mpi4py 4.1, msgpickle.pxi), so they
    never meet the upper-case ones.
    """
    return op if op in _OWN_PICKLED else op[:1].upper() + op[1:]

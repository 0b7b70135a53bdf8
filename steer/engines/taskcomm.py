"""The communicator of a task of several ranks: one whose calls can be given up.

A rank that waits in MPI for a peer that has failed would wait for ever: no signal ends
a blocking call, and nobody else may end it (few libraries can revoke, and completing a
call from outside needs to know it exactly). So the blocking calls of this class start
the call that does not block, and look whether it is over, and whether the task is given
up. All ranks of a task have such a communicator, so these calls meet each other.

Objects travel as pickles; a reduction of objects goes in the order of ranks. For all
else it is an `MPI.Intracomm`. What C libraries do with it, `Waitall`, windows and files
block as ever: a rank that waits there is killed when it has to end.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from mpi4py import MPI

from steer.engines.pauses import Pauses

KEPT = 4096
"""Requests that were given up and are kept, since MPI may still write to what they
name."""

_abandoned: list[Any] = []


def wait_until(over: Callable[[], Any]) -> Any:
    """Look until it gives something true; give up when the task is."""
    pauses = Pauses()
    while True:
        found = over()
        if found:
            return found
        TaskComm.look()
        pauses.rest()


def finish(
    request: MPI.Request,
    *keep: Any,
    status: MPI.Status | None = None,
    receives: bool = False,
) -> None:
    """Wait for a request; `keep` lives as long as MPI may need it."""
    try:
        wait_until(lambda: request.Test(status))
    except BaseException:
        abandon(request, keep, receives)
        raise


def abandon(request: MPI.Request, keep: Any = (), receives: bool = False) -> None:
    """Wait for it no longer.

    A receive gives its buffer back. Nothing else can be cancelled: MPICH 5.0.2 crashes.
    """
    with suppress(MPI.Exception):
        if request == MPI.REQUEST_NULL:
            return
        if receives:
            request.Cancel()
            if request.Test():
                return
    _abandoned.append((request, keep))
    del _abandoned[:-KEPT]


class TaskRequest(MPI.Request):
    """A request whose wait ends when its task does."""

    receives = False

    def Wait(self, status: MPI.Status | None = None) -> bool:  # type: ignore[override]
        """Wait."""
        finish(self, status=status, receives=self.receives)
        return True

    def wait(self, status: MPI.Status | None = None) -> Any:
        """Wait for an object."""
        found: list[Any] = []

        def over() -> bool:
            done, value = self.test(status)
            found[:] = [value]
            return done

        try:
            wait_until(over)
        except BaseException:
            abandon(self, receives=self.receives)
            raise
        return found[0]


class TaskComm(MPI.Intracomm):
    """A communicator whose waits end when its task does."""

    look: ClassVar[Callable[[], None]] = staticmethod(lambda: None)
    """Raises if the task that runs is given up."""

    # -- to and from one

    def Recv(  # noqa: D102
        self,
        buf: Any,
        source: int = MPI.ANY_SOURCE,
        tag: int = MPI.ANY_TAG,
        status: MPI.Status | None = None,
    ) -> None:
        request = super().Irecv(buf, source, tag)
        finish(request, buf, status=status, receives=True)

    def Sendrecv(  # noqa: D102
        self,
        sendbuf: Any,
        dest: int,
        sendtag: int = 0,
        recvbuf: Any = None,
        source: int = MPI.ANY_SOURCE,
        recvtag: int = MPI.ANY_TAG,
        status: MPI.Status | None = None,
    ) -> None:
        receive = super().Irecv(recvbuf, source, recvtag)
        try:
            self.Send(sendbuf, dest, sendtag)
        except BaseException:
            abandon(receive, recvbuf, receives=True)
            raise
        finish(receive, recvbuf, status=status, receives=True)

    def Probe(  # noqa: D102
        self,
        source: int = MPI.ANY_SOURCE,
        tag: int = MPI.ANY_TAG,
        status: MPI.Status | None = None,
    ) -> Any:
        return wait_until(lambda: self.Iprobe(source, tag, status))

    def Mprobe(  # noqa: D102
        self,
        source: int = MPI.ANY_SOURCE,
        tag: int = MPI.ANY_TAG,
        status: MPI.Status | None = None,
    ) -> MPI.Message:
        found: MPI.Message = wait_until(lambda: self.Improbe(source, tag, status))
        return found

    probe = Probe

    def mprobe(  # noqa: D102
        self,
        source: int = MPI.ANY_SOURCE,
        tag: int = MPI.ANY_TAG,
        status: MPI.Status | None = None,
    ) -> MPI.Message:
        found: MPI.Message = wait_until(lambda: self.improbe(source, tag, status))
        return found

    def send(self, obj: Any, dest: int, tag: int = 0) -> None:  # noqa: D102
        self.Send([MPI.pickle.dumps(obj), MPI.BYTE], dest, tag)

    def ssend(self, obj: Any, dest: int, tag: int = 0) -> None:  # noqa: D102
        self.Ssend([MPI.pickle.dumps(obj), MPI.BYTE], dest, tag)

    def recv(  # noqa: D102
        self,
        buf: Any = None,
        source: int = MPI.ANY_SOURCE,
        tag: int = MPI.ANY_TAG,
        status: MPI.Status | None = None,
    ) -> Any:
        if source == MPI.PROC_NULL:
            return super().recv(buf, source, tag, status)
        status = status if status is not None else MPI.Status()
        message = self.Mprobe(source, tag, status)
        body = bytearray(status.Get_count(MPI.BYTE))
        finish(message.Irecv([body, MPI.BYTE]), body)
        return MPI.pickle.loads(body)

    def sendrecv(  # noqa: D102
        self,
        sendobj: Any,
        dest: int,
        sendtag: int = 0,
        recvbuf: Any = None,
        source: int = MPI.ANY_SOURCE,
        recvtag: int = MPI.ANY_TAG,
        status: MPI.Status | None = None,
    ) -> Any:
        body = MPI.pickle.dumps(sendobj)
        sending = super().Isend([body, MPI.BYTE], dest, sendtag)
        try:
            value = self.recv(recvbuf, source, recvtag, status)
        except BaseException:
            abandon(sending, body)
            raise
        finish(sending, body)
        return value

    # -- to and from all, as objects

    def barrier(self) -> None:  # noqa: D102
        self.Barrier()

    def allgather(self, sendobj: Any) -> list[Any]:  # noqa: D102
        body = MPI.pickle.dumps(sendobj)
        sizes = self._sizes(len(body))
        whole = bytearray(sum(sizes))
        self.Allgatherv([body, MPI.BYTE], [whole, sizes, MPI.BYTE])
        return _objects(whole, sizes)

    def gather(self, sendobj: Any, root: int = 0) -> list[Any] | None:  # noqa: D102
        body = MPI.pickle.dumps(sendobj)
        sizes = self._sizes(len(body))
        mine = self.rank == root
        whole = bytearray(sum(sizes)) if mine else bytearray()
        receive = [whole, sizes, MPI.BYTE] if mine else None
        self.Gatherv([body, MPI.BYTE], receive, root)
        return _objects(whole, sizes) if mine else None

    def bcast(self, obj: Any, root: int = 0) -> Any:  # noqa: D102
        if self.rank == root:
            body = bytearray(MPI.pickle.dumps(obj))
            self._size_of(len(body), root)
            self.Bcast([body, MPI.BYTE], root)
            return obj
        body = bytearray(self._size_of(0, root))
        self.Bcast([body, MPI.BYTE], root)
        return MPI.pickle.loads(body)

    def scatter(self, sendobj: Sequence[Any] | None, root: int = 0) -> Any:  # noqa: D102
        send: Any = None
        counts = None
        if self.rank == root:
            if sendobj is None or len(sendobj) != self.size:
                raise ValueError(f"expecting {self.size} items")
            bodies = [MPI.pickle.dumps(item) for item in sendobj]
            counts = array("q", map(len, bodies))
            send = [b"".join(bodies), list(counts), MPI.BYTE]
        size = array("q", [0])
        self.Scatter(counts, size, root)
        body = bytearray(size[0])
        self.Scatterv(send, [body, MPI.BYTE], root)
        return MPI.pickle.loads(body)

    def alltoall(self, sendobj: Sequence[Any]) -> list[Any]:  # noqa: D102
        bodies = [MPI.pickle.dumps(item) for item in sendobj]
        if len(bodies) != self.size:
            raise ValueError(f"expecting {self.size} items")
        counts, sizes = array("q", map(len, bodies)), array("q", bytes(8 * self.size))
        self.Alltoall(counts, sizes)
        whole = bytearray(sum(sizes))
        self.Alltoallv(
            [b"".join(bodies), list(counts), MPI.BYTE], [whole, list(sizes), MPI.BYTE]
        )
        return _objects(whole, list(sizes))

    def reduce(self, sendobj: Any, op: Any = MPI.SUM, root: int = 0) -> Any:  # noqa: D102
        objects = self.gather(sendobj, root)
        return None if objects is None else functools.reduce(op, objects)

    def allreduce(self, sendobj: Any, op: Any = MPI.SUM) -> Any:  # noqa: D102
        return functools.reduce(op, self.allgather(sendobj))

    def scan(self, sendobj: Any, op: Any = MPI.SUM) -> Any:  # noqa: D102
        return functools.reduce(op, self.allgather(sendobj)[: self.rank + 1])

    def exscan(self, sendobj: Any, op: Any = MPI.SUM) -> Any:  # noqa: D102
        before = self.allgather(sendobj)[: self.rank]
        return functools.reduce(op, before) if before else None

    def _sizes(self, size: int) -> list[int]:
        """What each rank has."""
        sizes = array("q", bytes(8 * self.size))
        self.Allgather(array("q", [size]), sizes)
        return list(sizes)

    def _size_of(self, size: int, root: int) -> int:
        """What one rank has."""
        sizes = array("q", [size])
        self.Bcast(sizes, root)
        return sizes[0]

    # -- others like it

    def Dup(self, info: Any = None) -> TaskComm:  # noqa: D102
        if info is not None:
            return TaskComm(super().Dup(info))
        comm, request = self.Idup()
        finish(request)
        return comm

    Clone = Dup


def _objects(whole: bytearray, sizes: Sequence[int]) -> list[Any]:
    objects, place = [], 0
    view = memoryview(whole)
    for size in sizes:
        objects.append(MPI.pickle.loads(view[place : place + size]))
        place += size
    return objects


def _blocking(name: str) -> Callable[..., None]:
    """A call that waits, made of the one that does not."""
    start = getattr(MPI.Intracomm, f"I{name[0].lower()}{name[1:]}")

    @functools.wraps(getattr(MPI.Intracomm, name))
    def call(self: TaskComm, *args: Any, **kwargs: Any) -> None:
        finish(start(self, *args, **kwargs), args, kwargs)

    return call


def _starting(name: str) -> Callable[..., TaskRequest]:
    """A call that does not wait; its request can be given up."""
    start = getattr(MPI.Intracomm, name)
    receives = name.lower() == "irecv"

    @functools.wraps(start)
    def call(self: TaskComm, *args: Any, **kwargs: Any) -> TaskRequest:
        request = TaskRequest(start(self, *args, **kwargs))
        request.receives = receives
        return request

    return call


def _dividing(name: str) -> Callable[..., MPI.Comm]:
    """A call that makes a communicator of some of the ranks."""
    make = getattr(MPI.Intracomm, name)

    @functools.wraps(make)
    def call(self: TaskComm, *args: Any, **kwargs: Any) -> MPI.Comm:
        made: MPI.Comm = make(self, *args, **kwargs)
        plain = type(made) is MPI.Intracomm and made != MPI.COMM_NULL
        return TaskComm(made) if plain else made

    return call


_WAITING = (
    "Send", "Ssend", "Rsend", "Barrier", "Bcast", "Gather", "Gatherv", "Scatter",
    "Scatterv", "Allgather", "Allgatherv", "Alltoall", "Alltoallv", "Alltoallw",
    "Reduce", "Allreduce", "Reduce_scatter", "Reduce_scatter_block", "Scan", "Exscan",
)  # fmt: skip
_BEGINNING = (
    "Isend", "Issend", "Irsend", "Irecv", "isend", "issend", "irecv", "Ibarrier",
    "Ibcast", "Igather", "Igatherv", "Iscatter", "Iscatterv", "Iallgather",
    "Iallgatherv", "Ialltoall", "Ialltoallv", "Ialltoallw", "Ireduce", "Iallreduce",
    "Ireduce_scatter", "Ireduce_scatter_block", "Iscan", "Iexscan",
)  # fmt: skip
_MAKING = ("Split", "Split_type", "Create", "Create_group")

for _names, _made in (
    (_WAITING, _blocking), (_BEGINNING, _starting), (_MAKING, _dividing)
):  # fmt: skip
    for _name in _names:
        setattr(TaskComm, _name, _made(_name))

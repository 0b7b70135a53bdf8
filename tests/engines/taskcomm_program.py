"""What `test_gangs` runs on several ranks: each call beside that of mpi4py itself."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
from mpi4py import MPI

from steer.engines.taskcomm import TaskComm


def same(ours: object, theirs: object, what: str) -> None:
    """Fail if they differ."""
    assert repr(ours) == repr(theirs), (what, ours, theirs)


def objects(task: TaskComm, plain: MPI.Intracomm) -> None:
    """Calls with objects."""
    rank, size = plain.rank, plain.size
    thing = {"rank": rank, "x": [rank] * 3}
    many = [(rank, other) for other in range(size)]
    for call, args in {
        "allgather": (thing,),
        "gather": (thing, size - 1),
        "bcast": (thing, 1),
        "scatter": (many if rank == 1 else None, 1),
        "alltoall": (many,),
        "reduce": (rank + 1, MPI.PROD, 1),
        "allreduce": ((rank, "a"), MPI.MAXLOC),
        "scan": ([rank],),
        "exscan": (rank + 1,),
        "barrier": (),
    }.items():
        same(getattr(task, call)(*args), getattr(plain, call)(*args), call)
    same(task.allreduce(rank), plain.allreduce(rank), "allreduce")


def pairs(task: TaskComm, plain: MPI.Intracomm) -> None:
    """From one to another."""
    rank, size = plain.rank, plain.size
    right, left = (rank + 1) % size, (rank - 1) % size
    big = "x" * 300_000
    status = MPI.Status()
    assert task.sendrecv((rank, big), right, 3, None, left, 3) == (left, big)
    if rank == 0:
        task.send("hello", 1, 7)
        task.ssend("there", 1, 8)
        assert task.isend("later", 1, 9).wait() is None
        task.Send(np.arange(4.0), 1)
    elif rank == 1:
        assert task.probe(MPI.ANY_SOURCE, 7)
        assert task.recv(tag=7, status=status) == "hello"
        assert (status.source, status.tag) == (0, 7)
        assert task.mprobe(0, 8).recv() == "there"
        assert task.irecv(source=0, tag=9).wait() == "later"
        got = np.zeros(4)
        task.Recv(got, 0, status=status)
        assert got.sum() == 6
        assert status.Get_count(MPI.DOUBLE) == 4
    got = np.zeros(1, int)
    task.Sendrecv(np.array([rank]), right, 0, got, left, 0)
    assert got[0] == left
    assert task.recv(source=MPI.PROC_NULL) is None


def arrays(task: TaskComm, plain: MPI.Intracomm) -> None:
    """Calls with buffers."""
    ours, theirs = np.zeros(5), np.zeros(5)
    mine = np.arange(5.0) + plain.rank
    for comm, out in ((task, ours), (plain, theirs)):
        comm.Allreduce(mine, out, MPI.SUM)
    same(ours, theirs, "Allreduce")
    both = mine.copy()
    task.Allreduce(MPI.IN_PLACE, both)
    same(both, theirs, "Allreduce in place")
    task.Bcast(both, root=1)
    task.Barrier()


def divided(task: TaskComm, plain: MPI.Intracomm) -> None:
    """Communicators made of it."""
    half = task.Split(plain.rank % 2, plain.rank)
    assert type(half) is TaskComm
    assert sorted(half.allgather(plain.rank))[0] == plain.rank % 2
    twin = task.Dup()
    assert type(twin) is TaskComm
    assert twin.size == plain.size
    none = task.Split(MPI.UNDEFINED if plain.rank else 0)
    assert (none == MPI.COMM_NULL) == (plain.rank > 0)


def given_up(task: TaskComm) -> None:
    """A wait ends when the task does, in all kinds of calls."""
    stop: list[int] = []

    def look() -> None:
        if stop:
            raise InterruptedError

    TaskComm.look = staticmethod(look)
    buffer = np.zeros(4)
    calls = [
        lambda: task.recv(source=1, tag=99),
        lambda: task.Recv(buffer, 1, 99),
        lambda: task.irecv(source=1, tag=99).wait(),
        lambda: task.Barrier(),
        lambda: task.bcast(None, 1),
        lambda: task.allreduce(1),
        lambda: task.Ssend(buffer, 1, 98),
        lambda: task.Probe(1, 99),
        lambda: task.sendrecv(1, 1, 97, None, 1, 99),
    ]
    for call in calls:
        stop.clear()
        timer = threading.Timer(0.02, stop.append, (1,))
        timer.start()
        began = time.monotonic()
        try:
            call()
        except InterruptedError:
            pass
        else:
            raise AssertionError("it was not given up")
        assert time.monotonic() - began < 1
        timer.join()


def main() -> None:
    """Do it all."""
    world = MPI.COMM_WORLD
    task, plain = TaskComm(world.Dup()), world.Dup()
    objects(task, plain)
    pairs(task, plain)
    arrays(task, plain)
    divided(task, plain)
    lonely = TaskComm(world.Dup())
    if world.rank == 0:
        given_up(lonely)
    TaskComm.look = staticmethod(lambda: None)
    world.Barrier()
    assert task.allgather(world.rank) == list(range(world.size))
    if world.rank == 0:
        print("good")


if __name__ == "__main__":
    sys.exit(main())

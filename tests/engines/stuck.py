"""One rank of a program that hangs, and the thread that looks at it from beside.

Run by mpiexec: `python stuck.py PROGRAM FOLDER`. What the thread sees is written to
FOLDER/RANK.json; a rank whose part is over, or failed, says so in a file of that name.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
from mpi4py import MPI

from steer.engines import comms
from steer.engines.looking import Watcher

comm = MPI.COMM_WORLD
rank, size = comm.Get_rank(), comm.Get_size()
SHOW = signal.SIGRTMIN + 6
ENOUGH = 1.2 + size / 12
LONGEST = 2 * ENOUGH


def head_to_head():
    ghost = np.zeros(4)
    left = (rank - 1) % size
    comm.Recv(
        [ghost, MPI.DOUBLE],
        source=left,
        tag=7,
    )
    comm.Send(ghost, (rank + 1) % size, 7)


def missing_participant():
    if rank != 1:
        comm.Barrier()


def mismatch():
    if rank == 0:
        comm.Barrier()
    else:
        comm.allreduce(rank)


def wildcard():
    if rank == 0:
        comm.recv(source=MPI.ANY_SOURCE)
    else:
        comm.bcast(None, root=0)


def early_return():
    for step in range(3):
        if step == rank == 2:
            return
        comm.allreduce(step)


def wrong_tag():
    class Halo:
        def __init__(self):
            self.peer, self.tag, self.comm = 1 - rank, 7, comm

        def exchange(self, data):
            if rank == 0:
                self.comm.ssend(data, dest=self.peer, tag=self.tag)
            else:
                self.comm.recv(source=self.peer, tag=self.tag + 2)

    if rank < 2:
        Halo().exchange({"a": 1})
    comm.Barrier()


def dead_worker():
    if rank == size - 1:
        raise ZeroDivisionError("division by zero")
    comm.recv(source=size - 1, tag=rank)


def slow_rank():
    if rank == 1:
        total, end = 0, time.monotonic() + 60
        while time.monotonic() < end:
            total += 1
    comm.Barrier()


def python_loop():
    while rank == 0:
        pass
    comm.Bcast(np.zeros(1), root=0)


def sleeper():
    if rank == 0:
        time.sleep(60)
    comm.allgather(rank)


def c_loop():
    if rank == 0:
        ctypes.CDLL(None).pause()  # never returns, and lets go of the GIL
    comm.Barrier()


def native_with_gil():
    if rank == 0:
        sum(range(10**12))
    comm.Barrier()


def gil_holding_collective():
    mine = comm.Dup()
    if rank != 0:
        mine.allreduce(1)


def nested():
    rows = comm.Split(rank // 2)
    pair = MPI.COMM_WORLD.Create_group(comm.Get_group().Incl([0, 2]))
    if rank == 2:
        pair.Barrier()
    elif rank == 0:
        rows.Barrier()
    elif rank == 1:
        rows.Allreduce(MPI.IN_PLACE, np.zeros(3), op=MPI.SUM)


def duplicates():
    if rank != 1:
        comm.Create_group(comm.Get_group().Incl([0, 2]))
    mine, yours = comm.Dup(), comm.Dup().Dup()
    (mine if rank == 0 else yours).Barrier()


def requests():
    buffer = np.zeros(8)
    request = comm.Irecv(buffer, source=(rank + 1) % size, tag=5)
    MPI.Request.Waitall([request])


def big_message_on_its_way():
    """Nobody can tell it from a deadlock by its calls alone."""
    data = np.zeros(50_000_000)
    sent = comm.Isend(data, dest=(rank + 1) % size, tag=1)
    comm.Recv(data[:10], source=(rank + 1) % size, tag=2)
    sent.Wait()


class Beside(threading.Thread):
    def __init__(self, folder: Path):
        super().__init__(name="steer-beside", daemon=True)
        self.folder = folder
        self.watcher = Watcher()
        self.over = threading.Event()

    def run(self):
        # All look at one time: a proof needs that they are still together.
        everybody_since = None
        while not self.over.wait(0.05):
            self.watcher.still.arm()
            if everybody_since is None:
                if len(list(self.folder.glob("*.began"))) == size:
                    everybody_since = time.monotonic()
                continue
            passed = time.monotonic() - everybody_since
            still = min(self.watcher.still.seconds(), passed)
            if still > ENOUGH or passed > LONGEST:
                break
        else:
            return
        began = time.perf_counter()
        self.watcher.look()
        took = time.perf_counter() - began
        look = self.watcher.look(deep=True)
        stack = self.watcher.stack()
        self.say("json", msgspec.json.encode((look, took, stack)))

    def say(self, kind, text):
        draft = self.folder / f"{rank}.draft"
        draft.write_bytes(text)
        draft.rename(self.folder / f"{rank}.{kind}")


def main(program, folder):
    comm.allreduce(0)
    comms.name_duplicates(MPI)
    beside = Beside(Path(folder))
    outside = (Path(folder) / f"{rank}.outside").open("w")
    faulthandler.register(SHOW, file=outside, all_threads=False)
    beside.watcher.still.install()
    (Path(folder) / f"{rank}.began").write_text(str(os.getpid()))
    beside.start()
    try:
        globals()[program]()
    except ZeroDivisionError as error:
        beside.over.set()
        beside.say("failed", type(error).__name__.encode())
    else:
        beside.over.set()
        beside.say("finished", b"")
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])

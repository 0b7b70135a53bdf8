"""Programs that hang, for cells on real ranks: what nobody tuned for.

Each is a function without arguments in `PROGRAMS`; `SETUP` defines all of them on the
ranks.
"""

SETUP = """
import ctypes, os, time
import numpy as np
from mpi4py import MPI
comm = MPI.COMM_WORLD
rank, size = comm.Get_rank(), comm.Get_size()
kept = {"rank": rank}
comm.allreduce(0)  # the first of a communicator holds the GIL

def head_to_head():
    ghost = np.zeros(4)
    left = (rank - 1) % size
    comm.Recv([ghost, MPI.DOUBLE], source=left, tag=7)
    comm.Send(ghost, (rank + 1) % size, 7)

def large_sends():
    data = np.zeros(1_000_000)
    comm.Send(data, dest=(rank + 1) % size, tag=3)
    comm.Recv(data, source=(rank - 1) % size, tag=3)

def missing_participant():
    if rank != 1:
        comm.Barrier()

def missing_reduction():
    total = np.zeros(3)
    if rank != 1:
        comm.Allreduce(np.ones(3), total, op=MPI.MAX)

def mismatch():
    if rank == 0:
        comm.Barrier()
    else:
        comm.allreduce(rank)

def mismatch_of_buffers():
    given, total = np.ones(3), np.zeros(3)
    if rank == 0:
        comm.Barrier()
    else:
        comm.Allreduce(given, total)

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
    if rank == 0:
        comm.ssend({"a": 1}, dest=1, tag=7)
    if rank == 1:
        comm.recv(source=0, tag=9)
    comm.Barrier()

def dead_worker():
    if rank == size - 1:
        raise ZeroDivisionError("division by zero")
    comm.recv(source=size - 1, tag=rank)

def worker_that_dies_when_told(door):
    if rank == size - 1:
        with open(door, "rb", buffering=0) as pipe:
            pipe.read(1)
        raise ZeroDivisionError("division by zero")
    comm.recv(source=size - 1, tag=rank)

def slow_rank():
    if rank == 1:
        total, end = 0, time.monotonic() + 600
        while time.monotonic() < end:
            total += 1
    comm.Barrier()

def python_loop():
    while rank == 0:
        pass
    comm.Bcast(np.zeros(1), root=0)

def sleeper():
    if rank == 0:
        time.sleep(600)
    comm.allgather(rank)

def c_loop():
    if rank == 0:
        ctypes.CDLL(None).pause()
    comm.Barrier()

def native_with_gil(door):
    if rank == 0:  # until somebody writes to the pipe of that name
        pipe, box = os.open(door, os.O_RDWR), ctypes.create_string_buffer(1)
        ctypes.PyDLL(None).read(pipe, box, 1)  # PyDLL: calls keep the GIL
        os.close(pipe)
    comm.Barrier()

mine = comm.Dup()

def gil_holding_collective():
    if rank != 0:
        mine.allreduce(1)  # the first on a communicator

def nested():
    rows = comm.Split(rank // 2)
    pair = comm.Create_group(comm.Get_group().Incl([0, 2]))
    total = np.zeros(3)
    if rank == 2:
        pair.Barrier()
    elif rank == 0:
        rows.Barrier()
    elif rank == 1:
        rows.Allreduce(MPI.IN_PLACE, total, op=MPI.SUM)

def duplicates():
    first, second = comm.Dup(), comm.Dup()
    (first if rank == 0 else second).Barrier()

def duplicates_after_a_group():
    if rank != 1:
        comm.Create_group(comm.Get_group().Incl([0, 2]))
    duplicates()

def rows_alike():
    global row, other_row
    row, other_row = comm.Split(0), comm.Split(0)
    if rank != 1:
        row.Barrier()

def forgotten():
    global handle
    local = comm.Dup()
    if rank == 1:
        handle = local.handle
        return
    local.Barrier()

def requests():
    request = comm.Irecv(np.zeros(8), source=(rank + 1) % size, tag=5)
    MPI.Request.Waitall([request])

def one_request():
    request = comm.Irecv(np.zeros(8), source=(rank + 1) % size, tag=5)
    request.Wait()
"""

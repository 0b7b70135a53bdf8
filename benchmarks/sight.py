"""How long it takes to see what ranks do: `python -m benchmarks.sight 32`.

All ranks are blocked in MPI. Printed are medians, and the load of the machine; then
what it takes to merge ten thousand stacks, and what a call of MPI costs more while it
is noted.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

from steer.client.cluster import Cluster
from steer.core.rankstates import Spot
from steer.core.stacks import merge_ranks

HANG = """
from mpi4py import MPI
import numpy as np
comm = MPI.COMM_WORLD
ghost = np.zeros(4)
def halo(level):
    if level:
        return halo(level - 1)
    comm.Recv([ghost, MPI.DOUBLE], source=(comm.rank - 1) % comm.size, tag=7)
halo(15)
"""


COST = """
import time
from steer.engines.tracing import traced
def bcast(comm, n=5000, a=np.zeros(1)):
    began = time.thread_time()
    for _ in range(n):
        comm.Bcast(a)
    return (time.thread_time() - began) / n * 1e6
noting = traced(MPI.Intracomm(MPI.COMM_SELF))
plain = min(bcast(MPI.COMM_SELF) for _ in range(30))
noted = min(bcast(noting) for _ in range(30))
"""
STACKS, DEEP, DIFFERENT = 10_000, 20, 280


def timed(job: object, times: int = 15) -> str:
    """The median of some calls, and the range."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        job()  # type: ignore[operator]
        took.append((time.perf_counter() - began) * 1e3)
    low, middle, high = min(took), statistics.median(took), max(took)
    return f"{middle:6.1f} ms ({low:.1f} to {high:.1f}, n = {times})"


def merging() -> str:
    """Merge stacks of many ranks, no two of them one object."""
    spots = [Spot("solver.py", line, f"step_{line}") for line in range(DIFFERENT)]
    stacks = [(*spots[: DEEP - 1], spots[rank % DIFFERENT]) for rank in range(STACKS)]
    ranks = range(STACKS)
    return timed(lambda: merge_ranks(ranks, stacks))


def main(n: int) -> None:
    """Measure."""
    cluster = Cluster(n=n, engines="mpi", shutdown_atexit=False)
    client = cluster.start_and_connect_sync()
    try:
        view = client[:]
        hung = view.execute(HANG, block=False)
        while len(view.stuck().blocked) < n:
            time.sleep(0.2)
        time.sleep(2)
        print(f"{n} ranks, load {os.getloadavg()[0]:.1f}")
        print("where  ", timed(view.where))
        print("status ", timed(view.status))
        print("stuck  ", timed(view.stuck, 7))
        print("peek   ", timed(lambda: view.peek("ghost")))
        began = time.perf_counter()
        print(str(view.unstick()).splitlines()[0][:70])
        print(f"unstick {time.perf_counter() - began:6.2f} s")
        hung.wait(20)
        print(f"merge  {STACKS:,} stacks", merging())
        view.mpi("on")
        view.execute(COST, block=True)
        more = [b - a for a, b in zip(view["plain"], view["noted"], strict=True)]
        print(f"a call while it is noted: {statistics.median(more):.2f} us more "
              f"({min(more):.2f} to {max(more):.2f}, {n} ranks)")  # fmt: skip
        view.mpi("off")
    finally:
        cluster.close_sync()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 32)

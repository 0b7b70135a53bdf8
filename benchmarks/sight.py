"""How long it takes to see what ranks do: `python -m benchmarks.sight 32`.

All ranks are blocked in MPI. Printed are medians, and the load of the machine.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

from steer.client.cluster import Cluster

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


def timed(job: object, times: int = 15) -> str:
    """The median of some calls, and the range."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        job()  # type: ignore[operator]
        took.append((time.perf_counter() - began) * 1e3)
    low, middle, high = min(took), statistics.median(took), max(took)
    return f"{middle:6.1f} ms ({low:.1f} to {high:.1f}, n = {times})"


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
    finally:
        cluster.close_sync()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 32)

"""Heat that spreads over a plate, in strips: each rank owns some rows of it.

Plain mpi4py and numpy; nothing here knows of Steer.
"""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

comm = MPI.COMM_WORLD


def plate(size: int) -> np.ndarray:
    """This rank's rows of a plate, with one row of the neighbours on both sides."""
    rows = size // comm.size
    u = np.zeros((rows + 2, size))
    first = comm.rank * rows
    y, x = np.mgrid[first - 1 : first + rows + 1, 0:size] / size
    for cy, cx, heat in ((0.3, 0.35, 1.0), (0.65, 0.6, 0.8), (0.5, 0.85, 0.6)):
        u += heat * (np.hypot(y - cy, x - cx) < 0.12)
    return u


def step(u: np.ndarray) -> np.ndarray:
    """One step: exchange the rows at the borders, then average with the neighbours."""
    up = comm.rank - 1 if comm.rank > 0 else MPI.PROC_NULL
    down = comm.rank + 1 if comm.rank + 1 < comm.size else MPI.PROC_NULL
    comm.Sendrecv(u[1], dest=up, recvbuf=u[-1], source=down)
    comm.Sendrecv(u[-2], dest=down, recvbuf=u[0], source=up)
    new = u.copy()
    new[1:-1, 1:-1] += 0.2 * (
        u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]
    )
    return new


def total(u: np.ndarray) -> float:
    """The heat of the whole plate; collective."""
    return float(comm.allreduce(u[1:-1].sum()))

"""A plate that is heated while it cools, on MPI ranks: a program that can be steered.

It runs as any program does, and knows no session:

    mpiexec -n 4 python examples/heating.py --steps 200

Started by `steer run`, it can be stopped at a step, looked at, changed, and let go:

    steer run -n 4 examples/heating.py
    steer attach heating                    (in another terminal)

Each rank owns some rows of the plate. In a step, heat spreads to the neighbours, a
burner adds some, and the air takes some away.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from mpi4py import MPI

import steer

comm = MPI.COMM_WORLD

p = steer.params(
    rate=steer.Float(0.2, 0.0, 0.25, doc="how fast heat spreads"),
    burner=steer.Float(1.0, 0.0, 100.0, doc="heat that comes in a step"),
    x=steer.Float(0.35, 0.0, 1.0, doc="where the burner is, along a row"),
    y=steer.Float(0.3, 0.0, 1.0, doc="where the burner is, from row to row"),
    cooling=steer.Choice("weak", "none", "strong", doc="what the air takes away"),
    pause=steer.Float(0.002, 0.0, 1.0, doc="seconds to wait in a step, to have a look"),
)
COOLING = {"none": 0.0, "weak": 0.001, "strong": 0.02}


def rows_of(size: int) -> slice:
    """The rows of a plate that are this rank's."""
    return slice(size * comm.rank // comm.size, size * (comm.rank + 1) // comm.size)


def borders(u: np.ndarray) -> np.ndarray:
    """The rows with one more on either side: a neighbour's, or a copy at the edge."""
    up = comm.rank - 1 if comm.rank > 0 else MPI.PROC_NULL
    down = comm.rank + 1 if comm.rank + 1 < comm.size else MPI.PROC_NULL
    wide = np.pad(u, 1, mode="edge")
    comm.Sendrecv(u[0], dest=up, recvbuf=wide[-1, 1:-1], source=down)
    comm.Sendrecv(u[-1], dest=down, recvbuf=wide[0, 1:-1], source=up)
    return wide


def advance(u: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """One step; exchanges rows with the neighbours."""
    wide = borders(u)
    around = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    spread = u + p.rate * (around - 4 * u) + heat
    return spread * (1 - COOLING[p.cooling])


def burning(size: int) -> np.ndarray:
    """The heat that the burner brings to this rank's rows."""
    rows = rows_of(size)
    y, x = np.mgrid[rows.start : rows.stop, 0:size] / size
    flame = np.exp(-((x - p.x) ** 2 + (y - p.y) ** 2) / 0.005)
    return p.burner * flame / 100


def total(u: np.ndarray) -> float:
    """The heat of the whole plate; collective."""
    return float(comm.allreduce(u.sum()))


def gather(u: np.ndarray) -> np.ndarray | None:
    """The whole plate on rank 0, None on the others; collective."""
    parts = comm.gather(u)
    return None if parts is None else np.concatenate(parts)


def save(u: np.ndarray, file: str = "plate.npy") -> None:
    """Write the whole plate to a file; collective."""
    whole = gather(u)
    if whole is not None:
        np.save(file, whole)


def positive(text: str) -> int:
    """For argparse, which names it in its message."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


parser = argparse.ArgumentParser(description="A plate that is heated, on MPI ranks.")
parser.add_argument("--steps", type=positive, default=100_000)
parser.add_argument("--size", type=positive, default=128, help="rows and columns")
parser.add_argument("--save", metavar="FILE.npy", help="where the plate goes")

if __name__ == "__main__":
    options = parser.parse_args()
    rows = rows_of(options.size)
    u = np.zeros((rows.stop - rows.start, options.size))
    for step in steer.loop(range(options.steps)):
        before = u
        u = advance(u, burning(options.size))
        change = float(abs(u - before).max())
        if comm.rank == 0 and step % 1000 == 0:
            print(f"step {step}: changes by {change:.2e}", flush=True)
        time.sleep(p.pause)
    if options.save:
        save(u, options.save)
    heat = total(u)
    if comm.rank == 0:
        print(f"{options.steps} steps, heat {heat:.6f}")

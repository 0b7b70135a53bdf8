"""Waves in a pond: the shallow water equations on a grid that MPI ranks share.

Plain mpi4py and numpy; nothing here knows of Steer. As a program:

    mpiexec -n 4 python examples/waves.py --steps 200

The state is water height and momentum, `u[0]`, `u[1]` (along x), `u[2]` (along y). Each
rank has a block of the grid with one cell of its neighbours, or of a mirror where the
pond ends, all around. A step is Richtmyer's two-step Lax-Wendroff scheme: half a step
to the cells' corners, then a whole one from the fluxes there. Nothing flows through the
walls, so the water's mass stays what it was.
"""

from __future__ import annotations

import argparse
import io
import sys
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
from mpi4py import MPI

GRAVITY = 9.81
HERE = slice(1, -1)  # of an axis with a halo: what this rank owns
LOWER, UPPER = slice(None, -1), slice(1, None)


class Solver:
    """A pond whose longer side is 1 m; all but `drop` and `height` is collective."""

    def __init__(
        self,
        comm: MPI.Comm = MPI.COMM_WORLD,
        cells: tuple[int, int] = (240, 240),
        depth: float = 0.1,
        friction: float = 0.0,
    ) -> None:
        self.dims = MPI.Compute_dims(comm.size, 2)
        check(cells, self.dims, depth, friction)
        self.comm = comm.Create_cart(self.dims, periods=[False, False], reorder=False)
        self.cells = cells
        self.friction = friction  # the part of the momentum that is lost in a second
        self.width = 1.0 / max(cells)
        self.time, self.steps = 0.0, 0
        self.block = tuple(
            slice(n * at // parts, n * (at + 1) // parts)
            for n, at, parts in zip(cells, self.comm.coords, self.dims, strict=True)
        )
        rows, columns = (part.stop - part.start for part in self.block)
        self.u = np.zeros((3, rows + 2, columns + 2))
        self.u[0] = depth
        self.borders = [self.border_types(axis) for axis in (1, 2)]

    @property
    def height(self) -> np.ndarray:
        """The water's height in this rank's cells, without the halo."""
        return self.u[0, HERE, HERE]

    def drop(self, x: float, y: float, height: float = 0.05, radius: float = 0.04):
        """Put a round heap of water at (x, y), each from 0 to 1."""
        rows, columns = (np.arange(part.start, part.stop) for part in self.block)
        far = np.hypot(
            ((columns + 0.5) * self.width - x)[None, :],
            ((rows + 0.5) * self.width - y)[:, None],
        )
        self.height[...] += height * np.exp(-((far / radius) ** 2))

    # -- a step

    def step(self) -> float:
        """Go on by the longest step that is stable; return how long it was."""
        self.exchange()
        dt = self.longest_step()
        u, over = self.u, dt / self.width
        f, g = fluxes(u)
        # At the corners, half a step later: means of cells, and of differences.
        half = mean(mean(u, 1), 2) - over / 2 * (
            mean(np.diff(f, axis=2), 1) + mean(np.diff(g, axis=1), 2)
        )
        f, g = fluxes(half)
        u[:, HERE, HERE] -= over * (
            mean(np.diff(f, axis=2), 1) + mean(np.diff(g, axis=1), 2)
        )
        u[1:] *= np.exp(-self.friction * dt)
        self.time += dt
        self.steps += 1
        return dt

    def run(self, steps: int) -> None:
        """Take some steps."""
        for _ in range(steps):
            self.step()

    def longest_step(self) -> float:
        """Courant's condition: no wave, on no rank, may pass a cell in one step."""
        h, hu, hv = self.u[:, HERE, HERE]
        with np.errstate(all="ignore"):
            speed = np.maximum(abs(hu), abs(hv)) / h + np.sqrt(GRAVITY * h)
        # One message for both. MPI's maximum of a number and NaN may be either.
        extremes = np.nan_to_num([-h.min(), speed.max()], nan=np.inf, posinf=np.inf)
        self.comm.Allreduce(MPI.IN_PLACE, extremes, op=MPI.MAX)
        lowest, fastest = -extremes[0], extremes[1]
        if not (lowest > 0 and fastest < np.inf):
            raise FloatingPointError(
                f"the pond fell dry, or a value is not a number, in step {self.steps}: "
                "take smaller drops, or a deeper pond"
            )
        return float(0.6 * self.width / fastest)

    # -- the halo

    def exchange(self) -> None:
        """Fill the halo: from the neighbours, and by a mirror at the walls.

        Axis after axis, so that the corners come along with the second.
        """
        for axis, borders in enumerate(self.borders):
            low, high = self.comm.Shift(axis, 1)
            for to, source, send, receive in (
                (low, high, borders["first"], borders["after"]),
                (high, low, borders["last"], borders["before"]),
            ):
                self.comm.Sendrecv(
                    [self.u, 1, send], dest=to, recvbuf=[self.u, 1, receive],
                    source=source,
                )  # fmt: skip
            rows = np.moveaxis(self.u, axis + 1, 0)
            inwards = 2 - axis  # the momentum that a wall turns round
            for neighbour, wall, mirrored in ((low, 0, 1), (high, -1, -2)):
                if neighbour == MPI.PROC_NULL:
                    rows[wall] = rows[mirrored]
                    rows[wall, inwards] *= -1

    def border_types(self, axis: int) -> dict[str, MPI.Datatype]:
        """MPI's types for a block's outermost cells along an axis, and its halo."""
        sizes = list(self.u.shape)
        layer = sizes.copy()
        layer[axis] = 1
        places = {"before": 0, "first": 1, "last": -2, "after": -1}
        types = {}
        for name, place in places.items():
            starts = [0, 0, 0]
            starts[axis] = place % sizes[axis]
            types[name] = MPI.DOUBLE.Create_subarray(sizes, layer, starts).Commit()
        return types

    # -- the whole pond

    def mass(self) -> float:
        """The water in the whole pond: it never changes."""
        return self.total(self.height)

    def energy(self) -> float:
        """Of motion and of height, above that of still water; it slowly fades."""
        h, hu, hv = self.u[:, HERE, HERE]
        above = h - self.mass() / (self.width**2 * np.prod(self.cells))
        return self.total((hu**2 + hv**2) / h / 2 + GRAVITY * above**2 / 2)

    def total(self, density: np.ndarray) -> float:
        """The integral over the pond."""
        return float(self.comm.allreduce(density.sum()) * self.width**2)

    def gather(self) -> np.ndarray | None:
        """The height everywhere, on rank 0; None on the others."""
        parts = self.comm.gather((self.block, self.height.copy()))
        if parts is None:
            return None
        whole = np.empty(self.cells)
        for block, height in parts:
            whole[block] = height
        return whole


def fluxes(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What flows along x and along y."""
    h, hu, hv = u
    pressure = GRAVITY * h**2 / 2
    both = hu * hv / h
    return (
        np.stack([hu, hu**2 / h + pressure, both]),
        np.stack([hv, both, hv**2 / h + pressure]),
    )


def mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Of each two neighbours along an axis."""
    rows = np.moveaxis(values, axis, 0)
    return np.moveaxis((rows[LOWER] + rows[UPPER]) / 2, 0, axis)


def check(cells, dims, depth, friction) -> None:
    """Refuse what cannot be computed, before any communication."""
    if min(cells) < 1 or any(n < parts for n, parts in zip(cells, dims, strict=True)):
        raise ValueError(
            f"{cells[0]} x {cells[1]} cells cannot be shared by {dims[0]} x {dims[1]} "
            "ranks: each needs one; take more cells or fewer ranks"
        )
    if not depth > 0:
        raise ValueError(f"depth is {depth}: a pond has some water; 0.1 is usual")
    if not friction >= 0:
        raise ValueError(f"friction is {friction}: 0 is none, more slows the water")


def positive(text: str) -> int:
    """For argparse, which names it in its message."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description="Waves in a pond, on MPI ranks.")
    parser.add_argument("--steps", type=positive, default=200)
    parser.add_argument("--cells", type=positive, nargs=2, default=(240, 240))
    parser.add_argument("--friction", type=float, default=0.0)
    parser.add_argument(
        "--every", type=positive, default=50, help="steps between reports"
    )
    parser.add_argument("--save", metavar="FILE.npy", help="where the height goes")
    rank = MPI.COMM_WORLD.rank
    # What is wrong with the arguments is said once.
    silent = io.StringIO()
    with (
        redirect_stdout(sys.stdout if rank == 0 else silent),
        redirect_stderr(sys.stderr if rank == 0 else silent),
    ):
        options = parser.parse_args()
        try:
            pond = Solver(cells=tuple(options.cells), friction=options.friction)
        except ValueError as error:
            parser.error(str(error))
    pond.drop(0.3, 0.35)
    pond.drop(0.7, 0.6, height=0.03)
    before = pond.mass()
    while True:
        mass, energy = pond.mass(), pond.energy()
        if rank == 0:
            print(
                f"step {pond.steps:5}  time {pond.time:.4f} s  energy {energy:.6e}  "
                f"mass {mass / before - 1:+.1e}"
            )
        if pond.steps >= options.steps:
            break
        pond.run(min(options.every, options.steps - pond.steps))
    height = pond.gather()
    if height is not None and options.save:
        np.save(options.save, height)


if __name__ == "__main__":
    main()

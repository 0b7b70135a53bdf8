"""What Steer does, in a minute: `make demo`.

Starts four MPI ranks, talks to them, lets them compute together, draws what they
computed into demo.png, shows how an error reads, and stops.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import steer

HERE = Path(__file__).resolve().parent
SIZE = 240
SHADES = " .:-=+*#%@"


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say what is done and how long it took."""
    print(f"\n>>> {what}", flush=True)
    began = time.perf_counter()
    yield
    print(f"    {(time.perf_counter() - began) * 1e3:.1f} ms", flush=True)


def twice(x: int) -> int:
    """Something to call on every rank."""
    return 2 * x


def talk(view: steer.DirectView) -> None:
    """Names, calls and data."""
    with timed('view.execute("from mpi4py import MPI; r = MPI.COMM_WORLD.rank")'):
        view.execute("from mpi4py import MPI; r = MPI.COMM_WORLD.rank", block=True)
    with timed('view["r"]'):
        print("   ", view["r"])
    with timed("view.apply_sync(twice, 21)"):
        print("   ", view.apply_sync(twice, 21))
    with timed('view.scatter("a", range(16)); view.pull("sum(a)")'):
        view.scatter("a", range(16), block=True)
        print("   ", view.pull("sum(a)", block=True))
    field = np.ones(12_500_000)
    with timed("view.push of 100 MB to all ranks: one copy, in shared memory"):
        view.push({"field": field}, block=True)


def compute(view: steer.DirectView) -> np.ndarray:
    """Heat on a plate: halo exchange between the ranks, gathered here."""
    path = f"import sys; sys.path.insert(0, {str(HERE)!r})"
    view.execute(f"{path}; import heat", block=True)
    with timed("400 steps of heat.py on 4 ranks, with halo exchange"):
        cell = f"u = heat.plate({SIZE})\nfor i in range(400): u = heat.step(u)\n"
        cell += "print('heat', round(heat.total(u), 6))"
        asked = view.execute(cell, block=True)
    print("    rank 0 printed:", asked.stdout[0].strip())
    return np.vstack(view.pull("u[1:-1]", block=True))


def draw(plate: np.ndarray) -> None:
    """The plate as a picture, and as text for those who only have a terminal."""
    coarse = plate[::12, ::5] / plate.max()
    for row in coarse:
        print("    " + "".join(SHADES[int(v * (len(SHADES) - 1))] for v in row))
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title("Computed on 4 MPI ranks, a strip each")
    figure.colorbar(axes.imshow(plate, cmap="inferno", origin="lower"))
    for border in range(SIZE // 4, SIZE, SIZE // 4):
        axes.axhline(border, color="white", linewidth=0.5)
    figure.savefig("demo.png", dpi=110)
    print(f"    drawn into {Path('demo.png').resolve()}")


def fail(view: steer.DirectView) -> None:
    """An error on one rank reads like this."""
    with timed("an error on one rank"):
        try:
            view.execute("if r == 2: 1 / 0", block=True)
        except steer.RemoteError as error:
            print("   ", str(error).replace("\n", "\n    "))


def main() -> int:
    """Run the demonstration."""
    began = time.perf_counter()
    print(">>> with steer.Cluster(n=4) as rc:", flush=True)
    with steer.Cluster(n=4) as rc:
        print(f"    engines {rc.ids} in {time.perf_counter() - began:.2f} s")
        view = rc[:]
        talk(view)
        draw(compute(view))
        fail(view)
        began = time.perf_counter()
    print(f"\n>>> stopped in {time.perf_counter() - began:.2f} s, nothing left behind")
    return 0


if __name__ == "__main__":
    sys.exit(main())

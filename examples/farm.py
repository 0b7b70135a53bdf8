"""A farm of ponds: which one is calm again first? `python examples/farm.py`

Many small simulations, each on two ranks with a communicator of its own; tasks on
single ranks, and one that takes the others' results; one that fails and is told from
the rest; and a picture of what ran where and when. The simulation is waves.py.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

import steer

HERE = Path(__file__).resolve().parent
DEPTHS = (0.05, 0.1, 0.2, 0.4)
FRICTIONS = (0.5, 1.0, 2.0, 4.0)


def simulate(depth: float, friction: float, steps: int, comm: Any) -> dict[str, float]:
    """A drop falls into a pond: how high are its waves some steps later?

    Runs on each rank of `comm`; every rank's answer comes back.
    """
    import numpy as np
    import waves
    from mpi4py import MPI

    pond = waves.Solver(comm, (60, 60), depth, friction)
    pond.drop(0.3, 0.4, height=0.3 * depth)
    pond.run(steps)
    highest = comm.allreduce(float(np.abs(pond.height - depth).max()), MPI.MAX)
    time = pond.time
    pond.comm.Free()
    return {
        "depth": depth, "friction": friction, "after": time, "left": highest / depth
    }  # fmt: skip


def digits(seed: int, points: int = 200_000) -> int:
    """How many of some random points fall into a circle: a task for one rank."""
    import numpy as np

    x, y = np.random.default_rng(seed).random((2, points))
    return int(np.count_nonzero(x * x + y * y < 1))


def study(ex: steer.Executor, steps: int) -> list[Any]:
    """All ponds at once, two ranks each; the futures."""
    pair = ex.options(ranks=2, name="pond")
    ponds = [
        pair.submit(simulate, depth, friction, steps)
        for depth, friction in itertools.product(DEPTHS, FRICTIONS)
    ]
    for _ in steer.track(ponds, "ponds"):
        pass
    best = min((pond.result()[0] for pond in ponds), key=lambda found: found["left"])
    print(
        f"the calmest of {len(ponds)} ponds: depth {best['depth']} m, friction "
        f"{best['friction']}, after {best['after']:.1f} s at {best['left']:.1%}"
    )
    return ponds


def circle(ex: steer.Executor, count: int) -> list[Any]:
    """Many short tasks, and one that begins when it has all their results."""
    futures = [ex.submit(digits, seed) for seed in range(count)]
    inside = ex.submit(sum, futures)
    print(f"pi is about {4 * inside.result() / (count * 200_000):.4f}")
    return [*futures, inside]


def mistake(ex: steer.Executor) -> list[Any]:
    """A pond without water: one future fails, and says on which ranks."""
    dry = ex.options(ranks=2, name="dry pond").submit(simulate, 0.0, 1.0, 10)
    error = dry.exception()
    print(f"a dry pond: {type(error).__name__}: {str(error).splitlines()[0]}")
    return [dry]


def main(arguments: list[str] | None = None) -> None:
    """Start four ranks, farm, write the picture, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--picture", type=Path, help="an .svg, .html or .json file")
    options = parser.parse_args(arguments)
    with steer.Cluster(n=options.ranks) as rc:
        path = f"import sys; sys.path.insert(0, {str(HERE)!r})"
        rc[:].execute(path, block=True)
        ex = rc.executor()
        futures = study(ex, options.steps)
        futures += circle(ex, options.tasks)
        futures += mistake(ex)
        stream = steer.task_stream(futures)
        print(stream.summary)
        if options.picture:
            print(f"see {stream.save(options.picture)}")


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks.folding`: what it costs to fold the output of many ranks.

Nothing is started: this is the pure part, in one thread, in CPU time, so that what else
the machine does matters less. Each figure is the median of ROUNDS runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from random import Random

from steer.core.folding import fold, fold_lines, render
from steer.core.livefold import Ended, LiveFold, Said
from steer.ranks import RankSet

ROUNDS = 25
RANKS = 10_000
LINES = 10_000
Texts = dict[int, str]


def texts(count: int) -> dict[str, Texts]:
    """What so many ranks may print."""
    chance = Random(1)
    ranks = range(count)
    number = [chance.random() for _ in ranks]
    kinds = {
        "equal": ["cells 4096 residual 3.2e-04" for _ in ranks],
        "own rank": [f"hello from rank {r} of {count}" for r in ranks],
        "an integer": [str(chance.randint(4031, 4163)) for _ in ranks],
        "a short float": [f"residual {x:.3e}" for x in number],
        "a long float": [f"residual {x!r}" for x in number],
        "three numbers": [
            f"rank {r} cells {chance.randint(4000, 4100)} residual {number[r]:.3e}"
            for r in ranks
        ],
        "one nan": [f"residual {x:.3e}" for x in [*number[1:], float("nan")]],
        "padded": [f"cells {chance.randint(1, 10**6):8d}" for _ in ranks],
    }
    return {kind: dict(enumerate(said)) for kind, said in kinds.items()}


def live(pieces: int) -> None:
    """Ten thousand equal lines from each of four ranks, in so many pieces."""
    ranks = RankSet(range(4))
    fold = LiveFold(ranks)
    lines = [f"~line {i}\n" for i in range(LINES)]
    size = LINES // pieces
    shows = []
    for start in range(0, LINES, size):
        for rank in ranks:
            said = Said(rank, "".join(lines[start : start + size]))
            shows += fold.handle(said, 0.0)
    shows += fold.handle(Ended(ranks), 0.0)
    assert sum(len(render(show.groups)) for show in shows)


def measure(name: str, run: Callable[[], object], rounds: int) -> None:
    taken = []
    for _ in range(rounds):
        began = time.thread_time()
        run()
        taken.append((time.thread_time() - began) * 1e3)
    middle = statistics.median(taken)
    print(f"{name:44} {middle:7.1f} {min(taken):7.1f} {max(taken):7.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.folding", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"({ROUNDS})")
    rounds = parser.parse_args().rounds
    print(f"{'ms of CPU, n = ' + str(rounds):44}  median     min     max")
    for kind, said in texts(RANKS).items():
        measure(f"{RANKS:,} ranks, {kind}", lambda said=said: fold(said), rounds)
    columns = {r: "".join(f"{i} {r}\n" for i in range(1000)) for r in range(64)}
    measure("64 ranks, 1,000 lines", lambda: fold_lines(columns), rounds)
    for pieces in (1, 100, 1000):
        name = f"live: 4 ranks, {LINES:,} lines in {pieces:,} pieces"
        measure(name, lambda pieces=pieces: live(pieces), rounds)
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()

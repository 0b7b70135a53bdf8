"""`python -m benchmarks.steering`: what steering costs, and how fast it answers.

    point   nanoseconds of a point of which nobody wants anything
    rate    steps a second of the example (examples/heating.py), three ways by turns:
            without points, with points and no session, under Steer with nobody steering
    stop    from the request to "stopped", beside a round trip over the hub and a step

Ratios are taken within a round, and are what to believe on a machine that others use.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Iterator
from pathlib import Path

from steer.client.cluster import Cluster
from steer.client.run import Run
from steer.client.running import run_program
from steer.launch.flavour import detect
from steer.launch.script import Script
from steer.testing.waiting import wait_until

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

STEPS = """
import sys, time
sys.path.insert(0, {examples!r})
import numpy as np
import heating, steer

steps = int(sys.argv[1])
items = range(steps) if sys.argv[2] == "bare" else steer.loop(range(steps))
u = np.zeros((heating.rows_of(128).stop - heating.rows_of(128).start, 128))
heat = heating.burning(128)
heating.comm.Barrier()
began = time.perf_counter()
for step in items:
    u = heating.advance(u, heat)
took = time.perf_counter() - began
if heating.comm.rank == 0:
    open(sys.argv[3], "w").write(str(steps / took))
"""

POINT = """
from steer.core import page
from steer.core.roundevents import FREE
from steer.engines import points

words = memoryview(bytearray(page.SIZE)).cast("q")

class Engine:
    def arrive(self): pass
    def ring(self): pass
    def wait(self, calm): words[page.family_base(0) + page.Family.FENCE] = FREE; \\
        words[page.family_base(0) + page.Family.HOLD] = FREE
    def family_here(self, *_): pass

point = points.point
"""
SESSION = POINT + "points.Session(words, Engine()).begin(); point()\n"


def point_costs(rounds: int) -> dict[str, float]:
    """Nanoseconds of a point, less those of the loop around it."""
    empty = _nanoseconds("pass", "pass", rounds)
    return {
        "without a session": _nanoseconds("point()", POINT, rounds) - empty,
        "nothing pending": _nanoseconds("point()", SESSION, rounds) - empty,
    }


def _nanoseconds(statement: str, setup: str, rounds: int) -> float:
    number = 200_000
    # The time of the processor: what else runs here matters less.
    clock = time.process_time
    times = timeit.repeat(statement, setup, clock, rounds, number)
    return min(times) / number * 1e9


def rates(n: int, steps: int, rounds: int) -> dict[str, list[float]]:
    """Steps a second of each way, round by round."""
    found: dict[str, list[float]] = {"bare": [], "points": [], "steer": []}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "steps.py")
        script.write_text(STEPS.format(examples=str(EXAMPLES)))
        for turn in range(rounds):
            ways = list(found)
            for way in ways[turn % 3 :] + ways[: turn % 3]:
                said = Path(folder, "rate")
                argv = (str(script), str(steps), way, str(said))
                _run(way, n, argv)
                found[way].append(float(said.read_text()))
    return found


def _run(way: str, n: int, argv: tuple[str, ...]) -> None:
    if way == "steer":
        script = Script(run=f"bench{os.getpid()}", argv=argv)
        status = run_program(script, True, {"n": n}, quiet=True)
        assert status == 0, status
        return
    flavour = detect(sys.executable, os.environ)
    environment = dict(os.environ)
    if flavour.kind == "openmpi":
        environment |= {
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_rmaps_base_oversubscribe": "1",
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
            "OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "self,sm,tcp",
        }  # fmt: skip
    command = [flavour.mpiexec, "-n", str(n), sys.executable, *argv]
    subprocess.run(command, env=environment, check=True)


@contextlib.contextmanager
def _started(n: int, source: str) -> Iterator[Run]:
    """A run of this source, for as long as it is needed."""
    import dataclasses

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "program.py")
        path.write_text(source)
        name = f"bench{os.getpid()}"
        cluster = Cluster(n=n, cluster_id=name, shutdown_atexit=False)
        script = Script(run=name, argv=(str(path),))
        cluster._request = dataclasses.replace(
            cluster._request, program=script.to_arguments()
        )
        try:
            client = cluster.start_and_connect_sync()
            link = client.link
            wait_until(lambda: link.wait(link.ask("runs"))["runs"], 30, "the program")
            yield Run(client, name)
        finally:
            cluster.stop_cluster_sync()


STEADY = """
import time
from mpi4py import MPI
import steer
for step in steer.loop(range(10**9)):
    MPI.COMM_WORLD.Barrier()
    time.sleep({step})
"""


def stops(n: int, times: int, step: float) -> dict[str, list[float]]:
    """Milliseconds of a trip over the hub, of a stop, and of ten steps, and of one."""
    found: dict[str, list[float]] = {"trip": [], "stop": [], "step 10": [], "one": []}
    with _started(n, STEADY.format(step=step)) as run:
        wait_until(lambda: run.status()["families"], 30, "a first point")
        link = run.client.link
        for _ in range(times):
            found["trip"].append(_milliseconds(lambda: link.wait(link.ask("runs"))))
            found["stop"].append(_milliseconds(lambda: run.stop(timeout=30)))
            ten = _milliseconds(lambda: run.step(10, timeout=30))
            found["step 10"].append(ten)
            found["one"].append(ten / 10)
            run.go()
    return found


def _milliseconds(call: object) -> float:
    began = time.perf_counter()
    call()  # type: ignore[operator]
    return (time.perf_counter() - began) * 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--stops", type=int, default=100)
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {options.n} ranks")
    for name, cost in point_costs(options.rounds).items():
        print(f"point, {name}: {cost:.0f} ns")
    for step in (0.0, 0.005):
        found = stops(options.n, options.stops, step)
        told = ", ".join(
            f"{name} {statistics.median(values):.2f} ms"
            for name, values in found.items()
        )
        allowed = [2 * t + o for t, o in zip(found["trip"], found["one"], strict=True)]
        ratios = [s / a for s, a in zip(found["stop"], allowed, strict=True)]
        print(
            f"steps of {step * 1e3:.0f} ms and a barrier, {options.stops} stops: {told}"
        )
        print(
            f"  a stop / (two trips and a step): median {statistics.median(ratios):.2f}"
        )
    found = rates(options.n, options.steps, options.rounds)
    for way in ("points", "steer"):
        ratios = sorted(a / b for a, b in zip(found[way], found["bare"], strict=True))
        print(
            f"rate with {way} / without, {options.rounds} rounds of {options.steps} "
            f"steps: median {statistics.median(ratios):.3f}, "
            f"{ratios[0]:.3f} to {ratios[-1]:.3f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

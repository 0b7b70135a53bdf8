"""Whether a task costs as much when a million wait as when a thousand do.

    python -m benchmarks.farm_depth [--counts 1000,10000,100000,1000000] [--n 4]

Submits so many no-op tasks at once, takes all values, and says how fast that was, what
CPU it took, and what memory client and hub held when all were submitted.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from typing import Any

import steer
from benchmarks import processes, tasks


def measure(rc: steer.Client, count: int) -> dict[str, float]:
    """One flood."""
    ex = rc.executor()
    hub = rc.link.connection.hub_pid
    mine = {"client": os.getpid(), "hub": hub}
    before = {name: processes.pss_mb({pid}) for name, pid in mine.items()}
    pids = set(mine.values()) | {engine.pid for engine in rc.link.core.engines.values()}
    gc.collect()
    cpu, began = processes.cpu_seconds(pids), time.perf_counter()
    futures = [ex.submit(tasks.same, i) for i in range(count)]
    submitted = time.perf_counter() - began
    held = {name: processes.pss_mb({pid}) for name, pid in mine.items()}
    assert [future.result() for future in futures] == list(range(count))
    seconds = time.perf_counter() - began
    told: dict[str, Any] = {
        "rate": count / seconds,
        "submit": submitted / count * 1e6,
        "cpu": (processes.cpu_seconds(pids) - cpu) / count * 1e6,
    }
    told |= {name: held[name] - before[name] for name in mine}
    return told


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", default="1000,10000,100000,1000000")
    parser.add_argument("--n", type=int, default=4)
    given = parser.parse_args()
    print("    tasks   tasks/s   submit, us   CPU, us   client, MB   hub, MB")
    with steer.Cluster(n=given.n) as rc:
        measure(rc, 2000)
        for count in map(int, given.counts.split(",")):
            told = measure(rc, count)
            print(
                f"{count:9,} {told['rate']:9,.0f} {told['submit']:12.1f} "
                f"{told['cpu']:9.1f} {told['client']:12.0f} {told['hub']:9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

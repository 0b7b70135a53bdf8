"""One session: start one system, let it work, stop it.

`python -m benchmarks.session SYSTEM N WORK,... FILE`, started by run.py so that imports
and leftovers of one system never touch another's. Figures go to FILE, a JSON object a
line, because standard output belongs to what workers print.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path

from benchmarks.peers import SYSTEMS
from benchmarks.works import WORKS

BEGAN = "STEER_BENCHMARK_BEGAN"
"""Names the environment variable with the time at which this process was asked for."""


def session(name: str, n: int, works: list[str], path: Path) -> None:
    system = SYSTEMS[name](n)
    system.load()  # does not return in those ranks of a peer that only work
    with path.open("a", buffering=1) as file:

        def say(**fields: object) -> None:
            file.write(json.dumps(fields) + "\n")

        system.start()
        say(metric="start", value=time.monotonic() - float(os.environ[BEGAN]))
        for work in works:
            needs, measure = WORKS[work]
            if getattr(system, needs, None) is None:
                continue
            try:
                for metric, value in measure(system):
                    say(metric=metric, value=value)
            except Exception:  # noqa: BLE001 - it is reported, the other works go on
                say(work=work, failed=traceback.format_exc())
        say(stopping=time.monotonic())
        system.stop()


if __name__ == "__main__":
    session(sys.argv[1], int(sys.argv[2]), sys.argv[3].split(","), Path(sys.argv[4]))

"""Runs for tests: a script on real ranks, and the wheel in our hands."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

from steer.client.cluster import Cluster
from steer.client.run import Run
from steer.launch.script import Script
from steer.testing.waiting import wait_until

_numbers = itertools.count(1)


@contextlib.contextmanager
def running(
    folder: Path,
    source: str,
    *arguments: str,
    n: int = 4,
    points: int = 10,
    environment=None,
    options=None,
    **how,
) -> Iterator[Run]:
    """Start a script on n ranks; a Run with a `cluster`, when it has come to some
    points."""
    number = next(_numbers)
    path = folder / f"sim{number}.py"
    path.write_text(textwrap.dedent(source))
    name = f"sim{os.getpid()}-{number}"
    script = Script(run=name, argv=(str(path), *arguments), **how)
    cluster = Cluster(
        n=n,
        cluster_id=name,
        shutdown_atexit=False,
        environment=environment or {},
        options=options or {},
    )
    cluster._request = dataclasses.replace(
        cluster._request, program=script.to_arguments()
    )
    try:
        client = cluster.start_and_connect_sync()
        wait_until(lambda: _has_begun(client, name), 20, "the program to begin")
        run = Run(client, name)
        wait_until(lambda: not points or high_of(run) >= points, 20, "its points")
        run.cluster = cluster
        run.cluster_ended = lambda: wait_until(
            lambda: not client.link.core.engines, 20, "the ranks to leave"
        )
        run.script = path
        yield run
    except BaseException:
        log = cluster._files.log("hub").read_text()
        print(log[max(0, log.find("Traceback")) :][:5000])  # pytest shows it
        raise
    finally:
        cluster.stop_cluster_sync()


def _has_begun(client, name) -> bool:
    told = client.link.wait(client.link.ask("runs"))["runs"]
    return any(run["run"] == name for run in told)


def high_of(run: Run) -> int:
    """The highest point that a rank has come to."""
    return max((family["high"] for family in run.status()["families"]), default=0)


def points_of(run: Run) -> list[int]:
    """Where the ranks are that hold, by what they themselves say."""
    return run["__import__('steer.engines.points').engines.points._count"]


def log_of(run: Run) -> str:
    """What the hub has said, for those who look for the cause of a failure."""
    return run.cluster._files.log("hub").read_text()

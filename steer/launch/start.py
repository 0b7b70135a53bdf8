"""From a recipe's name to a running job: the one call that a hub makes.

Finding the recipe and the MPI reads a few files, and starting forks: milliseconds. So a
hub may do this from its loop.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from steer.launch.find import find
from steer.launch.flavour import detect
from steer.launch.job import Job
from steer.launch.render import render

__all__ = ["start_engines"]


def start_engines(
    recipe: str,
    n: int,
    *,
    connection: Path,
    job: str,
    folder: Path,
    python: str | None = None,
    options: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    program: Sequence[str] = (),
    stdio: Sequence[int] = (),
) -> Job:
    """Start ``n`` engines that will connect with the file ``connection``.

    ``folder`` is the cluster's own directory: the job's log (``job-<job>.log``) and its
    launcher's debris (``job-<job>``) lie there. With ``program``, what each of them
    runs: arguments of `python -m steer.engines`. Raises LaunchError.
    """
    python = python or sys.executable
    environment = dict(os.environ if environment is None else environment)
    chosen = find(recipe)
    runtime = folder / f"job-{job}"
    command = render(
        chosen,
        n,
        python,
        options or {},
        detect(python, environment) if chosen.needs_mpi else None,
        environment,
        connection=str(connection),
        job=job,
        runtime=str(runtime),
        root=os.geteuid() == 0,
        program=_engine(python, program) if program else (),
    )
    log = folder / f"job-{job}.log"
    return Job.start(command, log=log, runtime=runtime, cwd=cwd, stdio=stdio)


def _engine(python: str, program: Sequence[str]) -> tuple[str, ...]:
    """The command of an engine that runs a program, whose own folder is in sys.path.

    -P: not also the one where its user happens to be.
    """
    return (python, "-P", "-m", "steer.engines", *program)

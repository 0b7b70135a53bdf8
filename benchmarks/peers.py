"""The other systems, each with its own defaults, and the list of all of them.

A new one: a class with `name`, `module_name` (what must be importable), `note`,
`load`, `start`, `stop` and whichever of the operations of `adapter.Steer` it has; then
a name in SYSTEMS. `command` changes how its session is started.
"""

from __future__ import annotations

import importlib
import importlib.util
import operator
import subprocess
import sys
from collections.abc import Callable, Sequence
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

    @property
    def balanced(self) -> Any:
        if not hasattr(self, "_balanced"):
            self._balanced = self.client.load_balanced_view()
        return self._balanced

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.balanced.apply_async(function, *args)

    def wait(self, futures: Sequence[Any]) -> list[Any]:
        return [future.get() for future in futures]

    def submit_wait(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.balanced.apply_sync(function, *args)

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> Any:
        return self.view.map_sync(function, items)

    together = None  # type: ignore[assignment] # no tasks with a communicator


class Pool:
    """Whatever is an executor of the standard library's kind."""

    name = module_name = note = ""
    pause = 0.02
    by_value: bool | None = True

    def __init__(self, n: int) -> None:
        self.n = n

    def load(self) -> None:
        self.module: Any = importlib.import_module(self.module_name)

    def make(self) -> Any:
        return self.module.ProcessPoolExecutor(self.n)

    def start(self) -> None:
        self.executor = self.make()
        seen: set[int] = set()
        while len(seen) < self.n:
            asked = [
                self.executor.submit(tasks.process_after, self.pause)
                for _ in range(self.n)
            ]
            seen.update(future.result() for future in asked)

    def stop(self) -> None:
        self.executor.shutdown(wait=True)

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.executor.submit(function, *args)

    def wait(self, futures: Sequence[Any]) -> list[Any]:
        return [future.result() for future in futures]

    def submit_wait(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.executor.submit(function, *args).result()

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        chunk = -(-len(items) // (4 * self.n))
        return list(self.executor.map(function, items, chunksize=chunk))


class Stdlib(Pool):
    """The standard library's pool."""

    name = "stdlib"
    module_name = "concurrent.futures.process"
    note = "concurrent.futures.ProcessPoolExecutor, fork"
    by_value = None


class Loky(Pool):
    """joblib's pool."""

    name = module_name = "loky"
    note = "loky.ProcessPoolExecutor"


class MPIPool(Pool):
    """mpi4py's pool: a master and n workers."""

    name = "mpi4py.futures"
    module_name = "mpi4py.futures"
    note = "mpi4py.futures.MPIPoolExecutor under mpiexec -n N+1"
    by_value = None

    @staticmethod
    def command(python: str, n: int, arguments: list[str]) -> list[str]:
        wrapped = ["-m", "mpi4py.futures", *arguments]
        return MPI.command(python, n, wrapped)

    def make(self) -> Any:
        return self.module.MPIPoolExecutor()


class Executorlib(Pool):
    """executorlib with workers that stay."""

    name = module_name = "executorlib"
    note = "executorlib.SingleNodeExecutor(block_allocation=True)"

    def make(self) -> Any:
        return self.module.SingleNodeExecutor(
            max_workers=self.n, block_allocation=True, hostname_localhost=True
        )

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """Its own chunksize changes nothing."""
        done = self.wait(
            [
                self.submit(tasks.each, function, part)
                for part in tasks.parts(items, 4 * self.n)
            ]
        )
        return [value for part in done for value in part]


class Dask:
    """distributed: one-thread processes."""

    name = "dask"
    module_name = "distributed"
    note = "LocalCluster of one-thread processes, no dashboard"
    by_value = True

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

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.client.submit(function, *args, pure=False)

    def wait(self, futures: Sequence[Any]) -> Any:
        return self.client.gather(futures)

    def submit_wait(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.submit(function, *args).result()

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        submitted = [
            self.submit(tasks.each, function, part)
            for part in tasks.parts(items, 4 * self.n)
        ]
        return [value for part in self.wait(submitted) for value in part]


class Ray:
    """Ray: one actor a worker, because its tasks cannot be addressed."""

    name = "ray"
    module_name = "ray"
    note = "ray.init(num_cpus=N), no dashboard, one actor a worker"
    by_value = True

    def __init__(self, n: int) -> None:
        self.n = n

    def load(self) -> None:
        import ray

        self.module: Any = ray
        self.remotes: dict[Callable[..., Any], Any] = {}

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

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        if function not in self.remotes:
            self.remotes[function] = self.module.remote(function)
        return self.remotes[function].remote(*args)

    def wait(self, futures: Sequence[Any]) -> list[Any]:
        return list(self.module.get(futures))

    def submit_wait(self, function: Callable[..., Any], *args: Any) -> Any:
        return self.module.get(self.submit(function, *args))

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        submitted = [
            self.submit(tasks.each, function, part)
            for part in tasks.parts(items, 4 * self.n)
        ]
        return [value for part in self.wait(submitted) for value in part]


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
    system.name: system
    for system in (
        Steer, Floor, IPyParallel, Dask, Ray, MPI, Stdlib, Loky, MPIPool, Executorlib
    )
}  # fmt: skip


def importable(name: str) -> bool:
    """Whether this interpreter has what the system needs."""
    return importlib.util.find_spec(SYSTEMS[name].module_name) is not None

"""Steer as a measured system: the ten lines that any system needs.

Imports nothing of this package but for `together`, so that another harness can take
this file alone. What a system cannot do, it does not define; the tables then show a
dash.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

OUTPUT_LIMIT = 60.0
"""Seconds that printed lines have to arrive."""


class Steer:
    """Ranks under mpiexec, as `steer.Cluster` starts them when nothing else is said."""

    name = venv = module_name = "steer"
    note = "steer.Cluster, ranks under mpiexec"

    def __init__(self, n: int) -> None:
        self.n = n

    # -- life: `start` returns when every worker has answered

    def load(self) -> None:
        import steer

        self.module: Any = steer

    def start(self) -> None:
        self.cluster = self.connect()
        self.client = self.cluster.start_and_connect_sync()
        self.view, self.first = self.client[:], self.client[0]
        assert self.view.apply_sync(operator.add, 1, 1) == [2] * self.n

    def connect(self) -> Any:
        return self.module.Cluster(n=self.n)

    def stop(self) -> None:
        self.client.close()
        self.cluster.stop_cluster_sync()

    # -- work

    def each(self) -> None:
        """Run a statement on every worker."""
        self.view.execute("a = 1", block=True)

    def one(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function on one worker."""
        return self.first.apply_sync(function, *args)

    def push(self, array: Any) -> None:
        """Give every worker the array."""
        self.view.push({"x": array}, block=True)

    def pull(self) -> Any:
        """Take the array from one worker."""
        return self.first.pull("x", block=True)

    def scatter(self, array: Any) -> None:
        """Give every worker its part."""
        self.view.scatter("y", array, block=True)

    def gather(self) -> Any:
        """Take the parts, joined."""
        return self.view.gather("y", block=True)

    def stream(self, lines: int) -> int:
        """Print on every worker; the number of lines seen here."""
        result = self.view.execute(f"for i in range({lines}): print('~line', i)")
        result.get(OUTPUT_LIMIT)
        assert result.wait_for_output(OUTPUT_LIMIT)
        return sum(text.count("\n") for text in result.stdout)

    # -- tasks

    by_value = True
    """Whether functions may be what no module has."""

    @property
    def executor(self) -> Any:
        """Made when it is first used: `start` measures what everybody needs."""
        if not hasattr(self, "_executor"):
            self._executor = self.client.executor()
        return self._executor

    def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        """A future of a task."""
        return self.executor.submit(function, *args)

    def wait(self, futures: Sequence[Any]) -> list[Any]:
        """The futures' values."""
        return [future.result() for future in futures]

    def submit_wait(self, function: Callable[..., Any], *args: Any) -> Any:
        """The value of one task."""
        return self.executor.submit(function, *args).result()

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """The function of each item."""
        return list(self.executor.map(function, items, chunksize="auto"))

    def together(self, ranks: int) -> None:
        """A task on so many ranks, in which all take part."""
        from benchmarks import tasks

        values = self.executor.options(ranks=ranks).submit(tasks.agreed).result()
        assert values == [ranks] * ranks

"""The works: each takes a system and yields (metric, value).

A latency is the median of up to CALLS calls; the tables then take the median over
sessions. Nothing here waits by sleeping, but `idle`, whose subject is that nothing
happens.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import processes, tasks

CALLS = 300
BUDGET = 4.0
"""Seconds after which a latency is taken from fewer calls."""
LINES = 10_000
BIG = 12_500_000
"""float64: 100 MB."""
TIMES = 3
"""How often data moves; the first time memory is new to everybody."""
IDLE_SECONDS = 2.0
WARM, FEWEST, MOST = 200, 500, 20_000
"""Tasks that tell how many are to be measured, and how many these are."""
TASK_SECONDS = 1.5
ITEMS = 20_000
SMALL = 125_000
"""float64: 1 MB."""
RANKS = 2
"""Of a task with a communicator."""

Figures = Iterator[tuple[str, float]]


def _mine() -> set[int]:
    return processes.members(os.environ[processes.TAG])


def _latency(name: str, call: Callable[[], object]) -> Figures:
    for _ in range(10):
        call()
    pids = _mine()
    cpu, began = processes.cpu_seconds(pids), time.perf_counter()
    taken: list[float] = []
    while len(taken) < CALLS and time.perf_counter() - began < BUDGET:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    cpu = processes.cpu_seconds(pids) - cpu
    taken.sort()
    yield f"{name} p50", taken[len(taken) // 2] * 1e3
    yield f"{name} p95", taken[int(len(taken) * 0.95)] * 1e3
    yield f"{name} CPU", cpu / len(taken) * 1e3


def idle(system: Any) -> Figures:
    """What the system holds and burns before anything was asked of it."""
    pids = _mine()
    yield "processes", len(pids)
    yield "memory", processes.pss_mb(pids)
    cpu, began = processes.cpu_seconds(pids), time.monotonic()
    time.sleep(IDLE_SECONDS)
    spent, lasted = processes.cpu_seconds(pids) - cpu, time.monotonic() - began
    yield "idle CPU", spent / lasted * 100


def execute(system: Any) -> Figures:
    """A trivial statement on every worker, and wait for all."""
    yield from _latency("execute on all", system.each)


def apply(system: Any) -> Figures:
    """A call on one worker, and wait."""
    yield from _latency("apply to one", lambda: system.one(tasks.same, 1))


def data(system: Any) -> Figures:
    """100 MB to every worker, back from one, in parts out and in."""
    import numpy

    array = numpy.arange(BIG, dtype=float)
    moves: list[tuple[str, int, tuple[Any, ...]]] = [
        ("push", system.n, (array,)),
        ("pull", 1, ()),
        ("scatter", 1, (array,)),
        ("gather", 1, ()),
    ]
    for _ in range(TIMES):
        for name, factor, arguments in moves:
            if not hasattr(system, name):
                continue
            start = time.perf_counter()
            back = getattr(system, name)(*arguments)
            seconds = time.perf_counter() - start
            if not arguments:
                assert len(back) == BIG
                assert back[-1] == array[-1]
            yield name, array.nbytes * factor / 1e9 / seconds


def lines(system: Any) -> Figures:
    """Every worker prints LINES lines; until all of them are here."""
    for _ in range(TIMES):
        start = time.perf_counter()
        seen = system.stream(LINES)
        seconds = time.perf_counter() - start
        assert seen == LINES * system.n, f"{seen} of {LINES * system.n} lines came"
        yield "lines", seen / seconds


def farm(system: Any) -> Figures:
    """No-op tasks with a future each; then all their values."""
    yield from _rate("tasks", lambda n: _submit_all(system, tasks.same, n))


def lambdas(system: Any) -> Figures:
    """The same with a function that has to travel, as from a notebook's cell."""
    yield from _rate("lambda tasks", lambda n: _submit_all(system, lambda x: x, n))


def _submit_all(system: Any, function: Callable[..., Any], count: int) -> None:
    values = system.wait([system.submit(function, i) for i in range(count)])
    assert len(values) == count
    assert values[-1] == count - 1


def _rate(name: str, run: Callable[[int], None]) -> Figures:
    start = time.perf_counter()
    run(WARM)
    fit = int(WARM / (time.perf_counter() - start) * TASK_SECONDS)
    count = max(FEWEST, min(MOST, fit))
    pids = _mine()
    for _ in range(TIMES):
        cpu, start = processes.cpu_seconds(pids), time.perf_counter()
        run(count)
        seconds = time.perf_counter() - start
        yield name, count / seconds
        yield f"{name} CPU", (processes.cpu_seconds(pids) - cpu) / count * 1e6


def mapping(system: Any) -> Figures:
    """A map over trivial items, cut as the system does it best."""
    items = list(range(ITEMS))
    for _ in range(TIMES):
        start = time.perf_counter()
        values = system.map(tasks.plus_one, items)
        yield "map", ITEMS / (time.perf_counter() - start)
        assert len(values) == ITEMS
        assert values[-1] == ITEMS


def single(system: Any) -> Figures:
    """One task after the other, to whoever is free."""
    yield from _latency("single task", lambda: system.submit_wait(tasks.same, 1))


def bulk(system: Any) -> Figures:
    """Tasks with 1 MB in and a new 1 MB out."""
    import numpy

    array = numpy.ones(SMALL)

    def run(count: int) -> None:
        submitted = [system.submit(tasks.plus_one, array) for _ in range(count)]
        values = system.wait(submitted)
        assert len(values) == count
        assert values[-1][0] == 2.0

    start = time.perf_counter()
    run(20)
    fit = int(20 / (time.perf_counter() - start) * TASK_SECONDS)
    count = max(40, min(400, fit))
    for _ in range(TIMES):
        start = time.perf_counter()
        run(count)
        seconds = time.perf_counter() - start
        yield "1 MB tasks", count * 2 * array.nbytes / 1e6 / seconds


def ranks(system: Any) -> Figures:
    """A task on some ranks with a communicator of their own, which they use."""
    yield from _latency("task on 2 ranks", lambda: system.together(RANKS))


#: What a system must define, the work.
WORKS: dict[str, tuple[str, Callable[[Any], Figures]]] = {
    "idle": ("start", idle),
    "execute": ("each", execute),
    "apply": ("one", apply),
    "data": ("push", data),
    "lines": ("stream", lines),
    "single": ("submit_wait", single),
    "farm": ("submit", farm),
    "lambdas": ("by_value", lambdas),
    "map": ("map", mapping),
    "bulk": ("submit", bulk),
    "ranks": ("together", ranks),
}

#: Metric, unit, whether more is better.
METRICS: list[tuple[str, str, bool]] = [
    ("start", "s", False),
    ("stop", "s", False),
    ("execute on all p50", "ms", False),
    ("execute on all p95", "ms", False),
    ("execute on all CPU", "ms", False),
    ("apply to one p50", "ms", False),
    ("apply to one p95", "ms", False),
    ("apply to one CPU", "ms", False),
    ("push", "GB/s", True),
    ("pull", "GB/s", True),
    ("scatter", "GB/s", True),
    ("gather", "GB/s", True),
    ("lines", "/s", True),
    ("single task p50", "ms", False),
    ("single task p95", "ms", False),
    ("single task CPU", "ms", False),
    ("tasks", "/s", True),
    ("tasks CPU", "us", False),
    ("lambda tasks", "/s", True),
    ("lambda tasks CPU", "us", False),
    ("map", "items/s", True),
    ("1 MB tasks", "MB/s", True),
    ("task on 2 ranks p50", "ms", False),
    ("task on 2 ranks p95", "ms", False),
    ("task on 2 ranks CPU", "ms", False),
    ("memory", "MB", False),
    ("idle CPU", "%", False),
    ("processes", "", False),
]

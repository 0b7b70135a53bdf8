"""A task stream as a trace in Chrome's format, which Perfetto reads.

A rank is a thread, a run a slice; one counter says how many tasks waited, another how
many ranks were busy. Times are microseconds since the first task was submitted; when
that was stands in the trace's metadata.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

from steer.client.stream import Run, TaskStream

Entry = dict[str, Any]
PID = 1
SAMPLES = 2000
"""Values of a counter at most."""


def trace(stream: TaskStream) -> dict[str, Any]:
    """The trace, as what JSON is made of."""
    return {"traceEvents": list(_events(stream)), **_rest(stream)}


def write(stream: TaskStream, path: Path) -> None:
    """Write it, event by event: of a million tasks the whole would take a gigabyte."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as file:
        file.write('{"traceEvents": [')
        for number, event in enumerate(_events(stream)):
            file.write((",\n" if number else "\n") + json.dumps(event))
        file.write("\n], " + json.dumps(_rest(stream))[1:] + "\n")


def _rest(stream: TaskStream) -> dict[str, Any]:
    zero = datetime.fromtimestamp(_zero(stream), UTC).isoformat() if stream else ""
    return {
        "displayTimeUnit": "ms",
        "otherData": {"began": zero, "summary": stream.summary},
    }


def _zero(stream: TaskStream) -> float:
    submitted = (run.submitted for run in stream.runs if run.submitted is not None)
    return min(stream.began, min(submitted, default=stream.began))


def _events(stream: TaskStream) -> Iterator[Entry]:
    zero = _zero(stream)
    yield _named("process_name", 0, "Steer")
    for engine in stream.engines:
        yield _named("thread_name", engine, f"rank {engine}")
        yield _named("thread_sort_index", engine, engine)
    for run in stream.runs:
        yield _slice(run, zero)
    waits = [(run.submitted, 1) for run in stream.runs if run.submitted is not None]
    begins = [(run.started, -1) for run in stream.runs if run.submitted is not None]
    yield from _counter("tasks waiting", waits + begins, zero)
    starts = [(run.started, 1) for run in stream.runs]
    ends = [(run.ended, -1) for run in stream.runs]
    yield from _counter("ranks busy", starts + ends, zero)


def _named(kind: str, thread: int, value: object) -> Entry:
    key = "sort_index" if kind == "thread_sort_index" else "name"
    return {"ph": "M", "pid": PID, "tid": thread, "name": kind, "args": {key: value}}


def _slice(run: Run, zero: float) -> Entry:
    told: dict[str, Any] = {"task": run.id, "status": run.status}
    if run.waited is not None:
        told["waited_ms"] = round(run.waited * 1e3, 3)
    event: Entry = {
        "ph": "X",
        "pid": PID,
        "tid": run.engine,
        "name": run.name,
        "cat": "task" if run.fine else "task,failed",
        "ts": _micro(run.started - zero),
        "dur": _micro(run.took),
        "args": told,
    }
    if not run.fine:
        event["cname"] = "terrible"
    return event


def _counter(name: str, steps: list[tuple[float, int]], zero: float) -> Iterator[Entry]:
    """How a number went up and down; at times that are apart enough to be seen."""
    if not steps:
        return
    steps.sort(key=itemgetter(0))
    apart = (steps[-1][0] - steps[0][0]) / SAMPLES
    value, due = 0, steps[0][0]
    for number, (time, change) in enumerate(steps):
        value += change
        last = number + 1 == len(steps)
        if last or (time >= due and steps[number + 1][0] > time):
            due = time + apart
            yield {
                "ph": "C",
                "pid": PID,
                "tid": 0,
                "name": name,
                "ts": _micro(time - zero),
                "args": {"value": max(0, value)},
            }


def _micro(value: float) -> float:
    return round(value * 1e6, 1)

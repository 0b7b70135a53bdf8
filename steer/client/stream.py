"""What ran where and when: the runs of finished tasks, and what they tell.

A `TaskStream` is made of futures, of a result of a map, or of task records from the
journal. It shows itself in a notebook (`streampicture.py`), is written as a picture, a
page or a trace for Perfetto (`streamtrace.py`), and says in a line how busy ranks were.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from steer.client.bars import seconds
from steer.errors import UsageError
from steer.ranks import describe

if TYPE_CHECKING:
    from typing import Self

UNNAMED = "task"
FINE = "done"
"""The status of a run that went well; any other is shown as a failure."""
_WORDS = {"ok": FINE, "error": "raised", "aborted": "cancelled"}
"""A journal's words for how a task ended, and ours."""


class Run(NamedTuple):
    """One task on one rank; times are seconds since the epoch."""

    name: str
    engine: int
    started: float
    took: float
    status: str = FINE
    id: str = ""
    submitted: float | None = None

    @property
    def ended(self) -> float:
        """When it was over."""
        return self.started + self.took

    @property
    def fine(self) -> bool:
        """Whether it brought a value."""
        return self.status == FINE

    @property
    def waited(self) -> float | None:
        """Seconds from its submission to its start, as far as clocks agree."""
        if self.submitted is None:
            return None
        return max(0.0, self.started - self.submitted)


class Function(NamedTuple):
    """All runs of functions of one name."""

    name: str
    runs: int
    failed: int
    total: float
    """Seconds, on all ranks together."""
    median: float


class TaskStream:
    """The runs of some tasks, in the order in which they started."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs: Sequence[Run] = sorted(runs, key=lambda run: run.started)

    @classmethod
    def of(cls, work: Any) -> Self:
        """The runs of futures, of a map's result, or of the journal's task records."""
        return cls(_runs(work))

    # -- figures

    @cached_property
    def engines(self) -> list[int]:
        """Where anything ran."""
        return sorted({run.engine for run in self.runs})

    @cached_property
    def began(self) -> float:
        """When the first run started."""
        return self.runs[0].started if self.runs else 0.0

    @cached_property
    def seconds(self) -> float:
        """From the first start to the last end."""
        return max((run.ended for run in self.runs), default=0.0) - self.began

    @cached_property
    def busy(self) -> dict[int, float]:
        """How much of that time each rank ran tasks, between 0 and 1."""
        spent = dict.fromkeys(self.engines, 0.0)
        for run in self.runs:
            spent[run.engine] += run.took
        whole = self.seconds or 1.0
        return {engine: min(1.0, time / whole) for engine, time in spent.items()}

    @cached_property
    def functions(self) -> list[Function]:
        """What ran, the longest in all first."""
        times: dict[str, list[float]] = {}
        failed: dict[str, int] = {}
        for run in self.runs:
            times.setdefault(run.name, []).append(run.took)
            failed[run.name] = failed.get(run.name, 0) + (not run.fine)
        found = [
            Function(name, len(took), failed[name], sum(took), statistics.median(took))
            for name, took in times.items()
        ]
        return sorted(found, key=lambda function: (-function.total, function.name))

    @property
    def summary(self) -> str:
        """How much ran, where, how long, and how busy the ranks were; one line."""
        if not self.runs:
            return "no task has run"
        names = [run.id or number for number, run in enumerate(self.runs)]
        count = len(set(names))
        share = statistics.fmean(self.busy.values())
        text = f"{count:,} {'task' if count == 1 else 'tasks'} on "
        text += f"{describe(self.engines)} in {short(self.seconds)}, {share:.0%} busy"
        pairs = zip(names, self.runs, strict=True)
        failed = len({name for name, run in pairs if not run.fine})
        return f"{text}, {failed:,} failed" if failed else text

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __repr__(self) -> str:
        return f"<TaskStream: {self.summary}>"

    # -- how it is shown and kept

    def svg(self, width: int = 960) -> str:
        """A picture: a row for each rank, a colour for each function."""
        from steer.client.streampicture import svg

        return svg(self, width)

    def html(self, width: int = 960) -> str:
        """A page with the picture and a table of the functions."""
        from steer.client.streampicture import page

        return page(self, width)

    def trace(self) -> dict[str, Any]:
        """A trace of Chrome's format: open it with Perfetto or chrome://tracing."""
        from steer.client.streamtrace import trace

        return trace(self)

    def save(self, path: str | Path) -> Path:
        """Write it: `.svg` a picture, `.html` a page, `.json` or `.json.gz` a trace."""
        path = Path(path)
        if path.suffix == ".svg":
            path.write_text(self.svg(), "utf-8")
        elif path.suffix in (".html", ".htm"):
            path.write_text(self.html(), "utf-8")
        elif path.suffixes[-1:] == [".json"] or path.suffixes[-2:] == [".json", ".gz"]:
            from steer.client.streamtrace import write

            write(self, path)
        else:
            raise UsageError(
                f"{path.name} says no format; let it end in .svg, .html, .json or "
                ".json.gz."
            )
        return path

    def _repr_mimebundle_(self, **how: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.svg()}


def task_stream(work: Any) -> TaskStream:
    """What ran where and when: of futures, a map's result, or task records.

    What has not run, or not yet, is left out.
    """
    return TaskStream.of(work)


def short(value: float) -> str:
    """A time for people, of tasks that may be as short as a microsecond."""
    if value >= 1:
        return seconds(value)
    for unit, size in (("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            count = value / size
            return f"{count:.0f} {unit}" if count >= 9.95 else f"{count:.1f} {unit}"
    return "0 s" if value <= 0 else "<1 µs"


def _runs(work: Any) -> Iterator[Run]:
    if isinstance(work, TaskStream):
        yield from work.runs
        return
    metadata = getattr(work, "metadata", None)
    if metadata is not None and hasattr(work, "get"):
        records = [metadata] if isinstance(metadata, Mapping) else metadata
        name = getattr(work, "_fname", "") or UNNAMED
        for record in records:
            yield from _of_record(record, name)
        return
    if isinstance(work, Mapping) or hasattr(work, "add_done_callback"):
        work = [work]
    for item in work:
        if isinstance(item, Mapping):
            yield from _of_record(item, UNNAMED)
        elif isinstance(item, Run):
            yield item
        else:
            yield from _of_future(item)


def _of_record(record: Mapping[str, Any], name: str) -> Iterator[Run]:
    """The run that a record of the journal, or a result's metadata, tells of."""
    started, completed = _time(record.get("started")), _time(record.get("completed"))
    engine = record.get("engine_id")
    if started is None or completed is None or engine is None:
        return
    header = record.get("header") or {}
    name = record.get("name") or header.get("name") or record.get("label") or name
    status = str(record.get("status") or FINE)
    content = record.get("result_content") or {}
    yield Run(
        str(name),
        int(engine),
        started,
        max(0.0, completed - started),
        str(content.get("task") or _WORDS.get(status, status)).lower(),
        str(record.get("request") or record.get("msg_id") or ""),
        _time(record.get("submitted")),
    )


def _time(value: Any) -> float | None:
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if value else None


def _of_future(future: Any) -> Iterator[Run]:
    """The run of a task, on each of its ranks; none if it has not run, or not yet."""
    try:
        engines, started, status = future.engines, future.started, future.status
    except AttributeError:
        raise UsageError(
            f"A {type(future).__name__} does not tell where it ran; give futures of "
            "an executor, the result of a map, or records of the task database."
        ) from None
    if status is None or not started:
        return
    if not engines and future.engine is not None:
        engines = (future.engine,)
    for engine in engines:
        yield Run(
            future.name or UNNAMED,
            engine,
            started,
            future.took,
            status.name.lower(),
            str(future.id),
            future.submitted or None,
        )

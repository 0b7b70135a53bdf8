"""What ran where and when, from whatever tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from steer.client.stream import Run, TaskStream, short, task_stream
from steer.errors import UsageError
from steer.wire.messages import TaskStatus

RUNS = [
    Run("solve", 1, 101.0, 2.0, id="2", submitted=100.0),
    Run("solve", 0, 100.0, 1.0, id="1", submitted=100.0),
    Run("plot", 0, 101.0, 3.0, "raised", "3", 100.5),
]


def test_figures_of_a_stream() -> None:
    stream = TaskStream(RUNS)

    assert [run.id for run in stream] == ["1", "2", "3"]
    assert stream.engines == [0, 1]
    assert stream.seconds == 4.0
    assert stream.busy == {0: 1.0, 1: 0.5}
    plot, solve = stream.functions
    assert (plot.name, plot.runs, plot.failed, plot.total) == ("plot", 1, 1, 3.0)
    assert (solve.name, solve.runs, solve.failed, solve.median) == ("solve", 2, 0, 1.5)
    assert stream.summary == "3 tasks on ranks 0-1 in 4.0 s, 75% busy, 1 failed"
    assert repr(stream) == f"<TaskStream: {stream.summary}>"
    assert stream.runs[2].waited == 0.5


def test_a_task_of_several_ranks_is_one() -> None:
    ranks = [Run("simulate", engine, 10.0, 1.0, id="7") for engine in range(4)]

    assert TaskStream(ranks).summary == "1 task on ranks 0-3 in 1.0 s, 100% busy"

    failed = [run._replace(status="raised") for run in ranks]
    assert TaskStream(failed).summary.endswith("100% busy, 1 failed")


def test_nothing_has_run() -> None:
    stream = TaskStream([])

    assert stream.summary == "no task has run"
    assert stream.busy == {}
    assert "no task has run" in stream.svg()
    assert stream.trace()["traceEvents"]


def test_of_records_of_the_journal() -> None:
    """Times are numbers or datetimes; what has not run is left out."""
    at = datetime.fromtimestamp(50, UTC)
    records: list[dict[str, Any]] = [
        {
            "msg_id": "c-t1_2", "engine_id": 2, "submitted": 49.0, "started": 50.0,
            "completed": 52.5, "status": "error", "header": {"name": "solve"},
            "result_content": {"task": "OVERRAN"},
        },
        {"engine_id": 3, "started": at, "completed": at, "status": "error"},
        {"engine_id": 3, "started": at, "completed": None},
        {"engine_id": None, "started": None, "completed": None},
    ]  # fmt: skip

    first, second = sorted(task_stream(records), key=lambda run: run.engine)

    assert first == Run("solve", 2, 50.0, 2.5, "overran", "c-t1_2", 49.0)
    assert second == Run("task", 3, 50.0, 0.0, "raised")


def test_of_a_result() -> None:
    class Result:
        _fname = "solve"
        metadata = ({"engine_id": 0, "started": 5.0, "completed": 6.0},)

        def get(self) -> None: ...

    (run,) = task_stream(Result())
    assert (run.name, run.engine, run.took) == ("solve", 0, 1.0)


class Ended:
    """What is known of a task that has ended."""

    def __init__(self, **facts: Any) -> None:
        self.id, self.name, self.engine, self.engines = 7, "solve", 2, ()
        self.status: TaskStatus | None = TaskStatus.DONE
        self.submitted, self.started, self.took = 49.0, 50.0, 2.5
        vars(self).update(facts)


def test_of_futures() -> None:
    """A task of several ranks ran on all; one that has not run is left out."""
    futures = [
        Ended(),
        Ended(id=8, engines=(0, 1), started=51.0, status=TaskStatus.RAISED, name=""),
        Ended(id=9, status=TaskStatus.CANCELLED, started=0.0),
        Ended(id=10, status=None),
    ]

    assert list(task_stream(futures)) == [
        Run("solve", 2, 50.0, 2.5, "done", "7", 49.0),
        Run("task", 0, 51.0, 2.5, "raised", "8", 49.0),
        Run("task", 1, 51.0, 2.5, "raised", "8", 49.0),
    ]


def test_what_tells_nothing_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="A int does not tell where it ran; give"):
        task_stream([3])


def test_the_name_says_the_format(tmp_path: Path) -> None:
    stream = TaskStream(RUNS)

    assert stream.save(tmp_path / "a.svg").read_text().startswith("<svg")
    assert stream.save(tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert stream.save(tmp_path / "a.json").read_text().startswith("{")
    assert stream.save(tmp_path / "a.json.gz").read_bytes()[:2] == b"\x1f\x8b"
    with pytest.raises(UsageError, match=r"a\.png says no format"):
        stream.save(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"), (1e-7, "<1 µs"), (3.4e-6, "3.4 µs"), (2.5e-5, "25 µs"),
        (0.0123, "12 ms"), (0.5, "500 ms"), (1.25, "1.2 s"), (90, "1 min 30 s"),
    ],
)  # fmt: skip
def test_short_times(value: float, text: str) -> None:
    assert short(value) == text

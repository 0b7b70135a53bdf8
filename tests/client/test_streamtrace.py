"""The trace says what Perfetto needs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from steer.client.stream import Run, TaskStream
from steer.client.streamtrace import SAMPLES

STREAM = TaskStream(
    [
        Run("solve", 0, 1001.0, 0.5, id="1", submitted=1000.0),
        Run("solve", 3, 1001.25, 0.25, "raised", "2", 1000.0),
    ]
)


def test_a_rank_is_a_thread_and_a_run_a_slice() -> None:
    events = STREAM.trace()["traceEvents"]

    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert names == {0: "rank 0", 3: "rank 3"}
    first, second = (e for e in events if e["ph"] == "X")
    assert (first["name"], first["tid"]) == ("solve", 0)
    assert (first["ts"], first["dur"]) == (1_000_000, 500_000)
    assert first["args"] == {"task": "1", "status": "done", "waited_ms": 1000}
    assert (second["tid"], second["args"]["status"]) == (3, "raised")


def test_counters_say_how_many_waited_and_ran() -> None:
    def counter(name: str) -> list[tuple[float, int]]:
        events = STREAM.trace()["traceEvents"]
        found = [e for e in events if e["name"] == name]
        return [(e["ts"], e["args"]["value"]) for e in found]

    assert counter("tasks waiting") == [(0, 2), (1_000_000, 1), (1_250_000, 0)]
    assert counter("ranks busy") == [(1_000_000, 1), (1_250_000, 2), (1_500_000, 0)]


def test_what_is_written_is_what_is_made(tmp_path: Path) -> None:
    plain = STREAM.save(tmp_path / "a.json")
    packed = STREAM.save(tmp_path / "a.json.gz")

    assert json.loads(plain.read_text()) == STREAM.trace()
    assert json.loads(gzip.decompress(packed.read_bytes())) == STREAM.trace()
    told = STREAM.trace()["otherData"]
    assert told["began"].startswith("1970-01-01T00:16:40")
    assert told["summary"] == STREAM.summary


def test_counters_of_many_tasks_are_thinned() -> None:
    runs = [Run("a", 0, k * 1e-3, 1e-3, submitted=0.0) for k in range(20_000)]

    events = TaskStream(runs).trace()["traceEvents"]

    busy = [e for e in events if e["name"] == "ranks busy"]
    assert SAMPLES / 2 < len(busy) <= SAMPLES + 2
    assert busy[-1]["args"]["value"] == 0

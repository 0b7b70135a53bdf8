"""The benchmarks run, tell the truth about what they saw, and leave nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("benchmarks", reason="benchmarks/ is only in a checkout")

from benchmarks.report import ratios, tables
from benchmarks.run import Record

ROOT = Path(__file__).resolve().parents[2]


def record(system: str, turn: int, **figures: float) -> Record:
    made = Record(system, 4, turn, 0.0)
    made.figures.update({name: [value] for name, value in figures.items()})
    return made


def test_a_ratio_compares_only_what_ran_in_the_same_round():
    records = [
        record("steer", 0, start=1.0, push=8.0),
        record("floor", 0, start=2.0, push=4.0),
        record("steer", 1, start=5.0),
        record("floor", 2, start=1.0),
    ]
    assert ratios(records, "start", "floor", more_is_better=False) == [2.0]
    assert ratios(records, "push", "floor", more_is_better=True) == [2.0]


def test_what_a_system_cannot_do_is_a_dash():
    records = [record("steer", 0, start=1.0, push=8.0), record("dask", 0, start=2.0)]
    row = next(line for line in tables(records).splitlines() if "push" in line)
    assert [cell.strip() for cell in row.split("|")[2:4]] == ["8", "-"]


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.timeout(120)
def test_a_short_run(tmp_path):
    path = tmp_path / "figures.json"
    words = "-m benchmarks --n 2 --rounds 1 --only steer,floor --works idle,execute"
    command = [sys.executable, *words.split(), "--json", str(path)]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "execute on all p50" in run.stdout
    by_system = {r["system"]: r for r in json.loads(path.read_text())["records"]}
    assert by_system["steer"]["troubles"] == by_system["floor"]["troubles"] == []
    for found in by_system.values():
        wanted = {"start", "stop", "processes", "memory", "execute on all p50"}
        assert wanted <= found["figures"].keys()
    # Client, hub, two engines, mpiexec and what it starts on the host: n + 4 at most.
    assert by_system["steer"]["figures"]["processes"][0] <= 6
    assert by_system["floor"]["figures"]["processes"] == [4]

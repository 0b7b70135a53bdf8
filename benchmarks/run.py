"""Run sessions from outside: start them, see them end, count what they leave.

Every session has a home of its own, so that a profile or a cluster of the user's is
neither used nor touched.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import processes
from benchmarks.peers import SYSTEMS
from benchmarks.session import BEGAN
from steer.testing.leaks import traces

ROOT = str(Path(__file__).resolve().parent.parent)
_NUMBERS = itertools.count(1)
GONE_LIMIT = 10.0
"""Seconds that processes have to end after their session did."""


@dataclass
class Record:
    """What one session brought."""

    system: str
    n: int
    turn: int
    load: float
    figures: dict[str, list[float]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)


def run_session(
    system: str, n: int, works: list[str], turn: int, python: str, limit: float
) -> Record:
    """One system's start, works and stop, in a process of its own."""
    record = Record(system, n, turn, os.getloadavg()[0])
    tag = f"{os.environ.get(processes.TAG, 'bench')}.{os.getpid()}-{next(_NUMBERS)}"
    with tempfile.TemporaryDirectory(prefix="sb") as folder:
        home = Path(folder)
        path = home / "figures"
        before = traces(tag, home)
        command = [system, str(n), ",".join(works), str(path)]
        env = _environment(tag, home, system, python)
        _run(record, env, _command(python, system, n, command), home, limit)
        left = processes.wait_gone(tag, GONE_LIMIT)
        gone = time.monotonic()
        record.troubles += traces(tag, home).since(before)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _read(record, path, gone)
    return record


def _command(python: str, system: str, n: int, arguments: list[str]) -> list[str]:
    arguments = ["-m", "benchmarks.session", *arguments]
    make = getattr(SYSTEMS[system], "command", None)
    return list(make(python, n, arguments)) if make else [python, *arguments]


def _environment(tag: str, home: Path, system: str, python: str) -> dict[str, str]:
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    # Without compiled files every import costs twice: not what a user has.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return env | {
        processes.TAG: tag,
        "PATH": f"{Path(python).parent}{os.pathsep}{env.get('PATH', '')}",
        "PYTHONPATH": _python_path(home, system),
        "IPYTHONDIR": str(home / "ipython"),
        "XDG_RUNTIME_DIR": str(runtime),
        BEGAN: repr(time.monotonic()),
    }


def _python_path(home: Path, system: str) -> str:
    """Where workers find this package: not beside the library's source.

    That would hide the installed Steer, which is to be measured and which alone knows
    its recipes. The others' interpreters may have no Steer, and need its `testing`.
    """
    (home / "path").mkdir()
    (home / "path" / "benchmarks").symlink_to(Path(__file__).parent)
    folders = [str(home / "path"), *([] if system == "steer" else [ROOT])]
    return os.pathsep.join(folders)


def _run(
    record: Record, env: dict[str, str], command: list[str], home: Path, limit: float
) -> None:
    with (home / "said").open("w+b") as said:
        process = subprocess.Popen(command, env=env, cwd=home, stdout=said, stderr=said)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            record.troubles.append(f"not finished after {limit:g} s")
            process.kill()
            process.wait()
        if process.returncode:
            said.seek(0)
            end = said.read().decode(errors="replace")[-1500:].strip()
            record.troubles.append(f"ended with {process.returncode}: {end}")


def _read(record: Record, path: Path, gone: float) -> None:
    text = path.read_text() if path.exists() else ""
    for fields in map(json.loads, text.splitlines()):
        if "metric" in fields:
            record.figures.setdefault(fields["metric"], []).append(fields["value"])
        elif "stopping" in fields:
            record.figures["stop"] = [gone - fields["stopping"]]
        else:
            record.troubles.append(f"{fields['work']}: {fields['failed']}")


def run_rounds(
    systems: dict[str, str], n: int, works: list[str], rounds: int, limit: float
) -> list[Record]:
    """All systems by turns, so that what else the machine does falls on all alike.

    Args:
        systems: the interpreter of each.
    """
    records = []
    for turn in range(rounds):
        for system, python in systems.items():
            began = time.monotonic()
            record = run_session(system, n, works, turn, python, limit)
            records.append(record)
            print(
                f"round {turn + 1} of {rounds}: {system}, "
                f"{time.monotonic() - began:.1f} s, load {record.load:.2f}",
                *record.troubles,
                sep="\n    ",
                file=sys.stderr,
                flush=True,
            )
    return records

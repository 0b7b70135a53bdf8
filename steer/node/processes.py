"""Which process is meant: a pid alone is not a name, a pid and its start time are.

The kernel hands a pid to a stranger as soon as its owner was reaped, so whoever keeps a
pid across a wait (a hub that was restarted, a signal sent later) keeps the start time
with it. This file only reads /proc; it watches nothing (watch.py) and signals nobody
(signals.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

__all__ = ["Process", "find_by_environment", "find_by_name", "is_alive", "maps", "pids"]
__all__ += ["same_process", "start_time", "zombie_status"]

_STATE, _START_TIME, _EXIT_STATUS = 0, 19, 49
"""Fields of /proc/PID/stat, counted from the one behind the command's name."""


class Process(NamedTuple):
    """One process, for ever: no other process of this boot equals it."""

    pid: int
    start_time: int


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if there is none."""
    fields = _stat(pid)
    return None if fields is None else int(fields[_START_TIME])


def same_process(pid: int, start_time_then: int) -> bool:
    """Whether the pid still belongs to the process that started at that time."""
    return start_time(pid) == start_time_then


def is_alive(pid: int) -> bool:
    """Whether the pid is a process that still runs; a zombie does not."""
    fields = _stat(pid)
    return fields is not None and fields[_STATE] not in "ZX"


def maps(pid: int) -> str:
    """The text of /proc/PID/maps; empty if the process is gone or another user's."""
    return os.fsdecode(_read(pid, "maps"))


def zombie_status(pid: int) -> int | None:
    """The wait status of a process that ended but was not yet reaped by its parent."""
    fields = _stat(pid)
    if fields is None or fields[_STATE] not in "ZX":
        return None
    return int(fields[_EXIT_STATUS])


def pids() -> Iterator[int]:
    """All processes of this host that we can see."""
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            yield int(entry)


def find_by_environment(variables: Mapping[str, str]) -> list[Process]:
    """The living processes that were started with all of these variables.

    This finds a job's ranks before they register, and after their launcher died and
    left them to pid 1, whatever sessions and groups the launcher put them into.
    """
    wanted = {f"{name}={value}".encode() for name, value in variables.items()}
    others = (pid for pid in pids() if pid != os.getpid())
    return _living(pid for pid in others if wanted.issubset(_environment(pid)))


def find_by_name(command: str) -> list[Process]:
    """The living processes whose command has this name (its first 15 characters)."""
    wanted = command.encode()[:15]
    return _living(pid for pid in pids() if _read(pid, "comm").rstrip() == wanted)


def _living(found: Iterable[int]) -> list[Process]:
    started = [(pid, start_time(pid)) for pid in found if is_alive(pid)]
    return [Process(pid, start) for pid, start in started if start is not None]


def _stat(pid: int) -> list[str] | None:
    text = _read(pid, "stat").decode("ascii", "replace")
    # The command's name may hold blanks and brackets: the last bracket ends it.
    return text.rpartition(")")[2].split() or None


def _environment(pid: int) -> list[bytes]:
    return _read(pid, "environ").split(b"\0")


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""  # gone meanwhile, or another user's: neither is ours to look into

"""What the processes of one session hold and burn, read from /proc.

A session's processes are those that inherited its tag, and their children: some systems
overwrite their environment when they change their title. Linux only.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from pathlib import Path

from steer.testing.leaks import TAG, tagged_processes

__all__ = ["TAG", "cpu_seconds", "members", "pss_mb", "wait_gone"]

_TICK = os.sysconf("SC_CLK_TCK")


def members(tag: str) -> set[int]:
    """All living processes of a session, the asking one too if it is of them."""
    found = set(tagged_processes(tag))
    if os.environ.get(TAG) == tag:
        found.add(os.getpid())
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            state, parent = _stat(int(entry))[:2]
            if state != "Z":
                parents[int(entry)] = int(parent)
    found &= parents.keys()
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def pss_mb(pids: set[int]) -> float:
    """Memory, what is shared counted in parts: the sum is what the machine gives."""
    kib = 0
    for pid in pids:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            kib += sum(int(x.split()[1]) for x in text.split("\n") if x[:4] == "Pss:")
    return kib / 1024


def cpu_seconds(pids: set[int]) -> float:
    """CPU time so far, user's and system's."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            ticks += sum(map(int, _stat(pid)[11:13]))
    return ticks / _TICK


def wait_gone(tag: str, limit: float) -> set[int]:
    """Wait for the end of a session's processes; give those that did not end."""
    deadline = time.monotonic() + limit
    while left := members(tag) - {os.getpid()}:
        patience = deadline - time.monotonic()
        if patience <= 0 or not _wait_end(min(left), patience):
            return left
    return set()


def _wait_end(pid: int, patience: float) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], patience)[0])
    finally:
        os.close(fd)


def _stat(pid: int) -> list[str]:
    """Fields after the command's name: state, parent, ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

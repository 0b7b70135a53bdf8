"""See what a test leaves behind: processes, shared memory, sockets, zombies.

A process is known by a tag that it inherited in its environment, so that what another
program does on the same machine is never blamed on the test. A shared-memory entry or a
socket file counts only when no living process holds it: a held one belongs to that
process, which is then itself what was left. Linux only: it reads ``/proc``.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: The environment variable whose value tags the processes that a test starts.
TAG = "STEER_TEST_ID"

_PROC = Path("/proc")
_SHM = Path("/dev/shm")


@dataclass(frozen=True)
class Traces:
    """What is there at one moment and may have to be gone at a later one."""

    processes: dict[int, str]
    zombies: dict[int, str]
    shm: frozenset[str]
    sockets: frozenset[str]

    def since(self, before: Traces) -> list[str]:
        """Name what is here now and was not before, one sentence a thing."""
        return [
            *_new("process", "still runs", self.processes, before.processes),
            *_new("process", "was never waited for", self.zombies, before.zombies),
            *(f"{name} is left in /dev/shm" for name in sorted(self.shm - before.shm)),
            *(
                f"socket file {name} is left"
                for name in sorted(self.sockets - before.sockets)
            ),
        ]


def traces(tag: str, socket_folder: Path) -> Traces:
    """Take stock for processes whose tag is ``tag`` or starts with ``tag.``."""
    return Traces(
        processes=tagged_processes(tag),
        zombies=_zombie_children(),
        shm=_unheld_shm(),
        sockets=_unheld_sockets(socket_folder),
    )


def tagged_processes(tag: str) -> dict[int, str]:
    """Find the processes that inherited the tag; the asking one is left out."""
    exact = f"{TAG}={tag}".encode()
    found = {}
    for pid in _pids():
        with suppress(OSError):
            variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
            if any(v == exact or v.startswith(exact + b".") for v in variables):
                found[pid] = _command(pid)
    return found


def kill_tagged(tag: str) -> None:
    """End what a failed test left, so that the next test starts clean."""
    for pid in tagged_processes(tag):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _pids() -> Iterator[int]:
    me = os.getpid()
    for entry in os.listdir(_PROC):
        if entry.isdigit() and int(entry) != me:
            yield int(entry)


def _command(pid: int) -> str:
    words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    return b" ".join(words).decode(errors="replace").strip()


def _zombie_children() -> dict[int, str]:
    found = {}
    for pid in _pids():
        with suppress(OSError):
            name, _, rest = (_PROC / str(pid) / "stat").read_text().rpartition(") ")
            state, parent = rest.split()[:2]
            if state == "Z" and int(parent) == os.getpid():
                found[pid] = name.partition("(")[2]
    return found


def _unheld_shm() -> frozenset[str]:
    present = {entry.name for entry in _SHM.iterdir() if entry.is_file()}
    return frozenset(present - _held_shm()) if present else frozenset()


def _held_shm() -> set[str]:
    """Names in ``/dev/shm`` that a living process maps or has open."""
    prefix = f"{_SHM}/"
    held = set()
    for pid in [os.getpid(), *_pids()]:
        folder = _PROC / str(pid)
        with suppress(OSError):
            for line in (folder / "maps").read_text(errors="replace").splitlines():
                _, found, name = line.partition(prefix)
                if found:
                    held.add(name)
        with suppress(OSError):
            for link in (folder / "fd").iterdir():
                with suppress(OSError):
                    target = os.readlink(link)
                    if target.startswith(prefix):
                        held.add(target.removeprefix(prefix))
    return held


def _unheld_sockets(folder: Path) -> frozenset[str]:
    files = set()
    for path in folder.rglob("*"):
        with suppress(OSError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                files.add(str(path))
    bound = (_PROC / "net/unix").read_text(errors="replace")
    return frozenset(name for name in files if f" {name}\n" not in bound)


def _new(
    kind: str, what: str, now: dict[int, str], before: dict[int, str]
) -> Iterator[str]:
    for pid in sorted(now.keys() - before.keys()):
        yield f"{kind} {pid} {what}: {now[pid][:160]}"

"""A stack that can be had when no thread of a process can give it.

A signal makes `faulthandler` write the main thread's stack into memory that the node
can open: also while native code holds the GIL, and also when the process dies of a
signal that it can see (SIGSEGV, SIGBUS, SIGFPE, SIGABRT). It is memory, because a full
pipe would block in the handler.

    with Witnessed(pid, fd) as witnessed: ...      # the node's side

What the rank's I/O thread has seen last is written there too, each second while it
works (`note`): of a process that was killed without a word that is what is known.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import stat
import threading
import time

SHOW = signal.SIGRTMIN + 6
"""Nothing else of ours or of MPI's uses it."""

LARGEST = 1 << 20
"""Bytes after which the memory is emptied."""

ROOM = 64 << 10
"""Bytes of the end that are read: a stack is at most a hundred lines."""

NOTE = b"\x00last seen: "
THREAD = b"\x00thread that answers: "

_STOPPED = {"T": "stopped by a signal", "t": "stopped by a debugger"}
_WAITS = {"D": "it waits for a disk or a network drive"}
"""States of a process in the kernel's words, and in ours."""


class Witness:
    """The side of the process that is looked at."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("steer-witness", os.MFD_CLOEXEC)
        # Appending, so that emptying it moves the place where the next byte goes.
        mine = os.open(f"/proc/self/fd/{self.fd}", os.O_RDWR | os.O_APPEND)
        os.dup2(mine, self.fd, inheritable=False)
        os.close(mine)

    def install(self) -> None:
        """Have stacks written on demand; in the main thread."""
        faulthandler.register(SHOW, file=self.fd, all_threads=False, chain=False)

    def introduce(self) -> None:
        """Say which thread would answer; in that thread."""
        os.write(self.fd, THREAD + f"{threading.get_native_id()}\n".encode())

    def note(self, text: str) -> None:
        """Write down what was seen; empties the memory now and then."""
        if os.fstat(self.fd).st_size > LARGEST:
            os.ftruncate(self.fd, 0)
            self.introduce()
        when = f"{time.monotonic():.1f} ".encode()  # one clock for all of a host
        os.write(self.fd, NOTE + when + text.encode(errors="replace") + b"\n")


class Witnessed:
    """The node's side; OSError if it cannot be had. It outlives the process."""

    def __init__(self, pid: int, fd: int) -> None:
        # Not waiting: what is named here may be the end of a pipe, by a mistake.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        self._pid = pid
        self._fd = os.open(f"/proc/{pid}/fd/{fd}", flags)
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.close(self._fd)
            raise OSError(f"descriptor {fd} of process {pid} is no memory")

    def size(self) -> int:
        """How much was written."""
        return os.fstat(self._fd).st_size

    def since(self, size: int) -> str:
        """What was written after that, without notes."""
        begin = max(size, self.size() - ROOM)
        raw = os.pread(self._fd, ROOM, begin if begin <= self.size() else 0)
        lines = raw.split(b"\n")
        kept = [line for line in lines if not line.startswith((NOTE, THREAD))]
        return b"\n".join(kept).decode(errors="replace")

    def starves(self) -> bool:
        """Whether the thread that would answer wants a core and has none, or runs: then
        it is not the GIL that it waits for."""
        tid = self._thread()
        try:
            with open(f"/proc/{self._pid}/task/{tid}/stat") as stat_:
                state = stat_.read().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state == "R"

    def _thread(self) -> str:
        """The thread that would answer; empty if it has not said so."""
        raw = os.pread(self._fd, ROOM, 0)
        _, found, said = raw.partition(THREAD)
        return said.partition(b"\n")[0].decode() if found else ""

    def _thread_is_gone(self) -> bool:
        tasks = f"/proc/{self._pid}/task"
        tid = self._thread()
        return bool(tid) and os.path.exists(tasks) and not os.path.exists(
            f"{tasks}/{tid}"
        )  # fmt: skip

    def stopped(self) -> str:
        """Why nothing is to be heard of the process, whatever main does; empty if
        nobody knows."""
        if self._thread_is_gone():
            return "its thread that answers has ended"
        return _STOPPED.get(self._state(), "")

    def halted(self) -> str:
        """Why it has written nothing, as the kernel tells it of its main thread; empty
        if nobody knows."""
        return (_STOPPED | _WAITS).get(self._state(), "")

    def _state(self) -> str:
        try:
            with open(f"/proc/{self._pid}/stat") as stat_:
                return stat_.read().rpartition(")")[2].split()[0]
        except OSError:
            return ""

    def last_note(self) -> tuple[float, str]:
        """How long ago something was noted last, and what; empty if nothing was."""
        raw = os.pread(self._fd, ROOM, max(0, self.size() - ROOM))
        _, found, said = raw.rpartition(NOTE)
        line = said.partition(b"\n")[0].decode(errors="replace")
        when, _, text = line.partition(" ")
        return (max(0.0, time.monotonic() - float(when)), text) if found else (0.0, "")

    def last_words(self) -> str:
        """The stack that it wrote when it died of a signal; empty if it could not."""
        raw = os.pread(self._fd, ROOM, max(0, self.size() - ROOM))
        _, found, said = raw.rpartition(b"Fatal Python error:")
        return (found + said).decode(errors="replace") if found else ""

    def close(self) -> None:
        """Let go of it."""
        with contextlib.suppress(OSError):
            os.close(self._fd)

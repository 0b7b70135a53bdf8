"""Telemetry pages as shared memory: made by a rank, mapped by its node too.

A page has no name in any file system: the node opens it by the rank's pid and
descriptor, as with large frames (`steer.shm`), and what it has mapped outlives the
rank. So the black box is there after SIGKILL, and nothing can be left behind.

Stores of one process and loads of another are put in order by `membarrier(2)`: the node
has the kernel run a full barrier on every processor on which a rank runs, so that ranks
need none at their points. Where there is no such call (kernels before 4.16, some
sandboxes) `barrier_works` says so, and the controller has to be a thread of the rank.
"""

from __future__ import annotations

import functools
import mmap
import os
import platform
from collections.abc import Callable

from steer.core.page import SIZE

_CALLS = {"x86_64": 324, "aarch64": 283, "ppc64le": 365, "riscv64": 283}
_QUERY, _GLOBAL_EXPEDITED, _REGISTER = 0, 2, 4


class Mapped:
    """A page in this process's memory."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, SIZE)
        self.words = memoryview(self._map).cast("q")

    def close(self) -> None:
        """Give it up; views of `words` must be gone."""
        self.words.release()
        self._map.close()
        os.close(self.fd)


def make() -> Mapped:
    """A new page of zeros."""
    fd = os.memfd_create("steer-page", os.MFD_CLOEXEC)
    os.ftruncate(fd, SIZE)
    return Mapped(fd)


def open_of(pid: int, fd: int) -> Mapped:
    """The page of another process; OSError or ValueError if there is none."""
    own = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    if os.fstat(own).st_size != SIZE:
        os.close(own)
        raise ValueError(f"descriptor {fd} of process {pid} is no page")
    return Mapped(own)


@functools.cache
def _membarrier() -> Callable[[int], int] | None:
    """The system call, which libc has no name for."""
    number = _CALLS.get(platform.machine())
    if number is None:
        return None
    import ctypes  # only where there is something to steer: it is slow to import

    syscall = ctypes.CDLL(None, use_errno=True).syscall

    def call(command: int) -> int:
        return int(syscall(number, command, 0, 0))

    wanted = _GLOBAL_EXPEDITED | _REGISTER
    offers = call(_QUERY)
    return call if offers >= 0 and offers & wanted == wanted else None


def take_part() -> bool:
    """Let others' barriers reach this process; whether that is possible."""
    call = _membarrier()
    return call is not None and call(_REGISTER) == 0


def barrier_works() -> bool:
    """Whether this process can put others' memory accesses in order."""
    return _membarrier() is not None


def barrier() -> None:
    """A full barrier on all processes that take part."""
    call = _membarrier()
    if call is None or call(_GLOBAL_EXPEDITED) != 0:
        raise OSError("membarrier(2) is not allowed here")

"""Large frames in shared memory that has no name, so that nothing can be left behind.

The writer puts frames into a memfd and sends its process id and descriptor (`Store`). A
reader on the same host opens `/proc/PID/fd/FD` and maps it copy-on-write: it sees the
data without copying it, may write into its own view, and the memory goes away with its
last holder, also when they are killed. Where a process may not look into another (other
hosts, some containers) the frames travel through the socket; peers find out which with
a probe (`probe`, `can_open`).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Any

from steer.wire.messages import Store

SHARE_ABOVE = 256 << 10
"""Bytes of a payload. Opening and mapping cost 30 us; copying as much into a socket
twice
at 2 GB/s costs more."""

ALIGN = 4096
CHUNK = 16 << 20
PROBE = b"steer"


def length(frame: Any) -> int:
    """Bytes of a frame."""
    return frame.nbytes if isinstance(frame, memoryview) else len(frame)


class Shelf:
    """The shared memory that this process holds for others."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def put(self, frames: Sequence[Any]) -> tuple[Store | None, list[Any]]:
        """Put large frames into shared memory; returns where they are, and the rest."""
        if sum(map(length, frames)) < SHARE_ABOVE:
            return None, list(frames)
        spans: list[tuple[int, int, int]] = []
        rest = list(frames)
        fd = os.memfd_create("steer", os.MFD_CLOEXEC)
        offset = 0
        try:
            for place, frame in enumerate(frames):
                size = length(frame)
                if size < ALIGN:
                    continue
                _write(fd, memoryview(frame).cast("B"), offset)
                spans.append((place, offset, size))
                rest[place] = b""
                offset += -(-size // ALIGN) * ALIGN
            os.ftruncate(fd, max(offset, 1))
        except BaseException:
            os.close(fd)
            raise
        return Store(self._pid, fd, offset, tuple(spans)), rest

    def adopt(self, store: Store, frames: Sequence[Any]) -> Store:
        """Hold another process's memory too, so that it outlives that process."""
        fd = _open(store, len(frames))
        return Store(self._pid, fd, store.size, store.spans)

    def drop(self, store: Store | None) -> None:
        """Hold it no longer."""
        if store is not None and store.pid == self._pid:
            os.close(store.fd)

    def probe(self) -> int:
        """A descriptor for others to try `can_open` on."""
        fd = os.memfd_create("steer-probe", os.MFD_CLOEXEC)
        os.pwrite(fd, PROBE, 0)
        return fd


def take(store: Store | None, frames: Sequence[Any]) -> list[Any]:
    """The frames with those in shared memory put back in their places, writable."""
    if store is None:
        return list(frames)
    fd = _open(store, len(frames))
    try:
        view = memoryview(mmap.mmap(fd, max(store.size, 1), flags=mmap.MAP_PRIVATE))
    finally:
        os.close(fd)
    whole = list(frames)
    for place, offset, size in store.spans:
        whole[place] = view[offset : offset + size]
    return whole


def _open(store: Store, frames: int) -> int:
    """Open memory that another process describes; ValueError if it is not like that."""
    for place, offset, size in store.spans:
        if place not in range(frames) or not 0 <= offset <= offset + size <= store.size:
            raise ValueError(f"there is no frame {place} in that shared memory")
    return opened(store.pid, store.fd, store.size)


def opened(pid: int, fd: int, size: int) -> int:
    """A descriptor of our own for another process's memory of at least this size."""
    own = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    if os.fstat(own).st_size < size:
        os.close(own)
        raise ValueError(f"the shared memory is shorter than its {size} bytes")
    return own


def can_open(pid: int, fd: int) -> bool:
    """Whether this process may open that one's shared memory."""
    if fd < 0:
        return False
    try:
        own = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.pread(own, len(PROBE), 0) == PROBE
    finally:
        os.close(own)


def _write(fd: int, data: memoryview, offset: int) -> None:
    """Write it all. pwrite is twice as fast here as mapping and copying: no page
    faults."""
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done : done + CHUNK], offset + done)

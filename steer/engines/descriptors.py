"""Descriptors 1 and 2 while they are caught: files that anyone writes and one reads.

They are nameless regular files opened for appending, not pipes: code that holds the GIL
and prints more than a pipe holds would wait for ever, because the thread that reads the
pipe cannot run. inotify tells of writes; what has been read is given back to the file
system by punching holes. Which request the text belongs to is not known here.
"""

from __future__ import annotations

import codecs
import ctypes
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterable

_RELEASE = 256 * 1024  # punch holes for this much at once: one call per 64 pages
_CHUNK = 1024 * 1024
_IN_MODIFY = 0x2
_IN_ONESHOT = 0x80000000  # one wake-up a flush, however many writes
_KEEP_SIZE_AND_PUNCH = 0x1 | 0x2
_LINE_BUFFERED = 1

# PyDLL: these return at once, and giving the GIL away would cost more than they do.
_c = ctypes.PyDLL(None, use_errno=True)
_c.fflush.argtypes = [ctypes.c_void_p]
_c.setvbuf.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
_c.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Caught:
    """Descriptor 1 or 2, and the file that is behind it now."""

    def __init__(self, name: str, target: int, directory: str, limit: int) -> None:
        self.name = name
        self.target = target
        self.position = 0
        self.seen = 0
        """Up to here whoever orders the output has taken note of the file."""
        self._limit = limit
        self._gap: tuple[int, int] | None = None
        self._punched = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.original = os.dup(target)
        # Two opens: asking for the size by lseek must not move those who write.
        self._writer, self.reader = _nameless(f"steer-{name}-", directory)
        self.catch()

    def size(self) -> int:
        """Bytes written so far; a quarter of what fstat costs."""
        return os.lseek(self.reader, 0, os.SEEK_END)

    def shorten(self) -> None:
        """Leave out the middle of what is unread, if that is more than the limit."""
        size = self.size()
        if size - self.position <= self._limit:
            return
        start = self._gap[0] if self._gap else self.position + self._limit // 2
        self._gap = (start, size - self._limit // 2)
        self._punch(*self._gap)

    def read(self, end: int) -> str:
        """All that is unread before `end`."""
        size = self.size()
        if size < self.position:  # somebody truncated it: `echo > /dev/stdout` does
            self.position = self.seen = self._punched = 0
            self._gap = None
        end = min(end, size)
        if end <= self.position:
            return ""
        self.shorten()
        text = ""
        if self._gap is not None and end > self._gap[0]:
            start, stop = self._gap
            self._gap = None
            text = self._read(start) + dropped(stop - start, self._limit)
            self.position = stop
        text += self._read(end)
        if self.position - self._punched >= _RELEASE:
            self._punch(self._punched, self.position)
            self._punched = self.position
        return text

    def _read(self, end: int) -> str:
        texts = []
        while self.position < end:
            size = min(end - self.position, _CHUNK)
            chunk = os.pread(self.reader, size, self.position)
            if not chunk:  # truncated this moment
                break
            self.position += len(chunk)
            texts.append(self._decoder.decode(chunk))
        return "".join(texts)

    def _punch(self, start: int, stop: int) -> None:
        # A file system that cannot (NFS) keeps the file until the rank ends: no harm.
        _c.fallocate(self.reader, _KEEP_SIZE_AND_PUNCH, start, stop - start)

    def catch(self) -> None:
        """Let the descriptor lead to the file."""
        os.dup2(self._writer, self.target)  # inheritable, unlike the one it copies

    def restore(self) -> None:
        """Let the descriptor be what it was."""
        os.dup2(self.original, self.target)


class Watch:
    """One inotify instance that tells of the first write to each file after `arm`."""

    def __init__(self, files: Iterable[Caught]) -> None:
        # By descriptor: the files have no names.
        self._paths = [b"/proc/self/fd/%d" % file.reader for file in files]
        self.fd = _c.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.blind = self.fd < 0
        """No instances left: 128 a user by default, and a big node has more ranks."""
        self._spent = True
        self.arm()

    def acknowledge(self) -> None:
        """Take note that the descriptor was readable."""
        try:
            os.read(self.fd, 4096)
        except BlockingIOError:
            pass  # another job has read it already
        self._spent = True

    def arm(self) -> None:
        """Tell of the next write."""
        if self.blind or not self._spent:
            return
        self._spent = False
        for path in self._paths:
            if _c.inotify_add_watch(self.fd, path, _IN_MODIFY | _IN_ONESHOT) < 0:
                self.blind = True


class Stdio:
    """C's stdout, and the habits of others who gather their output."""

    def __init__(self) -> None:
        # Read by libgfortran when it is loaded, which is later than this.
        os.environ.setdefault("GFORTRAN_UNBUFFERED_PRECONNECTED", "y")
        if isinstance(sys.__stdout__, io.TextIOWrapper):
            sys.__stdout__.reconfigure(line_buffering=True)
        self._stdout: ctypes.c_void_p | None = None
        try:
            self._stdout = ctypes.c_void_p.in_dll(_c, "stdout")
        except ValueError:  # a C library that keeps its stdout to itself
            return
        self.flush()
        _c.setvbuf(self._stdout, None, _LINE_BUFFERED, 0)

    def flush(self) -> None:
        """Let what C holds go to descriptor 1 (2 is never held back).

        Not all streams: that waits for the lock of one that some thread reads.
        """
        if self._stdout:
            _c.fflush(self._stdout)


def _nameless(prefix: str, directory: str) -> tuple[int, int]:
    """Descriptors to append to, and to read from, a file without a name."""
    first, path = tempfile.mkstemp(prefix=prefix, dir=directory)
    try:
        writer = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        # O_RDWR, because only who may write may punch holes.
        return writer, os.open(path, os.O_RDWR | os.O_CLOEXEC)
    finally:
        os.close(first)
        os.unlink(path)


def in_memory() -> str:
    """A directory whose files never reach a disk, where there is one."""
    usable = os.access("/dev/shm", os.W_OK | os.X_OK)
    return "/dev/shm" if usable else tempfile.gettempdir()


def straight(target: int) -> Callable[[str], int]:
    """A write for text streams that nobody gathers any more."""

    def write(text: str, /) -> int:
        rest = memoryview(text.encode("utf-8", "backslashreplace"))
        while rest:
            rest = rest[os.write(target, rest) :]
        return len(text)

    return write


def dropped(size: int, limit: int) -> str:
    """The sentence in the place of text that is lost."""
    return (
        f"\n[steer dropped {size:,} characters here: more than {limit:,} were waiting "
        "to be sent]\n"
    )

"""What a rank prints: Python's text and C's bytes, caught, put in order, and handed on.

It knows requests and a loop; it knows nothing of sockets, shells or MPI.

How text comes in
    `sys.stdout` and `sys.stderr` are `Stream`s: a write appends to a list and returns;
    20 ms after the first of them (or as soon as 64 KiB wait) the loop's thread takes
    all. What C and Fortran code or child processes print goes to the files behind
    descriptors 1 and 2 (`descriptors.py`), whose first write wakes the loop likewise.

What is promised
    Within a request and one stream the text comes in the order in which it was written,
    whoever wrote it: at the start of each line Python's text is placed behind the bytes
    that the file already holds. Python's stdout and stderr keep their order to each
    other too; bytes of the two files do not. C's stdout is flushed at each line, and
    Fortran's (GNU) at each write, so that their lines are seen while the code runs.
    Text belongs to the request that `begin` named last, also when a thread or a child
    prints it later.

Who may take
    Writers only ever append. Two threads take: the loop's (`_flush`, which emits in the
    same job) and main (`drain` and `end`, which return the text so that main posts it
    with the reply). Taking is done under one lock and removes what it returns, so
    nothing goes twice. The loop's jobs run one after another, so what a flush took is
    out before the reply that main posts.
    Main sends a reply on a socket of its own if nothing `spoke` since `begin`.
    Whoever rings brings about a flush; that resets the alarm *before* it looks, so that
    text which it does not see rings again. A taker asks how long the files are *before*
    it looks at the list, so that a byte cannot overtake the text printed before it.

What is bounded
    More than `limit` waiting (the hub is away, or C code held the GIL) loses its
    middle; a sentence in its place says how much. A writer never waits: that could stop
    all ranks.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TextIO

from steer.engines.descriptors import Caught, Stdio, Watch, in_memory, straight
from steer.engines.pieces import Begin, Entry, Gather, Mark, Piece, without_middle

FLUSH_SECONDS = 0.02
"""Long enough to gather what a loop prints, short enough to look alive."""
URGENT = 64 * 1024
LIMIT = 16 * 1024 * 1024
LOOK_SECONDS = 0.1
"""How often the files are looked at while a request runs on a host where inotify is
used up: the only way left to see them live."""


class Loop(Protocol):
    """The part of steer.eventloop.Loop that is needed here."""

    def call_soon(self, job: Callable[[], Any], /) -> Any: ...  # noqa: D102
    def call_later(self, seconds: float, job: Callable[[], Any], /) -> Any: ...  # noqa: D102
    def add_reader(self, fd: int, job: Callable[[], Any], /) -> Any: ...  # noqa: D102


class Stream(io.TextIOBase):
    """What user code sees as sys.stdout and sys.stderr."""

    encoding = "utf-8"
    errors = "backslashreplace"
    line_buffering = True
    write_through = True
    mode = "w"

    def __init__(self, capture: Capture, file: Caught) -> None:
        self.name = f"<{file.name}>"
        self.buffer = _Bytes(self, file.target)
        self._target = file.target
        # On the instance: a closure is half as dear as a method with these attributes.
        self.write = _writer(capture, file)  # type: ignore[method-assign]

    def bypass(self) -> None:
        """Write straight to the descriptor from now on."""
        self.write = straight(self._target)  # type: ignore[method-assign]

    def fileno(self) -> int:
        """The descriptor that C code and children print to; caught as well."""
        return self._target

    def writable(self) -> bool:
        """Yes."""
        return True

    def isatty(self) -> bool:
        """No: nobody should draw with cursor movements here."""
        return False

    def reconfigure(self, **_: object) -> None:
        """Accept what programs like to set; there is nothing to set."""

    def close(self) -> None:
        """Stay open: the stream is the rank's, not that of the code that runs on it."""


def _writer(capture: Capture, file: Caught) -> Callable[[str], int]:
    """Make `write`: half a microsecond, and as much again at the start of a line."""
    append = capture.waiting.append
    name, reader, lseek = file.name, file.reader, os.lseek
    at_line_start = True

    def write(text: str, /) -> int:
        nonlocal at_line_start
        if not isinstance(text, str):
            raise _not_text(text)
        if at_line_start and (end := lseek(reader, 0, 2)) != file.seen:
            file.seen = end
            append(Mark(file, end))
        at_line_start = text.endswith("\n")
        append((name, text))
        size = len(text)
        capture.amount += size
        if capture.amount > capture.alarm:
            capture.ring()
        return size

    return write


class _Bytes(io.BufferedIOBase):
    """`sys.stdout.buffer`: bytes in, text to the stream, in order with its text."""

    def __init__(self, stream: Stream, target: int) -> None:
        self._stream = stream
        self._target = target
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        if text := self._decoder.decode(view):
            self._stream.write(text)
        return view.nbytes

    def fileno(self) -> int:
        return self._target

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        pass


class Capture:
    """Catches what the process prints, from its making until `stop`.

    `emit(request, name, text)` is called in the loop's thread; `name` is "stdout" or
    "stderr". `directory` should be in memory; files there have no name.
    """

    def __init__(
        self,
        loop: Loop,
        emit: Callable[[str, str, str], object],
        *,
        directory: str | os.PathLike[str] | None = None,
        limit: int = LIMIT,
    ) -> None:
        self._loop = loop
        self._emit = emit
        self._limit = limit
        self._urgent = min(URGENT, limit // 2)
        self._lock = threading.RLock()  # re-entered when a signal handler prints
        self._request = ""
        self._held = False
        self._timer = False
        self._busy = False
        self._looking = False
        self._running = True
        self.spoke = False
        """Whether text was taken since `begin`: the loop may have it in hand still, and
        what must come behind it has to go through that thread as well."""
        self.waiting: list[Entry] = []
        self.amount = 0
        self.alarm = 0
        self._stdio = Stdio()
        place = os.fspath(directory) if directory else in_memory()
        self._files = (
            Caught("stdout", 1, place, limit),
            Caught("stderr", 2, place, limit),
        )
        self.real_stdout, self.real_stderr = (
            os.fdopen(file.original, "w", buffering=1, errors="backslashreplace")
            for file in self._files
        )
        self._replaced: tuple[TextIO, TextIO] = (sys.stdout, sys.stderr)
        self._streams = tuple(Stream(self, file) for file in self._files)
        sys.stdout, sys.stderr = self._streams
        self._watch = Watch(self._files)
        os.register_at_fork(before=self._stdio.flush, after_in_child=self._in_child)
        loop.call_soon(self._start_watch)

    # -- the main thread

    def begin(self, request: str) -> None:
        """What is printed from now on belongs to this request."""
        with self._lock:
            self.spoke = False
            if self._nothing_new():
                self._request = request
            else:
                self._mark()
                self.waiting.append(Begin(request))
        self._busy = True
        if self._watch.blind and not self._looking:
            self._looking = True
            self._loop.call_soon(self._look)

    def follow(self, request: str) -> None:
        """The same for one of many short requests: what C code or a child printed a
        moment ago, and nobody has looked for, counts as this one's."""
        with self._lock:
            self.spoke = False
            if self.waiting:
                self.waiting.append(Begin(request))
            else:
                self._request = request
        if not self._busy:
            self.begin(request)

    def end(self) -> list[tuple[str, str]]:
        """Take what the request printed and is not emitted yet; it is over."""
        self._busy = False
        return self.drain()

    def drain(self) -> list[tuple[str, str]]:
        """Take what the request printed and is not emitted yet; it runs on.

        Main hands it to the loop's thread in front of what must not come earlier, such
        as a display.
        """
        self._stdio.flush()
        if self._nothing_new():
            return []
        pieces = self._take()
        mine = [(p.name, p.text) for p in pieces if p.request == self._request]
        if late := [p for p in pieces if p.request != self._request]:
            self._loop.call_soon(lambda: self._emit_all(late))
        return mine

    def pass_by(self) -> None:
        """Catch nothing for now: what is printed goes where it went before us."""
        self._stdio.flush()
        for file in self._files:
            file.restore()
        sys.stdout, sys.stderr = self._replaced

    def catch(self) -> None:
        """Catch again, behind `pass_by`; returns to what stands in sys.stdout now."""
        self._replaced = (sys.stdout, sys.stderr)
        for stream in self._replaced:
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed
                stream.flush()
        self._stdio.flush()
        for file in self._files:
            file.catch()
        sys.stdout, sys.stderr = self._streams

    def stop(self) -> None:
        """Give the process its descriptors back; what was not sent goes to them."""
        if not self._running:
            return
        self._running = False
        self._stdio.flush()
        if (sys.stdout, sys.stderr) == self._streams:
            sys.stdout, sys.stderr = self._replaced
        for file in self._files:
            file.restore()
        for stream in self._streams:
            stream.bypass()
        for piece in self._take():
            real = self.real_stdout if piece.name == "stdout" else self.real_stderr
            real.write(piece.text)
            real.flush()

    # -- the loop's thread

    def hold(self) -> None:
        """Emit nothing until `release`: who takes the output is away or slow."""
        self._held = True

    def release(self) -> None:
        """Emit again, first of all what has waited."""
        self._held = False
        self._flush()

    def _start_watch(self) -> None:
        if not self._watch.blind:
            self._loop.add_reader(self._watch.fd, self._on_modified)

    def _on_modified(self) -> None:
        self._watch.acknowledge()
        if not self._timer:
            self._timer = True
            self._start_timer()

    def _look(self) -> None:
        self._flush()
        self._looking = self._running and self._busy
        if self._looking:
            self._loop.call_later(LOOK_SECONDS, self._look)

    def _start_timer(self) -> None:
        self._loop.call_later(FLUSH_SECONDS, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = False
        self._flush()

    def _flush(self) -> None:
        if not self._running:
            return
        self._watch.arm()  # first: bytes that come after the look must wake us
        if self._held:
            with self._lock:
                for file in self._files:
                    file.shorten()
            return
        self.amount = 0
        self.alarm = self._urgent if self._timer else 0
        if not self._nothing_new():
            self._emit_all(self._take())

    def _emit_all(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            self._emit(piece.request, piece.name, piece.text)

    # -- any thread

    def ring(self) -> None:
        """See to it that what waits is taken: soon, at once, or by dropping some."""
        if self.amount > self._limit:
            self._shorten()
        if self.amount > self._urgent:
            if self.alarm < self._limit:
                self.alarm = self._limit
                self._loop.call_soon(self._flush)
            return
        self.alarm = self._urgent
        if not self._timer:
            self._timer = True
            self._loop.call_soon(self._start_timer)

    def _nothing_new(self) -> bool:
        first, second = self._files
        return (
            not self.waiting
            and first.size() == first.position
            and second.size() == second.position
        )

    def _mark(self) -> None:
        for file in self._files:
            if (end := file.size()) != file.seen:
                file.seen = end
                self.waiting.append(Mark(file, end))

    def _take(self) -> list[Piece]:
        with self._lock:
            ends = [file.size() for file in self._files]
            # Before anything is removed: main sees either this or what is left to take.
            self.spoke = True
            entries = self.waiting[:]
            del self.waiting[: len(entries)]
            gather = Gather(self._request, self._limit)
            for entry in entries:
                gather.add(entry)
            for file, end in zip(self._files, ends, strict=True):
                gather.add(Mark(file, end))
            self._request = gather.request
            return gather.pieces()

    def _shorten(self) -> None:
        """Drop the middle of the Python text that waits."""
        with self._lock:
            entries = self.waiting[:]
            kept = without_middle(entries, self._limit)
            self.waiting[: len(entries)] = kept
            self.amount = sum(len(e[1]) for e in kept if isinstance(e, tuple))
            self.alarm = self._limit

    def _in_child(self) -> None:
        """After a fork there is no loop's thread: write straight to the descriptors."""
        self._lock = threading.RLock()
        if not self._running:
            return
        self._running = False
        for stream in self._streams:
            stream.bypass()


def _not_text(given: object) -> TypeError:
    return TypeError(f"write() argument must be str, not {type(given).__name__}")

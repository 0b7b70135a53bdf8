"""Showing a result while it comes: its output, and how far it is.

`printing` is what `stream_output` and blocking cells do: everything is printed as it
comes, a heading each time the engine or the stream changes, then what the last lines
gave, then errors.
"""

from __future__ import annotations

import collections
import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from steer.client.replies import show_displays, show_reply, stream_of
from steer.client.requests import NOTHING, Request
from steer.errors import CompositeError, RemoteError
from steer.wire.messages import Stream

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult

Event = tuple[int, Stream, Any]


@contextlib.contextmanager
def printing(result: AsyncResult) -> Iterator[None]:
    """Print what a result's engines say while the block runs."""
    printer = Printer(result)
    printer.start()
    try:
        yield
    finally:
        printer.stop()


class Printer:
    """A thread that prints what comes."""

    def __init__(self, result: AsyncResult) -> None:
        self._result = result
        self._sources: list[AsyncResult] = []
        self._news: collections.deque[Event] = collections.deque()
        self._heading: tuple[int, Stream] | None = None
        self._rest: dict[tuple[int, Stream], str] = {}
        """Lines that are not ended yet: the next piece may be of another engine."""
        self._wake = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="steer-stream-output")

    def start(self) -> None:
        """Print what is here already, and go on."""
        self._engines = set(self._result._engines)
        for request in self._result._requests:
            with request.about.condition:
                self._catch_up(request)
                whole = request.result
                if whole is not None and whole not in self._sources:
                    whole._watchers.append(self._feed)
                    self._sources.append(whole)
        self._result.add_done_callback(lambda _: self._feed(None))
        self._thread.start()

    def _feed(self, events: Sequence[Event] | None) -> None:
        with self._wake:
            self._news.extend(events or ())
            self._wake.notify()

    def _catch_up(self, request: Request) -> None:
        for engine in request.engines:
            printed = request.printed.get(engine, NOTHING)
            for name, pieces in printed.streams.items():
                self._news.append((engine, Stream(name), "".join(pieces)))
            for output in printed.displays:
                self._news.append((engine, Stream.DISPLAY, output))

    def stop(self) -> None:
        """Print what came until now, and no more."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._thread.join()
        for source in self._sources:
            with source._condition:
                source._watchers.remove(self._feed)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._news or self._stopped or self._result.done()):
                    self._wake.wait()
                events = list(self._news)
                self._news.clear()
                ended = self._stopped or self._result.done()
            for event in events:
                self._show(*event)
            if ended and not events:
                break
        self._show_rests()
        self._show_ends()

    def _show(self, engine: int, stream: Stream, content: Any) -> None:
        if engine not in self._engines:
            return
        match stream:
            case Stream.STDOUT | Stream.STDERR:
                self._show_text(engine, stream, content)
            case Stream.DISPLAY:
                self._show_rests(engine)
                self._heading = None
                show_displays(engine, [content])
            case Stream.DATA | Stream.PROMPT | Stream.PROGRESS:
                pass

    def _show_text(self, engine: int, stream: Stream, text: str) -> None:
        text = self._rest.pop((engine, stream), "") + text
        whole, end, rest = text.rpartition("\n")
        if rest:
            self._rest[engine, stream] = rest
        if end:
            self._write(engine, stream, whole + end)

    def _show_rests(self, engine: int | None = None) -> None:
        for (owner, stream), text in list(self._rest.items()):
            if engine is None or owner == engine:
                del self._rest[owner, stream]
                self._write(owner, stream, text + "\n")

    def _write(self, engine: int, stream: Stream, text: str) -> None:
        file = stream_of(stream.value)
        if self._heading != (engine, stream) and not self._result._single:
            file.write(f"[{stream.value}:{engine}]\n")
        self._heading = (engine, stream)
        file.write(text)

    def _show_ends(self) -> None:
        """What the last lines gave, then the errors as CompositeError limits them."""
        result = self._result
        errors = []
        for request, engine in result._places:
            if request.status(engine) == "ok":
                show_reply(result._reply(request, engine))
            elif request.status(engine):
                errors.append(request.value(engine))
        remote = [error for error in errors if isinstance(error, RemoteError)]
        if remote:
            whole = CompositeError("", remote)
            sys.stderr.write("\n".join(whole.render_traceback()).rstrip() + "\n")


def wait_interactive(
    result: AsyncResult, interval: float, timeout: float | None, return_when: str
) -> None:
    """Wait, and say on a line that is written anew how far it is."""
    deadline = None if timeout is None or timeout < 0 else time.monotonic() + timeout
    total = len(result._places)

    def say(end: str = "") -> None:
        sys.stderr.write(
            f"\r{result._fname}: {result.progress}/{total} engines, "
            f"{result.elapsed:.1f} s{end}"
        )
        sys.stderr.flush()

    def enough() -> bool:
        if return_when == "FIRST_EXCEPTION" and result._failed():
            return True
        first = return_when == "FIRST_COMPLETED" and result.progress > 0
        return first or result.done()

    while not enough():
        say()
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            break
        result._await(enough, interval if left is None else min(interval, left))
    say("\n")

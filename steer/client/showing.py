"""Showing a result while it comes: its output, and how far it is.

`printing` is what `stream_output` and blocking cells do. A thread hands what comes to a
view, and calls it again when the view's own deadline has come; the views are in
`headed.py`, which prints all engines' text under headings, and in `coming.py`, which
folds it.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from steer.client import bars, live
from steer.client.bars import PROGRESS_AFTER, REFRESH, earliest
from steer.wire.messages import Stream

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult
    from steer.client.described import Place
    from steer.client.filed import Filed

Event = tuple[int, Stream, Any]
"""The number of a place, and what came there."""
PATIENCE = 0.5
"""Seconds for what was printed to be shown before a question is asked."""


class View(Protocol):
    """How something that comes is shown; everything is called in one thread."""

    def hear(self, engine: int, stream: Stream, content: Any) -> None:
        """Take what an engine printed or displayed."""

    def fail(self, places: Sequence[Place]) -> None:
        """Take that these have failed."""

    def deadline(self) -> float | None:
        """When to call `tick` at the latest."""

    def tick(self) -> None:
        """Show what is due; called after all that was heard, too."""

    def flush(self) -> None:
        """Show all that was heard, due or not."""

    def finish(self) -> None:
        """Show what is left, and the results."""


@contextlib.contextmanager
def printing(
    result: AsyncResult, *, fold: bool = True, progress_after: float = PROGRESS_AFTER
) -> Iterator[None]:
    """Show what a result's engines say while the block runs."""
    meter = Meter(result, progress_after)
    with _shown(result, meter, functools.partial(_view, result, fold, meter)):
        yield


@contextlib.contextmanager
def measuring(
    result: AsyncResult, progress_after: float = PROGRESS_AFTER
) -> Iterator[None]:
    """Show only how far a result is while the block runs."""
    meter = Meter(result, progress_after)
    with _shown(result, meter, functools.partial(Bars, result, meter)):
        yield


@contextlib.contextmanager
def _shown(
    result: AsyncResult, meter: Meter, make_view: Callable[[], View]
) -> Iterator[None]:
    printer = Printer(result, make_view)
    printer.start(meter.deadline())
    try:
        yield
    finally:
        printer.stop()


def _view(result: AsyncResult, fold: bool, meter: Meter) -> View:
    if not fold or is_one(result) or not all(r.together for r in result._requests):
        from steer.client.headed import Headed

        return Headed(result, meter)
    from steer.client import coming

    return coming.view(result, meter)


def show(result: AsyncResult, *, result_only: bool) -> None:
    """Show a finished result of several engines, folded."""
    from steer.client import folded  # it takes time, and scripts do not need it

    folded.show(result, result_only=result_only)


def is_one(result: AsyncResult) -> bool:
    """Whether nobody asks which engine it was, so that text needs no heading."""
    engines = set(result._engines)
    return result._single or (
        len(engines) == 1 and engines >= result._client.link.core.engines.keys()
    )


class Printer:
    """A thread that hands what comes to a view.

    Most cells are quick and silent, and a thread costs as much as such a cell: it
    begins with the first output or failure, or when a bar is due. Without it, what
    there is to show at the end is shown by who stops.
    """

    _view: View

    def __init__(self, result: AsyncResult, make_view: Callable[[], View]) -> None:
        self._result = result
        self._make_view = make_view
        self._sources: list[AsyncResult] = []
        self._news: collections.deque[Event] = collections.deque()
        self._wake = threading.Condition()
        self._looked = True
        self._stopped = self._over = False
        self._pressed: list[threading.Event] = []
        """Who waits until all is shown."""
        self._known: set[Place] = set()
        """Failures that the view has been told."""
        self._trouble: BaseException | None = None
        self._thread: threading.Thread | None = None
        # Output belongs to the cell that runs now, also from another thread.
        self._context = contextvars.copy_context()

    def start(self, due: float | None) -> None:
        """Show what is here already, and go on; at `due` whatever comes."""
        self._where = {key: request for request, key in self._result._places}
        for request in self._result._requests:
            with request.about.condition:
                self._catch_up(request)
                whole = request.result
                if whole is not None and whole not in self._sources:
                    whole._watchers.append(self._feed)
                    self._sources.append(whole)
        self._result.add_done_callback(self._finished)
        live.before_questions.append(self.catch_up)
        if due is not None:
            self._result.ring_at(due, self._begin)
        self._feed(())

    def _feed(self, events: Sequence[Event]) -> None:
        """Take news; no events are news too: an engine has answered."""
        with self._wake:
            self._news.extend(events)
            self._looked = False
            self._wake.notify()
            if self._news or any(r.failed for r in self._result._requests):
                self._begin()

    def _finished(self, _: object) -> None:
        # Kept, because `done()` takes the result's lock, under which we are fed.
        with self._wake:
            self._over = True
            self._wake.notify()

    def _begin(self) -> None:
        with self._wake:
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(
                    target=self._context.run,
                    args=(self._guarded,),
                    name="steer-stream-output",
                )
                self._thread.start()

    def _catch_up(self, request: Filed) -> None:
        for key in request.keys:
            printed = request.printed_by(key)
            for name, pieces in printed.streams.items():
                self._news.append((key, Stream(name), "".join(pieces)))
            for output in printed.displays:
                self._news.append((key, Stream.DISPLAY, output))
        self._looked = False

    def catch_up(self) -> None:
        """Have all shown that came until now."""
        shown = threading.Event()
        with self._wake:
            self._pressed.append(shown)
            self._looked = False
            self._wake.notify()
        if self._thread is not None and self._thread.is_alive():
            shown.wait(PATIENCE)

    def stop(self) -> None:
        """Show what came until now, and no more."""
        live.before_questions.remove(self.catch_up)
        with self._wake:
            self._stopped = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        elif self._has_results():
            self._guarded()
        self._result.ring_at(None, self._begin)
        for source in self._sources:
            with source._condition:
                source._watchers.remove(self._feed)
        if self._trouble is not None:
            raise self._trouble

    def _has_results(self) -> bool:
        """Whether there is something to show although nothing came."""
        result = self._result
        replies = (result._reply(*place) for place in result._places)
        return any(reply is not None and reply._has_result for reply in replies)

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001  `stop` raises it
            self._trouble = error

    def _run(self) -> None:
        view = self._view = self._make_view()
        while True:
            with self._wake:
                self._wait_for_news()
                events = list(self._news)
                self._news.clear()
                pressed, self._pressed = self._pressed, []
                self._looked = True
                ended = self._stopped or self._over
            for key, stream, content in events:
                request = self._where.get(key)
                engine = None if request is None else request.engine_of(key)
                if engine is not None:
                    view.hear(engine, stream, content)
            self._look_for_failures()
            if pressed:
                view.flush()
            view.tick()
            for event in pressed:
                event.set()
            if ended and not events:
                break
        view.finish()

    def _wait_for_news(self) -> None:
        while not (self._news or self._stopped or self._over):
            due = self._view.deadline()
            left = None if due is None else due - time.monotonic()
            if not self._looked or (left is not None and left <= 0):
                break
            self._wake.wait(left)

    def _look_for_failures(self) -> None:
        fresh = [p for p in self._result._failed() if p not in self._known]
        if fresh:
            self._known.update(fresh)
            self._view.fail(fresh)


class Meter:
    """The bars below a result: of loops in its ranks at once, of itself after a while.

    It fills a region, and empties it when there is nothing to say.
    """

    def __init__(self, result: AsyncResult, after: float) -> None:
        self._result = result
        self._due = None if after < 0 else time.monotonic() + after
        self.loops = bars.Loops()

    def lines(self) -> list[str]:
        """What there is to say now."""
        result = self._result
        lines = self.loops.lines()
        now = time.monotonic()
        if self._due is not None and now >= self._due:
            self._due = now + REFRESH
            self._late = True
        if self._late and not result.done():
            lines.append(bars.of_result(result))
        return lines

    _late = False

    def deadline(self) -> float | None:
        """When there will be something else to say."""
        return self._due

    def hear(self, engine: int, content: Any) -> None:
        """Take what `steer.progress` says on a rank."""
        bar, label, done, total = content
        self.loops.hear(engine, bar, label, done, total)


class Metered:
    """What the views that print have in common: bars below what they print."""

    def __init__(self, result: AsyncResult, meter: Meter) -> None:
        self._result = result
        self._meter = meter
        self._region = live.open_region()
        self._bars: list[str] = []
        self._stale = False
        """Whether the region shows less than there is."""

    def deadline(self) -> float | None:
        """When a bar is to be drawn again."""
        return earliest(
            self._meter.deadline(), self._region.pace if self._stale else None
        )

    def tick(self) -> None:
        """Draw the bars."""
        lines = self._meter.lines()
        if lines != self._bars:
            self._bars, self._stale = lines, True
        if self._stale and time.monotonic() >= self._region.pace:
            self._stale = False
            self._draw()

    def _draw(self) -> None:
        self._region.update("\n".join(self._bars))


class Bars(Metered):
    """Shows nothing but bars."""

    def hear(self, engine: int, stream: Stream, content: Any) -> None:
        """Take how far a loop is."""
        if stream is Stream.PROGRESS:
            self._meter.hear(engine, content)

    def fail(self, places: Sequence[Place]) -> None:
        """Errors are somebody else's."""

    def flush(self) -> None:
        """Nothing waits."""

    def finish(self) -> None:
        """Leave nothing."""
        self._region.close()


def wait_interactive(
    result: AsyncResult, interval: float, timeout: float | None, return_when: str
) -> None:
    """Wait, and say on a line that is written anew how far it is."""
    deadline = None if timeout is None or timeout < 0 else time.monotonic() + timeout

    def enough() -> bool:
        if return_when == "FIRST_EXCEPTION" and result._failed():
            return True
        first = return_when == "FIRST_COMPLETED" and result.progress > 0
        return first or result.done()

    region = live.open_region()
    try:
        while not enough():
            region.update(bars.of_result(result))
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            known = result.progress

            def news(known: int = known) -> bool:
                return result.progress != known or enough()

            result._await(news, REFRESH if left is None else min(REFRESH, left))
    finally:
        region.close(bars.of_result(result))

"""The future of a task: PEP 3148's, with what is known of the run besides.

Values and errors are unpickled by who asks for them first, in that thread: code of
users' classes must not run in the I/O thread, and what nobody asks for costs nothing.
Callbacks run in one thread of their own, one after another, never in the I/O thread.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol

from steer.client.lightfuture import ENDED, LightFuture
from steer.wire.frames import unpack
from steer.wire.messages import ErrorInfo, Piece, Stream, TaskStatus

if TYPE_CHECKING:
    from steer.client.tasks import Tasks

log = logging.getLogger("concurrent.futures")

CANCEL_TIMEOUT = 10.0
"""Seconds that the hub has to say whether a task could be cancelled."""

PRINTED = 64 << 10
"""Characters that are kept of what a task prints."""

Raw = tuple[Callable[["TaskFuture", Any], Any], Any]
"""What makes the value, or raises the error, and of what."""


_making = threading.Lock()
"""Held while a future gets the lock that its value is made with."""


class _Unmade(Exception):
    """Stands for an error that nobody has unpickled yet."""


class TaskFuture(LightFuture):
    """What a task will give."""

    _on_wake: Callable[[], object] | None = None
    _on_output: Callable[[TaskFuture, Piece, Any], object] | None = None

    _raw: Raw | None = None
    _on_end: Callable[[TaskFuture], object] | None = None
    _making: threading.Lock | None = None
    _refused = 0
    """How often the hub has said that the task runs, and goes on."""
    id = -1
    name = ""
    classic = False
    """Whether errors come as ipyparallel's RemoteError, and not as they were raised."""
    gather: Callable[[list[Any]], Any] = list
    """Makes the value of a task of several ranks of those of the ranks."""
    engine: int | None = None
    """Where it ran; the first of its ranks if there were several."""
    engines: tuple[int, ...] = ()
    status: TaskStatus | None = None
    printed = ""
    """What it has printed; of much the end."""
    submitted = started = took = received = 0.0

    # What all tasks have alike stands above, in the class: a million wait.

    def __init__(self, tasks: Tasks) -> None:
        super().__init__()
        self._tasks = tasks

    def said(self, ename: str) -> str:
        """The text of its error, if that is of this name and was not taken yet."""
        raw = self._raw
        if raw is None or self.status is not TaskStatus.RAISED:
            return ""
        info = unpack(raw[1][1], type=ErrorInfo)
        return info.evalue if info.ename == ename else ""

    # -- PEP 3148

    def cancel(self, running: bool = False) -> bool:
        """Cancel it, if it has not begun; if it has, only if `running` says so.

        Whether it has begun the hub knows, so this waits for its word.
        """
        if self.done():
            return self.cancelled()
        self._tasks.cancel([self], running=running)
        return self.cancelled()

    def result(self, timeout: float | None = None) -> Any:
        """The value, or raise what the task raised."""
        self._wait(timeout)
        if self._state == "FINISHED" and self._exception is None:
            return self._result
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised, or None."""
        self._wait(timeout)
        return super().exception(0)

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio  # slow to import, and seldom needed

        return asyncio.wrap_future(self).__await__()

    def _wait(self, timeout: float | None) -> None:
        if not self.done():
            self._tasks.await_one(self, timeout)
        if self._raw is not None:
            self._make()

    def _make(self) -> None:
        with self._maker():
            raw = self._raw
            if raw is None:
                return
            make, of = raw
            value, error = None, None
            try:
                value = make(self, of)
            except BaseException as failure:  # noqa: BLE001  users' classes run here
                error = failure
            self._result, self._exception = value, error
            self._raw = None

    def _maker(self) -> threading.Lock:
        """What only one thread at a time makes the value with."""
        if self._making is None:
            with _making:
                if self._making is None:
                    self._making = threading.Lock()
        return self._making

    def _invoke_callbacks(self) -> None:
        if self._done_callbacks:
            self._tasks.callbacks.put(self)

    def call_back(self) -> None:
        """Run the callbacks, in their thread."""
        super()._invoke_callbacks()  # type: ignore[misc]

    def facts(self, engine: int | None) -> dict[str, Any]:
        """What error texts say about an engine."""
        return self._tasks.engine_info(engine)

    # -- in the I/O thread

    def begun(self) -> None:
        """A rank runs it."""
        if self._begin_unseen():
            return
        with self._condition:
            if self._state == "PENDING":
                self._state = "RUNNING"

    def settle(self, raw: Raw, *, failed: bool) -> None:
        """The outcome is here."""
        if self._state in ENDED:
            return
        self._raw = raw
        error = _Unmade() if failed else None
        if not self._end_unseen(None, error):
            if error is not None:
                self.set_exception(error)
            else:
                self.set_result(None)
        end = self._on_end
        if end is not None:
            self._on_end = None
            end(self)

    def fail(self, error: BaseException) -> None:
        """It will not have an outcome."""
        with self._condition:
            if self._state not in ("PENDING", "RUNNING"):
                return
        end, self._on_end = self._on_end, None
        self.set_exception(error)
        if end is not None:
            end(self)

    def end_cancelled(self) -> None:
        """It was cancelled, perhaps while it ran."""
        with self._condition:
            if self._state not in ("PENDING", "RUNNING"):
                return
            self._state = "PENDING"
        end, self._on_end = self._on_end, None
        super().cancel()
        self.set_running_or_notify_cancel()
        if end is not None:
            end(self)

    def refuse_cancel(self) -> None:
        """The hub says that it runs, and goes on."""
        with self._condition:
            self._refused += 1
            if self._state == "PENDING":
                self._state = "RUNNING"
            self._condition.notify_all()

    def wake(self) -> None:
        """Let who waits look whether there is a hub."""
        with self._condition:
            self._condition.notify_all()
        if self._on_wake is not None:
            self._on_wake()

    def output(self, piece: Piece, frame: Any) -> None:
        """The task printed or displayed something."""
        if self._on_output is not None:
            self._on_output(self, piece, frame)
        elif piece.stream in (Stream.STDOUT, Stream.STDERR):
            text = bytes(frame).decode(errors="replace")
            self.printed = (self.printed + text)[-PRINTED:]

    @property
    def size(self) -> int:
        """Bytes that it keeps until somebody asks for its value."""
        raw = self._raw
        if raw is None or not isinstance(raw[1], list):
            return 0
        return sum(memoryview(frame).nbytes for frame in raw[1])

    def wait_for(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until it is done, or ready for another reason."""
        with self._condition:
            return self._condition.wait_for(
                lambda: self._state in ENDED or ready(), timeout
            )

    @property
    def refusals(self) -> int:
        """How often the hub has refused to cancel it."""
        return self._refused


class CallsBack(Protocol):
    """A future whose callbacks are run."""

    def call_back(self) -> None:
        """Run them."""


class Callbacks:
    """The thread in which callbacks run."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[CallsBack | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, future: CallsBack) -> None:
        """Run the callbacks of a future."""
        self._queue.put(future)
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="steer-callbacks"
                    )
                    # A callback that never ends must not keep the program alive.
                    self._thread.daemon = True
                    self._thread.start()

    def close(self) -> None:
        """End the thread behind the callbacks that wait."""
        self._queue.put(None)

    def _run(self) -> None:
        while True:
            future = self._queue.get()
            if future is None:
                return
            try:
                future.call_back()
            except BaseException:  # the others' callbacks have to run
                log.exception("a callback of %r failed", future)
            del future

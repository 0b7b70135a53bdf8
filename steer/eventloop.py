"""One thread, one poll: the only place that waits.

A `Loop` belongs to the thread that calls `run`. Its sockets are used there and nowhere
else; the one door from other threads (and from signal handlers) is `call_soon`.
"""

from __future__ import annotations

import collections
import contextlib
import heapq
import itertools
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import zmq

Job = Callable[[], object]


class Timer:
    """Something to be done later, unless it is cancelled."""

    __slots__ = ("cancelled", "job")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.cancelled = False

    def cancel(self) -> None:
        """Do not do it."""
        self.cancelled = True


class Loop:
    """Waits for sockets, file descriptors, timers and jobs of other threads.

    An exception in a handler ends the loop and comes out of `run`: what cannot be
    handled must not be lost. The caller of `run` tells those who wait for answers.
    """

    def __init__(self) -> None:
        self._poller = zmq.Poller()
        self._handlers: dict[Any, Job] = {}
        self._jobs: collections.deque[Job] = collections.deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._running = True
        self._awake = False
        self._wakes_on_signals = False
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self.add_reader(self._wake_out.fileno(), self._drain)

    # -- what to wait for (in the loop's thread, or before it runs)

    def add_reader(self, source: Any, handler: Job) -> None:
        """Call `handler` whenever `source`, a zmq socket or a descriptor, is
        readable."""
        self._handlers[source] = handler
        self._poller.register(source, zmq.POLLIN)

    def remove_reader(self, source: Any) -> None:
        """Wait for it no longer."""
        if self._handlers.pop(source, None) is not None:
            self._poller.unregister(source)

    def call_at(self, when: float, job: Job) -> Timer:
        """Do `job` when `time.monotonic()` is past `when`."""
        timer = Timer(job)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def call_later(self, seconds: float, job: Job) -> Timer:
        """Do `job` after some seconds."""
        return self.call_at(time.monotonic() + seconds, job)

    # -- from anywhere

    def call_soon(self, job: Job) -> None:
        """Do `job` in the loop's thread. Safe from any thread and from a signal
        handler."""
        self._jobs.append(job)
        if not self._awake:
            self._awake = True
            with contextlib.suppress(BlockingIOError, OSError):  # full is awake too
                self._wake_in.send(b"x")

    def wake_on_signals(self) -> None:
        """Let every signal end a wait, so that its Python handler runs at once.

        Without this one that comes just before the poll, or to another thread, is only
        noted, and the handler runs when something else ends the poll: perhaps never.
        For the loop of the main thread.
        """
        signal.set_wakeup_fd(self._wake_in.fileno(), warn_on_full_buffer=False)
        self._wakes_on_signals = True

    def stop(self) -> None:
        """End `run` after the job or handler at hand; in the loop's thread."""
        self._running = False

    # -- the loop

    def run(self) -> None:
        """Wait and handle until `stop`."""
        handlers = self._handlers
        while self._running:
            for source, _ in self._poller.poll(self._patience()):
                handler = handlers.get(source)
                if handler is not None:
                    handler()
            self._do_jobs()
            self._do_timers()

    def close(self) -> None:
        """Give back what the loop holds, once `run` has ended."""
        if self._wakes_on_signals:
            signal.set_wakeup_fd(-1)
        self._wake_in.close()
        self._wake_out.close()

    def _patience(self) -> int | None:
        """Milliseconds until the next timer; None is for ever."""
        if self._jobs:
            return 0
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        # Rounded up: a poll that ends just before the timer would be made again.
        return max(0, int((self._timers[0][0] - time.monotonic()) * 1000 + 0.999))

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(64)

    def _do_jobs(self) -> None:
        self._awake = False
        for _ in range(len(self._jobs)):
            self._jobs.popleft()()

    def _do_timers(self) -> None:
        if not self._timers:
            return
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled:
                timer.job()

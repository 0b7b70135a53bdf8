"""What Ctrl-C does while a cell runs on ranks: a ladder, and each press is a rung.

    1  the signal (SIGINT) goes to the ranks that still run; we wait on for them
    2  it is sent again
    3  we stop waiting: the cell goes on, `%pxresult` gets it later

While we wait, a press raises nothing: Python would raise KeyboardInterrupt between any
two steps of ours, with a display half made or a thread without its end. The handler
counts presses and wakes the waiting thread, which climbs. `--timeout` climbs the first
rung by itself, and the last one if that did not help.

A kernel that hears of an interrupt on another thread calls `press`.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from steer.magics.options import signal_name
from steer.ranks import RankSet, describe

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult

HINT_AFTER = 0.5
"""Seconds after a press until we say what the next one does: mostly the ranks have
ended by then."""

GRACE = 5.0
"""Seconds that ranks have to end after `--timeout` has interrupted them."""


class Ladder:
    """Waits for results while Ctrl-C climbs."""

    def __init__(
        self,
        signum: int = signal.SIGINT,
        *,
        timeout: float | None = None,
        magic: str = "pxresult",
    ) -> None:
        self._signum = signum
        self._magic = magic
        self._timeout = timeout
        self._deadline: float | None = None
        """When the time is up; after that, when patience is."""
        self._hint_at: float | None = None
        self._result: AsyncResult | None = None
        self._presses = self._rung = 0
        self._before: Any = None
        self.stopped = RankSet()
        """The ranks that ran when the signal was sent."""
        self.running = RankSet()
        """The ranks that run on because we stopped waiting."""
        self.timed_out = False

    # -- Ctrl-C

    @property
    def pressed(self) -> bool:
        """Whether somebody wants this to end."""
        return self._presses > 0

    def press(self) -> None:
        """Climb a rung: from a signal handler, or from any thread."""
        self._presses += 1
        if self._result is not None:
            self._result.wake()

    def __enter__(self) -> Self:
        if self._timeout is not None:
            self._deadline = time.monotonic() + self._timeout
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGINT, lambda number, frame: self.press())
            if callable(before):
                self._before = before
            else:  # a program that ignores Ctrl-C goes on ignoring it
                signal.signal(signal.SIGINT, before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    # -- waiting

    def wait(self, result: AsyncResult) -> bool:
        """Whether all ranks have ended; False if they run on without us."""
        self._result = result
        while True:
            result.wait_until(self._is_pressed, self._patience())
            if result.done():
                return True
            now = time.monotonic()
            if self._hint_at is not None and now >= self._hint_at:
                self._hint()
            if self._deadline is not None and now >= self._deadline:
                self._time_is_up()
            if self._is_pressed():
                self._climb()
            if self.running:
                return False

    def _is_pressed(self) -> bool:
        return self._presses > self._rung

    def _patience(self) -> float | None:
        times = [t for t in (self._hint_at, self._deadline) if t is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _climb(self) -> None:
        self._rung += 1
        self._hint_at = time.monotonic() + HINT_AFTER
        name = signal_name(self._signum)
        if self._rung > self._last:
            self._leave()
        elif not self._signum:
            say("Received Keyboard Interrupt. Sending nothing to engines...")
        elif self._rung == 1:
            say(f"Received Keyboard Interrupt. Sending signal {name} to engines...")
            self._send()
        else:
            say(f"Sending signal {name} to engines again...")
            self._send()

    @property
    def _last(self) -> int:
        """The last rung on which we wait on."""
        return 2 if self._signum else 1

    def _hint(self) -> None:
        self._hint_at = None
        if self._rung < self._last:
            then = f"to send {signal_name(self._signum)} again"
        else:
            then = "to leave the cell running and return"
        say(f"Waiting for {describe(self._left())}. Press again {then}.")

    def _time_is_up(self) -> None:
        if self.timed_out or not self._signum:
            self.timed_out = True
            self._leave()
        else:
            self.timed_out = True
            self._deadline = time.monotonic() + GRACE
            self._send()

    def _send(self) -> None:
        assert self._result is not None
        self.stopped = self.stopped | self._result.interrupt(self._signum)

    def _leave(self) -> None:
        self.running = self._left()

    def _left(self) -> RankSet:
        """The ranks that have not answered."""
        assert self._result is not None
        every = self._result.metadata
        every = every if isinstance(every, list) else [every]
        return RankSet(md["engine_id"] for md in every if md["status"] is None)

    # -- what to say at the end

    def story(self) -> str:
        """What became of the ranks, and what to do about those that run on."""
        if self.running:
            ranks, one = describe(self.running), len(self.running) == 1
            return (
                f"{ranks} still {'runs' if one else 'run'} this cell; "
                f"`%{self._magic}` waits for it, `%pxstuck` says why, `%pxunstick` "
                f"ends calls of MPI in which ranks wait for each other, and `%pxkill` "
                f"or `steer stop` ends {'it' if one else 'them'}."
            )
        if not self.stopped:
            return "no rank ran it any more, or had begun it."
        how = f"by {signal_name(self._signum)}"
        was = "was" if len(self.stopped) == 1 else "were"
        return f"{describe(self.stopped)} {was} interrupted {how}."


def say(text: str) -> None:
    """Tell whoever pressed; apart from what ranks print."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()

"""Waiting for what a run was asked for, with what keeps it waiting before one's eyes.

A stop may take as long as the slowest rank needs to its next point, or may never come
about. So whoever waits is told what the hub finds out, on a line that is replaced; and
Ctrl-C ends the waiting, not what was asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from steer.client import live
from steer.errors import NotYet

if TYPE_CHECKING:
    from steer.client.steering import Steering
    from steer.wire.messages import News

STILL_WANTED = {
    "stop": "The stop is still wanted: `here` holds the ranks where they are, "
    "`advance` tries a point further, `go` takes it back.",
    "step": "The ranks are still on their way: `here` holds them where they are, `go` "
    "lets them run on.",
    "until": "The run still stops when that is so: `unwatch` takes it back.",
    "plan": "It is still to be done: `plans` shows it, `unplan` takes it back.",
}


attended: list[Steering] = []
"""Those whose news somebody is waiting for, and sees."""


class Attending:
    """Waits for one answer; a person may look on."""

    def __init__(self, steering: Steering, run: str, verb: str) -> None:
        self._steering = steering
        self._run = run
        self._verb = verb
        self._changed = threading.Event()
        self._said = ""
        """What keeps it waiting, as the hub has last said it."""

    def wait(
        self, ask: Callable[[], Future[News]], timeout: float | None = None
    ) -> News:
        """Ask, and give the answer; NotYet if it does not come in time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        steering, region = self._steering, live.open_region()
        steering.listeners.append(self._heard)  # before the hub can say anything
        attended.append(steering)
        try:
            future = ask()
            future.add_done_callback(lambda _: self._changed.set())
            while not future.done():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise NotYet(self._story(f"Not yet after {timeout:g} s."))
                self._changed.wait(left)
                self._changed.clear()
                if self._said and not future.done():
                    region.update(self._said)
            return future.result()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._story("Not waiting any more.")) from None
        finally:
            attended.remove(steering)
            steering.listeners.remove(self._heard)
            region.close()

    def _heard(self, news: News) -> None:
        """In the I/O thread."""
        if news.run == self._run and not news.answers and self._concerns(news):
            self._said = f"{news.text.removesuffix('.')}."
            self._changed.set()

    def _concerns(self, news: News) -> bool:
        """Whether it says why we wait; a condition may fail, and be met later."""
        if news.kind == "done" and news.text.startswith("until "):
            return self._verb == "until" and bool(news.facts.get("errors"))
        return news.kind == "waiting"

    def _story(self, what: str) -> str:
        return " ".join(filter(None, (what, self._said, STILL_WANTED.get(self._verb))))

"""What a client has asked of runs, until News bring the answers; and the news.

An answer may be far away: a stop waits until the slowest rank is there. So waiting has
no deadline of its own; it ends with the answer, with the hub, or with Ctrl-C, which
takes nothing back. What is unanswered is sent again to a hub that is new.
"""

from __future__ import annotations

import contextlib
import getpass
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec

from steer.client import live
from steer.core.roundevents import FURTHEST
from steer.errors import SteerError, UsageError
from steer.hosts import host_name
from steer.wire.messages import Message, News, Sample, Steer, Watching

if TYPE_CHECKING:
    from steer.client.link import Link

Listener = Callable[[News], object]
Taker = Callable[[Sample, bytes], object]

QUEUED = 1.0
"""Seconds that what waits for a program may wait before it is said."""

KEPT = 1000
"""News that are remembered."""


class Steering:
    """The steering of one client."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Future[News], Steer]] = {}
        self._watched: dict[str, None] = {}
        self.news: list[News] = []
        self.listeners: list[Listener] = []
        """Called in the I/O thread with each piece of news."""
        self.takers: list[Taker] = []
        """Called in the I/O thread with each sample of a watch."""
        self.mourners: list[Callable[[], object]] = []
        """Called when the hub is gone, which the link's `trouble` tells by then."""
        self.who = f"{_user()}@{host_name()}"

    # -- from any thread

    def steer(self, run: str, verb: str, /, **arguments: Any) -> Future[News]:
        """Ask for something; the future gives the answer, or raises why not."""
        for name, value in arguments.items():
            if isinstance(value, int) and abs(value) > FURTHEST:
                raise UsageError(
                    f"{name}={value} is too much: points have numbers up to "
                    f"{FURTHEST:,}."
                )
        future: Future[News] = Future()
        with self._lock:
            hub = self._link.connection.hub_pid
            id = self._link.new_id()
            message = Steer(id, run, verb, arguments, self.who, hub=hub)
            self._open[message.id] = (future, message)
        self._link.send_out(message)
        if self._link.trouble is not None:
            self.trouble(self._link.trouble)
        return future

    def watch(self, run: str = "") -> Future[Any]:
        """Hear of all that is done to this run, or to all runs."""
        with self._lock:
            self._watched[run] = None
        return self._link.question(lambda id: Watching(id, run, who=self.who))

    def unwatch(self, run: str = "") -> Future[Any]:
        """Hear no more of it."""
        with self._lock:
            self._watched.pop(run, None)
        return self._link.question(lambda id: Watching(id, run, on=False))

    # -- in the I/O thread

    def heard(self, message: Message, frames: list[Any]) -> None:
        """News, or numbers."""
        if isinstance(message, Sample):
            for taker in list(self.takers):
                taker(message, bytes(frames[0]) if frames else b"")
            return
        assert isinstance(message, News)
        if message.kind == "queued":
            self._link.call_later(QUEUED, lambda: self._say_queued(message))
            return
        self._take(message)

    def _say_queued(self, message: News) -> None:
        """What somebody has asked of ranks waits for their program."""
        if self._link.has(message.facts["request"]):
            self._take(message)
            if live.in_shell() is None:  # nobody tells news there
                with contextlib.suppress(OSError, ValueError):
                    sys.stderr.write(f"steer: {message.text}\n")

    def _take(self, message: News) -> None:
        self.news.append(message)
        del self.news[:-KEPT]
        for listener in list(self.listeners):
            listener(message)
        for id in message.answers:
            with self._lock:
                future, _ = self._open.pop(id, (None, None))
            if future is not None and not future.done():
                future.set_result(message)

    def refused(self, id: str, error: Exception) -> bool:
        """The hub did not take it; says whether it was one of these."""
        with self._lock:
            future, _ = self._open.pop(id, (None, None))
        if future is not None and not future.done():
            future.set_exception(error)
        return future is not None

    def again(self) -> list[Message]:
        """What a hub that does not know us has to hear."""
        with self._lock:
            asked: list[Message] = [
                msgspec.structs.replace(message, resent=True)
                for _, message in self._open.values()
            ]
            watched = list(self._watched)
        return [*(Watching("", run, who=self.who) for run in watched), *asked]

    def trouble(self, error: SteerError) -> None:
        """The hub is gone: nobody waits in the dark, but what was asked for stays."""
        with self._lock:
            waiting = [future for future, _ in self._open.values()]
            self._open.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(error)
        for mourner in list(self.mourners):
            mourner()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user here, as in some containers
        return "somebody"

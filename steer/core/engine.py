"""What an engine remembers about its requests, so that each runs once and none is lost.

A request on one engine::

    unknown --Submit--> running --done--> held --Acknowledge--> acknowledged
       unknown --Abort--> unwanted --Submit--> held, as aborted

A Submit that comes again (the hub was started anew, the network was cut) finds the
request in one of these states: what runs goes on, what is held is sent again, what is
acknowledged is in the journal. Ids of the last REMEMBERED requests are kept to know
this.
"""

from __future__ import annotations

import collections
import enum
from collections.abc import Sequence
from typing import Any

from steer.wire.messages import Result

REMEMBERED = 20_000


class Verdict(enum.Enum):
    """What to do with a request that came."""

    RUN = "run"
    SEND_AGAIN = "send again"
    ABORT = "abort"
    IGNORE = "ignore"


class EngineCore:
    """The requests of one engine."""

    def __init__(self) -> None:
        self.engine = -1
        self.hub = -1
        self.running: str | None = None
        self.held: dict[str, tuple[Result, Sequence[Any]]] = {}
        self.unwanted: dict[str, None] = {}
        self._seen: dict[str, None] = {}
        self._order: collections.deque[str] = collections.deque()

    def submit(self, request_id: str) -> Verdict:
        """A request has come, perhaps again."""
        if request_id in self.held:
            return Verdict.SEND_AGAIN
        if request_id in self._seen:
            return Verdict.IGNORE
        self._remember(request_id)
        if request_id in self.unwanted:
            del self.unwanted[request_id]
            return Verdict.ABORT
        self.running = request_id
        return Verdict.RUN

    def done(self, result: Result, frames: Sequence[Any]) -> None:
        """A request has its outcome; it is held until the hub says that it is safe."""
        self.running = None
        self.held[result.id] = (result, frames)

    def abort(self, ids: Sequence[str]) -> None:
        """Do not start these. Control overtakes work, so they may not be here yet."""
        for request_id in ids:
            if request_id not in self._seen:
                self.unwanted[request_id] = None

    def acknowledge(self, ids: Sequence[str]) -> list[Result]:
        """Forget these results; returns them, to give back what they hold."""
        return [self.held.pop(i)[0] for i in ids if i in self.held]

    def enrolled(self, engine: int, hub: int) -> list[tuple[Result, Sequence[Any]]]:
        """The engine has an id; returns what has to be sent again.

        Also to the same hub: after a cut it is unknown what was lost, a result or the
        word that it is safe.
        """
        self.engine, self.hub = engine, hub
        return list(self.held.values())

    def known(self) -> tuple[str, ...]:
        """The requests that are running or held."""
        return (*([self.running] if self.running else []), *self.held)

    def _remember(self, request_id: str) -> None:
        self._seen[request_id] = None
        self._order.append(request_id)
        while len(self._order) > REMEMBERED:
            oldest = self._order.popleft()
            if oldest in self.held or oldest == self.running:
                self._order.append(oldest)
                return
            del self._seen[oldest]

    def check(self) -> None:
        """Assert that what is held is remembered."""
        assert set(self.held) <= set(self._seen)
        assert self.running not in self.held

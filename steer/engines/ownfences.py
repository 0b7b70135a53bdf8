"""The controller of a rank's fences where the node cannot be it: its own I/O thread.

It does what the node does (`node/fencing.py`), on orders that come as messages. One
thing it cannot: if main waits with the GIL, for a rank that is held, this thread cannot
say main's next point, and the round would wait for ever. So a hold that nobody has made
sure for LEASE seconds ends: the rank goes on, says that it withdrew, and the round
begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from steer import pages
from steer.core import roundevents as rv
from steer.core.events import Event
from steer.core.fences import no_barrier
from steer.core.orders import Locate, action_of, ordered
from steer.eventloop import Loop
from steer.node.fencing import Fencing
from steer.ranks import RankSet
from steer.wire.messages import Message, Order

LEASE = 0.25
"""Seconds that a rank is held without knowing that it has to be there."""

EVERY = 0.05
"""Seconds between two looks while something is under way."""


class OwnFences:
    """The fences of this rank, in its I/O thread."""

    def __init__(
        self,
        mapped: pages.Mapped,
        run: str,
        loop: Loop,
        send: Callable[[Message], None],
        wake: Callable[[], None],
        rank: Callable[[], int],
    ) -> None:
        self._mapped = mapped
        self._run = run
        self._loop = loop
        self._send = send
        self._wake = wake
        self._rank = rank
        """This engine's id."""
        self._looking = False
        self._fencing = Fencing(self._told, self._woken, barrier=no_barrier)

    def ordered(self, message: Order) -> None:
        """The hub wants something."""
        self._attach()
        action = action_of(message)
        if isinstance(action, Locate):
            self._fencing.positions()
            return
        self._fencing.do(action, RankSet([self._rank()]))
        self._go_on()

    def rang(self) -> None:
        """Main has something new on the page; in any thread."""
        self._loop.call_soon(self._look_now)

    def _attach(self) -> None:
        rank = self._rank()
        if not self._fencing.has(rank):
            self._fencing.attach(rank, self._mapped, self._run)

    def _look_now(self) -> None:
        self._fencing.look_at(self._rank())
        self._go_on()

    def _go_on(self) -> None:
        if self._fencing.active and not self._looking:
            self._looking = True
            self._loop.call_later(EVERY, self._look)

    def _look(self) -> None:
        self._looking = False
        self._fencing.expire(LEASE)
        self._fencing.look_all()
        self._go_on()

    def _told(self, event: Event) -> None:
        self._send(ordered(event))
        if isinstance(event, rv.Held | rv.Next):
            self._fencing.positions()

    def _woken(self, ranks: Iterable[int]) -> None:
        self._wake()

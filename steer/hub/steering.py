"""Steering in the hub's process: orders of the core to pages, and what these say.

The pages of this host's ranks are mapped here. Ranks whose pages cannot be get their
orders as messages, and their own I/O threads carry them out.

What pages say is fed to the core as events, in order, never from within the carrying
out of its actions. While something is under way pages are looked at EVERY seconds, in
case a ring was lost or a rank cannot ring; else nothing happens here.
"""

from __future__ import annotations

import collections
import logging
from collections.abc import Callable, Iterable
from typing import Any

from steer import pages
from steer.core import roundevents as rv
from steer.core.cellnotes import NoteCell, NoteEnd
from steer.core.events import Action, Event, Heard, Send
from steer.core.hub import HubCore
from steer.core.orders import ORDERS, Locate, event_of, order
from steer.errors import ProtocolError
from steer.eventloop import Loop
from steer.hub.steerlog import SteerLog
from steer.node.fencing import Fencing
from steer.node.sighting import Sighting
from steer.ranks import RankSet
from steer.wire.messages import (
    Ask,
    LookAt,
    Looked,
    Message,
    Ordered,
    PlanDone,
    Rang,
    Register,
    RunEnded,
    Steer,
    Wake,
)
from steer.wire.peers import parse_peer

log = logging.getLogger("steer.hub")

EVERY = 0.05
"""Seconds between two looks while something is under way."""


class Steering:
    """The node's part of steering, for the hub's own host."""

    def __init__(
        self,
        core: HubCore,
        loop: Loop,
        send: Callable[[Send], None],
        feed: Callable[[Event], None],
        log: SteerLog,
    ) -> None:
        self.log = log
        self._core = core
        self._loop = loop
        self._send = send
        self._feed = feed
        self._events: collections.deque[Event] = collections.deque()
        self._far: set[int] = set()
        """Ranks whose pages are not mapped here."""
        self._looking = False
        self._settling = False
        self.fencing = Fencing(self._events.append, self._wake)
        self.sighting = Sighting(
            self.fencing, self._saw, self._ask, loop.call_later, self._first
        )

    def actions(self) -> dict[type[Action], Callable[[Any], None]]:
        """What is carried out here."""
        do: dict[type[Action], Callable[[Any], None]] = {
            rv.Look: self.sighting.look,
            rv.Note: self._note,
            NoteCell: self.log.note_cell,
            NoteEnd: self.log.note_end,
        }
        for kind in ORDERS.values():
            do[kind] = self._order
        return do

    # -- around the core

    def before(self, message: Message) -> None:
        """A message is about to be fed to the core: it should know where ranks are."""
        if isinstance(message, Steer):
            self.fencing.positions(message.run.partition("/")[0])
            self.settle()
        elif isinstance(message, Ask) and message.what == "runs":
            self.fencing.positions()
            self._hand_on(Locate(RankSet(self._far)))  # it is known the next time
            self.settle()

    def heard(self, event: Heard) -> None:
        """The core has dealt with a message."""
        message = event.message
        if not isinstance(message, _LOOKED_INTO):
            return
        engine = self._core.registry.engines.get(parse_peer(event.peer)[1])
        if engine is None:
            return
        if isinstance(message, Register):
            self._map(engine.id, message)
        elif isinstance(message, Looked):
            self.sighting.looked(engine.id, message)
        elif isinstance(message, Ordered):
            self._said(engine.id, message)
        else:
            self.fencing.look_at(engine.id)

    def gone(self, rank: int) -> None:
        """An engine has died."""
        self._far.discard(rank)
        self.fencing.drop(rank)
        self.sighting.gone(rank)

    def settle(self) -> None:
        """Feed what pages have said, and what follows from that."""
        if self._settling:
            return  # what is fed below comes here again
        self._settling = True
        try:
            while self._events:
                self._feed(self._events.popleft())
        finally:
            self._settling = False
        if self.fencing.active and not self._looking:
            self._looking = True
            self._loop.call_later(EVERY, self._look)

    # -- helpers

    def _look(self) -> None:
        self._looking = False
        self.fencing.look_all()
        self.settle()

    def _order(self, action: Any) -> None:
        """Carry out an order here, or have it carried out."""
        self.fencing.do(action, action.ranks - RankSet(self._far))
        self._hand_on(action)

    def _hand_on(self, action: Any) -> None:
        """The part of it that is for ranks which control themselves."""
        far = action.ranks & RankSet(self._far)
        if far:
            engines = (self._core.registry.by_id[rank] for rank in far)
            peers = tuple(engine.control for engine in engines)
            self._send(Send(peers, order(action, far)))

    def _said(self, rank: int, message: Ordered) -> None:
        """A rank that controls itself said something."""
        try:
            self._events.append(event_of(message))
        except ProtocolError as error:
            log.warning("from engine %d: %s", rank, error)

    def _map(self, rank: int, message: Register) -> None:
        if not message.run or self.fencing.has(rank):
            return
        try:
            if message.page < 0 or not pages.barrier_works():
                raise ValueError("memory cannot be put in order there")
            if not self._core.registry.watchable(self._core.registry.by_id[rank]):
                raise ValueError("it is on another host")
            self.fencing.map(rank, message.pid, message.page, message.run)
        except (OSError, ValueError) as error:
            self._far.add(rank)
            for put_off in self.fencing.put_off(rank):
                self._hand_on(put_off)
            log.info("engine %d controls its fences itself: %s", rank, error)

    def _wake(self, ranks: Iterable[int]) -> None:
        engines = (self._core.registry.by_id.get(rank) for rank in ranks)
        peers = tuple(engine.work for engine in engines if engine is not None)
        if peers:
            self._send(Send(peers, Wake()))

    def _ask(self, rank: int, question: LookAt) -> None:
        engine = self._core.registry.by_id.get(rank)
        if engine is not None:
            self._send(Send((engine.control,), question))

    def _saw(self, seen: rv.Seen) -> None:
        """Some of it comes while nobody else feeds the core."""
        self._events.append(seen)
        self._loop.call_soon(self.settle)

    def _first(self, rank: int) -> int:
        engine = self._core.registry.by_id.get(rank)
        if engine is None or engine.info.size <= 1:
            return rank
        return rank - max(engine.info.rank, 0)

    def _note(self, action: rv.Note) -> None:
        self.log.note(action)
        log.info(
            "%s: %s at point %d by %s", action.family, action.verb, action.point,
            action.who or "nobody",
        )  # fmt: skip


_LOOKED_INTO = (Register, Rang, PlanDone, RunEnded, Looked, Ordered)

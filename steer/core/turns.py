"""Whose turn it is: cells run on all their engines or on none, one after the other.

A cell is a joint request. Its story::

    asked --its engines have no unfinished cell--> sent --all answered--> over
      asked --else--> waiting --its turn--> sent
                      waiting --the cell before failed, an engine died, aborted-->
                      given up, on all its engines

A cell that came again, to a hub that is new, is not given up: the hub that is gone may
have sent it already. It runs at its turn, or goes on.

Waiting happens here, in the hub, because a request that an engine has got may have
begun there: nobody could take it back from all engines at once. Two cells wait for each
other only if they share an engine. Whatever else is asked of an engine while a cell
waits for it waits behind the cell, so that each engine does its work in the order of
asking.

While no cell waits, a request that is no cell costs one look at an empty dictionary.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence


@dataclasses.dataclass(slots=True)
class _Waiting:
    """A request that is not sent yet."""

    engines: tuple[int, ...]
    joint: bool


class Turns:
    """The cells under way, and the requests that wait for them."""

    def __init__(self) -> None:
        self._under_way: dict[str, tuple[int, ...]] = {}
        """Cells that were sent and are not over, with their engines."""
        self._busy: dict[int, str] = {}
        """The cell under way of each engine that has one."""
        self._waiting: dict[str, _Waiting] = {}
        self._lanes: dict[int, collections.deque[str]] = {}
        """What waits for each engine, in order; no lane is empty."""

    def __contains__(self, request: str) -> bool:
        """Whether it waits."""
        return request in self._waiting

    def ask(self, request: str, engines: Sequence[int], joint: bool) -> bool:
        """Whether a new request may be sent at once; otherwise it waits."""
        if not joint and not self._waiting:
            return True
        free = not any(engine in self._lanes for engine in engines)
        if joint:
            free = free and not any(engine in self._busy for engine in engines)
        if free:
            if joint:
                self._send(request, tuple(engines))
            return True
        self._waiting[request] = _Waiting(tuple(engines), joint)
        for engine in engines:
            self._lanes.setdefault(engine, collections.deque()).append(request)
        return False

    def over(self, request: str) -> list[str]:
        """A request has all its answers, whether it was sent or waited; returns those
        whose turn it is now, in order."""
        engines = self._under_way.pop(request, None)
        if engines is None:
            waiting = self._leave(request) if request in self._waiting else None
            return self._next(waiting.engines) if waiting is not None else []
        for engine in engines:
            if self._busy.get(engine) == request:
                del self._busy[engine]
        return self._next(engines)

    def begin(self, request: str) -> list[str]:
        """One that waits has begun, by the word of an engine; returns those whose turn
        it is now. (A hub that was killed had sent it.)"""
        waiting = self._leave(request)
        if waiting.joint:
            self._send(request, waiting.engines)
        return self._next(waiting.engines)

    def _leave(self, request: str) -> _Waiting:
        """It waits no longer."""
        waiting = self._waiting.pop(request)
        for engine in waiting.engines:
            lane = self._lanes[engine]
            if lane[-1] == request:  # as when all are given up, the last first
                lane.pop()
            else:
                lane.remove(request)
            if not lane:
                del self._lanes[engine]
        return waiting

    def behind(self, cell: str) -> list[str]:
        """The cells that wait because of this one, or because of one that does."""
        engines = self._under_way.get(cell)
        if engines is None or not self._waiting:
            return []
        touched = set(engines)
        found = []
        for request, waiting in self._waiting.items():
            if waiting.joint and not touched.isdisjoint(waiting.engines):
                touched.update(waiting.engines)
                found.append(request)
        return found

    def _send(self, request: str, engines: tuple[int, ...]) -> None:
        self._under_way[request] = engines
        self._busy.update(dict.fromkeys(engines, request))

    def _next(self, engines: Iterable[int]) -> list[str]:
        """Let those go that are first on all their lanes, and then those behind
        them."""
        sent: list[str] = []
        look = collections.deque(engines)
        while look:
            lane = self._lanes.get(look.popleft())
            if lane is None or not self._may_go(lane[0]):
                continue
            request = lane[0]
            waiting = self._leave(request)
            if waiting.joint:
                self._send(request, waiting.engines)
            sent.append(request)
            look.extend(waiting.engines)
        return sent

    def _may_go(self, request: str) -> bool:
        waiting = self._waiting[request]
        return all(
            self._lanes[engine][0] == request
            and not (waiting.joint and engine in self._busy)
            for engine in waiting.engines
        )

    def check(self) -> None:
        """Assert that all waiting is for something."""
        for request, waiting in self._waiting.items():
            assert not self._may_go(request), request
            assert all(request in self._lanes[engine] for engine in waiting.engines)
        for engine, lane in self._lanes.items():
            assert lane, engine
            assert all(request in self._waiting for request in lane), engine
        for engine, cell in self._busy.items():
            assert engine in self._under_way[cell], engine

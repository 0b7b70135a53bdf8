"""Whose turn it is among the tasks that could start now.

A `Pool` holds the ready tasks that may run on the same engines: plain tasks share one
pool, so an engine that asks for work looks at a few pools and never at tasks. Inside a
pool the highest priority goes first; inside a priority clients get equal shares of
*measured time*: each has a clock that its tasks push forward by what they are expected
to take, and the client whose clock is furthest behind goes next. A client that comes
late starts at the others' time, so nobody saves up a share. To keep bundles of one
client together a turn lasts QUANTUM.

A task that is cancelled while it waits stays in its queue as a husk, which is dropped
when its turn comes; what is not a husk is counted in `live`.
"""

from __future__ import annotations

import collections
import heapq
import itertools
from collections.abc import Iterator

from steer.core.taskstate import GUESS, Place, Record

QUANTUM = 0.004
"""Seconds of one client's work before another client's turn."""


class Lane:
    """The tasks of one client and one priority."""

    __slots__ = ("client", "clock", "queue")

    def __init__(self, client: str, clock: float) -> None:
        self.client = client
        self.clock = clock
        self.queue: collections.deque[Record] = collections.deque()


class Level:
    """The tasks of one priority."""

    __slots__ = ("_order", "clocks", "lanes", "live", "start", "turns")

    def __init__(self) -> None:
        self.live = 0
        self.lanes: dict[str, Lane] = {}
        self.turns: list[tuple[float, int, Lane]] = []
        self.start = 0.0
        self.clocks: dict[str, float] = {}
        """Of clients whose queue ran empty ahead of the others."""
        self._order = itertools.count()

    def lane(self, client: str) -> Lane:
        """The queue of this client."""
        lane = self.lanes.get(client)
        if lane is None:
            clock = max(self.start, self.clocks.pop(client, 0.0))
            lane = self.lanes[client] = Lane(client, clock)
            heapq.heappush(self.turns, (lane.clock, next(self._order), lane))
        return lane

    def take(self) -> Record:
        """The next task; only asked while there is one."""
        turns = self.turns
        while True:
            turn, _, lane = turns[0]
            queue = lane.queue
            while queue:
                record = queue.popleft()
                if record.place is Place.READY:
                    break
            else:
                heapq.heappop(turns)
                del self.lanes[lane.client]
                self.clocks[lane.client] = lane.clock
                continue
            self.start = turn
            self.live -= 1
            lane.clock += record.function.mean or GUESS
            if lane.clock - turn >= QUANTUM:
                heapq.heapreplace(turns, (lane.clock, next(self._order), lane))
            return record

    def husk(self) -> None:
        """One of the tasks was cancelled."""
        self.live -= 1
        if not self.live:
            self.lanes.clear()
            self.turns.clear()


class Pool:
    """Ready tasks that may run on the same engines.

    `targets` are the only engines allowed, None for all; never on those of `avoid`.
    `near` is an engine that is preferred, -1 for none.
    """

    def __init__(
        self,
        targets: frozenset[int] | None = None,
        avoid: frozenset[int] = frozenset(),
        near: int = -1,
    ) -> None:
        self.targets = targets
        self.avoid = avoid
        self.near = near
        self.live = 0
        self._levels: dict[int, Level] = {}
        self._tops: list[int] = []

    def suits(self, engine: int) -> bool:
        """Whether its tasks may run there."""
        return engine not in self.avoid and (
            self.targets is None or engine in self.targets
        )

    def push(self, record: Record, front: bool = False) -> None:
        """Queue a task; `front` for one that had its turn already."""
        lane = self.level(record.options.priority, 1).lane(record.client)
        if front:
            lane.queue.appendleft(record)
        else:
            lane.queue.append(record)

    def level(self, priority: int, adding: int) -> Level:
        """The level of this priority, counting so many more tasks."""
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = Level()
            heapq.heappush(self._tops, -priority)
        level.live += adding
        self.live += adding
        return level

    def priority(self) -> int:
        """The highest priority that waits here; only asked while something does."""
        while True:
            priority = -self._tops[0]
            if self._levels[priority].live:
                return priority
            heapq.heappop(self._tops)
            del self._levels[priority]

    def first(self) -> Level:
        """The level whose turn it is."""
        return self._levels[self.priority()]

    def husk(self, record: Record) -> None:
        """This task of the pool will not run."""
        self._levels[record.options.priority].husk()
        self.live -= 1

    def drain(self) -> Iterator[Record]:
        """Take out everything."""
        while self.live:
            level = self.first()
            self.live -= 1
            yield level.take()

    def check(self) -> None:
        """Assert that the counts are true."""
        assert self.live == sum(level.live for level in self._levels.values())
        for level in self._levels.values():
            queued = [r for lane in level.lanes.values() for r in lane.queue]
            assert level.live == sum(r.place is Place.READY for r in queued)
            assert len(level.turns) == len(level.lanes)

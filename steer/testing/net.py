"""A simulated network and clock: hours of faults in seconds, and the same again by one
seed.

Everything that happens is a job in one heap, ordered by (time, n). A `Pipe` is one way
of a connection: it keeps the order, takes a random time, and loses what is under way
when it is cut, as ZeroMQ over TCP does. What the peers at its ends do is not decided
here.
"""

from __future__ import annotations

import collections
import heapq
import itertools
import random
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Job = Callable[[], object]

FAST = 0.0002
SLOW = 0.05
SELDOM = 0.03
"""Seconds under way, usually and seldom, and how seldom."""


class Net:
    """A clock that jumps from one event to the next, and the one source of chance."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.handled = 0
        self._heap: list[tuple[float, int, Job]] = []
        self._order = itertools.count()

    def call_at(self, when: float, job: Job) -> None:
        """Do `job` when the clock shows `when`."""
        heapq.heappush(self._heap, (max(when, self.now), next(self._order), job))

    def call_later(self, seconds: float, job: Job) -> None:
        """Do `job` after some seconds."""
        self.call_at(self.now + seconds, job)

    def call_soon(self, job: Job) -> None:
        """Do `job` next, but not at once."""
        self.call_at(self.now, job)

    def run(self, until: float) -> None:
        """Let everything happen that happens before that time."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, job = heapq.heappop(heap)
            self.handled += 1
            job()
        self.now = max(self.now, until)

    def delay(self) -> float:
        """How long a message is under way."""
        mean = SLOW if self.random.random() < SELDOM else FAST
        return self.random.expovariate(1 / mean)


class Freezable:
    """A process that may stand still for a while (SIGSTOP, a full disk, a busy GIL)."""

    def __init__(self) -> None:
        self.frozen_until = 0.0


class Pipe(Generic[T]):
    """One way of a connection, in order, until it is cut."""

    def __init__(self, net: Net, to: Freezable, deliver: Callable[[T], object]) -> None:
        self._net = net
        self._to = to
        self._deliver = deliver
        self._items: collections.deque[T] = collections.deque()
        self._last = 0.0
        self.open = True

    def send(self, item: T) -> None:
        """Put it on its way; it is lost if the pipe is cut."""
        if self.open:
            self._items.append(item)
            self._last = max(self._last, self._net.now + self._net.delay())
            self._net.call_at(self._last, self._arrive)

    def cut(self) -> None:
        """Lose what is under way and what will be sent."""
        self.open = False
        self._items.clear()

    def _arrive(self) -> None:
        if not self._items:
            return  # cut
        if self._to.frozen_until > self._net.now:
            self._net.call_at(self._to.frozen_until, self._arrive)
            return
        self._deliver(self._items.popleft())

"""What an engine has of tasks: what waits, what runs, outcomes that are not settled.

A task on one engine::

    unknown --Tasks--> queued --next--> running --done--> ended --Settled--> unknown
       unknown --Tasks, its function is not here--> parked --Functions--> queued
       queued, parked --Unsend--> unknown
       running --it waits for others--> away --they have ended--> running

A second copy of a task that is here in any state is dropped, with one exception: what
ended so that it may be tried again (RETRYABLE, UNMET), or ran in another gang, is the
hub's to give once more.

An outcome waits in `news` until it is sent, and then until it is settled: a hub that is
new hears it again. The shell holds one lock around all this; two threads call.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steer.core.functions import KEPT, Recent
from steer.wire.messages import (
    HeldTasks,
    Outcome,
    Outcomes,
    RankTask,
    Store,
    Task,
    TaskOptions,
    Tasks,
    TaskStatus,
)

Key = tuple[str, int]
Sending = tuple[Outcomes, Sequence[Any]]

BUNDLE = 1 << 20
"""Bytes of outcomes in one message, and when there are so many they leave."""

_PLAIN = TaskOptions()
_AGAIN = (TaskStatus.RETRYABLE, TaskStatus.UNMET)


class Job:
    """A task that is here, with all that is needed to run it."""

    __slots__ = ("function", "key", "large", "options", "task", "values")

    def __init__(
        self,
        key: Key,
        task: Task,
        function: bytes,
        options: TaskOptions,
        values: Mapping[int, Outcome],
        large: tuple[RankTask, Sequence[Any]] | None = None,
    ) -> None:
        self.key = key
        self.task = task
        self.function = function
        """Its pickle: the job keeps it, however many others come."""
        self.options = options
        self.values = values
        self.large = large
        """What it came in, if it did not come in a bundle."""

    @property
    def engines(self) -> tuple[int, ...]:
        """Those that run it together; empty for a plain task."""
        return self.large[0].engines if self.large is not None else ()

    @property
    def tag(self) -> int:
        """Which try of several ranks this is; -1 for a plain task."""
        large = self.large
        return large[0].tag if large is not None and large[0].engines else -1


class Ended:
    """An outcome that nobody has settled yet."""

    __slots__ = ("frames", "outcome", "tag")

    def __init__(self, outcome: Outcome, frames: Sequence[Any], tag: int) -> None:
        self.outcome = outcome
        self.frames = frames
        self.tag = tag


class EngineTasks:
    """The tasks of one engine."""

    def __init__(self) -> None:
        self.queue: collections.OrderedDict[Key, Job] = collections.OrderedDict()
        self.parked: dict[Key, Job] = {}
        self.running: Job | None = None
        self.away: list[Job] = []
        """Those that wait for others while something else runs."""
        self.ended: dict[Key, Ended] = {}
        self.news: list[tuple[str, Ended]] = []
        self.size = 0
        """Bytes of the news."""
        self.turn = 0
        """How often the engine has registered."""
        self.functions: dict[bytes, bytes] = {}
        self._recent = Recent(KEPT)

    # -- what comes

    def teach(self, digests: Sequence[bytes], bodies: Sequence[bytes]) -> None:
        """Functions have come."""
        self.functions.update(zip(digests, bodies, strict=True))
        self._use(digests)
        for key, job in list(self.parked.items()):
            if job.task.function in self.functions:
                job.function = self.functions[job.task.function]
                self.queue[key] = job
                del self.parked[key]

    def take(self, bundle: Tasks) -> None:
        """Tasks have come."""
        if bundle.turn != self.turn:
            return  # `held` did not name them, so they are given to somebody again
        client, options, functions = bundle.client, bundle.options, self.functions
        queue, ended, values = self.queue, self.ended, bundle.values
        used = set()
        for task in bundle.tasks:
            key = (client, task.id)
            digest = task.function
            function = functions.get(digest)
            used.add(digest)
            which = options[task.options] if task.options else _PLAIN
            job = Job(key, task, function or b"", which, values)
            if function is None or key in ended or self._here(key):
                self._unusual(job)
            else:
                queue[key] = job
        self._use(used)

    def take_large(self, message: RankTask, frames: Sequence[Any]) -> None:
        """A task has come with its frames, or one for several ranks."""
        if message.turn != self.turn:
            return
        task = message.task
        function = self.functions.get(task.function, b"")
        job = Job(
            (message.client, task.id), task, function, message.options,
            message.values, (message, frames),
        )  # fmt: skip
        self._unusual(job)
        self._use((task.function,))

    def _here(self, key: Key) -> bool:
        if key in self.queue or key in self.parked:
            return True
        running = self.running
        if running is not None and running.key == key:
            return True
        return any(job.key == key for job in self.away)

    def _unusual(self, job: Job) -> None:
        key = job.key
        if self._here(key):
            return
        ended = self.ended.get(key)
        if ended is not None:
            if ended.outcome.status not in _AGAIN and ended.tag == job.tag:
                return
            del self.ended[key]
        if job.function:
            self.queue[key] = job
        else:
            self.parked[key] = job

    def _use(self, digests: Iterable[bytes]) -> None:
        self._recent.use(digests)
        for digest in self._recent.trim():
            self.functions.pop(digest, None)

    # -- running

    def next(self) -> Job | None:
        """What to run now; it counts as running."""
        if not self.queue:
            return None
        self.running = self.queue.popitem(last=False)[1]
        return self.running

    def done(self, job: Job, outcome: Outcome, frames: Sequence[Any]) -> None:
        """It has ended."""
        self.running = None
        ended = Ended(outcome, frames, job.tag)
        self.ended[job.key] = ended
        self.news.append((job.key[0], ended))
        self.size += len(outcome.body)

    def step_aside(self, job: Job) -> None:
        """It waits for others: the next may run."""
        self.away.append(job)
        self.running = None

    def step_back(self, job: Job) -> None:
        """It goes on. Only the last that stepped aside can."""
        assert self.away.pop() is job
        self.running = job

    # -- what is asked

    def give_back(
        self, client: str, ids: Iterable[int]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Let go of what has not begun; returns that, and what is kept."""
        given: list[int] = []
        kept: list[int] = []
        for i in ids:
            key = (client, i)
            job = self.queue.pop(key, None) or self.parked.pop(key, None)
            (kept if job is None else given).append(i)
        return tuple(given), tuple(kept)

    def settle(self, client: str, ids: Iterable[int]) -> list[Store]:
        """These outcomes have arrived; returns the memory that they held."""
        stores = []
        for i in ids:
            ended = self.ended.pop((client, i), None)
            if ended is not None and ended.outcome.store is not None:
                stores.append(ended.outcome.store)
        return stores

    def take_news(self) -> list[Sending]:
        """The outcomes that were not sent yet, as messages."""
        news, self.news, self.size = self.news, [], 0
        running = self.running
        return list(bundles(news, running.key if running is not None else None))

    def take_all(self) -> list[Sending]:
        """All outcomes that are not settled, for a hub that may not have them."""
        self.news, self.size = [], 0
        return list(bundles([(k[0], e) for k, e in self.ended.items()], None))

    def register(self) -> list[HeldTasks]:
        """All tasks that are here, for a hub that may not know it. What comes with an
        earlier turn is no longer wanted, nor what waits for a function: that one may be
        lost."""
        self.turn += 1
        self.parked.clear()
        jobs = [*self.queue, *(job.key for job in self.away)]
        if self.running is not None:
            jobs.append(self.running.key)
        by_client: dict[str, list[int]] = {}
        for client, i in [*jobs, *self.ended]:
            by_client.setdefault(client, []).append(i)
        last = len(by_client) - 1
        return [
            HeldTasks(client, tuple(ids), place < last)
            for place, (client, ids) in enumerate(by_client.items())
        ]

    def check(self) -> None:
        """Assert that each task is in one state."""
        now = [*self.queue, *self.parked, *(j.key for j in self.away), *self.ended]
        if self.running is not None:
            now.append(self.running.key)
        assert len(now) == len(set(now)), now
        assert all(job.function for job in self.queue.values())


def bundles(news: Iterable[tuple[str, Ended]], running: Key | None) -> list[Sending]:
    """Outcomes as messages: one for each client, the large ones alone."""
    open_: dict[str, list[Outcome]] = {}
    sizes: dict[str, int] = {}
    sendings: list[Sending] = []

    def close(client: str) -> None:
        outcomes = open_.pop(client)
        runs = running[1] if running is not None and running[0] == client else -1
        sendings.append((Outcomes(client, tuple(outcomes), running=runs), ()))

    for client, ended in news:
        outcome = ended.outcome
        if ended.frames:
            sendings.append((Outcomes(client, (outcome,)), ended.frames))
            continue
        its = open_.get(client)
        if its is None:
            its = open_[client] = []
            sizes[client] = 0
        its.append(outcome)
        sizes[client] += len(outcome.body) + 64  # its other fields, and more
        if sizes[client] > BUNDLE:
            close(client)
    for client in list(open_):
        close(client)
    return sendings

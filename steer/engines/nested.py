"""Waiting inside a task: the rank runs others on top of the one that waits.

Only the main thread runs user code and calls MPI, so a task that waits for others does
not leave the stack: `wait_until` runs tasks, one after the other, until what is waited
for has happened *and* the task on top has ended. The hub is told (`Seceded`,
`Rejoined`), so that it counts the rank as free meanwhile.

No deadlock comes of it. Tasks of tasks have a higher priority than what waits for them.
When all ranks wait, some task that is waited for has not begun, and the rank where the
one waits that waits for it may always run it. On top of a few that wait a rank runs any
task, on top of more only such deeper ones, so that a tree is walked in its depth. If
the tree itself is too deep, the last one raises RecursionError instead of waiting.

What is no task comes on the same socket (cells, applied functions). It stays aside
until the rank has ended the task at the bottom, as it would if nothing waited.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from steer.core.depth import DEEP, SHALLOW
from steer.core.enginetasks import Job, Key
from steer.wire.messages import Rejoined, Seceded, Unsent

if TYPE_CHECKING:
    from steer.engines.run import Runner

__all__ = ["Nesting", "current"]


class Nesting:
    """The waiting tasks of an engine, one on top of the other."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._desk = runner.desk
        self._pid = os.getpid()
        self._levels = 0
        self._doomed: set[Key] = set()
        runner.desk.doom = self.doom

    # -- any thread

    def is_main(self) -> bool:
        """Whether this is the thread that runs user code, and no child of a fork."""
        main = threading.current_thread() is threading.main_thread()
        return main and os.getpid() == self._pid

    def wake(self) -> None:
        """What is waited for may have happened."""
        if self._levels:
            os.eventfd_write(self._desk.bell, 1)

    def doom(self, key: Key) -> None:
        """End the wait of this task, as soon as nothing is on top of it."""
        self._doomed.add(key)
        self.wake()

    # -- main

    @property
    def priority(self) -> int:
        """Of the task that runs; tasks of it go before others like it."""
        job = self._desk.core.running
        return job.options.priority if job is not None else 0

    def wait_until(self, over: Callable[[], bool], timeout: float | None) -> None:
        """Run other tasks until it is over, or the time is.

        A task of several ranks keeps its rank: its peers may wait for it in MPI.
        """
        job = self._desk.core.running
        if over() or (job is not None and job.engines):
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        self._check_height()
        limit = sys.getrecursionlimit()
        outer = self._runner.suspend()
        self._levels += 1
        try:
            # The tasks on top may be as deep as those that began with an empty stack.
            sys.setrecursionlimit(limit + _frames())
            self._aside(job, lambda: over() or self._ends(job), deadline)
        finally:
            self._levels -= 1
            sys.setrecursionlimit(limit)
            self._runner.resume(outer)
        if self._ends(job):
            self._doomed.discard(job.key if job is not None else ("", -1))
            raise KeyboardInterrupt

    def _check_height(self) -> None:
        if len(self._desk.core.away) + 1 >= DEEP:
            raise RecursionError(
                f"{DEEP} tasks wait for others on top of each other on this rank. Use "
                "more ranks, or let fewer tasks wait for tasks that wait themselves."
            )

    def _aside(
        self, job: Job | None, over: Callable[[], bool], deadline: float | None
    ) -> None:
        """The wait itself: the hub counts the rank as free meanwhile."""
        desk, runner = self._desk, self._runner
        if job is None:  # a cell waits: the hub knows nothing of it
            self._run_others(over, deadline)
            return
        with desk.lock:
            desk.core.step_aside(job)
        runner.reply(Seceded(*job.key))
        try:
            self._run_others(over, deadline)
        finally:
            with desk.lock:
                desk.core.step_back(job)
            runner.tasks.box.runs(*job.key)
            runner.reply(Rejoined(*job.key))

    def _run_others(self, over: Callable[[], bool], deadline: float | None) -> None:
        runner = self._runner
        away = self._desk.core.away
        while not over():
            if len(away) >= SHALLOW:
                self._hand_back(away[-1].options.priority)
            if runner.tasks.run_one():
                continue
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            if runner.desk.nothing_to_do():
                runner.tasks.flush()
                runner.pause(left)
        runner.tasks.flush()

    def _hand_back(self, floor: int) -> None:
        """Let others run what must not run on top of a stack of this height."""
        desk = self._desk
        given: dict[str, list[int]] = {}
        with desk.lock:
            for (client, number), job in desk.core.queue.items():
                if job.options.priority <= floor and not job.engines:
                    given.setdefault(client, []).append(number)
            for client, ids in given.items():
                desk.core.give_back(client, ids)
        for client, ids in given.items():
            self._runner.reply(Unsent(client, tuple(ids)))

    def _ends(self, job: Job | None) -> bool:
        doomed = job is not None and job.key in self._doomed
        return doomed or self._runner.quits()


def _frames() -> int:
    """How many calls the main thread is in."""
    frame, count = sys._getframe(), 0
    while frame.f_back is not None:
        frame, count = frame.f_back, count + 1
    return count


current: Nesting | None = None

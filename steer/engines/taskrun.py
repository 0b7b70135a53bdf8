"""Main's part in tasks: run one after the other, and send how they ended.

A task that does nothing costs a few microseconds here, so there is no context manager
and no second look at what is the usual case. Whatever a task does, its outcome is one
of its own: what cannot be pickled, what cannot even be described, an interrupt.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from steer.blackbox import BlackBox
from steer.core.enginetasks import BUNDLE, Job
from steer.engines.calls import Callee, Calls
from steer.engines.desk import EARLY, Desk
from steer.engines.gangs import Gangs
from steer.errors import ImpossibleDependency, TaskRejectError, UnmetDependency
from steer.shm import SHARE_ABOVE, length
from steer.wire import payload
from steer.wire.frames import pack
from steer.wire.messages import ErrorInfo, Outcome, Store, TaskStatus

if TYPE_CHECKING:
    from steer.engines.run import Runner

LARGE = 64 << 10
"""Bytes of a value that travels beside its outcome."""

LOOK = 0.001
"""Seconds after which main looks at its socket again, while tasks wait here too."""

Value = tuple[bytes, Sequence[Any], Store | None]
"""The body of an outcome, or its frames and where the large ones lie."""

QUICK = 100e-6
"""Seconds. What C code printed in a task that took less is not looked for at once:
asking costs as much as running it. It is found before the outcome leaves."""

_DONE = TaskStatus.DONE


class TaskRunner:
    """What runs tasks; in the main thread."""

    def __init__(self, runner: Runner, desk: Desk) -> None:
        self.desk = desk
        self.box = BlackBox()
        self.calls = Calls(runner.namespace)
        self.gangs = Gangs(desk, runner.wire.core)
        self._runner = runner
        self._wire = runner.wire
        self._since = 0.0
        """When the oldest outcome came that is not sent."""
        self._now = self._began = 0.0
        self._looked = True
        """Whether what the last tasks printed has been looked for."""

    def run_some(self) -> bool:
        """Run tasks until there are none, or for a moment; says whether any are
        left."""
        began = time.monotonic()
        while self.run_one():
            if self._now - began > LOOK:
                return True
        self.flush()
        return False

    def run_one(self) -> bool:
        """Run one task, if there is one; its outcome may wait for others."""
        job = self.desk.next()
        if job is None:
            return False
        self._run(job)
        now = self._now
        if not self._since:
            self._since = now
        elif now - self._since > EARLY or self.desk.core.size > BUNDLE:
            self.flush()
        return True

    def flush(self) -> None:
        """Send what has ended."""
        self._since = 0.0
        desk = self.desk
        late = not self._looked and self._runner.finish()
        self._looked = True
        with desk.lock:
            desk.spoke |= late
            news = desk.core.take_news()
            spoke, desk.spoke = desk.spoke, False
        send = self._wire.post if spoke else self._runner.reply
        for message, frames in news:
            send(message, frames)

    # -- one task

    def _run(self, job: Job) -> None:
        client, number = job.key
        runner = self._runner
        runner.follow(f"{client}/t{number}")
        self.box.runs(client, number)
        started = time.time()
        self._began = time.monotonic()
        status = _DONE
        if job.engines:
            self.gangs.begin()
        try:
            body, frames, store = self._call(job)
        except BaseException as error:  # noqa: BLE001  whatever user code raises
            frames, store = (), None
            status, body = self._failure(job, error)
        runner.take_interrupts()
        self._now = time.monotonic()
        took = self._now - self._began
        spoke = False
        if took < QUICK and runner.may_pass_over():
            self._looked = False
        else:
            spoke = runner.finish()
            self._looked = True
        outcome = Outcome(number, status, body, started, took, store)
        desk = self.desk
        with desk.lock:
            desk.core.done(job, outcome, frames)
            desk.spoke |= spoke
        self.box.rests()

    def _call(self, job: Job) -> Value:
        """Do it. An interrupt that comes while this is on the stack is the task's."""
        callee, args, kwargs = self._prepare(job)
        began = time.monotonic()  # an import is not how long its call takes
        try:
            if job.engines:
                value = self.gangs.run(job, callee, args, kwargs)
            else:
                value = callee.call(*args, **kwargs)
        finally:
            self._began = began  # tasks may have run on top of this one
            if self._runner.forked:
                os._exit(0)  # a child of the task is not another engine
        return self._pack(job, callee, value)

    def _prepare(self, job: Job) -> tuple[Callee, tuple[Any, ...], dict[str, Any]]:
        """What is to be called; if this rank cannot, its peers need not wait for it."""
        try:
            if self.desk.target is not None:
                self._interrupted_early(job)
            return self.calls.function(job), *self.calls.arguments(job)
        except BaseException:
            if job.engines:
                self.gangs.decline(job)
            raise

    def _pack(self, job: Job, callee: Callee, value: Any) -> Value:
        try:
            frames = payload.dumps(value)
        except Exception as error:
            name = job.options.name or callee.name
            why = f"{type(error).__name__}: {error}"
            raise payload.Unpicklable(f"The result of {name}", why) from error
        if len(frames) == 1 and len(frames[0]) <= LARGE:
            return frames[0], (), None
        if self._wire.shares:
            store, frames = self._wire.shelf.put(frames)
            if store is not None:
                return b"", frames, store
        if sum(map(length, frames)) < SHARE_ABOVE:
            frames = [bytes(frame) for frame in frames]  # lets go of the value itself
        return b"", frames, None

    def _failure(self, job: Job, error: BaseException) -> tuple[TaskStatus, bytes]:
        """What to say of a task that raised."""
        status = TaskStatus.RAISED
        try:
            if isinstance(error, UnmetDependency | TaskRejectError):
                if not isinstance(error, ImpossibleDependency):
                    status = TaskStatus.UNMET
            elif self.calls.may_retry(error, job.options.retry_on):
                status = TaskStatus.RETRYABLE
            return status, pack(self._runner.describe(error))
        except BaseException as mistake:  # noqa: BLE001  users' classes run here
            name, why = type(error).__name__, type(mistake).__name__
            text = f"it cannot be described: {why} was raised by that"
            return status, pack(ErrorInfo(name, text, (f"{name}: {text}",)))

    # -- interrupts

    def on_sigint(self, frame: FrameType | None) -> bool:
        """An interrupt came; says whether that was about a task.

        It is raised only while `_call` is on the stack, which is where it is caught.
        """
        desk, running = self.desk, self.desk.core.running
        target = desk.target
        if running is None or (target is not None and target != running.key):
            desk.target = None
            return target is not None
        if not self._is_called(frame, running):
            return True  # it has not begun quite, and will find the target; or it ended
        desk.target = None
        if self.gangs.interrupt():
            return True
        raise KeyboardInterrupt

    def _is_called(self, frame: FrameType | None, job: Job) -> bool:
        code = TaskRunner._call.__code__
        while frame is not None:
            if frame.f_code is code:
                return frame.f_locals["job"] is job
            frame = frame.f_back
        return False

    def _interrupted_early(self, job: Job) -> None:
        target, self.desk.target = self.desk.target, None
        if target == job.key:
            raise KeyboardInterrupt

"""Where an engine's two threads meet over tasks.

The I/O thread brings what comes on *control*: bundles fetched ahead, and questions
about them. Main takes one task after the other, also from its own socket, and leaves
the outcomes here. Both send them: main when its work is done or the oldest is EARLY
old, and the I/O thread when main is in a task that takes longer.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from steer import shm
from steer.core.enginetasks import EngineTasks, Job, Key
from steer.eventloop import Loop
from steer.shm import Shelf
from steer.wire.messages import (
    Functions,
    InterruptTask,
    Message,
    RankTask,
    Register,
    Settled,
    Tasks,
    Unsend,
    Unsent,
    Unstick,
)

EARLY = 0.002
"""Seconds that an outcome waits for company while a task runs."""


COMPUTING = 1.0
"""Seconds that a rank may compute on after another of its task has failed."""


UNWANTED = 1000
"""Interrupts that are remembered for tasks that have not come."""


class Sender(Protocol):
    """The part of `io.Wire` that is needed here."""

    loop: Loop
    shelf: Shelf

    def send(self, message: Message, frames: Sequence[Any] = ()) -> None:
        """Send through the control socket; in the loop's thread."""

    def post(self, message: Message, frames: Sequence[Any] = ()) -> None:
        """The same from any thread, in order."""

    def interrupt(self, signum: int) -> None:
        """Raise a signal in the main thread."""


class Desk:
    """The tasks of this engine, for both threads."""

    def __init__(self, wire: Sender) -> None:
        self.core = EngineTasks()
        self.lock = threading.Lock()
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable when there is work again for a main thread that waits."""
        self.target: Key | None = None
        """The task that the signal under way is for."""
        self.unstick: Callable[[Job], None] = lambda job: None
        """Frees this task, if it waits for other ranks; in the loop's thread."""
        self.doom: Callable[[Key], None] = lambda key: None
        """Ends the wait of a task that has stepped aside; in the loop's thread."""
        self._unwanted: dict[Key, None] = {}
        """Tasks that were interrupted before they came."""
        self.spoke = False
        """Whether output of a task whose outcome is among the news is under way."""
        self._wire = wire
        self._waits = False
        self._armed = False
        self._handlers: dict[type, Callable[[Any, Sequence[Any]], None]] = {
            Tasks: self._tasks,
            Functions: self._functions,
            RankTask: self._rank_task,
            Unsend: self._unsend,
            Settled: self._settled,
            InterruptTask: self._interrupt,
            Unstick: self._unstick,
        }

    # -- both threads

    def heard(self, message: Message, frames: Sequence[Any]) -> bool:
        """Take a message, if it is about tasks."""
        handler = self._handlers.get(type(message))
        if handler is None:
            return False
        handler(message, frames)
        return True

    def _tasks(self, message: Tasks, frames: Sequence[Any]) -> None:
        with self.lock:
            self.core.take(message)
            self._ring()

    def _functions(self, message: Functions, frames: Sequence[Any]) -> None:
        with self.lock:
            self.core.teach(message.digests, [bytes(frame) for frame in frames])
            self._ring()

    def _rank_task(self, message: RankTask, frames: Sequence[Any]) -> None:
        try:
            message, frames = mapped(message, frames)
        except FileNotFoundError:
            return  # its hub is gone; the next one gives it again
        with self.lock:
            self.core.take_large(message, frames)
            self._ring()

    def _ring(self) -> None:
        if self._waits and self.core.queue:
            self._waits = False
            os.eventfd_write(self.bell, 1)

    # -- main

    def nothing_to_do(self) -> bool:
        """Whether main may wait; if so, the bell rings when that changes."""
        with self.lock:
            self._waits = not self.core.queue
            return self._waits

    def awake(self) -> None:
        """Main waits no longer."""
        with self.lock:
            self._waits = False
        try:
            os.eventfd_read(self.bell)
        except BlockingIOError:
            pass  # it was something else that woke it

    def next(self) -> Job | None:
        """What to run now."""
        with self.lock:
            job = self.core.next()
            if self._unwanted and job is not None and job.key in self._unwanted:
                del self._unwanted[job.key]
                self.target = job.key
            if self._armed or job is None or not self.core.news:
                return job
            self._armed = True
        self._wire.loop.call_soon(self._start_timer)
        return job

    # -- the loop's thread

    def _start_timer(self) -> None:
        self._wire.loop.call_later(EARLY, self._early)

    def _early(self) -> None:
        """Main is in a task: send what has ended before it."""
        # Behind what main has posted of those tasks' output.
        self._wire.loop.call_soon(self._flush)

    def _flush(self) -> None:
        with self.lock:
            self._armed = False
            news = self.core.take_news()
            self.spoke = False
        for message, frames in news:
            self._wire.send(message, frames)

    def introduce(self, register: Register) -> None:
        """Say who this is, to a hub that may not know it, and what tasks are here."""
        with self.lock:
            held = self.core.register()
            turn = self.core.turn
        self._wire.send(
            msgspec.structs.replace(register, holding=bool(held), turn=turn)
        )
        for message in held:
            self._wire.send(message)

    def send_again(self) -> None:
        """Send all outcomes that a hub has not settled."""
        with self.lock:
            sendings = self.core.take_all()
        for message, frames in sendings:
            self._wire.send(message, frames)

    def _unsend(self, message: Unsend, frames: Sequence[Any]) -> None:
        with self.lock:
            given, kept = self.core.give_back(message.client, message.ids)
        self._wire.send(Unsent(message.client, given, kept))

    def _settled(self, message: Settled, frames: Sequence[Any]) -> None:
        with self.lock:
            stores = self.core.settle(message.client, message.ids)
        for store in stores:
            self._wire.shelf.drop(store)

    def _interrupt(self, message: InterruptTask, frames: Sequence[Any]) -> None:
        key = (message.client, message.id)
        with self.lock:
            running = self.core.running
            runs = running is not None and running.key == key
            waits = any(job.key == key for job in self.core.away)
            if runs:
                self.target = key
        if runs:
            assert running is not None
            self._wire.interrupt(signal.SIGINT)
            self.unstick(running)
        elif waits:
            self.doom(key)
        elif key not in self.core.ended:  # it is under way on the other socket
            self._unwanted[key] = None
            if len(self._unwanted) > UNWANTED:
                del self._unwanted[next(iter(self._unwanted))]

    def _unstick(self, message: Unstick, frames: Sequence[Any]) -> None:
        key = (message.client, message.id)
        with self.lock:
            running = self.core.running
        if running is None or running.key != key:
            return
        self.unstick(running)
        # It may also compute, for a result that nobody wants any more.
        self._wire.loop.call_later(COMPUTING, lambda: self._end(running))

    def _end(self, job: Job) -> None:
        with self.lock:
            if self.core.running is not job:
                return
            self.target = job.key
        self._wire.interrupt(signal.SIGINT)


def mapped(message: RankTask, frames: Sequence[Any]) -> tuple[RankTask, Sequence[Any]]:
    """The task with all that lies in shared memory mapped, so that its hub may go away
    before it runs."""
    stores = [message.store, *(outcome.store for outcome in message.values.values())]
    if not any(stores):
        return message, frames
    counts = message.parts or (len(frames),)
    whole: list[Any] = []
    place = 0
    for store, count in zip(stores, counts, strict=False):
        whole += shm.take(store, frames[place : place + count])
        place += count
    replace = msgspec.structs.replace
    values = {i: replace(o, store=None) for i, o in message.values.items()}
    return replace(message, store=None, values=values), whole

"""The tasks of one client: they leave from any thread, and come back as futures.

Who submits sends at once if nothing was sent just before; else the I/O thread sends
what has gathered meanwhile, so that a flood leaves in bundles and a single task does
not wait for company. `steer.core.tasklist` decides what may be sent.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from steer import shm
from steer.client.awaited import Left, Waiting, futures_in, settled, slotted
from steer.client.called import Functions
from steer.client.futures import CANCEL_TIMEOUT, Callbacks, Raw, TaskFuture
from steer.client.outcomes import make_failure, make_ranks, make_value
from steer.core.tasklist import PLAIN, Entry, TaskList
from steer.errors import DependencyError, HubUnreachable
from steer.wire import payload
from steer.wire.messages import (
    Begun,
    Cancel,
    Message,
    Needs,
    Outcome,
    Outcomes,
    Outputs,
    RankOutcomes,
    RankTask,
    Store,
    Taken,
    Task,
    TaskOptions,
    TaskStatus,
    Uncancelled,
    Window,
)

if TYPE_CHECKING:
    from steer.client.link import Link

GATHER = (50e-6, 2e-3)
"""Seconds for which tasks gather behind a bundle: at first, and in a flood. That begins
with bundle after bundle, and ends with REST seconds without one."""

REST = 0.01

TAKE = 0.01
"""Seconds until the hub hears that outcomes have come."""

SHARED = 128
"""So many tasks' arguments lie in shared memory at once: each takes a descriptor, here
and in the hub, and of these a process may have few. Others wait in our own memory."""

MOST_WAITING = 2_000_000
MOST_BYTES = 1 << 30
"""Who submits beyond this waits until the ranks have caught up."""


class Tasks:
    """All tasks of a client."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._list = TaskList()
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._functions = Functions()
        self._flushing = False
        self._last_sent = 0.0
        self._gather = GATHER[0]
        self._hub = 0
        self._number = 0
        """Of the last bundle of outcomes of this hub."""
        self._next = 0
        """Of the bundle that has to be the next."""
        self._untold = 0
        """The last bundle that came, if the hub was not told so yet."""
        self._taking = False
        self._shared = 0
        """Tasks whose arguments lie in shared memory."""
        self._closed: BaseException | None = None
        self.callbacks = Callbacks()
        self.future_class: type[TaskFuture] = TaskFuture
        self.outlives_calls = True
        """Whether this process, when it ends, waits for what its executors call."""

    # -- for everybody

    def submit(
        self,
        function: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
        options: TaskOptions = PLAIN,
        needs: Waiting | None = None,
        *,
        future: TaskFuture | None = None,
    ) -> TaskFuture:
        """Have a rank call the function; what cannot be sent raises here."""
        digest, body = self._functions.pickled(function)
        call = (tuple(args), kwargs or {})
        future = self.future_class(self) if future is None else future
        awaited = futures_in(call)
        if awaited:
            try:
                call, awaited = settled(call, awaited)
            except DependencyError as error:
                with self._lock:
                    future.id = self._list.new_id()
                future.fail(error)
                return future
        frames = _dumps(function, slotted(call) if awaited else call)
        with self._lock:
            self._wait_for_room()
            if future.done():  # cancelled while it waited for others
                return future
            future.id = number = self._list.new_id()
            future.submitted = time.time()
            entry = self._entry(number, digest, body, options, future, frames)
            if awaited or needs is not None:
                entry.refresh = Refresh(function, call, awaited, needs)
                if not entry.refresh(entry):
                    return future
            self._list.add(entry)
            self._leave()
        return future

    def _entry(
        self,
        number: int,
        digest: bytes,
        function: bytes,
        options: TaskOptions,
        future: TaskFuture,
        frames: list[Any],
    ) -> Entry:
        code = self._list.number(options)
        if len(frames) == 1 and len(frames[0]) < LARGE:
            task = Task(number, digest, frames[0], code)
            return Entry(task, function, options, future)
        store, rest = self._share(frames)
        # It may wait for long, and be sent again: what the caller changes meanwhile
        # must not change it.
        rest = [frame if isinstance(frame, bytes) else bytes(frame) for frame in rest]
        task = Task(number, digest, b"", code)
        return Entry(task, function, options, future, frames=rest, store=store)

    def _share(self, frames: Sequence[Any]) -> tuple[Store | None, list[Any]]:
        if self._shared >= SHARED:
            return None, list(frames)
        store, rest = self._link.share(frames)
        self._shared += store is not None
        return store, rest

    def _unshare(self, entry: Entry) -> None:
        if entry.store is not None:
            self._link.unshare(entry.store)
            self._shared -= 1

    def cancel(self, futures: Iterable[TaskFuture], running: bool = False) -> None:
        """Cancel these, and wait until it is known which of them could be."""
        asked: list[tuple[TaskFuture, int]] = []
        with self._lock:
            for future in futures:
                entry = self._list.withdraw(future.id)
                if entry is not None:
                    self._unshare(entry)
                    future.end_cancelled()
                elif future.id < 0:  # it is not here yet
                    future.end_cancelled()
                elif future.id in self._list.sent:
                    asked.append((future, future.refusals))
            if asked:
                self._send(Cancel(tuple([f.id for f, _ in asked]), running))
            self._room.notify_all()
        deadline = time.monotonic() + CANCEL_TIMEOUT
        for future, refusals in asked:
            left = max(0.0, deadline - time.monotonic())
            future.wait_for(functools.partial(self._refused, future, refusals), left)

    def _refused(self, future: TaskFuture, before: int) -> bool:
        return future.refusals > before or self._trouble()

    def await_one(self, future: TaskFuture, timeout: float | None) -> None:
        """Wait until it is done; raises TimeoutError, HubUnreachable, or
        NoEnginesRegistered."""
        future.wait_for(self.in_vain, timeout)
        if future.done():
            return
        trouble = self._link.trouble
        if trouble is not None:
            raise HubUnreachable(str(trouble))
        alone = self._link.alone
        if alone is not None:
            raise alone
        raise TimeoutError(f"The task has not ended in {timeout:.3g} s; it goes on.")

    def engine_info(self, engine: int | None) -> dict[str, Any]:
        """What error texts say about an engine."""
        known = self._link.core.engines.get(-1 if engine is None else engine)
        facts: dict[str, Any] = {"engine_id": engine, "method": "task"}
        if known is not None:
            facts |= {"engine_uuid": known.uuid, "rank": known.rank}
            facts |= {"size": known.size, "host": known.host}
        return facts

    def in_vain(self) -> bool:
        """Whether waiting is no use for now: no hub, or no engine for a while."""
        return self._link.trouble is not None or self._link.alone is not None

    def _trouble(self) -> bool:
        return self._link.trouble is not None

    @property
    def submitted(self) -> int:
        """How many there have been."""
        return self._list.numbered

    @property
    def waiting(self) -> int:
        """How many wait here, because the hub has enough."""
        return self._list.waiting

    @property
    def unfinished(self) -> int:
        """How many have no outcome yet."""
        return self._list.waiting + len(self._list.sent)

    # -- leaving; under the lock

    def _wait_for_room(self) -> None:
        tasks = self._list
        while tasks.waiting >= MOST_WAITING or tasks.bytes_waiting >= MOST_BYTES:
            self._check()
            self._room.wait()
        self._check()

    def _check(self) -> None:
        if self._closed is not None:
            raise HubUnreachable(str(self._closed))

    def _leave(self) -> None:
        """Send now, or let the I/O thread do it soon."""
        if not self._list.ready:
            return
        now = time.monotonic()
        since = now - self._last_sent
        alone = not self._list.sent  # who waits for each task makes no flood
        if since > REST or alone:
            self._gather = GATHER[0]
        if since >= self._gather or alone:
            self._last_sent = now
            self._gather = min(2 * self._gather, GATHER[1])
            self._send_bundle()
        elif not self._flushing:
            self._flushing = True
            self._link.call_soon(self._flush)

    def _send_bundle(self) -> None:
        for message, frames in self._list.next():
            if frames and isinstance(message, RankTask) and message.store is None:
                self._send(*self._shared_now(message, frames))
            else:
                self._send(message, frames)

    def _shared_now(
        self, message: RankTask, frames: Sequence[Any]
    ) -> tuple[RankTask, Sequence[Any]]:
        """The same in shared memory, if that had to wait until it is sent."""
        entry = self._list.sent[message.task.id]
        entry.store, entry.frames = self._share(frames)
        return msgspec.structs.replace(message, store=entry.store), entry.frames

    def _send(self, message: Message, frames: Sequence[Any] = ()) -> None:
        self._link.send_out(message, frames)

    # -- in the I/O thread

    def _flush(self) -> None:
        """Send what nobody has sent: who submits may have stopped. In a flood it
        sends itself, and we look again later."""
        with self._lock:
            since = time.monotonic() - self._last_sent
            if since < self._gather == GATHER[1]:
                self._link.call_later(self._gather, self._flush)
                return
            self._flushing = False
            self._send_all()

    def _send_all(self) -> None:
        if self._closed is not None:
            return
        had_room = self._list.waiting < MOST_WAITING
        while self._list.ready:
            self._send_bundle()
        self._last_sent = time.monotonic()
        if not had_room or self._list.bytes_waiting < MOST_BYTES:
            self._room.notify_all()

    def heard(self, message: Message, frames: list[Any]) -> None:
        """The hub said something of tasks."""
        match message:
            case Outcomes():
                self._outcomes(message, frames)
            case RankOutcomes():
                self._rank_outcomes(message, frames)
            case Begun():
                for number in message.ids:
                    entry = self._list.sent.get(number)
                    if entry is not None:
                        entry.future.begun()
            case Uncancelled():
                for number in message.ids:
                    entry = self._list.sent.get(number)
                    if entry is not None:
                        entry.future.refuse_cancel()
            case Window():
                with self._lock:
                    self._list.allow(message.tasks, message.size)
                    self._send_all()

    def _outcomes(self, message: Outcomes, frames: list[Any]) -> None:
        now = time.time()
        whole: list[Any] = []
        if frames and message.outcomes[0].id in self._list.sent:
            try:
                whole = shm.take(message.outcomes[0].store, frames)
            except FileNotFoundError:
                return  # its hub is gone; the next one gives it again
        ended = self._ended([outcome.id for outcome in message.outcomes])
        for outcome, entry in zip(message.outcomes, ended, strict=True):
            if entry is None:
                continue
            future: TaskFuture = entry.future
            future.engine = message.engine if message.engine >= 0 else None
            _note(future, outcome, now)
            _settle(entry, outcome, whole or [outcome.body])
        self._took(message.number, ended, bool(whole))

    def _rank_outcomes(self, message: RankOutcomes, frames: list[Any]) -> None:
        values: list[list[Any]] = []
        if message.id in self._list.sent:
            try:
                values = list(_split(message, frames))
            except FileNotFoundError:
                return  # its hub is gone; the next one gives it again
        (entry,) = ended = self._ended([message.id])
        if entry is not None:
            future: TaskFuture = entry.future
            future.engines = message.engines
            future.engine = message.engines[0] if message.engines else None
            for outcome in message.outcomes[:1]:
                _note(future, outcome, time.time())
            future.status = message.status
            raw: Raw = (make_ranks, (message, values))
            if message.status is TaskStatus.CANCELLED:
                future.end_cancelled()
            else:
                future.settle(raw, failed=message.status is not TaskStatus.DONE)
        self._took(message.number, ended, any(o.store for o in message.outcomes))

    def _ended(self, numbers: list[int]) -> list[Entry | None]:
        with self._lock:
            return [self._list.ended(number) for number in numbers]

    def _took(self, number: int, ended: Sequence[Entry | None], at_once: bool) -> None:
        with self._lock:
            if number:
                # One that is not the next shows that others were lost in a cut: they
                # come again behind the next Welcome, and until then are not taken.
                if number == self._next:
                    self._next = number + 1
                    self._untold = number
                    self._take_soon(at_once)
                self._number = max(number, self._number)
            for entry in ended:
                if entry is not None:
                    self._unshare(entry)
            self._send_all()

    def _take_soon(self, at_once: bool) -> None:
        """Say that a bundle is here: at once if the hub holds memory for it, else with
        others. Nobody waits for that word, but it would wake the hub and an engine
        just when the caller has its value and goes on."""
        if at_once:
            self._take()
        elif not self._taking:
            self._taking = True
            self._link.call_later(TAKE, self._take_late)

    def _take_late(self) -> None:
        self._taking = False
        self.tell_taken()

    def tell_taken(self) -> None:
        """Say now which outcomes have come; from any thread."""
        with self._lock:
            self._take()

    def _take(self) -> None:
        number, self._untold = self._untold, 0
        if number and self._closed is None:
            self._send(Taken(number))

    def welcome(self, hub: int, bundle: int) -> None:
        """A hub knows us: it gets again what it, or the one before, has not
        answered."""
        with self._lock:
            if hub != self._hub:
                self._hub, self._number = hub, 0
            count = len(self._list.sent)
            for message, frames in self._list.again():
                self._send(message, frames)
            self._untold = 0
            self._send(Taken(self._number, count))
            self._next = bundle + 1
            self._send_all()

    def printed(self, message: Outputs, frames: Sequence[Any]) -> None:
        """Ranks have printed something; some of it tasks."""
        for piece, frame in zip(message.pieces, frames, strict=True):
            _, task, number = piece.id.rpartition("/t")
            entry = self._list.sent.get(int(number)) if task else None
            if entry is not None:
                entry.future.output(piece, frame)

    def wake(self) -> None:
        """The connection changed: those who wait look at it."""
        with self._lock:
            left = self._list.unfinished()
        for entry in left:
            entry.future.wake()

    def close(self, why: BaseException) -> None:
        """Nothing will come any more."""
        with self._lock:
            self._closed = why
            left = self._list.clear()
            self._room.notify_all()
        for entry in left:
            entry.future.fail(HubUnreachable(str(why)))
            self._unshare(entry)
        self.callbacks.close()


LARGE = 1 << 20
"""Bytes of arguments that travel alone, where they are in one piece too."""


def _dumps(function: Any, call: Any) -> list[Any]:
    try:
        return payload.dumps(call)
    except Exception:
        payload.dumps_call(function, *call)  # says which argument it is
        raise


class Refresh:
    """Settles what has ended of a task's needs, when it is sent: the hub has forgotten
    what we have."""

    def __init__(
        self,
        function: Any,
        call: Any,
        awaited: list[TaskFuture],
        waiting: Waiting | None,
    ) -> None:
        self._function, self._call = function, call
        self.awaited = awaited
        self._waiting = waiting

    def __call__(self, entry: Entry) -> bool:
        """Whether the task can still run."""
        try:
            if any(future.done() for future in self.awaited):
                self._put_values(entry)
            left: Left = (None, None, ())
            if self._waiting is not None:
                left = self._waiting.settle()
        except Exception as error:  # noqa: BLE001  users' classes run here
            entry.future.fail(error)
            return False
        values = tuple([future.id for future in self.awaited])
        entry.needs = Needs(entry.task.id, *left, values)
        return True

    def _put_values(self, entry: Entry) -> None:
        self._call, self.awaited = settled(self._call, self.awaited)
        frames = _dumps(self._function, slotted(self._call))
        if len(frames) == 1:
            entry.task = msgspec.structs.replace(entry.task, body=frames[0])
        else:
            entry.frames = frames


def _note(future: TaskFuture, outcome: Outcome, now: float) -> None:
    future.status = outcome.status
    future.started, future.took = outcome.started, outcome.took
    future.received = now


def _settle(entry: Entry, outcome: Outcome, frames: list[Any]) -> None:
    future: TaskFuture = entry.future
    if outcome.status is TaskStatus.DONE:
        future.settle((make_value, frames), failed=False)
    elif outcome.status is TaskStatus.CANCELLED:
        future.end_cancelled()
    else:
        refresh = entry.refresh
        needed = refresh.awaited if isinstance(refresh, Refresh) else ()
        of = (outcome.status, frames[0], needed)
        future.settle((make_failure, of), failed=True)


def _split(message: RankOutcomes, frames: list[Any]) -> Iterable[list[Any]]:
    """The frames of each rank's value."""
    at = 0
    for place, outcome in enumerate(message.outcomes):
        count = message.parts[place] if message.parts else 0
        its = frames[at : at + count]
        at += count
        yield shm.take(outcome.store, its) if its else [outcome.body]

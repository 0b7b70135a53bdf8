"""A client's tasks until their outcomes are here: which are sent when, and sent again.

    waiting --next--> sent --outcome--> forgotten

Waiting tasks go in the order of their priority, as many at once as the hub allows. One
that needs others is never ahead of them: the hub must know what it is told of. What is
sent stays, to be sent again to a hub that was started anew. Pure: no clock, no socket.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from steer.wire.messages import (
    Functions,
    Message,
    Needs,
    RankTask,
    Store,
    Task,
    TaskOptions,
    Tasks,
)

PLAIN = TaskOptions()

MOST = 1000
"""Tasks in a bundle."""

HEAVY = 1 << 20
"""Bytes of arguments in a bundle."""

KNOWN = 256
"""So many of the functions used last does the hub keep for sure."""

Messages = Iterator[tuple[Message, Sequence[Any]]]


class Entry:
    """A task, with all that is needed to send it, also again."""

    __slots__ = (
        "frames", "function", "future", "level", "needs", "options", "refresh",
        "size", "store", "task",
    )  # fmt: skip

    def __init__(
        self,
        task: Task,
        function: bytes,
        options: TaskOptions,
        future: Any,
        *,
        frames: Sequence[Any] = (),
        store: Store | None = None,
        needs: Needs | None = None,
        refresh: Callable[[Entry], bool] | None = None,
    ) -> None:
        self.task = task
        self.function = function
        self.options = options
        self.future = future
        self.frames = frames
        self.store = store
        self.needs = needs
        self.refresh = refresh
        """Settles what has ended of its needs, whenever it is sent; says whether it can
        still run."""
        self.level = options.priority
        self.size = len(task.body) + sum(memoryview(f).nbytes for f in frames)
        if store is not None:
            self.size += store.size

    def needed(self) -> set[int]:
        """The tasks that it waits for."""
        needs = self.needs
        if needs is None:
            return set()
        ids = set(needs.values)
        for some in (needs.after, needs.follow):
            if some is not None:
                ids.update(some.ids)
        return ids


class TaskList:
    """The tasks of one client."""

    def __init__(self) -> None:
        self.allowed = 0
        """How many the hub lets us have sent."""
        self.allowed_size = 0
        self.waiting = 0
        self.sent: dict[int, Entry] = {}
        self.size = 0
        """Bytes of what is sent."""
        self.bytes_waiting = 0
        self._levels: dict[int, collections.deque[Entry]] = {}
        self._queued: dict[int, Entry] = {}
        """Those that wait and that others may need."""
        self._left = 0
        """Those withdrawn that still stand in a queue."""
        self._numbers: dict[TaskOptions, int] = {PLAIN: 0}
        self._known: collections.OrderedDict[bytes, None] = collections.OrderedDict()
        self.numbered = 0
        """How many numbers were given."""

    # -- what comes

    def new_id(self) -> int:
        """The number of a new task."""
        self.numbered += 1
        return self.numbered

    def number(self, options: TaskOptions) -> int:
        """The number of some options."""
        if options is PLAIN:
            return 0
        return self._numbers.setdefault(options, len(self._numbers))

    def add(self, entry: Entry) -> None:
        """A task waits to be sent."""
        for number in entry.needed() if entry.needs is not None else ():
            other = self._queued.get(number)
            if other is not None:
                entry.level = min(entry.level, other.level)
        queue = self._levels.get(entry.level)
        if queue is None:
            queue = self._levels[entry.level] = collections.deque()
        queue.append(entry)
        self._queued[entry.task.id] = entry
        self.waiting += 1
        self.bytes_waiting += entry.size

    def withdraw(self, number: int) -> Entry | None:
        """Take back one that was not sent; None if it was."""
        entry = self._unqueue(number)
        if entry is not None:
            self._left += 1
            if self._left > len(self._queued) + MOST:
                self._sweep()
        return entry

    def _unqueue(self, number: int) -> Entry | None:
        entry = self._queued.pop(number, None)
        if entry is not None:
            self.waiting -= 1
            self.bytes_waiting -= entry.size
        return entry

    def _sweep(self) -> None:
        """Let go of what was withdrawn, and of its arguments."""
        for level, queue in self._levels.items():
            there = (entry for entry in queue if entry.task.id in self._queued)
            self._levels[level] = collections.deque(there)
        self._left = 0

    def ended(self, number: int) -> Entry | None:
        """The outcome of a task is here; None if it was here before."""
        entry = self.sent.pop(number, None)
        if entry is not None:
            self.size -= entry.size
        return entry

    def allow(self, tasks: int, size: int) -> None:
        """The hub says how much we may have sent."""
        self.allowed, self.allowed_size = tasks, size

    def unfinished(self) -> list[Entry]:
        """All of them, oldest first."""
        found = {**self.sent, **self._queued}
        return [found[number] for number in sorted(found)]

    def clear(self) -> list[Entry]:
        """Forget all; returns what was unfinished."""
        left = self.unfinished()
        self.sent.clear()
        self._queued.clear()
        self._levels.clear()
        self.waiting = self.size = self.bytes_waiting = self._left = 0
        return left

    # -- what goes

    @property
    def ready(self) -> bool:
        """Whether something may be sent."""
        return bool(self.waiting) and self._has_room()

    def _has_room(self) -> bool:
        full = len(self.sent) >= self.allowed or self.size >= self.allowed_size
        return not full or (not self.sent and self.allowed > 0)

    def next(self) -> Messages:
        """The messages of a bundle, with their frames; they count as sent."""
        entries: list[Entry] = []
        size = 0
        while len(entries) < MOST and size < HEAVY and self.ready:
            entry = self._pop()
            if entry is None:
                break
            self.sent[entry.task.id] = entry
            self.size += entry.size
            size += entry.size
            entries.append(entry)
        yield from self._messages(entries, resent=False)

    def _pop(self) -> Entry | None:
        while self._levels:
            level = max(self._levels) if len(self._levels) > 1 else next(
                iter(self._levels)
            )  # fmt: skip
            queue = self._levels[level]
            while queue:
                entry = queue.popleft()
                if self._unqueue(entry.task.id) is not None:
                    return entry
                self._left -= 1
            del self._levels[level]
        return None

    def again(self) -> Messages:
        """All that was sent and not answered; functions may be lost too."""
        self._known.clear()
        yield from self._messages(list(self.sent.values()), resent=True)

    def _messages(self, entries: Iterable[Entry], *, resent: bool) -> Messages:
        bundle: list[Entry] = []
        size = 0
        for entry in entries:
            if entry.refresh is not None and not entry.refresh(entry):
                self.ended(entry.task.id)
                continue
            alone = bool(entry.frames) or entry.options.ranks > 0
            if bundle and (alone or len(bundle) >= MOST or size >= HEAVY):
                yield from self._bundle(bundle, resent)
                bundle, size = [], 0
            if alone:
                yield from self._alone(entry, resent)
            else:
                bundle.append(entry)
                size += entry.size
        if bundle:
            yield from self._bundle(bundle, resent)

    def _bundle(self, entries: list[Entry], resent: bool) -> Messages:
        yield from self._teach(entries)
        options = {
            entry.task.options: entry.options for entry in entries if entry.task.options
        }
        needs = tuple([e.needs for e in entries if e.needs is not None])
        tasks = tuple([entry.task for entry in entries])
        yield Tasks("", tasks, options, needs, resent=resent), ()

    def _alone(self, entry: Entry, resent: bool) -> Messages:
        yield from self._teach([entry])
        message = RankTask(
            "", entry.task, entry.options, entry.needs, store=entry.store, resent=resent
        )
        yield message, entry.frames

    def _teach(self, entries: Iterable[Entry]) -> Messages:
        """The functions that the hub may not have."""
        known = self._known
        new: dict[bytes, bytes] = {}
        for entry in entries:
            digest = entry.task.function
            if digest in known:
                if len(known) > 1:
                    known.move_to_end(digest)
            else:
                known[digest] = None
                new[digest] = entry.function
                if len(known) > KNOWN:
                    known.popitem(last=False)
        if new:
            yield Functions(tuple(new)), list(new.values())

"""Tasks that wait for others: `after`, `follow`, and futures as arguments.

A task is counted down, not looked at again: each task that ends tells its dependents,
which note one more that went well or not. A failure goes on to those that it makes
hopeless, one after the other and without recursion, so that a chain may be as
long as it likes.

`after` and `follow` mean what ipyparallel means by them: *all* or *any* of some tasks,
ended by *success*, by *failure*, or either way. `follow` also binds the task to the
engines where these ran: with *all* to the one engine where all of them did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from steer.core.taskstate import Client, Count, Place, Record
from steer.core.tasktables import Alarm, Tables
from steer.wire.messages import Dependency, Needs, Outcome, TaskStatus

FAR = 65536
"""Bytes of a result from which on a task that needs it prefers the engine that has
it."""


class Dependencies:
    """Who waits for whom."""

    def __init__(self, tables: Tables, start: Callable[[Record], None]) -> None:
        self.tables = tables
        self._start = start

    def admit(self, client: Client, record: Record, needs: Needs) -> None:
        """A task comes that needs others first."""
        extra = record.more()
        extra.needs = needs
        record.place = Place.WAITING
        awaited = dict.fromkeys(_ids(needs))
        unknown = [i for i in awaited if i not in client.tasks or i == record.task.id]
        if unknown:
            self.tables.fail(
                record,
                TaskStatus.INVALID,
                f"task {unknown[0]}, which it waits for, is not known here; "
                "name tasks of this client",
            )
            return
        extra.after = _count(needs.after)
        extra.follow = _count(needs.follow)
        extra.where = list(needs.where)
        extra.missing = len(set(needs.values))
        if record.options.wait is not None:
            when = self.tables.now + record.options.wait
            self.tables.alarm(when, Alarm.WAITED, (client.name, record.task.id))
        for number in awaited:
            other = client.tasks[number]
            if other.place is not Place.DONE:
                other.more().dependents.append(record.task.id)
            elif not self._note(record, other):
                return
        self._go_on(record)

    def spread(self) -> None:
        """Tell those that wait for what has ended in this step."""
        ended = self.tables.ended
        while ended:
            other = ended.popleft()
            extra = other.more()
            dependents, extra.dependents = extra.dependents, []
            tasks = self.tables.client(other.client).tasks
            for number in dependents:
                record = tasks.get(number)
                if record is None or record.place is not Place.WAITING:
                    continue
                if self._note(record, other):
                    self._go_on(record)

    def _note(self, record: Record, other: Record) -> bool:
        """One that it waits for has ended; says whether it may still run."""
        extra, needs, outcome = record.more(), record.more().needs, other.outcome
        assert needs is not None
        assert outcome is not None
        ok = outcome.status == TaskStatus.DONE
        number = other.task.id
        if number in needs.values:
            if not ok or other.options.ranks:
                self._failed(record, other, ok)
                return False
            extra.values[number] = outcome
            extra.missing -= 1
            if _size(outcome) >= FAR:
                extra.near = other.engine
        if needs.after is not None and extra.after and number in needs.after.ids:
            extra.after.ended(ok)
        if needs.follow is not None and extra.follow and number in needs.follow.ids:
            extra.follow.ended(ok)
            if other.engine >= 0:
                extra.where.append(other.engine)
        for count in (extra.after, extra.follow):
            if count is not None and count.hopeless:
                how = "ended well" if ok else "failed"
                self.tables.fail(
                    record,
                    TaskStatus.IMPOSSIBLE,
                    f"task {number}, which it waits for, {how}: "
                    "what it waits for can not come any more",
                )
                return False
        return True

    def _failed(self, record: Record, other: Record, ok: bool) -> None:
        if ok:
            why = "ran on several ranks; wait for it, and pass what it returned"
        else:
            why = "failed; its exception says why"
        self.tables.fail(
            record,
            TaskStatus.DEPENDENCY,
            f"task {other.task.id}, whose result is an argument, {why}",
        )

    def _go_on(self, record: Record) -> None:
        """Start it if nothing is missing any more."""
        extra = record.more()
        if extra.missing or not all(
            count is None or count.met for count in (extra.after, extra.follow)
        ):
            return
        follow = extra.needs.follow if extra.needs else None
        if follow is not None and extra.where:
            places = frozenset(extra.where)
            if follow.all and len(places) > 1:
                self.tables.fail(
                    record,
                    TaskStatus.IMPOSSIBLE,
                    f"what it follows ran on engines {sorted(places)}, and it can "
                    "run on one only; follow one of them, or any",
                )
                return
            mine = extra.targets
            extra.targets = places if mine is None else places & mine
        self._start(record)

    def waited(self, record: Record) -> None:
        """A task may have waited for others for too long."""
        if record.place is Place.WAITING:
            self.tables.fail(
                record,
                TaskStatus.TIMED_OUT,
                f"it waited {record.options.wait:g} s for other tasks; "
                "give it more time, or look at what they do",
            )


def _ids(needs: Needs) -> Iterable[int]:
    for dependency in (needs.after, needs.follow):
        if dependency is not None:
            yield from dependency.ids
    yield from needs.values


def _count(dependency: Dependency | None) -> Count | None:
    if dependency is None:
        return None
    return Count(
        len(set(dependency.ids)),
        dependency.all,
        dependency.success,
        dependency.failure,
    )


def _size(outcome: Outcome) -> int:
    return len(outcome.body) + (outcome.store.size if outcome.store else 0)

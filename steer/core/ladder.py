"""Ending a task that is with an engine: asked back, interrupted, killed.

Cancelled, or over its limit of run time::

    held --asked back--> given back: it ends here
         --kept: it has begun--> interrupted --PATIENCE--> its engine is killed

A cancel that was not meant for running tasks stops at the second line, and the client
hears that the task goes on. Whatever the task answers meanwhile ends the matter: a
value that came in time is a value, an exception counts as what it was to end as.
"""

from __future__ import annotations

from steer.core.dispatch import Dispatch
from steer.core.gang import PATIENCE
from steer.core.taskevents import InterruptRun, KillEngine, TellUncancelled
from steer.core.taskstate import Place, Record
from steer.core.tasktables import Alarm, Tables
from steer.wire.messages import TaskStatus

WORDS = {
    TaskStatus.CANCELLED: "was cancelled",
    TaskStatus.OVERRAN: "ran longer than it may; give it more time with timeout=",
}


class Ladder:
    """The tasks that have to end."""

    def __init__(self, tables: Tables, dispatch: Dispatch) -> None:
        self.tables = tables
        self.dispatch = dispatch

    def cancel(self, record: Record, running: bool) -> None:
        """Its client does not want it any more."""
        if record.place is Place.DONE:
            return
        if record.place in (Place.HELD, Place.AWAY):
            extra = record.more()
            if extra.doom is None or running:
                extra.doom = TaskStatus.CANCELLED
            gang = record.engine < 0 or record.place is Place.AWAY
            if gang:
                self.kept(record, running)
            else:
                extra.step = max(extra.step, int(running))
                engine = self.tables.engines[record.engine]
                self.dispatch.recall(engine, [record])
            return
        if record.place is Place.READY and not record.options.ranks:
            self.dispatch.drop(record)
        self.end(record, TaskStatus.CANCELLED)

    def end(self, record: Record, status: TaskStatus) -> None:
        """It has ended as it had to."""
        self.tables.fail(record, status, f"task {record.task.id} {WORDS[status]}")

    def kept(self, record: Record, running: bool) -> None:
        """It has begun: interrupt it if that is wanted."""
        extra = record.more()
        if not running:
            extra.doom = None
            ids = (record.task.id,)
            self.tables.actions.append(TellUncancelled(record.client, ids))
            return
        self.interrupt(record)

    def overran(self, record: Record) -> None:
        """It may have run for longer than its limit."""
        extra, limit = record.more(), record.options.timeout
        if record.place not in (Place.HELD, Place.AWAY) or extra.since is None:
            return
        if limit is None or self.tables.now < extra.since + limit - 1e-9:
            return  # it was started again since
        if extra.doom is None:
            extra.doom = TaskStatus.OVERRAN
            self.interrupt(record)

    def interrupt(self, record: Record) -> None:
        """Interrupt it where it runs; the next rung waits."""
        key = (record.client, record.task.id)
        if record.more().step >= 2:
            return
        record.more().step = 2
        self.tables.actions += [InterruptRun(e, *key) for e in self._where(record)]
        self.tables.alarm(self.tables.now + PATIENCE, Alarm.LADDER, key)

    def next(self, record: Record) -> None:
        """It was interrupted a while ago."""
        extra = record.more()
        if record.place not in (Place.HELD, Place.AWAY) or extra.doom is None:
            return
        why = f"task {record.task.id} {WORDS[extra.doom]}, and did not stop"
        self.tables.actions += [KillEngine(e, why) for e in self._where(record)]

    def _where(self, record: Record) -> list[int]:
        if record.engine >= 0:
            return [record.engine]
        gang = record.more().gang
        assert gang is not None
        return [e for e in gang.engines if e not in gang.outcomes]

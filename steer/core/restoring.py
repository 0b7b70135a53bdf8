"""After the hub was started anew: who has which task.

Clients send again what was not answered, engines say what they hold, in any order. A
task that was sent again is in *limbo* until it is known that no engine has it: the
engine that claims it keeps it, its outcome may even come before the task, and when the
time for coming back is over what nobody claimed starts like a new one. The shell tells
`Scheduler` how long that time is; none for a hub that has no past.
"""

from __future__ import annotations

from steer.core.dispatch import PREFETCH
from steer.core.taskevents import Key
from steer.core.taskstate import Engine, Place, Record
from steer.wire.messages import Outcome


class Restoring:
    """What engines said about tasks that their clients have not sent again."""

    def __init__(self, until: float | None) -> None:
        self.until = until
        self.claims: dict[Key, int] = {}
        self.orphans: dict[Key, tuple[int, Outcome]] = {}
        self.limbo: dict[int, Record] = {}

    def claim(self, engine: int, key: Key) -> None:
        """An engine has a task that no client has sent yet."""
        if self.until is not None:
            self.claims[key] = engine

    def orphan(self, engine: int, client: str, outcome: Outcome) -> bool:
        """An outcome came before its task; says whether it is kept."""
        if self.until is None:
            return False
        self.claims.pop((client, outcome.id), None)
        self.orphans[client, outcome.id] = (engine, outcome)
        return True

    def known(self, record: Record) -> tuple[int, Outcome] | None:
        """The outcome of a task that is sent again, if it is there."""
        return self.orphans.pop((record.client, record.task.id), None)

    def place(self, record: Record, engines: dict[int, Engine]) -> bool:
        """Where a task is that is sent again; says whether it must not start now."""
        engine = self.claims.pop((record.client, record.task.id), -1)
        if engine in engines:
            hold(record, engines[engine])
            return True
        if self.until is None:
            return False
        record.place = Place.LIMBO
        self.limbo[record.number] = record
        return True

    def gone(self, engine: int) -> None:
        """What this engine had, it has no more."""
        self.claims = {k: e for k, e in self.claims.items() if e != engine}

    def over(self) -> list[Record]:
        """The time is over: returns what has to start."""
        self.until = None
        left = [r for r in self.limbo.values() if r.place is Place.LIMBO]
        self.limbo.clear()
        return left


def hold(record: Record, engine: Engine) -> None:
    """Book a task on the engine that says that it has it."""
    record.place = Place.HELD
    record.engine = engine.id
    record.expected = record.function.mean or PREFETCH
    record.last = True
    engine.held[record.number] = record
    engine.load += record.expected
    engine.bundles += 1

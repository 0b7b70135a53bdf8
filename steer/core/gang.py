"""Tasks that several ranks of one world run together.

They start when enough ranks of one world idle, on one host if that is possible. If
they do not idle, the first such task *reserves* ranks, which get nothing new except
what is expected to end in half the time until the last of them is free; so it starts
as early as it can, and no stream of small tasks holds it up for ever. Those behind it
start before it only on ranks that it did not reserve.

Each rank answers for itself. When one fails, the others may wait for it inside
MPI for ever: after GRACE they are unstuck, and killed if that does not help.
"""

from __future__ import annotations

import heapq

from steer.core.dispatch import PREFETCH, Dispatch
from steer.core.taskevents import GiveRanks, KillEngine, UnstickRanks
from steer.core.taskstate import Engine, Gang, Place, Record
from steer.core.tasktables import Alarm, Tables
from steer.wire.messages import TAGS, Outcome, TaskStatus

GRACE = 0.3
"""Seconds between the first failure of a rank and the rescue of the others."""

PATIENCE = 5.0
"""Seconds that a rescue or an interrupt may take before the process is killed."""

JOINING = 10.0
"""Seconds in which the ranks of a world join."""

LOOK = 8
"""Tasks behind the first that are tried."""


class Gangs:
    """The tasks of several ranks that wait or run."""

    def __init__(self, tables: Tables, dispatch: Dispatch) -> None:
        self.tables = tables
        self.dispatch = dispatch
        self.queue: list[tuple[int, int, Record]] = []
        self._reserved: dict[int, Engine] = {}
        self._for: Record | None = None
        self._tags: dict[int, int] = {}
        self._tag = 0

    def ready(self, record: Record) -> None:
        """A task of several ranks may start."""
        if self._refuse(record):
            return
        record.place = Place.READY
        record.engine = -1
        record.more().gang = Gang()
        heapq.heappush(self.queue, (-record.options.priority, record.number, record))
        if record.options.ranks > self._biggest(record):
            self.changed()

    def _refuse(self, record: Record, joining: bool = True) -> bool:
        """Fail it if no world is large enough, unless one may still come."""
        engines = self.tables.engines
        biggest = self._biggest(record)
        wanted = record.options.ranks
        if not engines or wanted <= biggest:
            return False
        if joining and wanted <= max(e.size for e in engines.values()):
            return False
        self.tables.fail(
            record,
            TaskStatus.IMPOSSIBLE,
            f"it asks for {record.options.ranks} ranks, and the largest world has "
            f"{biggest}; ask for fewer, or start a larger one",
        )
        return True

    def _biggest(self, record: Record) -> int:
        """How many ranks the largest world has that it may run on."""
        return max((len(w) for w in self._worlds(record).values()), default=0)

    def _worlds(self, record: Record) -> dict[str, list[Engine]]:
        worlds: dict[str, list[Engine]] = {}
        targets = record.more().targets
        for engine in self.tables.engines.values():
            if targets is None or engine.id in targets:
                worlds.setdefault(engine.world, []).append(engine)
        return worlds

    # -- starting

    def serve(self) -> None:
        """Start what can start; reserve for the first that cannot."""
        if not self.queue:
            return
        waiting: list[tuple[int, int, Record]] = []
        while self.queue and len(waiting) <= LOOK:
            entry = heapq.heappop(self.queue)
            record = entry[2]
            if record.place is not Place.READY:
                continue
            if not self._try(record, first=not waiting):
                waiting.append(entry)
        for entry in waiting:
            heapq.heappush(self.queue, entry)
        if not waiting:
            self._let_go()

    def _try(self, record: Record, first: bool) -> bool:
        number = record.options.ranks
        if first and self._for is record:
            if len(self._reserved) == number:
                if any(e.held for e in self._reserved.values()):
                    self._backfill()
                    return False
                self._start(record, list(self._reserved.values()))
                return True
            self._let_go()
        if len(self.dispatch.idle) >= number:
            best = self._choose(record, idle=True)
            if best:
                self._start(record, best)
                return True
        if first:
            self._let_go()
            best = self._choose(record, idle=False)
            if best and not any(e.held for e in best):
                self._start(record, best)  # they were reserved for another
                return True
            self._reserve(record, best)
        return False

    def _choose(self, record: Record, idle: bool) -> list[Engine]:
        """The best ranks for it: of those that idle, or of all."""
        number = record.options.ranks
        best: list[Engine] = []
        cost: tuple[float, int] = (0.0, 0)
        for members in self._worlds(record).values():
            able = [
                e for e in members if (e.id in self.dispatch.idle if idle else True)
            ]
            if len(able) < number:
                continue
            hosts: dict[str, list[Engine]] = {}
            for engine in able:
                hosts.setdefault(engine.host, []).append(engine)
            fitting = [h for h in hosts.values() if len(h) >= number]
            for crowd in fitting or [able]:
                chosen = sorted(crowd, key=lambda e: (self._until(e), e.id))[:number]
                price = (max(map(self._until, chosen)), 0 if fitting else 1)
                if not best or price < cost:
                    best, cost = chosen, price
        return sorted(best, key=lambda e: e.id)

    def _until(self, engine: Engine) -> float:
        """When it is expected to be free."""
        return max(engine.heard + engine.load, self.tables.now) if engine.held else 0.0

    def _reserve(self, record: Record, engines: list[Engine]) -> None:
        self._for = record if engines else None
        for engine in engines:
            engine.reserved = record.number
            self._reserved[engine.id] = engine
            mine = [r for r in list(engine.held.values())[1:] if _movable(r)]
            if mine and not engine.asked:
                self.dispatch.recall(engine, mine)
            self.dispatch.settle(engine)
        self._backfill()

    def _let_go(self) -> None:
        self._for = None
        for engine in self._reserved.values():
            engine.reserved = -1
            if engine.id in self.tables.engines:
                self.dispatch.settle(engine)
                self.dispatch.fill(engine)
        self._reserved.clear()

    def _backfill(self) -> None:
        """Let reserved ranks run what ends before the last of them is free."""
        last = max(map(self._until, self._reserved.values()), default=0.0)
        spare = (last - self.tables.now) / 2
        if spare < PREFETCH:
            return
        for engine in self._reserved.values():
            if not engine.held:
                self.dispatch.fill(engine, within=spare)

    def _start(self, record: Record, engines: list[Engine]) -> None:
        extra = record.more()
        record.place = Place.HELD
        record.engine = -2
        record.expected = record.function.mean or PREFETCH
        engines.sort(key=lambda e: e.id)
        extra.gang = Gang(tuple(e.id for e in engines))
        for engine in engines:
            engine.reserved = -1
            self._reserved.pop(engine.id, None)
            engine.held[record.number] = record
            engine.heard = self.tables.now
            engine.load += record.expected
            engine.bundles += 1
            self.dispatch.settle(engine)
        if self._for is record:
            self._for = None
        self._new_tag(record)
        self.tables.actions.append(self._give(record))

    def _give(self, record: Record, again: bool = False) -> GiveRanks:
        extra = record.more()
        assert extra.gang is not None
        tag = next(t for t, number in self._tags.items() if number == record.number)
        return GiveRanks(
            extra.gang.engines,
            record.client,
            record.task,
            record.options,
            tag,
            dict(extra.values),
            again,
        )

    def _new_tag(self, record: Record) -> None:
        while self._tag in self._tags:
            self._tag = (self._tag + 1) % TAGS
        self._tags[self._tag] = record.number
        self._tag = (self._tag + 1) % TAGS

    # -- ending

    def ended(self, record: Record, engine: Engine, outcome: Outcome) -> bool:
        """A rank says how it ended; says whether that was the last of them."""
        gang = record.more().gang
        if gang is None or engine.id not in gang.engines or engine.id in gang.outcomes:
            return False
        gang.outcomes[engine.id] = outcome
        self.dispatch.release(engine, record)
        if outcome.status == TaskStatus.DONE:
            record.function.measured(outcome.took)
        elif gang.failed is None:
            gang.failed = self.tables.now
            key = (record.client, record.task.id)
            self.tables.alarm(self.tables.now + GRACE, Alarm.UNSTICK, key)
        if len(gang.outcomes) < len(gang.engines):
            return False
        for tag in self._tags_of(record):
            del self._tags[tag]
        return True

    def _tags_of(self, record: Record) -> list[int]:
        return [tag for tag, number in self._tags.items() if number == record.number]

    def lost_rank(self, record: Record) -> None:
        """After a cut an engine has not got it: give it again, the others drop it."""
        if self._tags_of(record):  # or it is from the time of an earlier hub
            self.tables.actions.append(self._give(record, again=True))

    def regrouped(self, record: Record, gang: Gang) -> bool:
        """A task was found on its ranks after a restart; says whether all ended."""
        if any(o.status != TaskStatus.DONE for o in gang.outcomes.values()):
            gang.failed = self.tables.now
            key = (record.client, record.task.id)
            self.tables.alarm(self.tables.now + GRACE, Alarm.UNSTICK, key)
        return all(e in gang.outcomes for e in gang.engines)

    def unstick(self, record: Record) -> None:
        """One rank failed a while ago: help those that did not answer since."""
        gang = record.more().gang
        if gang is None or gang.failed is None or record.place is not Place.HELD:
            return
        stuck = tuple(e for e in gang.engines if e not in gang.outcomes)
        if self.tables.now < gang.failed + GRACE - 1e-9 or not stuck:
            return
        key = (record.client, record.task.id)
        if self.tables.now < gang.failed + GRACE + PATIENCE - 1e-9:
            self.tables.actions.append(UnstickRanks(stuck, *key))
            when = gang.failed + GRACE + PATIENCE
            self.tables.alarm(when, Alarm.UNSTICK, key)
            return
        why = f"a rank of task {record.task.id} failed, and this one stayed stuck in it"
        self.tables.actions.extend(KillEngine(e, why) for e in stuck)

    def gone(self, engine: Engine) -> None:
        """An engine is no more."""
        if self._reserved.pop(engine.id, None) is not None:
            self._let_go()
        self.changed()

    def changed(self) -> None:
        """Engines came or went: look in a while whether each task can still start."""
        if self.queue:
            self.tables.alarm(self.tables.now + JOINING, Alarm.JOINED, ("", 0))

    def joined(self) -> None:
        """Who wanted to join has had time to."""
        for _, _, record in list(self.queue):
            if record.place is Place.READY:
                self._refuse(record, joining=False)

    def check(self) -> None:
        """Assert that reservations are for a task that waits."""
        if self._reserved:
            assert self._for is not None
            assert self._for.place is Place.READY
            assert len(self._reserved) == self._for.options.ranks
        for engine in self.tables.engines.values():
            assert (engine.reserved >= 0) == (engine.id in self._reserved)


def _movable(record: Record) -> bool:
    extra = record.extra
    return extra is None or (extra.targets is None and extra.gang is None)

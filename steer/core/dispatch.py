"""Which tasks go to which engine, how many at a time, and which come back.

Messages cost, not tasks. So an engine gets bundles that hold TARGET seconds of work by
the measured run time of its functions, and a second bundle while it works on the first:
it never waits for the hub, and tasks that come meanwhile gather for its next one. A
function that was never measured goes alone, one to an engine. What an engine holds and
has not begun is taken back when others idle, if the engine is late or has much.

Nothing here looks at all engines or at all tasks: `idle`, `room` and `laden` are kept
up to date by `settle`, once a bundle.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from steer.core.begun import Begun
from steer.core.depth import DEEP, SHALLOW
from steer.core.shares import Pool
from steer.core.taskevents import Give, TakeBack
from steer.core.taskstate import LOWEST, Engine, Place, Record
from steer.core.tasktables import Alarm, Tables
from steer.wire.messages import Outcome, Task, TaskOptions, TaskStatus

TARGET = 0.004
"""Seconds of work in a bundle."""

LEAST = 0.0005
"""Seconds of work that are not worth splitting among engines."""

MOST = 1000
"""Tasks in a bundle."""

PREFETCH = 0.02
"""An engine with more seconds of work than these gets no second bundle: against them
a round trip is nothing."""

WORTH = 0.002
"""Seconds of waiting that make taking back worth its messages."""

SCANNED = 16
"""Engines that are looked at, at a time, for what could be taken back."""

_NOBODY: frozenset[int] = frozenset()
_Shape = tuple[frozenset[int] | None, frozenset[int], int]


class Dispatch:
    """The ready tasks and the engines' room."""

    def __init__(self, tables: Tables) -> None:
        self.begun = Begun(tables)
        self.tables = tables
        self.plain = Pool()
        self.pools: dict[_Shape, Pool] = {}
        """Those of tasks with conditions, while anything waits in them."""
        self._bound: dict[int, dict[_Shape, Pool]] = {}
        self._wide: dict[_Shape, Pool] = {}
        self._near: dict[int, Pool] = {}
        self.idle: dict[int, Engine] = {}
        self.room: dict[int, Engine] = {}
        self.laden: dict[int, Engine] = {}
        self._look = 0.0
        self.filled = 0
        """Bundles given in this step: who has one leaves the rest to others."""
        self.fresh: dict[Pool, None] = {}
        """Pools that got tasks in this step."""

    # -- tasks become ready, or do not want to be any more

    def ready(self, record: Record, front: bool = False) -> None:
        """A task may start."""
        record.place = Place.READY
        record.engine = -1
        extra = record.extra
        pool: Pool | None = self.plain
        if extra is not None:
            pool = self._pool(record)
        if pool is not None:
            pool.push(record, front)
            self.fresh[pool] = None

    def drop(self, record: Record) -> None:
        """A ready task shall not start."""
        extra = record.extra
        shape = extra.pool if extra is not None else None
        pool = self.plain if shape is None else self.pools[shape]
        pool.husk(record)
        self._tidy(pool)

    def _pool(self, record: Record) -> Pool | None:
        """The pool for this task; None if no engine is left that may run it."""
        extra, engines = record.more(), self.tables.engines
        extra.pool = None
        avoid = extra.unmet
        if extra.targets is not None:
            left = [e for e in extra.targets if e in engines and e not in extra.unmet]
            if not left:
                self._impossible(record)
                return None
            if any(e not in extra.avoid for e in left):
                avoid |= extra.avoid
        else:
            here = sum(e in engines for e in extra.unmet)
            if here and here == len(engines):
                self._impossible(record)
                return None
            both = extra.unmet | extra.avoid
            if sum(e in engines for e in both) < len(engines):
                avoid = both
        near = extra.near if extra.near in engines else -1
        if extra.targets is not None or avoid:
            near = -1
        elif near < 0:
            return self.plain
        extra.pool = shape = (extra.targets, avoid, near)
        return self.pools.get(shape) or self._open(shape)

    def _open(self, shape: _Shape) -> Pool:
        targets, avoid, near = shape
        pool = self.pools[shape] = Pool(targets, avoid, near)
        if targets is not None:
            for engine in sorted(targets):
                self._bound.setdefault(engine, {})[shape] = pool
        elif near >= 0:
            self._near[near] = pool
        else:
            self._wide[shape] = pool
        return pool

    def _tidy(self, pool: Pool) -> None:
        """Close a pool in which nothing waits."""
        if pool.live or pool is self.plain:
            return
        shape = (pool.targets, pool.avoid, pool.near)
        if self.pools.pop(shape, None) is None:
            return
        self.fresh.pop(pool, None)
        self._wide.pop(shape, None)
        if pool.near >= 0:
            self._near.pop(pool.near, None)
        for engine in pool.targets or ():
            pools = self._bound[engine]
            del pools[shape]
            if not pools:
                del self._bound[engine]

    def _impossible(self, record: Record) -> None:
        extra = record.more()
        if extra.unmet:
            why = "no engine meets what the task requires; see its requirements"
        else:
            why = "the engines that the task may run on are gone; submit it for others"
        self.tables.fail(record, TaskStatus.IMPOSSIBLE, why)

    # -- engines

    def settle(self, engine: Engine) -> None:
        """What an engine holds has changed."""
        number, held = engine.id, engine.held
        away = engine.away
        may = engine.reserved < 0 and len(away) < DEEP
        engine.floor = LOWEST
        if len(away) >= SHALLOW:
            engine.floor = next(reversed(away.values())).options.priority
        if not held:
            engine.load, engine.bundles = 0.0, 0
            engine.asked.clear()
            self.room.pop(number, None)
            self.laden.pop(number, None)
            if may:
                self.idle[number] = engine
            else:
                self.idle.pop(number, None)
            return
        self.idle.pop(number, None)
        if len(held) > 1:
            self.laden[number] = engine
        else:
            self.laden.pop(number, None)
        if may and engine.bundles < 2 and engine.load < PREFETCH:
            self.room[number] = engine
        else:
            self.room.pop(number, None)
        front = next(iter(held.values()))
        if front.number != engine.oldest:
            self.begun.note(engine, front.number)
        if front.options.timeout is not None:
            self.clock(front)

    def clock(self, record: Record) -> None:
        """A task with a limit to its run time has begun."""
        extra, limit = record.more(), record.options.timeout
        if extra.since is None and limit is not None:
            extra.since = self.tables.now
            when = self.tables.now + limit
            self.tables.alarm(when, Alarm.RAN, (record.client, record.task.id))

    def release(self, engine: Engine, record: Record) -> None:
        """An engine holds a task no longer."""
        if engine.held.pop(record.number, None) is None:
            engine.away.pop(record.number, None)
            return
        engine.load -= record.expected
        if record.last or record.engine < 0:
            record.last = False
            engine.bundles -= 1

    def gone(self, engine: Engine) -> None:
        """An engine is no more: tasks may have lost their last."""
        for table in (self.idle, self.room, self.laden):
            table.pop(engine.id, None)
        for pool in list(self.pools.values()):
            moved = list(pool.drain())
            self._tidy(pool)
            for record in moved:
                self.ready(record)

    # -- the turn

    def serve(self) -> None:
        """Give engines what became ready."""
        while self.fresh:
            pool = next(iter(self.fresh))
            while pool.live:
                engine = self._engine(pool)
                if engine is None or not self.fill(engine):
                    break
            self.fresh.pop(pool, None)

    def _engine(self, pool: Pool) -> Engine | None:
        """An engine with room for this pool's tasks: one that idles, if any."""
        top = pool.priority()
        if pool.targets is not None:
            mine = [e for e in sorted(pool.targets) if e not in pool.avoid]
            for table in (self.idle, self.room):
                for number in mine:
                    if number in table and self._takes(table[number], top):
                        return table[number]
            return None
        for table in (self.idle, self.room):
            if pool.near in table and self._takes(table[pool.near], top):
                return table[pool.near]
        for number, engine in self.idle.items():
            if number not in pool.avoid and engine.floor < top:
                return engine
        late, found = [], None
        for number, engine in self.room.items():
            if self._late(engine):
                late.append(number)
            elif number not in pool.avoid and engine.floor < top:
                found = engine
                break
        for number in late:  # its next sign brings it back
            del self.room[number]
        return found

    def _takes(self, engine: Engine, priority: int) -> bool:
        return engine.floor < priority and not self._late(engine)

    def _late(self, engine: Engine) -> bool:
        return bool(engine.held) and (
            self.tables.now > engine.heard + engine.load + WORTH
        )

    def fill(self, engine: Engine, within: float | None = None) -> bool:
        """Give an engine a bundle; says whether there was anything for it.

        With `within` only what was measured, and is expected to end by then.
        """
        batch: list[Record] = []
        work, limit = 0.0, TARGET
        engines = max(1, len(self.tables.engines) - self.filled)
        share = 0
        number, held = engine.id, engine.held
        while work < limit and len(batch) < MOST:
            pool = self._best(number)
            if pool is None:
                break
            level = pool.first()
            share = share or -(-level.live // engines)
            while level.live and work < limit and len(batch) < MOST:
                if work >= LEAST and len(batch) >= share:
                    break
                pool.live -= 1
                record = level.take()
                expected = record.function.mean or PREFETCH
                if (
                    record.extra is not None and self._apart(record, engine, batch)
                ) or (
                    within is not None
                    and (not record.function.mean or work + expected > within)
                ):
                    pool.push(record, front=True)
                    limit = 0.0
                    break
                record.place = Place.HELD
                record.engine = number
                record.expected = expected
                batch.append(record)
                work += expected
            self._tidy(pool)
            if work >= LEAST and len(batch) >= share:
                break
        if not batch:
            return False
        if not held:
            engine.heard = self.tables.now
        for record in batch:
            held[record.number] = record
        batch[-1].last = True
        engine.bundles += 1
        engine.load += work
        self.filled += 1
        self._give(engine, batch)
        self.settle(engine)
        return True

    def _apart(self, record: Record, engine: Engine, batch: Sequence[Record]) -> bool:
        """Whether a task that wants to be alone would not be."""
        extra = record.more()
        return extra.alone and bool(batch or engine.held)

    def _best(self, engine: int) -> Pool | None:
        """The pool with the highest priority for this engine; of equals the one with
        the fewest engines to choose from."""
        best: Pool | None = None
        top = floor = self.tables.engines[engine].floor
        if self.plain.live and self.plain.priority() > floor:
            best, top = self.plain, self.plain.priority()
        if not self.pools:
            return best
        own = self._near.get(engine)
        bound = self._bound.get(engine, {})
        for pool in itertools.chain(
            (own,) if own else (), self._wide.values(), bound.values()
        ):
            if pool.live and engine not in pool.avoid:
                priority = pool.priority()
                if priority > floor and (best is None or priority >= top):
                    best, top = pool, priority
        if best is None:
            for pool in self._near.values():
                if pool.priority() > floor:
                    return pool
        return best

    def _give(self, engine: Engine, batch: Sequence[Record]) -> None:
        client = batch[0].client
        tasks: list[Task] = []
        options: dict[int, TaskOptions] = {}
        values: dict[int, Outcome] = {}
        actions = self.tables.actions
        for record in batch:
            if record.client != client:
                actions.append(Give(engine.id, client, tasks, options, values))
                client, tasks, options, values = record.client, [], {}, {}
            task = record.task
            tasks.append(task)
            if task.options:
                options[task.options] = record.options
            if record.extra is not None:
                values.update(record.extra.values)
        actions.append(Give(engine.id, client, tasks, options, values))

    # -- taking back

    def steal(self) -> None:
        """Engines idle and nothing is ready for them: take back from a laden one."""
        now, soon = self.tables.now, 0.0
        wanted, floor = len(self.idle), self._lowest_floor()
        for engine in list(itertools.islice(self.laden.values(), SCANNED)):
            if not wanted:
                return
            del self.laden[engine.id]  # its next sign brings it back
            if engine.asked:
                continue
            due = engine.heard + engine.load
            if now > due + WORTH:
                mine = list(self._behind(engine, floor))  # its first one runs for long
            elif due - now > WORTH:
                mine = list(self._behind(engine, floor))
                mine = mine[len(mine) // 2 :] if len(mine) > 1 else mine
            else:
                soon = min(soon or due + 2 * WORTH, due + 2 * WORTH)
                self.laden[engine.id] = engine
                continue
            if mine:
                wanted -= 1
                self.recall(engine, mine)
        if wanted and len(self.laden) > SCANNED:
            soon = now + WORTH
        if soon and not (now < self._look <= soon):
            self._look = soon
            self.tables.alarm(soon, Alarm.LOOK, ("", 0))

    def _lowest_floor(self) -> int:
        """What those that idle may all not run."""
        lowest = -LOWEST
        for engine in self.idle.values():
            if engine.floor == LOWEST:
                return LOWEST
            lowest = min(lowest, engine.floor)
        return lowest

    def _behind(self, engine: Engine, floor: int) -> Iterator[Record]:
        """What an engine holds behind its first, and others could run as well."""
        for record in itertools.islice(engine.held.values(), 1, None):
            extra = record.extra
            if record.options.priority <= floor:
                continue
            if extra is None or (
                extra.targets is None and extra.doom is None and extra.gang is None
            ):
                yield record

    def recall(self, engine: Engine, records: Sequence[Record]) -> None:
        """Ask for these back."""
        by_client: dict[str, list[int]] = {}
        for record in records:
            engine.asked.add(record.number)
            by_client.setdefault(record.client, []).append(record.task.id)
        for client, ids in by_client.items():
            self.tables.actions.append(TakeBack(engine.id, client, ids))

    def check(self) -> None:
        """Assert that the tables tell the truth, and that no engine idles in vain."""
        assert not self.fresh
        for pool in (self.plain, *self.pools.values()):
            pool.check()
        for shape, pool in self.pools.items():
            assert pool.live, shape
        for engine in self.tables.engines.values():
            may = engine.reserved < 0 and len(engine.away) < DEEP
            assert (engine.id in self.idle) == (may and not engine.held)
            assert not (engine.id in self.idle and self._best(engine.id))
            assert engine.id not in self.laden or len(engine.held) > 1
            bundles = sum(r.last or r.engine < 0 for r in engine.held.values())
            assert engine.bundles == bundles, engine.held
            assert abs(
                engine.load - sum(r.expected for r in engine.held.values())
            ) < 1e-6 * (1 + len(engine.held))
        assert {*self.idle, *self.room, *self.laden} <= set(self.tables.engines)

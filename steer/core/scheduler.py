"""Which task runs where and when: the task farm, without clocks and sockets.

`handle(event, now)` says what to do; `deadline()` when to come back with a Tick. The
parts have an idea each: `shares` whose turn it is, `dispatch` what goes to which
engine, `dependencies` who waits for whom, `gang` tasks of several ranks, `ladder` how
a task is ended, `restoring` who had what before the hub was started anew. A task's
states are in `taskstate`, the wire in docs/design/tasks.md.

The promises, held by `check()` and its tests: every task gets one answer; an engine
runs a task once, and a second engine only if the first died or it failed there; no
engine idles while a task waits that it may run; late and double answers do nothing.
"""

from __future__ import annotations

import heapq
from typing import assert_never

from steer.core import taskevents as ev
from steer.core.dependencies import Dependencies
from steer.core.dispatch import Dispatch
from steer.core.events import Action, Event
from steer.core.gang import Gangs
from steer.core.ladder import Ladder
from steer.core.restoring import ABSENT, Restoring, hold, regroup, sift
from steer.core.taskstate import Client, Engine, Place, Record
from steer.core.tasktables import Alarm, Tables
from steer.errors import InternalError
from steer.ranks import RankSet
from steer.wire.messages import Needs, Outcome, TaskOptions, TaskStatus

TASKS = 200_000
"""Tasks that the hub holds for all clients together."""

SIZE = 256 << 20
"""Bytes of their arguments."""

_PLAIN = TaskOptions()


class Scheduler:
    """The task farm."""

    def __init__(
        self,
        tasks: int = TASKS,
        size: int = SIZE,
        restoring_until: float | None = None,
        first: int = 0,
    ) -> None:
        self.most_tasks = tasks
        self.most_size = size
        self.tables = Tables(first)
        self.dispatch = Dispatch(self.tables)
        self.gangs = Gangs(self.tables, self.dispatch)
        self.ladder = Ladder(self.tables, self.dispatch)
        self.restoring = Restoring(restoring_until)
        self.dependencies = Dependencies(self.tables, self._start)
        if restoring_until is not None:
            self.tables.alarm(restoring_until, Alarm.RESTORED, ("", 0))
            self.tables.alarm(restoring_until + ABSENT, Alarm.ABSENT, ("", 0))

    def handle(self, event: Event, now: float) -> list[Action]:
        """Something happened: what has to be done?"""
        tables = self.tables
        tables.now = now
        self.dispatch.filled = 0
        match event:
            case ev.Ended():
                self._ended(event)
            case ev.Submitted():
                self._submitted(event)
            case ev.Taken():
                self._taken(event)
            case ev.GivenBack():
                self._given_back(event)
            case ev.Cancelled():
                self._cancelled(event)
            case ev.Tick():
                self._tick()
            case ev.Seceded() | ev.Rejoined():
                self._stepped(event)
            case ev.EngineHere():
                self._engine_here(event)
            case ev.EngineGone():
                self._engine_gone(event)
            case ev.ClientHere():
                tables.client(event.client).here = True
                self._allow()
            case ev.ClientGone():
                self._client_gone(event)
            case ev.Restored():
                self._restored()
            case ev.AllSent():
                for number, i in self.restoring.all_sent(event.client):
                    tables.actions.append(ev.Settle(number, event.client, (i,)))
            case _:
                raise InternalError(f"the scheduler knows no {type(event).__name__}")
        if tables.ended:
            self.dependencies.spread()
        if self.gangs.queue:
            self.gangs.serve()
        if self.dispatch.fresh:
            self.dispatch.serve()
        if self.dispatch.laden and self.dispatch.idle:
            self.dispatch.steal()
        return tables.flush()

    def deadline(self) -> float | None:
        """When a Tick is due."""
        begun = self.dispatch.begun.deadline()
        if not self.tables.alarms:
            return begun
        alarm = self.tables.alarms[0][0]
        return alarm if begun is None else min(alarm, begun)

    # -- clients

    def _submitted(self, event: ev.Submitted) -> None:
        tables, ready = self.tables, self.dispatch.plain
        client = tables.clients.get(event.client)
        if client is None:
            client = tables.client(event.client)
            self._allow()
        needs = {n.id: n for n in event.needs} if event.needs else None
        tasks, plain, size = client.tasks, 0, 0
        before = len(tasks)
        queue = None
        for task in event.tasks:
            number = task.id
            if number in tasks:
                if event.resent:
                    self._repeat(client, tasks[number])
                continue
            options = event.options[task.options] if task.options else _PLAIN
            function = tables.function(task.function)
            function.users += 1
            record = Record(
                task, client.name, options, function, tables.number(), tables.now
            )
            size += len(task.body)
            tasks[number] = record
            if options is _PLAIN and needs is None and not event.resent:
                if queue is None:
                    queue = ready.level(0, 0).lane(client.name).queue
                queue.append(record)
                plain += 1
            else:
                self._admit(client, record, needs.get(number) if needs else None, event)
        client.size += size
        client.submitted += len(tasks) - before
        if plain:
            ready.level(0, plain)
            self.dispatch.fresh[ready] = None
        if len(tasks) > client.allowed:
            self._bound(client, event)

    def _admit(
        self, client: Client, record: Record, needs: Needs | None, event: ev.Submitted
    ) -> None:
        """Take a task that is not a plain one."""
        targets = record.options.targets
        record.place = Place.WAITING
        if targets:
            engines = frozenset(RankSet.parse(targets))
            if not any(e in self.tables.engines for e in engines):
                self.tables.fail(
                    record,
                    TaskStatus.IMPOSSIBLE,
                    f"there is no engine {targets}; choose among those that are here",
                )
                return
            record.more().targets = engines
        if event.resent and self.restoring.past:
            if self._found(record):
                return
            record.more().resent = True
        if needs is not None:
            self.dependencies.admit(client, record, needs)
        else:
            self._start(record)

    def _found(self, record: Record) -> bool:
        """Whether an engine has a task already, from the time of an earlier hub."""
        key = (record.client, record.task.id)
        engines = self.tables.engines
        claims = self.restoring.take(key)
        if not claims:
            return False
        if record.options.ranks:
            if len(claims) < record.options.ranks and self.restoring.until is not None:
                self.restoring.found[key] = claims
                return False
            self._regroup(record, claims)
            return True
        number, outcome = sift(record, claims, engines)
        if outcome is not None:
            self.tables.finish(record, outcome, number)
            record.engine = number
        elif number >= 0:
            hold(record, engines[number])
            self.dispatch.settle(engines[number])
        return number >= 0

    def _regroup(self, record: Record, claims: dict[int, Outcome | None]) -> None:
        """Ranks have a task together, from the time of an earlier hub."""
        regroup(record, claims, self.tables.engines)
        gang = record.more().gang
        assert gang is not None
        for number in claims:
            if number in self.tables.engines:
                self.dispatch.settle(self.tables.engines[number])
        if self.gangs.regrouped(record, gang):
            self._gang_ended(record)

    def _restored(self) -> None:
        """Whoever was there before is back, or had time to come back."""
        for record in self.restoring.over():
            if not self._found(record):
                self._start(record)

    def _start(self, record: Record, front: bool = False) -> None:
        """Nothing keeps a task from starting any more."""
        extra = record.extra
        if extra is not None and extra.resent:
            extra.resent = False
            if self.restoring.wait(record):
                return
        if record.options.ranks:
            self.gangs.ready(record)
        else:
            self.dispatch.ready(record, front)

    def _repeat(self, client: Client, record: Record) -> None:
        """A task was sent again, after a cut: perhaps its answer was lost."""
        if record.place is not Place.DONE or record.outcome is None:
            return
        client.repeated[record.task.id] = client.number + 1
        if record.engine == -2:
            self.tables.answer_ranks(record, record.outcome.status)
        else:
            key = (client.name, record.engine)
            self.tables.answers.setdefault(key, []).append(record.outcome)

    def _bound(self, client: Client, event: ev.Submitted) -> None:
        """Refuse what is far beyond what the client was told."""
        beyond = len(client.tasks) - 2 * client.allowed
        for task in event.tasks[max(0, len(event.tasks) - max(beyond, 0)) :]:
            record = client.tasks.get(task.id)
            if record is not None and record.place is Place.READY:
                if not record.options.ranks:
                    self.dispatch.drop(record)
                self.tables.fail(
                    record,
                    TaskStatus.REFUSED,
                    f"more than {client.allowed} tasks wait; wait for some of them",
                )

    def _taken(self, event: ev.Taken) -> None:
        client = self.tables.clients.get(event.client)
        if client is None:
            return
        tasks, bundles = client.tasks, client.bundles
        while bundles:
            number = next(iter(bundles))
            if number > event.number:
                break
            for engine, ids in bundles.pop(number):
                if client.repeated:  # what went out again later was perhaps lost here
                    ids = [i for i in ids if client.repeated.get(i, 0) <= number]
                for i in ids:
                    record = tasks.pop(i, None)
                    if record is not None:
                        client.size -= len(record.task.body)
                        function = record.function
                        function.users -= 1
                        if not function.users:
                            self.tables.unused.append(record.task.function)
                        if record.extra is not None:
                            self._settle_tries(record, engine)
                if engine in self.tables.engines and ids:
                    self.tables.actions.append(ev.Settle(engine, client.name, ids))
                for i in ids if client.repeated else ():
                    client.repeated.pop(i, None)
        self._forget(client)

    def _settle_tries(self, record: Record, engine: int) -> None:
        """Engines hold outcomes that were not the last word, too."""
        extra = record.more()
        for tried in extra.avoid | extra.unmet:
            if tried != engine and tried in self.tables.engines:
                ids = (record.task.id,)
                self.tables.actions.append(ev.Settle(tried, record.client, ids))

    def _cancelled(self, event: ev.Cancelled) -> None:
        for i in event.ids:
            record = self.tables.record((event.client, i))
            if record is not None:
                self.ladder.cancel(record, event.running)

    def _client_gone(self, event: ev.ClientGone) -> None:
        client = self.tables.clients.get(event.client)
        if client is not None:
            client.here = False
            self._forget(client)
            self._allow()

    def _forget(self, client: Client) -> None:
        if not client.here and not client.tasks:
            self.tables.clients.pop(client.name, None)

    def _allow(self) -> None:
        """Share what the hub holds among those who are there."""
        here = [c for c in self.tables.clients.values() if c.here]
        for client in here:
            share = max(1, self.most_tasks // len(here))
            if share != client.allowed:
                client.allowed = share
                size = self.most_size // len(here)
                self.tables.actions.append(ev.Allow(client.name, share, size))

    # -- outcomes

    def _ended(self, event: ev.Ended) -> None:
        tables = self.tables
        number = event.engine
        engine = tables.engines.get(number)
        if engine is None:
            return  # late: it was taken for dead
        engine.heard = tables.now
        client = tables.clients.get(event.client)
        tasks = client.tasks if client is not None else {}
        held, ended, load = engine.held, [], 0.0
        for outcome in event.outcomes:
            record = tasks.get(outcome.id)
            if (
                record is None
                or outcome.status
                or record.extra is not None
                or record.place is not Place.HELD
                or record.engine != number
            ):
                self._other(engine, event.client, record, outcome)
                continue
            del held[record.number]
            load += record.expected
            if record.last:
                record.last = False
                engine.bundles -= 1
            record.function.measured(outcome.took)
            record.place = Place.DONE
            record.outcome = outcome
            ended.append(outcome)
        if ended:
            tables.answers.setdefault((event.client, number), []).extend(ended)
        engine.load -= load
        self.dispatch.settle(engine)
        if event.running >= 0:
            self._runs(engine, event.client, event.running)
        self._refill(engine)

    def _refill(self, engine: Engine) -> None:
        if engine.id in self.dispatch.idle or engine.id in self.dispatch.room:
            self.dispatch.fill(engine)

    def _runs(self, engine: Engine, client: str, number: int) -> None:
        record = self.tables.record((client, number))
        if record is not None and engine.held.get(record.number) is record:
            self.tables.actions.append(ev.TellBegun(client, number))

    def _other(
        self, engine: Engine, client: str, record: Record | None, outcome: Outcome
    ) -> None:
        """An outcome that is not simply a success."""
        if record is None:
            if not self.restoring.claim(engine.id, (client, outcome.id), outcome):
                action = ev.Settle(engine.id, client, (outcome.id,))
                self.tables.actions.append(action)
            return
        if record.place is Place.LIMBO:  # its engine came back later than its client
            self.restoring.note(engine.id, (client, outcome.id), outcome)
            self._found(record)
            return
        if record.number not in engine.held and record.number not in engine.away:
            self._late(record, engine, outcome)
            return
        if record.engine == -2:
            if self.gangs.ended(record, engine, outcome):
                self._gang_ended(record)
            return
        self.dispatch.release(engine, record)
        self._decide(record, engine, outcome)

    def _late(self, record: Record, engine: Engine, outcome: Outcome) -> None:
        """An outcome is late, or double: the engine forgets it with the task. But if
        the task would have to run again, it comes in time."""
        gang = record.extra.gang if record.extra is not None else None
        mine = gang.engines if gang is not None else (record.engine,)
        if engine.id in mine:
            return
        done = outcome.status == TaskStatus.DONE and not record.options.ranks
        if done and record.place is Place.READY:
            self.dispatch.drop(record)
            record.engine = engine.id
            self.tables.finish(record, outcome, engine.id)
        elif record.place is Place.DONE:
            ids = (record.task.id,)
            self.tables.actions.append(ev.Settle(engine.id, record.client, ids))
        else:
            record.more().avoid |= {engine.id}

    def _decide(self, record: Record, engine: Engine, outcome: Outcome) -> None:
        """The end of a task, or another try."""
        extra, status = record.more(), outcome.status
        if status == TaskStatus.DONE:
            record.function.measured(outcome.took)
            self.tables.finish(record, outcome, engine.id)
        elif extra.doom is not None:
            extra.avoid |= {engine.id}
            self.ladder.end(record, extra.doom)
        elif status == TaskStatus.UNMET:
            extra.unmet |= {engine.id}
            self._start(record, front=True)
        elif status in (TaskStatus.RETRYABLE, TaskStatus.LOST) and (
            extra.tries < record.options.retries
        ):
            extra.avoid |= {engine.id}
            self._retry(record)
        else:
            self.tables.finish(record, outcome, engine.id)

    def _retry(self, record: Record) -> None:
        extra = record.more()
        extra.tries += 1
        extra.since = None
        self._start(record, front=True)

    def _gang_ended(self, record: Record) -> None:
        """All ranks of a task have answered."""
        extra = record.more()
        assert extra.gang is not None
        outcomes = list(extra.gang.outcomes.values())
        failed = [o for o in outcomes if o.status != TaskStatus.DONE]
        again = (TaskStatus.RETRYABLE, TaskStatus.LOST)
        status = failed[0].status if failed else TaskStatus.DONE
        if failed and extra.doom is not None:
            status = extra.doom
        elif any(o.status in again for o in failed) and (
            extra.tries < record.options.retries
        ):
            extra.avoid |= set(extra.gang.engines)
            self._retry(record)
            return
        self.tables.answer_ranks(record, status)
        self.tables.close(record, Outcome(record.task.id, status))

    # -- engines

    def _engine_here(self, event: ev.EngineHere) -> None:
        tables, number = self.tables, event.engine
        engine = tables.engines.get(number)
        if engine is None:
            engine = Engine(number, event.host, event.world, event.size)
            tables.engines[number] = engine
            self.gangs.changed()
        self._reconcile(engine, event)
        engine.heard = tables.now
        self.dispatch.settle(engine)
        self._refill(engine)

    def _reconcile(self, engine: Engine, event: ev.EngineHere) -> None:
        """Compare what the engine has with what it should have, after a cut."""
        has: dict[int, None] = {}
        for key in event.held:
            record = self.tables.record(key)
            if record is None:
                self.restoring.claim(engine.id, key)
                continue
            has[record.number] = None
            if record.place is Place.LIMBO:
                self.restoring.note(engine.id, key)
                self._found(record)
            elif record.place is not Place.DONE and record.engine not in (
                engine.id,
                -2,
            ):
                self.tables.actions.append(ev.TakeBack(engine.id, key[0], (key[1],)))
        for record in reversed([*engine.away.values(), *engine.held.values()]):
            if record.number in has:
                continue
            if record.engine >= 0:
                self.dispatch.release(engine, record)  # it never came there
                self._back(record)
            else:
                self.gangs.lost_rank(record)

    def _back(self, record: Record) -> None:
        """A task comes back from an engine without having run."""
        extra = record.extra
        if extra is not None and extra.doom is not None:
            self.ladder.end(record, extra.doom)
            return
        if extra is not None:
            extra.since = None
        self._start(record, front=True)

    def _engine_gone(self, event: ev.EngineGone) -> None:
        engine = self.tables.engines.pop(event.engine, None)
        if engine is None:
            return
        blamed = None
        if event.running is not None:
            blamed = self.tables.record(event.running)
        elif engine.held:
            blamed = next(iter(engine.held.values()))
        away = list(engine.away.values())
        lost = list(engine.held.values()) + away
        self.restoring.gone(engine.id)
        self.dispatch.gone(engine)
        self.gangs.gone(engine)
        for record in reversed(lost):
            why = event.why.encode()
            outcome = Outcome(record.task.id, TaskStatus.LOST, why)
            if record.engine == -2:
                if self.gangs.ended(record, engine, outcome):
                    self._gang_ended(record)
                continue
            self.dispatch.release(engine, record)
            if record is blamed or record in away:
                self._decide(record, engine, outcome)
            else:
                if event.running is None:
                    record.more().alone = True
                self._back(record)

    def _given_back(self, event: ev.GivenBack) -> None:
        engine = self.tables.engines.get(event.engine)
        if engine is None:
            return
        for i in event.kept:
            record = self.tables.record((event.client, i))
            if record is None or record.number not in engine.held:
                continue
            engine.asked.discard(record.number)
            extra = record.extra
            if extra is not None and extra.doom is not None:
                self.ladder.kept(record, running=extra.step > 0)
        for i in reversed(event.ids):
            record = self.tables.record((event.client, i))
            if record is None or record.number not in engine.held or record.engine < 0:
                continue
            engine.asked.discard(record.number)
            self.dispatch.release(engine, record)
            self._back(record)
        if event.kept:  # their outcomes are under way; do not ask again at once
            engine.heard = self.tables.now
        self.dispatch.settle(engine)
        if not self.dispatch.fresh:
            self._refill(engine)

    def _stepped(self, event: ev.Seceded | ev.Rejoined) -> None:
        engine = self.tables.engines.get(event.engine)
        record = self.tables.record((event.client, event.id))
        if engine is None or record is None or record.engine != engine.id:
            return
        match event:
            case ev.Seceded() if record.place is Place.HELD:
                self.dispatch.release(engine, record)
                record.expected = 0.0
                record.place = Place.AWAY
                engine.away[record.number] = record
                self.tables.actions.append(ev.TellBegun(event.client, event.id))
            case ev.Rejoined() if record.place is Place.AWAY:
                del engine.away[record.number]
                record.place = Place.HELD
                engine.held = {record.number: record, **engine.held}
            case ev.Seceded() | ev.Rejoined():
                return
            case _:
                assert_never(event)
        engine.heard = self.tables.now
        self.dispatch.settle(engine)
        self._refill(engine)

    # -- time

    def _tick(self) -> None:
        alarms, now = self.tables.alarms, self.tables.now
        self.dispatch.begun.tick()
        while alarms and alarms[0][0] <= now:
            _, _, why, key = heapq.heappop(alarms)
            if why is Alarm.LOOK:
                continue  # `steal` looks after every event
            if why is Alarm.JOINED:
                self.gangs.joined()
                continue
            if why is Alarm.RESTORED:
                self._restored()
                continue
            if why is Alarm.ABSENT:
                for number, (client, i) in self.restoring.forget():
                    self.tables.actions.append(ev.Settle(number, client, (i,)))
                continue
            task = self.tables.record(key)
            if task is None or task.place is Place.DONE:
                continue
            match why:
                case Alarm.WAITED:
                    self.dependencies.waited(task)
                case Alarm.RAN:
                    self.ladder.overran(task)
                case Alarm.LADDER:
                    self.ladder.next(task)
                case Alarm.UNSTICK:
                    self.gangs.unstick(task)
                case _:
                    assert_never(why)

    def check(self) -> None:
        """Assert the promises."""
        self.dispatch.check()
        self.gangs.check()
        engines = self.tables.engines
        for engine in engines.values():
            for number, record in engine.held.items():
                assert record.place is Place.HELD
                assert record.number == number
                assert record.engine in (engine.id, -2)
        for client in self.tables.clients.values():
            assert client.size == sum(len(r.task.body) for r in client.tasks.values())
            promised = [i for b in client.bundles.values() for _, ids in b for i in ids]
            for record in client.tasks.values():
                if record.place is Place.DONE:
                    assert record.task.id in promised, record
                if record.place is Place.HELD and record.engine >= 0:
                    assert engines[record.engine].held[record.number] is record
                if record.place is Place.AWAY:
                    assert engines[record.engine].away[record.number] is record

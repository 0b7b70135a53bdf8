"""Whatever fails: every request of a living client gets each answer once.

One seed makes one history of deaths, cuts, freezes and restarts. A seed that failed
goes into seeds.txt and is tried first for ever.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from steer.hub import ledger
from steer.wire.messages import TaskStatus

from .world import Client, Engine, World, simulated_memory

SEEDS = Path(__file__).with_name("seeds.txt")
TROUBLE = 20.0
"""Virtual seconds of faults; then there is peace, and all has to come to its end."""

PEACE = 20.0
MOST_PEACE = 200
"""So often it is given, as long as something is still at work."""
SECONDS = float(os.environ.get("STEER_SIM_SECONDS", "5"))


class Fate:
    """What happens to a cluster, by its seed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.net.random
        world.doubles = self.random.choice([0.0, 0.1])
        self.deeds = [self.submit] * 15 + [self.tasks] * 15 + [self.abort] * 2
        self.deeds += [self.cancel]
        faults = [
            self.cut, self.freeze, self.kill_hub, self.kill_engine, self.kill_client,
            self.goodbye, self.add_client, self.add_engine,
        ]  # fmt: skip
        for fault in self.random.sample(faults, self.random.randint(0, len(faults))):
            self.deeds += [fault] * self.random.choice([1, 1, 4])
        self.cells = self.random.choice([0.0, 0.3, 1.0])
        """How much of what is asked is a cell."""
        self.pace = self.random.choice([0.03, 0.2, 1.0])
        world.add_engines(self.random.randint(1, 4))
        for _ in range(self.random.randint(1, 3)):
            world.add_client()
        world.net.call_later(1.0, self.act)

    def act(self) -> None:
        if self.world.net.now < TROUBLE:
            self.random.choice(self.deeds)()
            pause = self.random.expovariate(1 / self.pace)
            self.world.net.call_later(pause, self.act)

    def living(self, peers):
        return [peer for peer in peers if peer.alive]

    def submit(self) -> None:
        clients = [c for c in self.living(self.world.clients) if c.core.engines]
        if clients:
            client = self.random.choice(clients)
            known = list(client.core.engines)
            some = self.random.sample(known, self.random.randint(1, len(known)))
            targets = self.random.choice([known, some])
            large = self.random.random() < 0.2
            client.submit(targets, large=large, joint=self.random.random() < self.cells)

    def tasks(self) -> None:
        clients = [c for c in self.living(self.world.clients) if c.core.engines]
        if not clients:
            return
        tasks = self.random.choice(clients).tasks
        kind = self.random.random()
        if kind < 0.1:
            tasks.submit(ranks=self.random.randint(1, 3))
            return
        for _ in range(self.random.choice([1, 1, 5, 40])):
            tasks.submit(large=kind < 0.2, retries=self.random.choice([0, 0, 1]))

    def cancel(self) -> None:
        clients = self.living(self.world.clients)
        some = [(c, i) for c in clients for i in c.tasks.core.sent]
        if some:
            client, number = self.random.choice(some)
            client.tasks.cancel(number, self.random.random() < 0.5)

    def abort(self) -> None:
        from steer.wire.messages import Abort

        clients = [c for c in self.living(self.world.clients) if c.core.pending]
        if clients:
            client = self.random.choice(clients)
            some = (self.random.choice(list(client.core.pending)),)
            abort = Abort(self.random.choice([some, ()]), "0-100")
            client.sockets["out"].send(abort)

    def cut(self) -> None:
        peers = self.living(self.world.peers.values())
        peer = self.random.choice(peers)
        both = list(peer.sockets.values())
        for socket in self.random.choice([both, both[:1], both[1:]]):
            socket.cut()

    def freeze(self) -> None:
        peers = [*self.living(self.world.peers.values())]
        if self.world.hub is not None:
            peers.append(self.world.hub)
        peer = self.random.choice(peers)
        peer.frozen_until = self.world.net.now + self.random.choice([0.01, 0.3, 2.0])

    def settled(self) -> bool:
        """Whether all engines have their ids of this hub.

        What registers first with a new hub gets the lowest id, though it was another's.
        """
        hub = self.world.hub
        engines = self.living(self.world.engines)
        return hub is not None and all(e.core.hub == hub.pid for e in engines)

    def kill_hub(self) -> None:
        if self.random.random() < 0.3 and self.settled():
            self.world.kill_hub()

    def kill_engine(self) -> None:
        living = self.living(self.world.engines)
        if len(living) > 1 and self.random.random() < 0.3:
            self.random.choice(living).die()

    def kill_client(self) -> None:
        living = self.living(self.world.clients)
        if len(living) > 1 and self.random.random() < 0.3:
            self.random.choice(living).die()

    def goodbye(self) -> None:
        living = self.living(self.world.clients)
        if len(living) > 1 and self.random.random() < 0.3:
            self.random.choice(living).leave()

    def add_client(self) -> None:
        if len(self.living(self.world.clients)) < 4:
            self.world.add_client()

    def add_engine(self) -> None:
        if len(self.living(self.world.engines)) < 6 and self.settled():
            self.world.add_engines(1)


def live(seed: int, patch: pytest.MonkeyPatch) -> World:
    """One history, and what has to be true in the end."""
    world = World(seed)
    patch.setattr(ledger, "shm", simulated_memory(world))
    Fate(world)
    world.net.run(TROUBLE + PEACE)
    for _ in range(MOST_PEACE):
        if not world.is_at_work():
            break
        world.net.run(world.net.now + PEACE)
    world.net.run(world.net.now + PEACE)
    each_ran_once(world)
    all_is_answered(world)
    cells_ran_everywhere_or_nowhere(world)
    each_engine_kept_the_order(world)
    every_task_has_its_outcome(world)
    each_task_ran_once(world)
    nothing_is_kept(world)
    what_finished_is_in_the_journal(world)
    return world


def each_ran_once(world: World) -> None:
    twice = {key: times for key, times in world.ran.items() if times > 1}
    assert not twice


def all_is_answered(world: World) -> None:
    for client in world.clients:
        for request in client.requests.values():
            if client.alive:
                assert request.complete, (request.submit, request.answers)
                assert request.submit.id not in client.core.pending
            for status, frames in request.answers.values():
                true = request.submit.id.encode()
                assert status != "ok" or frames in ([b""], [true]), (true, frames)


def cells_ran_everywhere_or_nowhere(world: World) -> None:
    """Of those that could be asked; the dead cannot say what they did."""
    for client in world.clients:
        for request in client.requests.values():
            if not (client.alive and request.submit.joint):
                continue
            aborted = [e for e, (how, _) in request.answers.items() if how == "aborted"]
            ran = [e for e, (how, _) in request.answers.items() if how == "ok"]
            assert not (aborted and ran), (request.submit, request.answers)
            started = [
                engine.who
                for engine in world.engines
                if world.ran[request.submit.id, engine.who] and engine.alive
            ]
            assert not (aborted and started), (request.submit, aborted, started)


def each_engine_kept_the_order(world: World) -> None:
    """Of one client's requests; what was cut off came again, perhaps later."""
    sure = {peer.who for peer in world.peers.values() if peer.introductions == 1}
    for engine in world.engines:
        last: dict[str, int] = {}
        for who, _, number in (request.partition("-") for request in engine.ran):
            if engine.who in sure and who in sure:
                assert last.get(who, 0) < int(number), (engine.who, who, number)
            last[who] = int(number)


def every_task_has_its_outcome(world: World) -> None:
    for client in world.clients:
        tasks = client.tasks
        for number, wanted in tasks.wanted.items() if client.alive else ():
            assert wanted.status is not None, (client.who, number)
            assert tasks.outcomes[number] <= 1, (client.who, number)
            if wanted.status in (TaskStatus.DONE, TaskStatus.RETRYABLE):
                assert world.task_runs[client.who, number], (client.who, number)


def each_task_ran_once(world: World) -> None:
    """To its good end; except where an engine died, which took the outcome with it."""
    for (who, number), engines in world.task_ends.items():
        client = world.peers[who]
        assert isinstance(client, Client)
        if client.left:
            continue  # what it had was the journal's when it said once more who it is
        if client.tasks.wanted[number].options.ranks:
            continue  # each rank once, and all again if one fails and may be retried
        living = [engine for engine in engines if engine.alive]
        assert len(living) <= 1, (who, number, [e.who for e in engines])


def nothing_is_kept(world: World) -> None:
    hub = world.hub
    assert hub is not None
    assert not hub.core.fanout.requests
    assert not hub.core.early
    assert not hub.core.returning
    tables = hub.core.farm.scheduler.tables
    assert not any(c.tasks for c in tables.clients.values()), tables.clients
    assert not hub.core.farm.data.arguments
    # What engines keep for those who died while there was no hub is kept for long.
    dead = {client.who for client in world.clients if not client.alive}
    data = hub.core.farm.data
    assert dead.issuperset(who for who, _ in data.values), data.values
    assert not hub.core.farm.sender.printed
    for engine in world.engines:
        assert not engine.alive or not engine.core.held, (engine.who, engine.core.held)
        ended = {who for who, _ in engine.tasks.core.ended} if engine.alive else set()
        assert ended <= dead, (engine.who, list(engine.tasks.core.ended))
    assert dead or not world.memory.held


def what_finished_is_in_the_journal(world: World) -> None:
    """Of a client that is gone too: somebody may ask for it later."""
    ids = {e.core.engine: e for e in world.engines if e.alive}
    for client in world.clients:
        for request in client.requests.values():
            for engine in ids:
                ran = world.ran[request.submit.id, ids[engine].who]
                if ran and engine not in request.taken:
                    row = world.disk.rows.get(f"{request.submit.id}_{engine}", {})
                    assert row.get("status") in ("ok", "error", "aborted"), row
                    assert row["result_buffers"] is not None, row


def seeds() -> list[int]:
    return [int(line.split()[0]) for line in SEEDS.read_text().splitlines() if line]


@pytest.mark.parametrize("seed", seeds())
def test_a_seed_that_once_failed(seed, monkeypatch):
    live(seed, monkeypatch)


def _first_seed() -> int:
    """In CI always the same: what fails there shall have come with the change."""
    return 1_000_000 if os.environ.get("CI") else time.time_ns() % 10**9


@pytest.mark.slow
def test_new_histories(monkeypatch):
    """As many as fit into some seconds, each from a seed never seen before."""
    first = int(os.environ.get("STEER_SIM_SEED") or _first_seed())
    end = time.monotonic() + SECONDS
    seed = first
    while time.monotonic() < end:
        try:
            live(seed, monkeypatch)
        except BaseException as error:
            error.add_note(f"seed {seed}: add it to {SEEDS.name}")
            raise
        seed += 1


def test_a_seed_gives_one_history(monkeypatch):
    def story(seed):
        world = live(seed, monkeypatch)
        return world.net.handled, world.disk.rows

    assert story(7) == story(7)


def test_an_engine_that_dies_fails_what_it_owed(monkeypatch):
    world = World(1)
    monkeypatch.setattr(ledger, "shm", simulated_memory(world))
    world.add_engines(2)
    world.add_client()
    world.net.run(2.0)
    client = world.clients[0]
    assert sorted(client.core.engines) == [0, 1]
    engine = world.engines[1]
    monkeypatch.setattr(Engine, "_done", lambda self, submit: None)
    client.submit([0, 1], large=False)
    world.net.run(3.0)
    engine.die()
    world.net.run(3.1)
    (request,) = client.requests.values()
    assert request.answers[1][0] == "error"
    assert b"rank 1 of 2 on host) was killed by SIGKILL" in request.answers[1][1][0]
    assert 0 not in request.answers

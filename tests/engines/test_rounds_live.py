"""The core, and ranks in processes of their own: all but the sockets."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from steer import pages
from steer.core import page
from steer.core import roundevents as ev
from steer.core.fences import FINISHED, Fences
from steer.core.page import Family, Head
from steer.core.roundevents import Asker, Kind
from steer.core.rounds import Rounds
from steer.ranks import RankSet
from steer.testing.waiting import wait_until

FIRST = page.family_base(0)

RANK = """
import os, random, sys, time
from steer import pages
from steer.core import page
from steer.engines import points

chance = random.Random(int(sys.argv[1]))
mapped = pages.make()
page.begin(mapped.words, os.getpid(), 1, int(sys.argv[1]), 3, "sim")
pages.take_part()

class Engine:
    def arrive(self): pass
    def ring(self): pass
    def wait(self, calm): time.sleep(1e-4)
    def has(self, plan): return True
    def apply(self, plan, point): page.log(mapped.words, 1, (plan, point, 0, 0), 0)
    def family_here(self, *_): pass

print(mapped.fd, flush=True)
os.read(0, 1)
session = points.Session(mapped.words, Engine())
session.begin()
for step in points.loop(range(int(sys.argv[2]))):
    time.sleep(chance.random() / 2000)  # imbalance
session.end()
"""


class World:
    """Some ranks, and what the hub and the node do for them, in one loop."""

    def __init__(self, ranks=3, steps=10**9):
        self.processes, self.pages, self.fences = [], [], []
        for rank in range(ranks):
            command = [sys.executable, "-c", RANK, str(rank), str(steps)]
            pipe = subprocess.PIPE
            self.processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe))
        for process in self.processes:
            fd = int(process.stdout.readline())
            self.pages.append(pages.open_of(process.pid, fd))
            os.write(process.stdin.fileno(), b"x")
        self.core = Rounds()
        self.all = RankSet(range(ranks))
        self.told, self.count, self.logged = [], 0, [0] * ranks
        for mapped in self.pages:
            words = mapped.words
            wait_until(lambda words=words: words[Head.FAMILIES], 20, "a first point")
            self.fences.append(Fences(words, FIRST, pages.barrier))
        self.feed(ev.FamilyHere("r", "f", self.all))
        for fences in self.fences:
            fences.adopt()

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait(10)
            process.stdin.close()
            process.stdout.close()
        for mapped in self.pages:
            mapped.close()

    def feed(self, event):
        actions = self.core.handle(event, time.monotonic())
        self.core.check()
        for action in actions:
            if isinstance(action, ev.Tell):
                self.told.append(action)
            for rank in action.ranks:
                self.do(rank, self.fences[rank], action)

    def do(self, rank, fences, action):
        one = RankSet([rank])
        match action:
            case ev.Arm():
                point = fences.arm(action.epoch, action.goal)
                fin = one if point == FINISHED else RankSet()
                event = ev.Next("f", action.epoch, one, max(point, 0), 0, fin)
                self.feed(event)
            case ev.Commit():
                fences.commit(action.epoch, action.point)
            case ev.Release():
                fences.release(action.epoch)
            case ev.Rest():
                fences.rest(action.epoch)
            case ev.Hand():
                self.feed(ev.Has("f", action.plan, one))
            case ev.Prepare():
                point = fences.prepare(
                    action.plan, action.goal, action.every, action.ends, action.ahead
                )
                fin = one if point == FINISHED else RankSet()
                self.feed(ev.Voted("f", action.plan, one, max(point, 0), fin))
            case ev.Clear():
                fences.withdraw(action.plan)
            case ev.Confirm():
                fences.confirm(action.plan, action.point)

    def look(self):
        for rank, fences in enumerate(self.fences):
            report = fences.look()
            one = RankSet([rank])
            if report.held_at is not None:
                self.feed(ev.Held("f", fences.epoch, one, report.held_at))
            if report.finished:
                self.feed(ev.Finished("r", one))
            words = self.pages[rank].words
            count = words[Head.RING_AT]
            entries = page.read_log(words) if count > self.logged[rank] else []
            for entry in entries[len(entries) - (count - self.logged[rank]) :]:
                self.feed(ev.Applied("f", entry[1], one, entry[2]))
            self.logged[rank] = count

    def ask(self, kind, *arguments, **named):
        """Ask, and wait for the answer."""
        self.count += 1
        id = str(self.count)
        self.feed(kind(Asker(id), "f", *arguments, **named))

        def answered():
            self.look()
            return [tell for tell in self.told if id in tell.answers]

        wait_until(answered, 20, "an answer")
        return answered()[0]

    def points(self):
        return [mapped.words[FIRST + Family.C] for mapped in self.pages]


@pytest.fixture
def world():
    if not pages.barrier_works():
        pytest.skip("membarrier(2) is not allowed here")
    world = World()
    yield world
    world.close()


def test_a_hundred_stops_each_at_one_point(world):
    for _ in range(100):
        tell = world.ask(ev.Stop)
        assert tell.kind is Kind.STOPPED
        assert world.points() == [tell.point] * 3
        stepped = world.ask(ev.Step, 3)
        assert stepped.point == tell.point + 3
        assert world.points() == [stepped.point] * 3
        world.ask(ev.Go)


def test_plans_are_done_at_one_point_and_nobody_stops(world):
    for _ in range(30):
        number = world.ask(ev.Plan, "set", "dt=1").facts["plan"]

        def done(number=number):
            world.look()
            return any(
                t.kind is Kind.DONE and t.facts["plan"] == number for t in world.told
            )

        wait_until(done, 20, "it to be done on all")
    for rank in range(3):
        entries = [entry[1:3] for entry in page.read_log(world.pages[rank].words)]
        if rank == 0:
            first = entries
        assert entries == first
    assert len(first) == 30


def test_a_run_that_ends_while_it_is_stopped_again_and_again():
    if not pages.barrier_works():
        pytest.skip("membarrier(2) is not allowed here")
    world = World(steps=1500)
    try:
        kinds = []
        while not kinds or kinds[-1] is Kind.STOPPED:
            kinds.append(world.ask(ev.Stop).kind)
            if kinds[-1] is Kind.STOPPED:
                world.ask(ev.Step, 200)
                if "f" not in world.core.families:
                    break
                world.ask(ev.Go)
        wait_until(lambda: world.look() or not world.core.families, 20, "its end")
        assert [process.wait(20) for process in world.processes] == [0, 0, 0]
    finally:
        world.close()

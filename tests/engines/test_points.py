"""Points in a process of their own, with the controller in this one."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
import timeit

import pytest

from steer import pages
from steer.core import page
from steer.core.fences import Fences
from steer.core.page import Family, Head
from steer.engines import points
from steer.testing.waiting import wait_until

FIRST = page.family_base(0)

RANK = """
import os, random, sys
from steer import pages
from steer.core import page
from steer.engines import points

mapped = pages.make()
page.begin(mapped.words, os.getpid(), 1, 0, 1, "sim")
assert pages.take_part()

class Engine:
    def arrive(self): pass
    def ring(self): print("ring", flush=True)
    def wait(self, calm): os.read(0, 1) if calm else None
    def has(self, plan): return True
    def apply(self, plan, c): print("did", plan, c, flush=True)
    def family_here(self, *_): print("family", flush=True)

print(mapped.fd, flush=True)
os.read(0, 1)
session = points.Session(mapped.words, Engine())
session.begin()
total = 0
for step in points.loop(range(int(sys.argv[1]))):
    total += step
session.end()
print("end", total, flush=True)
"""


class Program:
    """A rank that comes to points as fast as it can."""

    def __init__(self, steps=10**9):
        command = [sys.executable, "-c", RANK, str(steps)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        fd = int(self.process.stdout.readline())
        self.page = pages.open_of(self.process.pid, fd)
        self.process.stdin.write(b"x")
        self.process.stdin.flush()
        words = self.page.words
        wait_until(lambda: words[Head.FAMILIES], 10, "its first point")
        self.fences = Fences(words, FIRST, pages.barrier)
        self.fences.adopt()

    @property
    def point(self):
        return self.page.words[FIRST + Family.C]

    def wake(self):
        self.process.stdin.write(b"x")
        self.process.stdin.flush()

    def said(self):
        out = self.process.stdout.fileno()
        text = b""
        while select.select([out], [], [], 0)[0] and (more := os.read(out, 65536)):
            text += more
        return text.decode()

    def close(self):
        self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()
        self.page.close()


@pytest.fixture
def program():
    if not pages.barrier_works():
        pytest.skip("membarrier(2) is not allowed here")
    program = Program()
    yield program
    program.close()


def stop(program, epoch):
    point = program.fences.arm(epoch)
    program.fences.commit(epoch, point)
    held = []

    def looked():
        at = program.fences.look().held_at
        held.extend([at] if at is not None else [])
        return held

    wait_until(looked, 10, "the rank to hold")
    assert held == [point]
    return point


def test_stops_of_a_rank_that_runs_at_full_speed(program):
    last = 0
    for epoch in range(1, 301):
        point = stop(program, epoch)
        assert program.point == point
        assert point >= last
        last = point
        program.fences.release(epoch)
    wait_until(lambda: program.point > last, 10, "the rank to go on")


def test_a_plan_is_done_where_it_was_agreed(program):
    for plan in range(1, 101):
        vote = program.fences.prepare(plan, 0)
        program.fences.confirm(plan, vote + 5)
        program.said()
        slots = page.plan_bases(FIRST)

        def gone(slots=slots, plan=plan):
            program.fences.look()
            return all(program.page.words[slot] != plan for slot in slots)

        wait_until(gone, 10, "the plan to be done")
        assert program.page.words[FIRST + Family.DID] == vote + 5


def test_a_held_rank_sleeps_once_all_are_held(program):
    stop(program, 1)
    program.fences.rest(1)

    def ticks():
        with open(f"/proc/{program.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def asleep():
        with open(f"/proc/{program.process.pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "S"

    wait_until(asleep, 10, "it to sleep")
    before = ticks()
    deadline = time.monotonic() + 0.3
    wait_until(lambda: time.monotonic() > deadline, 5, "some time to go by")
    assert ticks() - before <= 1
    program.fences.release(1)
    program.wake()
    at = program.point
    wait_until(lambda: program.point > at, 10, "it to go on")


def test_what_a_killed_rank_did_last_can_be_read(program):
    point = stop(program, 1)
    os.kill(program.process.pid, signal.SIGKILL)
    program.process.wait(10)
    picture = page.look(program.page.words)
    assert picture.families[0].point == point
    assert picture.families[0].held


def test_a_program_that_ends_says_so():
    program = Program(steps=100)
    try:
        wait_until(lambda: program.page.words[Head.FIN], 10, "its end")
        assert program.fences.look().finished
        assert program.point == 100
        assert program.process.wait(10) == 0
    finally:
        program.close()


# -- in this process


class Quiet:
    """An engine that only notes."""

    def __init__(self, words):
        self.words = words
        self.families = []
        self.waits = []
        self.did = []

    def arrive(self):
        pass

    def ring(self):
        pass

    def wait(self, calm):
        call = self.waits.pop(0)
        call()

    def has(self, plan):
        return True

    def apply(self, plan, c):
        self.did.append((plan, c))
        points.point()  # of a function that a user runs: must not count

    def family_here(self, label, logical, comm):
        self.families.append(label)
        base = page.family_base(len(self.families) - 1)
        Fences(self.words, base).adopt()


@pytest.fixture
def session():
    words = memoryview(bytearray(page.SIZE)).cast("q")
    session = points.Session(words, Quiet(words))
    session.begin()
    session.engine, session.words = session._engine, words
    yield session
    session.end()


def test_without_a_session_points_do_nothing():
    points.point()
    points.point("solve", step=3)
    assert list(points.loop(range(3))) == [0, 1, 2]


def test_points_are_counted(session):
    for _ in points.loop(range(5)):
        pass
    points.point()
    points.point("step")
    points.point()
    assert session.words[FIRST] == 8
    assert session.engine.families == ["step"]


def test_families_count_by_themselves(session):
    for _ in points.loop(range(3)):
        for _ in points.loop(range(2), "inner"):
            pass
    assert session.engine.families == ["step", "inner"]
    assert session.words[FIRST] == 3
    assert session.words[page.family_base(1)] == 6


def test_the_users_own_numbers(session):
    for step in (0, 5, 6):
        points.point(step=step)
    assert session.words[FIRST] == 6
    with pytest.warns(UserWarning, match="these grow"):
        points.point(step=6)
    with pytest.warns(UserWarning, match="step="):
        points.point()
    assert session.words[FIRST] == 6


class Ring:
    """What looks like a communicator."""

    def __init__(self, there=True):
        self._there = there

    def __bool__(self):
        return self._there

    def Get_group(self):
        return [0, 1]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"step": 0.5}, "whole numbers"),
        ({"step": "3"}, "whole numbers"),
        ({"step": -1}, "from 0 on"),
        ({"step": 1 << 62}, "the last is 9,007,199,254,740,992"),
        ({"step": 1 << 70}, "the last is"),
        ({"comm": 5}, "5 is no communicator"),
    ],
)
def test_a_mistake_does_not_end_a_program(session, arguments, why):
    with pytest.warns(UserWarning, match=why):
        points.point(**arguments)
    assert session.engine.families == []
    points.point()
    assert session.words[FIRST] == 1


def test_labels_of_all_kinds(session):
    for label in (3, "x" * 100 + "1", "x" * 100 + "2", "é" * 40, "\udc80", "a/b@0"):
        points.point(label)
        points.point(label)
    families = session.engine.families
    assert len(set(families)) == len(families) == 6
    assert families[0] == "3"
    for number, family in enumerate(families):
        base = page.family_base(number)
        assert session.words[base] == 2
        text = page.read_text(session.words, base + Family.LABEL, page.LABEL_WORDS)
        assert text == family


def test_more_families_than_there_is_room_for(session):
    def come():
        for label in "abcdefghij" * 3:
            points.point(label)

    with pytest.warns(UserWarning, match="at most 8") as warned:
        come()
    assert len(warned) == 2  # once for each of the two
    assert session.engine.families == list("abcdefgh")


def test_who_has_no_part_in_a_communicator_comes_to_no_point(session):
    points.point(comm=Ring(there=False))
    assert session.engine.families == []


def test_communicators_of_the_same_ranks_are_one_family(session, monkeypatch):
    """As the hub has it: what else would `comm.Dup()` in each step be?"""
    monkeypatch.setattr(points, "world_ranks", Ring.Get_group)
    for _ in range(20):
        points.point(comm=Ring())
    assert session.engine.families == ["step@0-1"]
    assert session.words[FIRST] == 20


def warnings_in_another_thread(come):
    told = []

    def other():
        with pytest.warns(UserWarning, match="main thread only") as warned:
            come()
        told.extend(warned)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(10)
    return len(told)


def test_points_are_for_the_main_thread(session):
    points.point("solve")
    assert warnings_in_another_thread(lambda: points.point("solve")) == 1
    assert session.words[FIRST] == 1


@pytest.mark.parametrize(
    "come", [points.point, lambda: list(points.loop(range(3)))], ids=["point", "loop"]
)
@pytest.mark.parametrize("armed", [False, True])
def test_another_thread_does_not_count_points_of_the_main_thread(session, come, armed):
    """Or its ranks would be said to hold at a point where they are not; and a fence
    that it steps on would be passed."""
    points.point()
    fences = Fences(session.words, FIRST)
    if armed:
        assert fences.arm(1) == 2
        fences.commit(1, 2)
    assert warnings_in_another_thread(come) == 1
    assert session.words[FIRST] == 1
    fences.adopt()
    points.point()
    assert session.words[FIRST] == 2


def test_the_child_of_a_fork_comes_to_no_points(session):
    """It has the page too, and its main thread is the one that forked."""
    points.point()
    words = pages.make().words
    words[:] = session.words
    session._words = words
    child = os.fork()
    if not child:
        try:
            points.point("other")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert words[Head.FAMILIES] == 1
    points.point()
    assert session.words[FIRST] == 2


def test_what_runs_while_it_holds_does_not_count(session):
    points.point()
    fences = Fences(session.words, FIRST)
    assert fences.arm(1) == 2
    fences.commit(1, 2)

    def job():
        assert fences.look().held_at == 2
        points.point()
        assert list(points.loop(range(3))) == [0, 1, 2]
        fences.prepare(5, 0)
        fences.confirm(5, 2)

    session.engine.waits = [job, lambda: fences.release(1)]
    points.point()
    assert session.engine.did == [(5, 2)]
    assert session.words[FIRST] == 2
    assert session.words[FIRST + Family.AT] == page.NOWHERE


def test_a_rank_that_holds_by_itself(session):
    points.point()
    fences = Fences(session.words, FIRST)
    reports = []
    session.engine.waits = [lambda: reports.append(fences.look()), fences.thaw]
    session.hold("nan in u")
    assert reports[0].froze_at == 1
    assert page.read_text(session.words, *page.Text.SAYS.value) == "nan in u"


def test_a_point_costs_little(session):
    """The budget is 200 ns on an idle machine; here it is other calls' time."""
    points.point()
    number = 20_000

    def cost(statement, names):
        timer = time.process_time
        times = timeit.repeat(
            statement, globals=names, number=number, repeat=15, timer=timer
        )
        return min(times) / number

    def nothing():
        pass

    floor = cost("nothing()", {"nothing": nothing})
    assert cost("point()", {"point": points.point}) < 14 * floor


class Freezing:
    """An engine that freezes at a plan, and lets go when it is asked to wait."""

    def __init__(self, words):
        self.words = words
        self.waited = 0

    def arrive(self):
        pass

    def ring(self):
        pass

    def wait(self, calm):
        self.waited += 1
        self.report = Fences(self.words, FIRST).look()
        self.words[FIRST + Family.THAWED] = self.words[FIRST + Family.FROZEN]

    def has(self, plan):
        return True

    def apply(self, plan, point):
        self.session.freeze("u is nan", together=True)

    def family_here(self, *_):
        fences = Fences(self.words, FIRST)
        fences.adopt()
        fences.prepare(1, 3)
        fences.confirm(1, 3)


def test_what_is_done_at_a_point_may_hold_the_rank_there():
    words = [0] * page.WORDS
    engine = Freezing(words)
    engine.session = session = points.Session(words, engine)
    session.begin()
    try:
        for _ in range(5):
            points.point()
    finally:
        session.end()
    assert engine.waited == 1
    assert engine.report.froze_at == 3
    assert engine.report.together
    assert page.read_text(words, *page.Text.SAYS.value) == "u is nan"

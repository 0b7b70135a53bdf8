"""Simulated ranks that are steered: points, fences, messages that take their time.

Time is virtual, chance comes from a seed. Ranks go from point to point, each step as
long as it happens to be, and wait for their neighbour as a halo exchange does. What the
core says is checked against where the ranks really are.
"""

from __future__ import annotations

import heapq
import random

from steer.core import roundevents as ev
from steer.core.roundevents import FREE, Asker, Kind, Place, Sight
from steer.core.rounds import Rounds
from steer.ranks import RankSet

FAMILY = "run/step"


class Rank:
    """A rank, and its controller."""

    def __init__(self, number, end):
        self.number = number
        self.end = end
        self.c = 0
        self.held = False
        self.finished = False
        self.dead = False
        self.hold = FREE
        self.epoch = 0
        self.target = 0
        self.told = 0
        self.plans = {}
        """plan -> [point, sure, every, until]"""
        self.ends = {}
        """plan -> the plan that it ends, or 0"""
        self.knows = set()
        self.did = []
        self.up = 0.0
        self.down = 0.0
        """When the last message from and to it arrives: they keep their order."""
        self.due = False
        """Whether its next step is under way."""

    @property
    def passed(self):
        return self.c - 1 if self.held else self.c


class World:
    """Some ranks of one run, and the core."""

    def __init__(self, ranks=3, end=1000, seed=0, ring=True, logical=False):
        self.random = random.Random(seed)
        self.now = 0.0
        self.heap = []
        self.count = 0
        self.core = Rounds()
        self.end = end
        self.ring = ring
        self.ranks = [Rank(n, end) for n in range(ranks)]
        self.logical = logical
        self.told = []
        self.answers = {}
        self.notes = []
        self.asked = 0
        everyone = RankSet(range(ranks))
        self.feed(ev.RunHere("run", everyone))
        self.feed(ev.FamilyHere("run", FAMILY, everyone, logical=logical))
        for rank in self.ranks:
            self.wake(rank)

    # -- time

    def later(self, delay, call):
        self.at(self.now + delay, call)

    def at(self, time, call):
        """In the order in which it was asked for, if at the same time."""
        self.count += 1
        heapq.heappush(self.heap, (time, self.count, call))

    def run(self, seconds, until=lambda: False):
        """Let time go by."""
        end = self.now + seconds
        while not until():
            due = self.core.deadline()
            first = self.heap[0][0] if self.heap else end
            if due is not None and due <= min(first, end):
                self.now = max(self.now, due)
                self.feed(ev.Tick())
            elif self.heap and first <= end:
                self.now, _, call = heapq.heappop(self.heap)
                call()
            else:
                break
        if not until():
            self.now = end

    def trip(self):
        return self.random.choice([1e-4, 1e-3, 5e-3])

    # -- ranks

    def wake(self, rank):
        """It may go on, if it is not held and its neighbour is far enough."""
        if rank.dead or rank.finished or rank.due:
            return
        if rank.held:
            self.look_again(rank)
            return
        before = self.ranks[rank.number - 1]
        if self.ring and len(self.ranks) > 1 and before.passed < rank.c:
            return
        rank.due = True
        self.later(self.random.choice([1e-4, 1e-3, 4e-3]), lambda: self.arrive(rank))

    def arrive(self, rank):
        rank.due = False
        if rank.dead:
            return
        if rank.c >= rank.end:
            rank.finished = True
            if rank.epoch:
                self.say(rank, ev.Next, rank.epoch, point=0, fin=True)
            finished = ev.Finished("run", RankSet([rank.number]))
            self.later(self.trip(), lambda: self.feed(finished))
            self.passed()
            return
        rank.c += self.random.choice([1, 1, 2]) if self.logical == "gaps" else 1
        rank.held = True  # until it has looked
        self.look_again(rank)

    def look_again(self, rank):
        for plan, (point, sure, every, until) in list(rank.plans.items()):
            here = (
                sure
                and point <= rank.c < until
                and ((rank.c - point) % every == 0 if every else rank.c == point)
            )
            if not sure and point <= rank.c:
                return  # waits for the word
            if here and (plan, rank.c) not in rank.did:
                assert plan in rank.knows, plan
                rank.did.append((plan, rank.c))
                done = ev.Applied(FAMILY, plan, RankSet([rank.number]), rank.c)
                self.later(self.trip(), lambda done=done: self.feed(done))
        if rank.c >= rank.hold:
            there = rank.target and (rank.c == rank.target or self.logical)
            if there and rank.told != rank.target:
                rank.told = rank.target
                self.say(rank, ev.Held, rank.epoch, point=rank.c)
            return
        rank.held = False
        self.passed()

    def passed(self):
        for rank in self.ranks:
            if not rank.held:
                self.wake(rank)

    def say(self, rank, kind, epoch, point, fin=False):
        ranks = RankSet([rank.number])
        if kind is ev.Held:
            event = ev.Held(FAMILY, epoch, ranks, point, site="sim.py:40")
        else:
            done = ranks if fin else RankSet()
            event = ev.Next(FAMILY, epoch, ranks, point, finished=done)
        self.answer(rank, event)

    def answer(self, rank, event):
        """What a rank's controller says arrives in the order in which it was said."""
        at = max(self.now + self.trip(), rank.up)
        rank.up = at
        self.at(at, lambda: rank.dead or self.feed(event))

    def order(self, rank, call):
        at = max(self.now + self.trip(), rank.down)
        rank.down = at
        self.at(at, lambda: rank.dead or (call(), self.wake(rank)))

    def die(self, number, how="was killed by SIGKILL"):
        rank = self.ranks[number]
        rank.dead = True
        self.feed(ev.Lost("run", RankSet([number]), how))

    # -- controllers

    def next_of(self, rank):
        return rank.c if rank.held else rank.c + 1

    def arm(self, rank, action):
        rank.epoch, rank.target, rank.told = action.epoch, 0, 0
        if rank.finished:
            self.say(rank, ev.Next, action.epoch, point=0, fin=True)
            return
        rank.hold = max(self.next_of(rank), action.goal)
        self.say(rank, ev.Next, action.epoch, point=rank.hold)

    def commit(self, rank, action):
        if action.epoch == rank.epoch:
            rank.hold = rank.target = action.point
            rank.told = 0

    def release(self, rank, action):
        if action.epoch == rank.epoch:
            rank.hold, rank.target = FREE, 0

    def prepare(self, rank, action):
        ranks = RankSet([rank.number])
        if rank.finished:
            voted = ev.Voted(FAMILY, action.plan, ranks, 0, finished=ranks)
        else:
            point = max(self.next_of(rank) + action.ahead, action.goal)
            voted = ev.Voted(FAMILY, action.plan, ranks, point)
            rank.plans[action.plan] = [point, False, action.every, FREE]
            rank.ends[action.plan] = action.ends
        self.answer(rank, voted)

    def hand(self, rank, action):
        rank.knows.add(action.plan)
        self.answer(rank, ev.Has(FAMILY, action.plan, RankSet([rank.number])))

    def confirm(self, rank, action):
        if action.plan not in rank.plans:
            return
        if ended := rank.ends[action.plan]:
            del rank.plans[action.plan]
            if ended in rank.plans:
                rank.plans[ended][3] = action.point
            return
        rank.plans[action.plan][:2] = [action.point, True]

    # -- the core

    def feed(self, event):
        actions = self.core.handle(event, self.now)
        self.core.check()
        for action in actions:
            self.do(action)

    def do(self, action):
        calls = {
            ev.Arm: self.arm, ev.Commit: self.commit, ev.Release: self.release,
            ev.Hand: self.hand, ev.Prepare: self.prepare, ev.Confirm: self.confirm,
            ev.Withdraw: lambda rank, a: rank.plans.pop(a.plan, None),
            ev.Clear: lambda rank, a: rank.plans.pop(a.plan, None),
            ev.Thaw: lambda rank, a: None, ev.Rest: lambda rank, a: None,
        }  # fmt: skip
        if type(action) in calls:
            for number in action.ranks:
                rank = self.ranks[number]
                call = calls[type(action)]
                self.order(rank, lambda rank=rank, call=call: call(rank, action))
        elif isinstance(action, ev.Look):
            for number in action.ranks:
                seen = ev.Seen(FAMILY, RankSet([number]), self.sight(number))
                self.later(self.trip(), lambda seen=seen: self.feed(seen))
        elif isinstance(action, ev.Tell):
            self.hear(action)
        elif isinstance(action, ev.Note):
            self.notes.append(action)
        else:
            raise AssertionError(action)

    def sight(self, number):
        rank = self.ranks[number]
        if rank.dead:
            return Sight(Place.DEAD)
        if rank.finished:
            return Sight(Place.FINISHED, rank.c)
        if rank.held:
            return Sight(Place.HELD, rank.c)
        if rank.due:
            return Sight(Place.RUNNING, rank.c)
        waits = RankSet([(number - 1) % len(self.ranks)])
        return Sight(Place.BLOCKED, rank.c, 0.0, "Recv", "sim.py:30", waits)

    def hear(self, tell):
        self.told.append(tell)
        for id in tell.answers:
            self.answers.setdefault(id, []).append(tell)
        if tell.kind is Kind.STOPPED:
            for number in tell.ranks:
                rank = self.ranks[number]
                assert rank.dead or (rank.held and rank.c == tell.point), (
                    tell, number, rank.c
                )  # fmt: skip

    def ask(self, kind, *arguments, **named):
        """A user's request; returns its id."""
        self.asked += 1
        id = f"q{self.asked}"
        asker = Asker(id, "user")
        self.feed(kind(asker, FAMILY, *arguments, **named))
        return id

    def answer_to(self, id, seconds=5.0):
        self.run(seconds, until=lambda: id in self.answers)
        return self.answers[id][0]

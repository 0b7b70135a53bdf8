"""The controller's and the rank's own code, step by step, in orders of chance."""

from __future__ import annotations

import collections
import random
import threading

import pytest

from steer.core import page
from steer.core.fences import FINISHED, Fences
from steer.core.page import Family, Head
from steer.core.roundevents import FREE
from steer.engines import points

from .lockstep import Lockstep, SteppedWords

FIRST = page.family_base(0)
ENDS = 60
BLOCKS = pytest.mark.parametrize(
    "block",
    [*range(5), *(pytest.param(n, marks=pytest.mark.slow) for n in range(5, 100))],
)


class Rank:
    """A main thread with its own points, without a session of the process."""

    def __init__(self, lockstep, words, ends, numbered):
        self.numbered = numbered
        self.words = words
        self.lockstep = lockstep
        self.ends = ends
        self.did = []
        self.family = False
        self.known = set()
        self.passed = 0

    # what an engine does for its points

    def arrive(self):
        pass

    def ring(self):
        self.lockstep.switch()

    def wait(self, calm):
        self.lockstep.switch()

    def has(self, plan):
        return plan in self.known

    def apply(self, plan, point):
        self.did.append((plan, point))

    def family_here(self, label, logical, comm):
        self.family = True

    def main(self):
        session = points.Session(self.words, self)
        session._thread = threading.get_ident()
        base = None
        for step in range(self.ends):
            if self.numbered:
                session.point(None, step, None)
            elif base is None:
                session.point(None, None, None)
                base = FIRST
            else:  # as point() does
                count = self.words[base + Family.C] + 1
                self.words[base + Family.C] = count
                if count >= self.words[base + Family.FENCE]:
                    session.point_at(base, count)
            self.passed += 1
        self.words[Head.FIN] = 1


def ranks_and_controllers(seed, ranks=2, ends=9, numbered=False):
    lockstep = Lockstep(seed)
    made = []
    for number in range(ranks):
        words = SteppedWords(lockstep)
        rank = Rank(lockstep, words, ends, numbered)
        lockstep.add(f"rank {number}", rank.main)
        made.append((rank, Fences(words, FIRST)))
    return lockstep, made


def until(lockstep, condition):
    while not condition():
        lockstep.switch()


def stop(lockstep, made, epoch):
    """A round; returns the point, or None if a rank has finished."""
    answers = [fences.arm(epoch) for _, fences in made]
    target = FINISHED if FINISHED in answers else max(answers)
    if target == FINISHED:
        for _, fences in made:
            fences.release(epoch)
        return None
    for _, fences in made:
        fences.commit(epoch, target)
    held = set()
    while len(held) < len(made):
        for number, (_, fences) in enumerate(made):
            report = fences.look()
            if report.held_at is not None:
                assert report.held_at == target
                held.add(number)
            if report.finished:
                for _, fences in made:
                    fences.release(epoch)
                return None
        lockstep.switch()
    return target


def assert_at(made, target):
    for rank, _ in made:
        assert rank.words.words[FIRST + Family.C] == target
        assert rank.passed == target - 1


def begin(lockstep, made):
    for rank, fences in made:
        until(lockstep, lambda rank=rank: rank.family)
        fences.adopt()


@BLOCKS
def test_every_stop_is_at_one_point(block):
    stops = 0
    for seed in range(15 * block, 15 * block + 15):
        lockstep, made = ranks_and_controllers(seed)

        def hub(lockstep=lockstep, made=made):
            nonlocal stops
            begin(lockstep, made)
            for epoch in range(1, 5):
                target = stop(lockstep, made, epoch)
                if target is None:
                    break
                stops += 1
                assert_at(made, target)
                for _ in range(lockstep.random.randrange(30)):
                    lockstep.switch()
                assert_at(made, target)
                for _, fences in made:
                    fences.release(epoch)

        lockstep.add("hub", hub)
        lockstep.run()
        assert [rank.passed for rank, _ in made] == [9, 9]
    assert stops > 15


@BLOCKS
def test_every_plan_is_done_at_one_point_with_stops_between(block):
    done = 0
    for seed in range(15 * block, 15 * block + 15):
        lockstep, made = ranks_and_controllers(1000 + seed, ends=ENDS)
        agreed = {}
        chance = random.Random(seed)

        def hub(lockstep=lockstep, made=made, agreed=agreed, chance=chance):
            begin(lockstep, made)
            for number in range(1, 8):
                if chance.random() < 0.3:
                    target = stop(lockstep, made, number)
                    if target is None:
                        return
                    for _, fences in made:
                        fences.release(number)
                    continue
                every = chance.choice([0, 0, 2])
                ends = chance.choice([0, *agreed]) if agreed else 0
                ahead = chance.choice([0, 0, 3])
                votes = [f.prepare(number, 0, every, ends, ahead) for _, f in made]
                if FINISHED in votes or FREE in votes:
                    for _, fences in made:
                        fences.withdraw(number)
                    continue
                point = max(votes)
                for rank, fences in made:
                    fences.confirm(number, point)
                    rank.known.add(number)
                if not ends:
                    agreed[number] = (point, every, [FREE])
                elif agreed[ends][0] < point:
                    agreed[ends][2][0] = min(point, agreed[ends][2][0])
                elif point <= agreed[ends][0]:
                    agreed[ends][2][0] = 0
            while not all(rank.words.words[Head.FIN] for rank, _ in made):
                for _, fences in made:
                    fences.look()
                lockstep.switch()

        lockstep.add("hub", hub)
        lockstep.run()
        wanted = collections.Counter(
            (number, point)
            for number, (first, every, (until_,)) in agreed.items()
            for point in (range(first, ENDS + 1, every) if every else [first])
            if point < min(until_, ENDS + 1)
        )
        for rank, _ in made:
            assert collections.Counter(rank.did) == wanted, seed
        done += len(wanted)
    assert done > 30


@BLOCKS
def test_a_stop_at_the_very_first_point_is_there(block):
    """Ordered as soon as each family is seen, wherever its rank is on its way."""
    for seed in range(15 * block, 15 * block + 15):
        lockstep, made = ranks_and_controllers(3000 + seed)

        def hub(lockstep=lockstep, made=made):
            answers = []
            for rank, fences in made:
                until(lockstep, lambda rank=rank: rank.family)
                answers.append(fences.arm(1))
            assert answers == [1, 1]
            for _, fences in made:
                fences.commit(1, 1)
            held = set()
            while len(held) < len(made):
                held |= {n for n, (_, f) in enumerate(made) if f.look().held_at == 1}
                lockstep.switch()
            assert_at(made, 1)
            for _, fences in made:
                fences.release(1)

        lockstep.add("hub", hub)
        lockstep.run()
        assert [rank.passed for rank, _ in made] == [9, 9]


@BLOCKS
def test_a_plan_at_a_stop_at_step_0_is_done_there(block):
    """0 is a point of a program that says `step=`, and no word for anything else."""
    for seed in range(15 * block, 15 * block + 15):
        lockstep, made = ranks_and_controllers(4000 + seed, numbered=True)

        def hub(lockstep=lockstep, made=made):
            for rank, _ in made:
                until(lockstep, lambda rank=rank: rank.family)
            assert stop(lockstep, made, 1) == 0
            assert [fences.prepare(1, 0) for _, fences in made] == [0, 0]
            for rank, fences in made:
                rank.known.add(1)
                fences.confirm(1, 0)
            for rank, _ in made:
                until(lockstep, lambda rank=rank: rank.did)
                assert rank.words.words[FIRST + Family.C] == 0
            for _, fences in made:
                fences.release(1)

        lockstep.add("hub", hub)
        lockstep.run()
        assert [(rank.did, rank.passed) for rank, _ in made] == [([(1, 0)], 9)] * 2


def test_a_rank_that_has_finished_says_so():
    words = [0] * page.WORDS
    base = page.add_family(words, "step", False)
    fences = Fences(words, base)
    fences.adopt()
    words[Head.FIN] = 1
    assert fences.arm(1) == FINISHED
    assert words[base + Family.HOLD] == FREE
    assert fences.prepare(2, 5) == FINISHED


def test_finishing_in_a_round_is_told_once():
    words = [0] * page.WORDS
    base = page.add_family(words, "step", False)
    fences = Fences(words, base)
    fences.adopt()
    assert fences.arm(1) == 1
    words[Head.FIN] = 1
    assert fences.look().finished
    assert not fences.look().finished


def test_another_epochs_words_are_dropped():
    words = [0] * page.WORDS
    fences = Fences(words, page.add_family(words, "step", False))
    fences.adopt()
    fences.arm(7)
    fences.commit(6, 99)
    fences.release(6)
    assert words[FIRST + Family.HOLD] == 1


def test_a_goal_that_is_far():
    words = [0] * page.WORDS
    fences = Fences(words, page.add_family(words, "step", False))
    fences.adopt()
    assert fences.arm(1, goal=500) == 500
    assert words[FIRST + Family.FENCE] == 500


def test_a_page_has_room_for_so_many_plans():
    words = [0] * page.WORDS
    fences = Fences(words, page.add_family(words, "step", False))
    fences.adopt()
    votes = [fences.prepare(n, 10 * n) for n in range(1, page.PLANS + 2)]
    assert votes[-1] == FREE
    assert words[FIRST + Family.FENCE] == 10
    fences.withdraw(1)
    assert words[FIRST + Family.FENCE] == 20
    assert fences.prepare(77, 15) == 15


def test_what_was_done_at_a_point_is_not_ended_there():
    words = [0] * page.WORDS
    base = page.add_family(words, "step", False)
    fences = Fences(words, base)
    fences.adopt()
    for word in (Family.C, Family.AT, Family.DID):
        words[base + word] = 12
    assert fences.prepare(1, 0) == 12
    assert fences.prepare(2, 0, ends=1) == 13


def test_a_plan_at_a_stop_is_done_there_though_another_is_being_done():
    """Main does not say that it holds while it does what is planned."""
    words = [0] * page.WORDS
    base = page.add_family(words, "step", False)
    fences = Fences(words, base)
    fences.adopt()
    fences.arm(1)
    fences.commit(1, 12)
    words[base + Family.C] = words[base + Family.AT] = 12
    assert fences.look().held_at == 12
    words[base + Family.AT] = page.NOWHERE
    assert fences.prepare(1, 12) == 12
    fences.withdraw(1)
    words[Head.FIN] = 1  # what was done there has ended the program
    assert fences.prepare(2, 12) == FINISHED
    words[Head.FIN] = 0
    fences.release(1)
    assert fences.prepare(3, 12) == 13

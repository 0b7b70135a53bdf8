"""Any order of what users ask and ranks do: all is answered, nobody stays held."""

from __future__ import annotations

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from steer.core import roundevents as ev
from steer.core.roundevents import FREE, Kind

from .steered import World

TIMES = st.sampled_from([1e-4, 2e-3, 0.01, 0.1, 0.7])


class Machine(stateful.RuleBasedStateMachine):
    """Some ranks, and users who cannot make up their minds."""

    @stateful.initialize(
        ranks=st.integers(1, 4),
        seed=st.integers(0, 999),
        end=st.sampled_from([10, 100, 600]),
        ring=st.booleans(),
        logical=st.booleans(),
    )
    def begin(self, ranks, seed, end, ring, logical):
        self.world = World(ranks, end, seed, ring, logical)
        self.ids = []

    def ask(self, kind, *arguments, **named):
        self.ids.append(self.world.ask(kind, *arguments, **named))

    @stateful.rule(by=TIMES)
    def wait(self, by):
        self.world.run(by)

    @stateful.rule(point=st.sampled_from([0, 0, 0, 7, 50, 400]))
    def stop(self, point):
        self.ask(ev.Stop, point=point)

    @stateful.rule()
    def go(self):
        self.ask(ev.Go)

    @stateful.rule(n=st.sampled_from([1, 1, 10, 0]))
    def step(self, n):
        self.ask(ev.Step, n)

    @stateful.rule()
    def advance(self):
        self.ask(ev.Advance)

    @stateful.rule()
    def here(self):
        self.ask(ev.Here)

    @stateful.rule(
        point=st.sampled_from([0, 0, 20, 90]),
        ahead=st.sampled_from([0, 0, 5]),
        every=st.sampled_from([0, 0, 3, 40]),
    )
    def plan(self, point, ahead, every):
        self.ask(ev.Plan, "set", "dt=1", point=point, ahead=ahead, every=every)

    @stateful.rule(back=st.integers(0, 5))
    def unplan(self, back):
        self.ask(ev.Unplan, self.world.core.plan - back)

    @stateful.rule(number=st.integers(0, 30))
    def die(self, number):
        if number < len(self.world.ranks) and not self.world.ranks[number].dead:
            self.world.die(number)

    @stateful.invariant()
    def all_live_ranks_did_the_same_so_far(self):
        if not hasattr(self, "world"):
            return
        live = [rank.did for rank in self.world.ranks if not rank.dead]
        live.sort(key=len)
        for one in live:
            assert one == live[-1][: len(one)], live

    def teardown(self):
        if not hasattr(self, "world"):
            return
        world = self.world
        lost = any(rank.dead for rank in world.ranks)
        world.run(1.0)
        if not lost:
            tell = world.answer_to(world.ask(ev.Stop), 3.0)
            assert tell.kind in (
                Kind.STOPPED, Kind.ENDING, Kind.OVER, Kind.REFUSED
            ), tell  # fmt: skip
        world.ask(ev.Go)
        world.run(10.0)
        for rank in world.ranks:
            if rank.dead:
                continue
            assert rank.hold == FREE
            assert rank.finished or (lost and world.ring), (rank.number, rank.c)
        if not lost:
            assert world.core.families == {}
            unanswered = [id for id in self.ids if id not in world.answers]
            assert not unanswered, unanswered
            assert not [i for i in self.ids if len(world.answers[i]) > 1]


TestMachine = Machine.TestCase
TestMachine.settings = hypothesis.settings(
    max_examples=60, stateful_step_count=25, deadline=None
)

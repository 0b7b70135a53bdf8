"""Verdicts of random programs against what trying everything finds."""

from __future__ import annotations

import random

import hypothesis
from hypothesis import strategies as st

from steer.core.rankstates import ANY, Doing
from steer.core.verdict import Kind, diagnose

from .toympi import NOW, Step, World

CLOSED = (Kind.DEADLOCK, Kind.MISMATCH)


@st.composite
def worlds(draw):
    n = draw(st.integers(2, 5))
    everyone = tuple(range(n))
    groups = st.sets(st.sampled_from(everyone), min_size=2).map(sorted).map(tuple)
    comms = [everyone, *draw(st.lists(groups, max_size=2))]
    chance = draw(st.randoms(use_true_random=False))
    joint = joint_program(chance, comms)
    programs = [
        [step for step in joint if applies(step, rank, comms)] for rank in everyone
    ]
    programs = [[told(step, rank) for step in p] for rank, p in enumerate(programs)]
    for _ in range(draw(st.integers(0, 3))):
        spoil(chance, chance.choice(programs), n, comms)
    return World([list(filter(None, p)) for p in programs], comms)


def joint_program(chance: random.Random, comms):
    """Steps that go well together: pairs of sender and receiver, and collectives."""
    steps = []
    for _ in range(chance.randint(1, 6)):
        comm = chance.randrange(len(comms))
        a, b = chance.sample(comms[comm], 2)
        op = chance.choice(
            ["pair", "pair", "Barrier", "Allreduce", "allreduce", "Bcast"]
        )
        kind = chance.choice(["send", "eager"]), chance.choice([a, a, ANY])
        steps.append((op, comm, a, b, chance.randrange(2), kind))
    return steps


def applies(step, rank, comms):
    op, comm, a, b, *_ = step
    return rank in (a, b) if op == "pair" else rank in comms[comm]


def told(step, rank):
    op, comm, a, b, tag, (how, source) = step
    if op != "pair":
        return Step(op, comm, a if op == "Bcast" else ANY)
    return Step(how, comm, b, tag) if rank == a else Step("recv", comm, source, tag)


def spoil(chance: random.Random, program, n, comms):
    """A mistake, as people make them."""
    place = chance.randint(0, len(program))
    what = chance.randrange(6)
    if what == 0:
        program.insert(place, Step("compute"))
    elif what == 1:
        program.insert(place, Step("fail"))
    elif what == 2:
        del program[place:]
    elif what == 3 and program:
        program[place % len(program)] = None
    elif what == 4:
        program[:] = chance.sample(program, len(program))
    elif program and program[0] is not None:
        old = program[place % len(program)]
        if old is not None and old.op in ("recv", "send"):
            program[place % len(program)] = Step(old.op, old.comm, old.peer, 7)


@hypothesis.given(worlds(), st.randoms(use_true_random=False))
def test_the_verdict_agrees_with_trying_everything(world, chance):
    world.run(chance)
    states = world.states()
    found = diagnose(states, NOW)
    by_kind = dict.fromkeys(Kind, frozenset())
    for finding in found.findings:
        by_kind[finding.kind] |= frozenset(finding.waiting)
    closed = frozenset().union(*(by_kind[kind] for kind in CLOSED))

    failed = frozenset(r for r, s in states.items() if s.doing is Doing.POST_MORTEM)
    finished = frozenset(r for r, s in states.items() if s.doing is Doing.FINISHED)
    stuck = world.stuck(frozenset())
    never = world.stuck(failed)
    unasked = world.stuck(failed | finished)
    assert closed == stuck
    assert by_kind[Kind.FAILED] == never - stuck
    assert by_kind[Kind.FINISHED] == unasked - never
    waiting = frozenset(r for r, s in states.items() if s.doing is Doing.MPI)
    assert by_kind[Kind.IMBALANCE] == waiting - unasked
    assert not by_kind[Kind.QUIET]


@hypothesis.given(worlds(), st.randoms(use_true_random=False))
def test_cycles_are_cycles_and_cores_wait_for_nobody_else(world, chance):
    world.run(chance)
    found = diagnose(world.states(), NOW)
    for finding in found.findings:
        if finding.kind not in CLOSED:
            continue
        waits = found.graph.waits
        assert finding.cycle
        for rank, following in zip(
            finding.cycle, finding.cycle[1:] + finding.cycle[:1], strict=True
        ):
            assert waits[rank].targets >> following & 1
        assert set(finding.cycle) <= set(finding.causes)
        assert finding.causes <= finding.waiting


@hypothesis.given(worlds(), st.randoms(use_true_random=False), st.integers(0, 20))
def test_who_was_called_deadlocked_never_moves_again(world, chance, steps):
    """Asked in the middle: what computes may then go on as its program says."""
    for _ in range(steps):
        moves = [m for rank in range(len(world.at)) for m in world.moves(rank)]
        if not moves:
            break
        world.go(chance.choice(moves))
    if any(world.mail) or any(world.given.values()):
        return  # not settled: the proof's span excludes it
    states = world.states_on_the_way()
    dead = [f for f in diagnose(states, NOW).findings if f.kind in CLOSED]
    before = list(world.at)
    for rank, program in enumerate(world.programs):
        step = world.step(rank)
        if step is not None and step.op == "compute":
            program[world.at[rank]] = chance.choice(program)
    world.run(chance)
    for finding in dead:
        for rank in finding.waiting:
            assert world.at[rank] == before[rank]

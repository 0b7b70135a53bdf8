"""What a user reads: the issue's own examples, and no word that is not proved."""

from __future__ import annotations

import hypothesis
import msgspec
from hypothesis import strategies as st

from steer.core.rankstates import ANY, Call, Comm, Doing, Message, RankState, Spot
from steer.core.verdict import Kind, diagnose
from steer.core.verdicttext import comm_names, duration, text

from .sightings import NOW, blocked, doing, joint, recv, send, world
from .test_verdict_oracle import worlds

WORLD4 = world(4)


def say(*states):
    return text(diagnose(dict(enumerate(states)), NOW))


def test_the_example_of_a_failed_rank():
    reduction = Call("Allreduce", WORLD4, number=812)
    spot = Spot("/home/ann/solver.py", 88, "rhs")
    failed = RankState(Doing.POST_MORTEM, spot, None, "ZeroDivisionError", seen=NOW)
    said = say(*[blocked(reduction, line=120)] * 3, failed)
    assert said == (
        "4 ranks: 3 blocked, 1 post-mortem        "
        "verdict: WAITING ON FAILED (rank 3)\n"
        " [0-2]  Allreduce(comm WORLD, #812)  solver.py:120        12 s\n"
        " [3]    ZeroDivisionError            solver.py:88 in rhs\n"
        " Ranks 0-2 wait for rank 3, whose program failed: they cannot go on.\n"
        " → %pxunstick    %pxdebug --ranks 3\n"
    )


def test_a_deadlock_shows_its_cycle_its_victims_and_a_hint():
    halo = [blocked(recv(3, 7, WORLD4)), blocked(recv(2, 7, WORLD4))]
    said = say(*[blocked(joint("Allreduce", WORLD4))] * 2, *halo)
    assert "DEADLOCK (proved: none of its ranks has moved for 12 s)" in said
    assert "cycle 2 → 3 → 2: each waits for the next" in said
    assert "Ranks 0-1 are victims" in said
    assert "hint: all of them receive before they send." in said
    assert "Recv(source=3, tag=7, comm WORLD)" in said


def test_a_wrong_tag_is_named():
    said = say(blocked(send(1, 7)), blocked(recv(0, 9)), blocked(joint("Barrier")))
    assert "hint: rank 0 sends with tag 7, rank 1 receives with tag 9." in said


def test_a_mismatch_names_both_sides():
    said = say(*[blocked(joint("Barrier"))] * 2, blocked(joint("allreduce")))
    assert "verdict: MISMATCH" in said
    assert "ranks 0-1 in Barrier and rank 2 in allreduce" in said


def test_imbalance_says_what_the_working_rank_does():
    busy = doing(Doing.NATIVE, "time.sleep", 40, "assemble")
    said = say(blocked(joint("Barrier")), blocked(joint("Barrier")), busy)
    assert "IMBALANCE (rank 2)" in said
    assert "rank 2, which is in time.sleep at solver.py:40 in assemble." in said
    assert "They go on when that one gets there." in said


def test_a_dead_rank_offers_no_post_mortem():
    said = say(blocked(recv(2)), blocked(recv(2)), doing(Doing.DEAD, "signal 9"))
    assert "rank 2, which died (signal 9)" in said
    assert "%pxdebug" not in said


def test_long_cycles_are_cut():
    n = 50
    comm = world(n)
    ring = [blocked(recv((rank + 1) % n, comm=comm)) for rank in range(n)]
    assert "0 → 1 → 2 → 3 → 4 → … 43 more … → 48 → 49 → 0" in say(*ring)


def test_communicators_have_one_name_on_all_ranks():
    """Two rows of one name, a column that each rank calls differently."""
    rows = [Comm("0-1", "#1", "row"), Comm("2-3", "#1", "row")]
    columns = [Comm("0,2", "", "self.col"), Comm("0,2", "", "grid.comm")]
    calls = [
        Call("Barrier", rows[0]),
        Call("Barrier", rows[1]),
        Call("Bcast", columns[0]),
        Call("Bcast", columns[1]),
    ]
    names = comm_names({rank: blocked(call) for rank, call in enumerate(calls)})
    assert list(names.values()) == ["row#1 of 0-1", "row#1 of 2-3", "self.col"]


def test_unknown_peers_and_tags():
    odd = Call("recv", None, receive=Message(-2, -2))
    anything = Call("recv", WORLD4, receive=Message(ANY, ANY))
    assert "recv(source=?, tag=?, comm ?)" in say(blocked(odd), doing(Doing.PYTHON))
    assert "recv(source=any, comm WORLD)" in say(blocked(anything))


def test_durations():
    assert [duration(s) for s in (None, 0.1, 12.4, 200, 8000)] == [
        "", "", "12 s", "3 min", "2 h 13 min",
    ]  # fmt: skip


@hypothesis.given(worlds(), st.randoms(use_true_random=False), st.floats(0, 3))
def test_the_word_deadlock_stands_only_for_what_is_proved(world, chance, still):
    world.run(chance)
    states = world.states()
    for rank, state in states.items():
        if state.doing is Doing.MPI:
            states[rank] = blocked(state.call, moved=NOW - still * chance.random())
    found = diagnose(states, NOW)
    said = text(found).lower()
    assert len(said.splitlines()) > len(found.findings)
    kinds = [finding.kind for finding in found.findings if finding.proved]
    if Kind.DEADLOCK not in kinds:
        assert "deadlock" not in said


def test_a_cell_at_a_hold_is_not_told_to_go_on():
    """`%pxgo` would not end it: its own program waits for it."""
    cell = msgspec.structs.replace(blocked(joint("Barrier")), inside="point 7 'step'")
    held = doing(Doing.HELD, "point 7 'step'")
    said = text(diagnose({0: cell, 1: held, 2: held}, NOW))
    assert "verdict: WAITING ON HELD (ranks 1-2)" in said
    assert (
        "Rank 0 waits for ranks 1-2, which are held too and run nothing there: its cell"
        " cannot end unless the same is run there too." in said
    )
    assert "%pxunstick" in said
    assert "%pxgo" not in said
    other = text(diagnose({0: blocked(joint("Barrier")), 1: held, 2: held}, NOW))
    assert "It goes on when those are let go" in other
    assert "%pxgo" in other

"""The programs of the issue, as states of their ranks: the right verdict for each."""

from __future__ import annotations

import pytest

from steer.core.rankstates import ANY, Call, Comm, Doing, Open, RankState, Spot
from steer.core.verdict import Kind, arrows, diagnose, waiters
from steer.ranks import RankSet

from .sightings import (
    NOW,
    blocked,
    doing,
    joint,
    open_requests,
    recv,
    send,
    world,
)

FINISHED = doing(Doing.FINISHED)
COMPUTING = doing(Doing.PYTHON)


def head(*states):
    return diagnose(dict(enumerate(states)), NOW).head


def test_receives_in_a_circle():
    found = head(blocked(recv(2)), blocked(recv(0)), blocked(recv(1)))
    assert found.kind is Kind.DEADLOCK
    assert found.cycle == (0, 2, 1)
    assert found.still == 12.0


@pytest.mark.parametrize("n", [3, 8, 32])
def test_head_to_head_with_victims(n):
    comm = world(n)
    states = [blocked(joint("Allreduce", comm)) for _ in range(n)]
    states[1] = blocked(recv(2, 7, comm))
    states[2] = blocked(recv(1, 7, comm))
    found = head(*states)
    assert found.kind is Kind.DEADLOCK
    assert found.cycle == (1, 2)
    assert found.causes == RankSet.parse("1-2")
    assert found.victims == RankSet([rank for rank in range(n) if rank not in (1, 2)])


def test_a_wrong_tag():
    found = head(blocked(send(1, 7)), blocked(recv(0, 9)), blocked(joint("Barrier")))
    assert found.kind is Kind.DEADLOCK
    assert found.causes == RankSet.parse("0-1")
    assert found.victims == RankSet.parse("2")


def test_a_message_on_its_way_is_no_deadlock():
    found = head(blocked(send(1, 7)), blocked(recv(0, 7)), blocked(recv(1, 9)))
    assert found.kind is Kind.QUIET


def test_messages_of_another_communicator_do_not_fit():
    other = Comm("0-1", "mine", sure=True)
    found = head(blocked(send(1, 7)), blocked(recv(0, 7, other)), FINISHED)
    assert found.kind is Kind.DEADLOCK


@pytest.mark.parametrize("ops", [("Barrier", "allreduce"), ("Allreduce", "allreduce")])
def test_mismatched_collectives(ops):
    first, second = ops
    found = head(*(blocked(joint(op)) for op in (first, first, second)))
    assert found.kind is Kind.MISMATCH
    assert found.sides == ((first, RankSet.parse("0-1")), (second, RankSet.parse("2")))


def test_roots_that_differ():
    calls = (joint("Bcast", root=1), joint("Bcast", root=2), joint("Bcast", root=1))
    # Rank 1 is the root that it names itself; rank 2 may have given and gone on.
    found = head(*map(blocked, calls))
    assert found.kind is Kind.MISMATCH


def test_bcast_and_its_pickled_twin_may_meet():
    found = head(*(blocked(joint(op)) for op in ("Bcast", "bcast", "bcast")))
    assert found.kind is Kind.QUIET


def test_a_missing_participant_has_finished():
    found = head(blocked(joint("Barrier")), blocked(joint("Barrier")), FINISHED)
    assert found.kind is Kind.FINISHED
    assert found.proved
    assert found.causes == RankSet.parse("2")


@pytest.mark.parametrize("how", [Doing.POST_MORTEM, Doing.DEAD])
def test_a_worker_failed(how):
    master = blocked(recv(2))
    found = head(master, blocked(joint("Barrier")), doing(how, "signal 9"))
    assert found.kind is Kind.FAILED
    assert found.waiting == RankSet.parse("0-1")
    assert found.causes == RankSet.parse("2")


def test_a_held_rank_is_our_own_doing():
    found = head(blocked(recv(2)), COMPUTING, doing(Doing.HELD))
    assert found.kind is Kind.HELD


@pytest.mark.parametrize("how", [Doing.PYTHON, Doing.NATIVE, Doing.HOLDING])
def test_a_slow_rank_is_no_deadlock(how):
    found = head(blocked(joint("Barrier")), blocked(recv(2)), doing(how))
    assert found.kind is Kind.IMBALANCE
    assert found.waiting == RankSet.parse("0-1")
    assert found.causes == RankSet.parse("2")


def test_nothing_is_drawn_from_a_call_that_is_only_guessed():
    """`np.add.reduce(u)` and `sim.gather()` are written as calls of MPI are."""
    guess = Call("reduce", size=-1, guessed=True)
    holds = RankState(Doing.HOLDING, Spot(), guess, "", 70.0, NOW, 70.0, Open(1, -1))
    by_name = RankState(Doing.MPI, Spot(), guess, "", 70.0, NOW, 70.0)
    for busy in (holds, by_name):
        found = head(busy, blocked(recv(0)), blocked(joint("Barrier")))
        assert found.kind is Kind.QUIET
        assert "may be in reduce, or in something else" in found.doubts[0]
        assert head(busy, busy, busy).kind is Kind.QUIET
        circle = head(busy, blocked(recv(2)), blocked(recv(1)))
        assert circle.kind is Kind.DEADLOCK  # that it is not part of
        assert circle.causes == RankSet.parse("1-2")


def test_a_wildcard_without_a_sender():
    states = [blocked(recv(ANY)) for _ in range(3)]
    assert head(*states).kind is Kind.DEADLOCK
    assert head(states[0], FINISHED, FINISHED).kind is Kind.FINISHED
    assert head(states[0], states[1], COMPUTING).kind is Kind.IMBALANCE


def test_what_one_needs_all_of_is_as_bad_as_the_worst():
    barrier = blocked(joint("Barrier"))
    assert head(barrier, COMPUTING, doing(Doing.POST_MORTEM)).kind is Kind.FAILED
    anybody = blocked(recv(ANY))
    assert head(anybody, COMPUTING, doing(Doing.POST_MORTEM)).kind is Kind.IMBALANCE


def test_all_of_them_means_all():
    """Rank 1 will come to the barrier, rank 2 never."""
    comm = world(4)
    stuck = blocked(recv(2, comm=comm))
    found = head(
        blocked(joint("Barrier", comm)), blocked(recv(3, comm=comm)), stuck, COMPUTING
    )
    assert found.kind is Kind.DEADLOCK
    assert (found.causes, found.victims) == (RankSet([2]), RankSet([0]))


def test_failed_is_worse_than_finished():
    failed = doing(Doing.POST_MORTEM)
    assert head(blocked(joint("Barrier")), FINISHED, failed).kind is Kind.FAILED
    assert head(blocked(recv(ANY)), FINISHED, failed).kind is Kind.FINISHED


def test_who_just_came_is_not_said_to_wait_in_vain():
    found = head(blocked(recv(1), moved=NOW - 0.2), FINISHED)
    assert found.kind is Kind.QUIET
    assert "too short a time" in found.doubts[0]


def test_nested_communicators():
    """Ranks 0 and 1 in the row, 1 and 2 in the column, 2 and 0 in the diagonal."""
    row, column, diagonal = (Comm(r, sure=True) for r in ("0-1", "1-2", "0,2"))
    ring = [joint("Barrier", row), joint("Barrier", column), joint("Barrier", diagonal)]
    found = head(*map(blocked, ring))
    assert found.kind is Kind.DEADLOCK
    assert found.cycle == (0, 1, 2)
    inner = head(
        blocked(joint("Barrier", row)), blocked(joint("Barrier", column)), COMPUTING
    )
    assert inner.kind is Kind.IMBALANCE
    assert inner.waiting == RankSet.parse("0-1")


def test_a_victim_in_a_tree_of_messages_is_not_taken_for_a_mismatch():
    comm = world(4)
    found = head(
        blocked(joint("Barrier", comm)),  # gave, and went on
        blocked(joint("Bcast", comm, 0)),
        blocked(recv(3, comm=comm)),
        blocked(recv(2, comm=comm)),
    )
    assert found.kind is Kind.DEADLOCK
    assert found.cycle == (2, 3)


def test_a_rank_that_waits_for_itself():
    found = head(blocked(recv(0, 3)), COMPUTING)
    assert found.kind is Kind.DEADLOCK
    assert found.cycle == (0,)


def test_nobody_is_there_to_send():
    found = head(blocked(recv(ANY, comm=Comm("0", "SELF", sure=True))), COMPUTING)
    assert found.kind is Kind.DEADLOCK
    assert found.cycle == (0,)


def test_a_wait_for_requests_names_nobody():
    wait = joint("Waitall", None)
    assert head(*(blocked(wait) for _ in range(3))).kind is Kind.DEADLOCK
    assert head(blocked(wait), blocked(wait), COMPUTING).kind is Kind.IMBALANCE


# -- proofs


def test_no_deadlock_without_a_span_in_which_all_were_still():
    found = head(blocked(recv(1), moved=10), blocked(recv(0), moved=99.5), COMPUTING)
    assert found.kind is Kind.QUIET
    assert not found.proved


def test_spans_must_overlap():
    first = blocked(recv(1), moved=10)
    late = blocked(recv(0), moved=98.5)
    early = type(first)(
        first.doing, first.spot, first.call, "", first.moved, 99.0, first.since
    )
    found = head(early, late, FINISHED)
    assert found.kind is Kind.QUIET
    assert found.suspect is Kind.DEADLOCK
    assert "still together for 0.5 s" in found.doubts[0]


def test_what_is_under_way_needs_time():
    big = [blocked(recv(1), open=open_requests(10**9)), blocked(recv(0)), COMPUTING]
    assert head(*big).kind is Kind.QUIET
    big[0] = blocked(recv(1), open=open_requests(10**6))
    assert head(*big).kind is Kind.DEADLOCK
    unknown = open_requests(-1)
    big[0] = blocked(recv(1), open=unknown)
    assert head(*big).kind is Kind.DEADLOCK
    early = [blocked(recv(peer), open=unknown, moved=93) for peer in (1, 0)]
    assert head(*early, COMPUTING).kind is Kind.QUIET


@pytest.mark.parametrize("how", [Doing.FINISHED, Doing.POST_MORTEM])
def test_what_was_begun_by_those_that_are_over_may_still_come(how):
    """`comm.Isend(data, 0)` was the last thing that rank 1 did."""

    def after(seconds, opened):
        spot = Spot("/home/ann/solver.py", 2, "rhs")
        over = RankState(how, spot, None, "", NOW - seconds, NOW, NOW - seconds, opened)
        return head(blocked(recv(1), moved=50), over)

    proved = Kind.FINISHED if how is Doing.FINISHED else Kind.FAILED
    assert after(2.0, Open()).kind is proved
    found = after(0.3, Open())
    assert (found.kind, found.suspect) == (Kind.QUIET, proved)
    assert "rank 1: what was begun there last may still arrive" in found.doubts[0]
    assert after(2.0, open_requests(10**9)).kind is Kind.QUIET
    assert after(2.0, open_requests(-1)).kind is Kind.QUIET
    assert after(12.0, open_requests(-1)).kind is proved
    helped = after(30.0, Open(threads=("sender",)))
    assert helped.kind is Kind.QUIET
    assert "its thread sender may act" in helped.doubts[0]


def test_another_thread_may_help():
    helped = blocked(recv(1), open=Open(threads=("sender",)))
    found = head(helped, blocked(recv(0)), FINISHED)
    assert found.kind is Kind.QUIET
    assert "sender" in found.doubts[0]


def test_ranks_of_another_world_may_help():
    outside = Comm("0", whole=False)
    assert head(blocked(recv(0, comm=outside)), FINISHED).kind is Kind.QUIET


def test_an_unknown_communicator_may_be_complete():
    lost = blocked(joint("allreduce", None))
    assert head(lost, lost, FINISHED).kind is Kind.QUIET
    assert head(lost, FINISHED, FINISHED).kind is Kind.FINISHED


def test_ranks_that_were_not_asked_prove_nothing():
    found = head(blocked(recv(7, comm=world(8))), blocked(joint("Barrier", world(8))))
    assert found.kind is Kind.QUIET
    assert "ranks 2-7: not asked" in found.doubts


def test_a_call_that_names_nobody_may_be_what_others_wait_for():
    vague = blocked(Call("recv"))
    assert head(blocked(send(1)), vague, FINISHED).kind is Kind.QUIET
    assert head(vague, blocked(Call("send")), FINISHED).kind is Kind.QUIET
    assert head(vague, FINISHED, FINISHED).kind is Kind.FINISHED


def test_unreachable_ranks_prove_nothing():
    gone = doing(Doing.UNREACHABLE)
    found = head(blocked(recv(2)), blocked(joint("Barrier")), gone)
    assert found.kind is Kind.QUIET
    assert "rank 2: no answer" in found.doubts


# -- the picture


def test_arrows_join_those_who_wait_for_the_same():
    states = {0: blocked(joint("Barrier")), 1: blocked(joint("Barrier")), 2: COMPUTING}
    (arrow,) = arrows(diagnose(states, NOW))
    assert (arrow.waiting, arrow.targets) == (RankSet.parse("0-1"), RankSet([2]))
    assert arrow.every


# -- who waits for a failed rank, at once


def test_waiters_of_a_rank_that_failed():
    states = {
        0: blocked(joint("Barrier"), moved=99.9),
        1: blocked(recv(0), moved=99.9),
        2: doing(Doing.POST_MORTEM),
    }
    assert waiters(states, 2) == RankSet.parse("0-1")
    states[1] = blocked(recv(1))
    assert 0 in waiters(states, 2)


# -- size


def test_ten_thousand_ranks_cost_steps_and_not_squares():
    n = 10_000
    comm = world(n)
    ring = {rank: blocked(recv((rank + 1) % n, comm=comm)) for rank in range(n)}
    assert len(diagnose(ring, NOW).head.cycle) == n
    barrier = {rank: blocked(joint("Barrier", comm)) for rank in range(n)}
    barrier[77] = COMPUTING
    assert diagnose(barrier, NOW).head.causes == RankSet([77])

"""Which calls can be ended by whom, and when nothing is to be done at all."""

from __future__ import annotations

import msgspec
import pytest

from steer.core.freeing import Act, Recipe, plan
from steer.core.rankstates import ANY, UNKNOWN, Call, Comm, Doing, Message, Open
from steer.ranks import RankSet

from .sightings import NOW, blocked, doing, joint, recv, send

FINISHED = doing(Doing.FINISHED)
FAILED = doing(Doing.POST_MORTEM, "ValueError")


def planned(*states, insist=False, **recipes):
    known = {
        rank: Recipe(state.call.op)
        for rank, state in enumerate(states)
        if state.call is not None
    }
    known |= {int(rank[1:]): recipe for rank, recipe in recipes.items()}
    return plan(dict(enumerate(states)), known, insist)


def act(kind, peer, **more):
    return Act(kind, "0-2", "WORLD", peer, **more)


def test_a_receive_gets_a_message_from_whom_it_waits_for():
    made = planned(blocked(recv(2, 7)), FINISHED, FAILED)
    assert made.acts == {2: [act("send", 0, tag=7)]}
    assert made.blocked == RankSet([0])
    assert not made.refusals


def test_who_waits_for_one_that_is_held_waits_for_the_user():
    held = doing(Doing.HELD, "point 5 'step'")
    (why,) = planned(blocked(recv(1)), held, FINISHED).refusals
    assert why.startswith("Rank 0 waits for rank 1, held at a point")
    assert "%pxgo" in why
    assert not planned(blocked(recv(2)), held, FINISHED).refusals


def test_an_object_is_sent_to_who_waits_for_one():
    call = msgspec.structs.replace(recv(2, ANY), op="recv")
    made = planned(blocked(call), FINISHED, FINISHED)
    assert made.acts == {2: [act("send", 0, tag=0, pickled=True)]}


def test_any_other_may_send_to_who_takes_any():
    made = planned(blocked(recv(ANY)), FINISHED, FINISHED)
    assert made.acts == {1: [act("send", 0)]}


def test_a_send_is_taken_by_whom_it_is_for():
    made = planned(blocked(send(1, 3)), FINISHED, FINISHED)
    assert made.acts == {1: [act("take", 0, tag=3)]}


def test_both_parts_of_a_sendrecv_are_ended():
    call = Call("Sendrecv", recv(0).comm, Message(1, 4), Message(2, 5))
    made = planned(blocked(call), FINISHED, FINISHED)
    assert made.acts == {1: [act("take", 0, tag=4)], 2: [act("send", 0, tag=5)]}


def test_those_who_are_not_in_a_collective_join_in_once():
    recipe = Recipe("Barrier")
    states = (blocked(joint("Barrier")), FINISHED, blocked(joint("Barrier")))
    assert planned(*states).acts == {1: [act("join", 0, recipe=recipe)]}


def test_a_call_that_one_cannot_tell_is_known_from_another():
    good = Recipe("Allreduce", count=3, datatype="DOUBLE", reduction="SUM")
    states = (blocked(joint("Allreduce")), FINISHED, blocked(joint("Allreduce")))
    made = planned(*states, r0=Recipe("Allreduce", problem="it is dark"), r2=good)
    assert made.acts == {1: [act("join", 0, recipe=good)]}
    made = planned(*states, **{f"r{r}": Recipe("", problem="dark") for r in (0, 2)})
    assert made.refusals == ["Ranks 0,2 in Allreduce: dark"]


def test_parts_that_do_not_fit_each_other_are_refused():
    """The lowest rank's would be taken for all, and MPI write past what they have."""
    three = Recipe("Allgather", count=3, datatype="DOUBLE")
    six = Recipe("Allgather", count=6, datatype="DOUBLE")
    states = (blocked(joint("Allgather")), FINISHED, blocked(joint("Allgather")))
    (why,) = planned(*states, r0=three, r2=six).refusals
    assert why.startswith("Ranks 0,2: their parts of Allgather do not fit")
    assert not planned(*states, r0=three, r2=three).refusals


def test_what_ranks_give_to_a_reduction_may_differ():
    states = (blocked(joint("allreduce")), FINISHED, blocked(joint("allreduce")))
    one, two = (Recipe("allreduce", reduction="SUM", value=v) for v in (b"1", b"2"))
    assert not planned(*states, r0=one, r2=two).refusals
    states = (blocked(joint("Barrier")), FINISHED, blocked(joint("barrier")))
    assert not planned(*states).refusals


# -- what goes on by itself


def test_nothing_is_done_about_ranks_that_have_waited_for_a_moment():
    """A healthy halo exchange looks like this, at any time."""
    young = blocked(recv(1, 7), moved=NOW - 0.2)
    other = blocked(recv(0, 7), moved=NOW - 0.2)
    made = planned(young, other, FINISHED)
    (why,) = made.refusals
    assert why.startswith("Ranks 0-1 wait, and it is not proved")
    assert made.unsettled
    made = planned(young, other, FINISHED, insist=True)
    assert not made.refusals
    assert set(made.acts) == {0, 1}


@pytest.mark.parametrize("call", [recv(UNKNOWN), joint("Bcast", root=UNKNOWN)])
def test_what_could_not_be_seen_may_be_seen_in_a_moment(call):
    assert planned(blocked(call), FINISHED, FINISHED).unsettled
    assert not planned(blocked(call), doing(Doing.PYTHON), FINISHED).unsettled
    assert not planned(blocked(Call("Wait")), FINISHED, FINISHED).unsettled


def test_a_cell_at_a_hold_may_be_brought_back():
    """Its program cannot go on before it ends."""
    held = doing(Doing.HELD, "point 5 'step'")
    inside = blocked(recv(1), inside=True)
    assert not planned(inside, held, held).refusals


def test_a_message_on_its_way_is_waited_for_though_one_insists():
    for insist in (False, True):
        made = planned(
            blocked(recv(1, 7)), blocked(send(0, 7)), FINISHED, insist=insist
        )
        (first, second) = made.refusals
        assert first == "Rank 0 may go on: a message from rank 1 is on its way"
        assert second == "Rank 1 may go on: its message to rank 0 is on its way"
        assert not made.unsettled


def test_threads_of_the_programs_may_act_unless_one_insists():
    helped = blocked(recv(1, 7), open=Open(threads=("halo",)))
    (why,) = planned(helped, FINISHED, FINISHED).refusals
    assert why == "Rank 0 may go on: its thread halo may act too"
    assert not planned(helped, FINISHED, FINISHED, insist=True).refusals


def test_who_looks_for_a_message_leaves_it_there():
    call = Call("Probe", recv(2).comm, receive=Message(2, 5))
    made = planned(blocked(call), FINISHED, FINISHED)
    assert made.acts == {2: [act("send", 0, tag=5, looks=True)]}


def test_a_mismatch_is_ended_on_both_sides():
    states = (blocked(joint("Barrier")), *[blocked(joint("allreduce"))] * 2)
    made = planned(*states)
    barrier = act("join", 0, recipe=Recipe("Barrier"))
    reduction = act("join", 1, recipe=Recipe("allreduce"))
    assert made.acts == {0: [reduction], 1: [barrier], 2: [barrier]}


def test_a_collective_that_lacks_nobody_is_left_alone():
    """Interrupts would hit ranks that are in communicators that look alike."""
    made = planned(*[blocked(joint("Barrier", Comm("0-2")))] * 3)
    (why,) = made.refusals
    assert why.startswith("Ranks 0-2: all are in Barrier")
    assert not made.acts


def test_of_a_rooted_collective_one_may_be_missing():
    bcast = joint("Bcast", root=0)
    made = planned(FINISHED, blocked(bcast), blocked(bcast))
    assert set(made.acts) == {0}
    made = planned(blocked(bcast), FINISHED, FINISHED)
    (why,) = made.refusals
    assert why.startswith("Ranks 1-2: nobody can tell which of them have done")


@pytest.mark.parametrize(
    ("states", "why"),
    [
        ((blocked(recv(1)), doing(Doing.PYTHON), FINISHED), "Rank 1 computes"),
        ((blocked(recv(1)), doing(Doing.NATIVE), FINISHED), "Rank 1 computes"),
        ((blocked(recv(1)), doing(Doing.HOLDING), FINISHED), "holds the GIL"),
        ((blocked(recv(1)), doing(Doing.DEAD), FINISHED), "Rank 1 cannot help: dead"),
        (
            (blocked(recv(1)), doing(Doing.UNREACHABLE), FINISHED),
            "Rank 1 cannot help: unreachable",
        ),
        ((blocked(Call("Wait")), FINISHED, FINISHED), "for what, the call does not"),
        ((blocked(Call("Barrier")), FINISHED, FINISHED), "is not known"),
        ((blocked(recv(UNKNOWN)), FINISHED, FINISHED), "peer or tag is not known"),
        (
            (blocked(joint("Barrier", Comm("0-2", whole=False))), FINISHED, FINISHED),
            "is not known",
        ),
    ],
)
def test_nothing_is_done_where_it_would_not_be_safe(states, why):
    made = planned(*states)
    assert any(why in said for said in made.refusals), made.refusals


def test_a_message_whose_rank_cannot_help_is_refused():
    made = planned(
        blocked(recv(1)), FINISHED, FINISHED, r0=Recipe("Recv", problem="one thread")
    )
    assert made.refusals == ["Rank 0 waits in Recv: one thread"]


def test_nobody_waits():
    made = planned(FINISHED, FAILED)
    assert not made.blocked
    assert not made.acts
    assert not made.refusals

"""Which calls can be ended by whom, and when nothing is to be done at all."""

from __future__ import annotations

import msgspec
import pytest

from steer.core.freeing import Act, Recipe, plan
from steer.core.rankstates import ANY, UNKNOWN, Call, Comm, Doing, Message
from steer.ranks import RankSet

from .sightings import blocked, doing, joint, recv, send

FINISHED = doing(Doing.FINISHED)
FAILED = doing(Doing.POST_MORTEM, "ValueError")


def planned(*states, **recipes):
    known = {
        rank: Recipe(state.call.op)
        for rank, state in enumerate(states)
        if state.call is not None
    }
    known |= {int(rank[1:]): recipe for rank, recipe in recipes.items()}
    return plan(dict(enumerate(states)), known)


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

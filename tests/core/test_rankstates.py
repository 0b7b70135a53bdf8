"""A rank's state from what is known of it from all sides."""

from __future__ import annotations

import pytest

from steer.core.rankstates import Call, Doing, Evidence, Look, Open, Spot, tell

SPOT = Spot("/home/ann/solver.py", 12, "main")
RECV = Call("Recv")


def seen(**look):
    return Evidence(10.0, answered=10.5, look=Look(SPOT, **look), since=3.0)


def test_a_look_tells_python_native_code_and_mpi():
    assert tell(seen()).doing is Doing.PYTHON
    assert tell(seen(native="time.sleep", still=2.0)).doing is Doing.NATIVE
    blocked = tell(seen(call=RECV, still=2.0))
    assert (blocked.doing, blocked.call, blocked.spot) == (Doing.MPI, RECV, SPOT)


def test_the_proof_spans_what_is_certain_however_long_the_answer_travelled():
    """Asked at 10, answered at 10.5 that it had been still for two seconds: it looked
    in between, so it has been still from 8.5 at the latest to 10 at the earliest."""
    blocked = tell(seen(call=RECV, still=2.0))
    assert (blocked.moved, blocked.seen) == (8.5, 10.0)


def test_a_computing_rank_computes_since_its_cell_began():
    assert tell(seen()).since == 3.0
    assert tell(seen(native="f", still=2.0)).since == 8.5


def test_silence_means_that_the_gil_is_held():
    outside = Look(SPOT, native="ksp.solve(b, x)")
    silent = tell(Evidence(10.0, silent_since=4.0, outside=outside))
    assert (silent.doing, silent.moved) == (Doing.HOLDING, 4.0)
    assert silent.open == Open(1, -1)
    guess = Call("allreduce", guessed=True)
    outside = Look(SPOT, call=guess)
    silent = tell(Evidence(10.0, silent_since=4.0, outside=outside))
    assert (silent.doing, silent.call) == (Doing.HOLDING, guess)


def test_silence_without_a_stack_means_nothing():
    silent = tell(Evidence(10.0, silent_since=4.0))
    assert silent.doing is Doing.SILENT
    stopped = tell(Evidence(10.0, since=4.0, halted="stopped by a signal"))
    assert (stopped.doing, stopped.detail) == (Doing.SILENT, "stopped by a signal")


@pytest.mark.parametrize("error", ["", "ValueError"])
def test_what_is_over_is_told_with_what_it_has_begun(error):
    opened = Open(2, 800)
    look = Look(Spot(), still=3.0, open=opened)
    known = Evidence(10.0, 10.5, look, idle=True, error=error)
    state = tell(known)
    assert (state.moved, state.open) == (7.5, opened)


def test_a_cell_that_runs_at_a_hold_is_what_the_rank_does():
    look = Look(SPOT, call=RECV, still=2.0)
    known = Evidence(10.0, 10.5, look, held="point 7 'step'", inside=True)
    cell = tell(known)
    assert (cell.doing, cell.call, cell.inside) == (Doing.MPI, RECV, "point 7 'step'")


@pytest.mark.parametrize(
    ("what", "doing"),
    [
        ({"held": "point 7"}, Doing.HELD),
        ({"idle": True}, Doing.FINISHED),
        ({"idle": True, "error": "ValueError"}, Doing.POST_MORTEM),
        ({"reachable": False}, Doing.UNREACHABLE),
        ({"death": "signal 9", "error": "ValueError"}, Doing.DEAD),
        ({"death": "signal 9", "reachable": False}, Doing.DEAD),
    ],
)
def test_the_last_word_is_not_the_ranks(what, doing):
    look = Look(SPOT, call=RECV, still=9.0)
    known = Evidence(10.0, answered=10.0, look=look, silent_since=1.0, **what)
    assert tell(known).doing is doing


def test_nothing_known_is_nothing_said():
    assert tell(Evidence(10.0)).doing is Doing.SILENT

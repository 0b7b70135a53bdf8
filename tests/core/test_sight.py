"""What the hub asks ranks, what it does about those that are silent, and what it says
unasked."""

from __future__ import annotations

import msgspec
import pytest

from steer.core import events as ev
from steer.core.rankstates import Comm, Doing, Look, Spot
from steer.core.sight import (
    HASTE,
    LOOKS,
    OUTSIDE,
    PATIENCE,
    Outside,
    SeenOutside,
    diagnosed,
)
from steer.core.sightings import (
    SILENT_AFTER,
    LookWish,
    Peeked,
    Report,
    Snapshot,
)
from steer.core.verdict import Kind
from steer.wire import messages as wire
from steer.wire.frames import pack, unpack

from .hubs import Hub, sent
from .sightings import joint, recv, world

DUMP = """Current thread 0x01 (most recent call first):
  File "/home/ann/solver.py", line 120 in step
  File "/x/steer/engines/run.py", line 9 in run
  File "<frozen runpy>", line 198 in _run_module_as_main
"""


@pytest.fixture
def hub():
    hub = Hub()
    hub.join(3)
    hub.hello()
    return hub


def asked(actions):
    return [(peers, m) for peers, m in sent(actions, wire.Glance) if m.what != "watch"]


def answered(actions):
    found = [a for a in actions if isinstance(a, ev.Send)]
    (send,) = [a for a in found if isinstance(a.message, wire.Answer)]
    return unpack(send.frames[0])


def snapshot(actions) -> Snapshot:
    return msgspec.convert(answered(actions), type=Snapshot, strict=False)


OTHER = Comm("0-2", "#3", sure=True)


def waits(call, still=5.0) -> Report:
    return Report("a-1", 9.0, Look(Spot("s.py", 3, "f"), "", call, still))


COMPUTES = Report("a-1", 9.0, Look(Spot("s.py", 4, "g")))


def say(hub, rank, number, content):
    return hub.hear(f"ce{rank}", wire.Glanced(number, pack(content)))


def tick(hub, seconds):
    """Let time go by; the actions of all ticks that are due."""
    until, actions = hub.now + seconds, []
    while (due := hub.core.deadline()) is not None and due <= until:
        hub.now = max(due, hub.now)
        actions += hub.feed(ev.Tick())
    hub.now = until
    return actions


def see(hub, **arguments):
    """Ask, and give the number of the question."""
    actions = hub.ask("sight", **({"view": "states"} | arguments))
    ((_, glance),) = asked(actions)
    return glance.number


# -- questions


def test_ranks_are_asked_and_their_states_told(hub):
    hub.submit(targets="0-2")
    actions = hub.ask("sight", view="stacks", targets="0-1", seconds=2.0)
    ((peers, glance),) = asked(actions)
    assert peers == (b"ce0", b"ce1")
    assert glance.what == "look"
    assert unpack(glance.body, type=LookWish) == LookWish(False, True, 2.0)
    hub.now += 1
    stack = ((1, (("s.py", 3, "f"),)),)
    report = msgspec.structs.replace(waits(recv(1)), stacks=stack)
    assert say(hub, 0, glance.number, report) == []
    shown = snapshot(say(hub, 1, glance.number, COMPUTES))
    (seen,) = shown.worlds
    assert (seen.first, seen.size) == (0, 3)
    assert seen.states[0].doing is Doing.MPI
    assert seen.states[0].moved == hub.now - 5.0
    assert seen.states[1].doing is Doing.PYTHON
    assert shown.stacks == (("0", stack),)


def test_all_of_a_world_are_asked_if_wanted(hub):
    actions = hub.ask("sight", view="states", targets="1", world=True, deep=True)
    ((peers, glance),) = asked(actions)
    assert peers == (b"ce0", b"ce1", b"ce2")
    assert unpack(glance.body, type=LookWish).deep


def test_what_rests_is_told_apart_from_what_failed(hub):
    number = see(hub)
    say(hub, 0, number, Report())
    failed = Report(error="ZeroDivisionError", error_spot=Spot("s.py", 8), error_age=3)
    say(hub, 1, number, failed)
    (seen,) = snapshot(say(hub, 2, number, Report(look=Look(Spot())))).worlds
    assert seen.states[0].doing is Doing.FINISHED
    assert seen.states[1].doing is Doing.POST_MORTEM
    assert seen.states[1].since == -3.0
    assert str(seen.states[1].spot) == "s.py:8"


def test_a_rank_to_which_work_is_on_its_way_is_not_idle(hub):
    hub.submit(targets="0")
    number = see(hub, targets="0")
    (seen,) = snapshot(say(hub, 0, number, Report())).worlds
    assert seen.states[0].doing is Doing.PYTHON


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"view": "everything"},
        {"view": "states", "seconds": -1.0},
        {"view": "stacks", "seconds": 1e9},
        {"view": "stacks", "seconds": float("nan")},
        {"view": "peek", "expression": 7},
        {"view": "states", "targets": "x"},
    ],
)
def test_what_is_no_question_is_refused(hub, arguments):
    actions = hub.ask("sight", **arguments)
    assert sent(actions, wire.Refused)
    assert not asked(actions)


def test_an_answer_that_is_none_does_not_count(hub):
    number = see(hub)
    for rank in range(3):
        hub.hear(f"ce{rank}", wire.Glanced(number, b"\xc1"))
    (action,) = [a for a in tick(hub, PATIENCE + 0.1) if isinstance(a, Outside)]
    assert action.engines == (0, 1, 2)


def test_a_rank_that_cannot_look_at_itself_is_not_waited_for(hub):
    hub.submit(targets="0-2")
    number = see(hub)
    for rank in (0, 1):
        say(hub, rank, number, waits(recv(2)))
    why = "it could not be seen: ReferenceError"
    shown = snapshot(hub.hear("ce2", wire.Glanced(number, trouble=why)))
    state = shown.worlds[0].states[2]
    assert (state.doing, state.detail) == (Doing.SILENT, why)
    (found,) = diagnosed(shown)
    assert found.head.kind is Kind.QUIET


def test_peeks_are_folded(hub):
    actions = hub.ask("sight", view="peek", expression="x", targets="0-2")
    ((_, glance),) = asked(actions)
    assert glance.body == b"x"
    say(hub, 0, glance.number, Peeked("1"))
    say(hub, 2, glance.number, Peeked("1"))
    said = answered(say(hub, 1, glance.number, Peeked("", "Refused: no.")))
    assert said == {
        "said": [["0,2", ["1", "", False]], ["1", ["", "Refused: no.", False]]],
        "missing": "",
    }


# -- silence


def test_a_silent_rank_is_shown_from_outside(hub):
    hub.submit(targets="0-2")
    number = see(hub)
    say(hub, 0, number, waits(joint("Barrier")))
    say(hub, 1, number, waits(joint("Barrier")))
    (action,) = [a for a in tick(hub, PATIENCE + 0.1) if isinstance(a, Outside)]
    assert action == Outside((2,))
    hub.now += 0.05
    shown = snapshot(hub.feed(SeenOutside(2, DUMP, "   x = solve(a)\n")))
    state = shown.worlds[0].states[2]
    assert state.doing is Doing.HOLDING
    assert str(state.spot) == "solver.py:120"
    assert shown.stacks == (("2", ((1, (("/home/ann/solver.py", 120, "step"),)),)),)
    assert shown.silent == "2"


def test_a_call_of_mpi_is_read_from_the_source_of_a_silent_rank(hub):
    hub.submit(targets="0-2")
    see(hub, targets="2")
    tick(hub, PATIENCE + 0.1)
    shown = snapshot(hub.feed(SeenOutside(2, DUMP, "  comm.allreduce(x)\n")))
    state = shown.worlds[0].states[2]
    assert state.doing is Doing.HOLDING
    assert state.call.op == "allreduce"
    assert state.call.guessed


def test_nobody_waits_longer_for_a_stack_that_does_not_come(hub):
    see(hub, targets="2")
    hub.submit(targets="0-2")
    actions = tick(hub, PATIENCE + OUTSIDE + 0.1)
    shown = snapshot(actions)
    assert shown.worlds[0].states[2].doing is Doing.SILENT
    assert shown.stacks == ()


def test_of_a_rank_that_is_stopped_no_more_is_said(hub):
    hub.submit(targets="0-2")
    number = see(hub)
    say(hub, 0, number, waits(joint("Barrier")))
    say(hub, 1, number, waits(joint("Barrier")))
    tick(hub, PATIENCE + 0.1)
    shown = snapshot(hub.feed(SeenOutside(2, "", halted="stopped by a signal")))
    state = shown.worlds[0].states[2]
    assert (state.doing, state.detail) == (Doing.SILENT, "stopped by a signal")
    (found,) = diagnosed(shown)
    assert found.head.kind is Kind.QUIET
    assert "stopped by a signal" in found.head.doubts[0]


def test_a_little_silence_proves_nothing(hub):
    """On a crowded machine a thread may wait for a core for a while."""
    hub.submit(targets="0-2")
    for waited in (0, 10):
        hub.now += waited
        see(hub, targets="2")
        tick(hub, PATIENCE + 0.1)
        shown = snapshot(hub.feed(SeenOutside(2, DUMP, "   x = solve(a)\n")))
        state = shown.worlds[0].states[2]
        assert state.seen - state.moved == pytest.approx(0 if not waited else 9, abs=2)


def test_a_rank_of_another_host_that_is_silent_is_unreachable():
    hub = Hub()
    hub.join(2, boot="there")
    hub.hello()
    see(hub)
    actions = tick(hub, PATIENCE + 0.1)
    assert not [a for a in actions if isinstance(a, Outside)]
    states = snapshot(actions).worlds[0].states
    assert {state.doing for state in states.values()} == {Doing.UNREACHABLE}


def test_a_rank_that_dies_is_not_waited_for(hub):
    hub.submit(targets="0-2")
    number = see(hub)
    say(hub, 0, number, waits(recv(2)))
    say(hub, 1, number, COMPUTES)
    shown = snapshot(hub.feed(ev.Died("e2", "was killed by SIGKILL")))
    state = shown.worlds[0].states[2]
    assert state.doing is Doing.DEAD
    assert state.detail == "was killed by SIGKILL"


# -- unasked


def silent(hub, seconds=SILENT_AFTER + 0.1):
    hub.submit(targets="0-2", joint=True, silent=False)
    return tick(hub, seconds)


def test_a_quick_request_is_never_looked_after(hub):
    hub.submit(targets="0-2")
    for rank in range(3):
        hub.answer(f"e{rank}")
    assert not sent(tick(hub, 30), wire.Glance)
    assert hub.core.deadline() is None


def test_ranks_of_a_long_request_are_watched(hub):
    hub.submit(targets="0-2")
    ((peers, glance),) = sent(tick(hub, 3), wire.Glance)
    assert glance.what == "watch"
    assert peers == (b"ce0", b"ce1", b"ce2")


def test_a_deadlock_is_said_once_when_a_cell_is_silent(hub):
    ((_, glance),) = asked(silent(hub))
    assert unpack(glance.body, type=LookWish).deep
    for rank in (0, 1):
        say(hub, rank, glance.number, waits(recv((rank - 1) % 3)))
    actions = say(hub, 2, glance.number, waits(recv(1)))
    ((peers, insight),) = sent(actions, wire.Insight)
    assert (insight.id, insight.kind) == ("a-1", "verdict")
    assert peers == (b"ia",)
    (send,) = [a for a in actions if isinstance(a, ev.Send)]
    (found,) = diagnosed(unpack(send.frames[0], type=Snapshot))
    assert found.head.kind is Kind.DEADLOCK
    ((_, glance),) = asked(tick(hub, 3.1))
    for rank in range(3):
        again = say(hub, rank, glance.number, waits(recv((rank - 1) % 3), 12))
    assert not sent(again, wire.Insight)


def test_nothing_is_said_that_is_not_proved(hub):
    ((_, glance),) = asked(silent(hub))
    for rank in range(3):
        actions = say(hub, rank, glance.number, waits(recv((rank - 1) % 3), 0.2))
    assert not sent(actions, wire.Insight)


@pytest.mark.parametrize(("still", "said"), [(0.5, False), (7.0, True)])
def test_that_one_is_slow_is_said_when_others_waited_for_long(hub, still, said):
    ((_, glance),) = asked(silent(hub))
    for rank in (0, 1):
        say(hub, rank, glance.number, waits(joint("Barrier", world(3)), still))
    actions = say(hub, 2, glance.number, COMPUTES)
    assert bool(sent(actions, wire.Insight)) is said


def test_a_request_that_prints_is_not_silent(hub):
    silent(hub, SILENT_AFTER - 1)
    hub.hear("ce0", wire.Output("a-1", wire.Stream.STDOUT), b"x")
    assert not asked(tick(hub, 5))
    assert asked(tick(hub, SILENT_AFTER))


def test_a_cell_that_waits_for_its_turn_is_not_silent(hub):
    hub.submit("a-1", targets="0-2", joint=True, silent=False)
    hub.submit("a-2", targets="0-2", joint=True, silent=False)
    glances = asked(tick(hub, SILENT_AFTER + 1))
    assert len(glances) == 1


def fail(hub, rank):
    frame = pack(wire.ErrorInfo("ValueError", "x"))
    return hub.hear(f"we{rank}", wire.Result("a-1", "error", 1.0, 2.0), frame)


def test_a_failure_is_told_with_those_who_wait_for_it(hub):
    hub.submit(targets="0-2", joint=True, silent=False)
    fail(hub, 2)
    ((_, glance),) = asked(tick(hub, HASTE + 0.01))
    for rank in (0, 1):
        say(hub, rank, glance.number, waits(recv(2), 0.01))
    failed = Report(error="ValueError", error_age=0.1)
    ((_, insight),) = sent(say(hub, 2, glance.number, failed), wire.Insight)
    assert (insight.kind, insight.ranks) == ("waiters", "2")


def test_who_is_on_the_way_is_waited_for_so_that_all_are_told_together(hub):
    hub.submit(targets="0-2", joint=True, silent=False)
    fail(hub, 2)
    told = []
    for there in (False, True):
        ((_, glance),) = asked(tick(hub, HASTE + 0.01))
        say(hub, 0, glance.number, waits(recv(2), 0.01))
        say(hub, 1, glance.number, waits(recv(2), 0.01) if there else COMPUTES)
        failed = Report(error="ValueError", error_age=0.1)
        told.append(len(sent(say(hub, 2, glance.number, failed), wire.Insight)))
    assert told == [0, 1]


def test_who_waits_is_told_though_others_go_on(hub):
    hub.submit(targets="0-2", joint=True, silent=False)
    fail(hub, 2)
    told = []
    for _ in range(LOOKS):
        ((_, glance),) = asked(tick(hub, LOOKS * HASTE))
        say(hub, 0, glance.number, waits(recv(2), 0.01))
        say(hub, 1, glance.number, COMPUTES)
        failed = Report(error="ValueError", error_age=0.1)
        told.append(len(sent(say(hub, 2, glance.number, failed), wire.Insight)))
    assert told == [0, 0, 1]


def test_an_error_is_told_within_half_a_second_whatever_the_others_do(hub):
    """The hub's part: on its clock, with ranks that answer at once."""
    hub.submit(targets="0-2", joint=True, silent=False)
    fail(hub, 2)
    began, told = hub.now, []
    while not told and hub.core.deadline() is not None:
        hub.now = max(hub.now, hub.core.deadline())
        for _, glance in asked(hub.feed(ev.Tick())):
            say(hub, 0, glance.number, waits(recv(2), 0.01))
            say(hub, 1, glance.number, COMPUTES)
            failed = Report(error="ValueError", error_age=0.1)
            told += sent(say(hub, 2, glance.number, failed), wire.Insight)
    assert told
    assert hub.now - began <= 0.5


def test_those_on_their_way_are_looked_at_again_but_not_for_ever(hub):
    hub.submit(targets="0-2", joint=True, silent=False)
    fail(hub, 2)
    looks = 0
    for _ in range(10):
        for _, glance in asked(tick(hub, 0.2)):
            looks += 1
            for rank in (0, 1):
                say(hub, rank, glance.number, COMPUTES)
            failed = Report(error="ValueError", error_age=0.1)
            assert not sent(say(hub, 2, glance.number, failed), wire.Insight)
    assert looks == 3


def test_who_has_died_is_forgotten_when_the_world_is_shrunk(hub):
    hub.feed(ev.Died("e2", "signal 9"))
    (seen,) = snapshot(all_answer(hub, see(hub), Report(), Report())).worlds
    assert seen.states[2].doing is Doing.DEAD
    ((_, glance),) = asked(hub.ask("sight", view="members", targets="0-1"))
    assert glance.what == "members"
    told = answered(all_answer(hub, glance.number, "0-1", "0-1"))
    assert told == {0: "0-1", 1: "0-1"}
    (seen,) = snapshot(all_answer(hub, see(hub), Report(), Report())).worlds
    assert set(seen.states) == {0, 1}


def all_answer(hub, number, *said):
    for rank, word in enumerate(said):
        actions = say(hub, rank, number, word)
    return actions


def test_ranks_that_only_want_a_core_get_more_time(hub):
    """They do not hold the GIL: the machine is crowded."""
    hub.submit(targets="0-2")
    number = see(hub, targets="2")
    (action,) = [a for a in tick(hub, PATIENCE + 0.1) if isinstance(a, Outside)]
    assert hub.feed(SeenOutside(2, "", starved=True)) == []
    (action,) = [a for a in tick(hub, OUTSIDE + 0.01) if isinstance(a, Outside)]
    assert action == Outside((2,))
    hub.feed(SeenOutside(2, "", starved=True))
    shown = snapshot(say(hub, 2, number, waits(recv(1))))
    assert shown.worlds[0].states[2].doing is Doing.MPI


def test_of_those_that_never_get_one_the_stack_is_shown(hub):
    hub.submit(targets="0-2")
    see(hub, targets="2")
    for _ in range(20):
        assert not sent(hub.feed(SeenOutside(2, DUMP, starved=True)), wire.Answer)
        actions = tick(hub, 0.3)
        if sent(actions, wire.Answer):
            break
    shown = snapshot(actions)
    ((ranks, ((_, frames),)),) = shown.stacks
    assert (ranks, frames[-1]) == ("2", ("/home/ann/solver.py", 120, "step"))
    assert shown.worlds[0].states[2].doing is Doing.SILENT


def test_but_not_for_ever(hub):
    hub.submit(targets="0-2")
    see(hub, targets="2")
    for _ in range(20):
        hub.feed(SeenOutside(2, "", starved=True))
        actions = tick(hub, 0.3)
        if sent(actions, wire.Answer):
            break
    assert snapshot(actions).worlds[0].states[2].doing is Doing.SILENT

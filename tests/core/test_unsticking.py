"""How the hub brings a world back: what it asks whom, and what it tells."""

from __future__ import annotations

import msgspec
import pytest

from steer.core import events as ev
from steer.core.freeing import (
    Act,
    Done,
    Drained,
    Joined,
    Lost,
    Mark,
    Recipe,
    Stale,
    Testimony,
)
from steer.core.rankstates import Comm
from steer.core.sightings import Freed
from steer.core.unsticking import BEGINS, LONGEST, TRIES
from steer.wire import messages as wire
from steer.wire.frames import pack, unpack

from .hubs import Hub, sent
from .sightings import joint, recv, send, world
from .test_sight import COMPUTES, answered, asked, say, tick, waits

OTHER = Comm("0-2", "#3", sure=True)
IDLE = Testimony()
BARRIER = waits(joint("Barrier", OTHER))
MARK = Mark(3, 40, 9)


def in_call(report, op, **more):
    return Testimony(report, Recipe(op), MARK, **more)


WAITING = in_call(BARRIER, "Barrier")
RECEIVES = in_call(waits(recv(2, 7)), "Recv")
YOUNG = in_call(waits(recv(2, 7), 0.3), "Recv")
BUSY = Testimony(COMPUTES)


@pytest.fixture
def hub():
    hub = Hub()
    hub.join(3)
    hub.hello()
    hub.submit(targets="0", joint=True, silent=False)
    return hub


def all_say(hub, glance, *said):
    """One word of each rank, or the same of all; the actions that follow."""
    words = said if len(said) > 1 else said * 3
    actions = []
    for rank, word in enumerate(words):
        actions = say(hub, rank, glance.number, word)
    return actions


def order(glance, form):
    """The try, and what each engine is to do."""
    return unpack(glance.body, type=tuple[str, dict[int, form]])


def begin(hub, *said):
    """Ask for it; what is asked when ranks have said this of their calls."""
    ((_, glance),) = asked(hub.ask("unstick", targets="0"))
    assert glance.what == "recipe"
    return all_say(hub, glance, *said)


def next_of(actions, what):
    ((_, glance),) = asked(actions)
    assert glance.what == what
    return glance


def later(hub, what, seconds=0.6):
    """What is asked when some time has gone by; the first of it."""
    glance = asked(tick(hub, seconds))[0][1]
    assert glance.what == what
    return glance


def until_flagged(hub, *said):
    """All goes well until ranks are flagged; that question."""
    find = next_of(begin(hub, *said), "find")
    return next_of(all_say(hub, find, ""), "flag")


def until_acted(hub, *said):
    """... until ranks act."""
    return next_of(all_say(hub, until_flagged(hub, *said), ""), "act")


def told(actions):
    return msgspec.convert(answered(actions), type=Freed)


def raised(glance):
    return Testimony(raised=order(glance, object)[0])


def test_of_several_worlds_is_refused():
    hub = Hub()
    for rank in range(2):
        hub.register(f"e{rank}", 0, 1)
        hub.hear(f"ce{rank}", wire.Ready(f"e{rank}", 0, 1))
    hub.hello()
    assert sent(hub.ask("unstick", targets="0-1"), wire.Refused)


def test_sentences_of_a_second_world_say_how_its_ranks_are_counted():
    hub = Hub()
    hub.join(3)
    hub.hello()
    for rank in range(2):
        hub.register(f"n{rank}", rank, 2, job="another")
        hub.hear(f"cn{rank}", wire.Ready(f"n{rank}", rank, 2))
    hub.submit(targets="3-4", joint=True, silent=False)
    ((_, glance),) = asked(hub.ask("unstick", targets="3"))
    call = in_call(waits(recv(1, 7, world(2))), "Recv")
    hub.hear("cn0", wire.Glanced(glance.number, pack(call)))
    freed = told(hub.hear("cn1", wire.Glanced(glance.number, pack(BUSY))))
    assert "Rank 1 computes" in freed.refusals[0]
    assert freed.notes == ("Sentences count ranks as their world does: 0 is engine 3",)


def test_it_goes_from_step_to_step(hub):
    find = next_of(begin(hub, RECEIVES, IDLE, IDLE), "find")
    name, wanted = order(find, list[tuple[str, str]])
    assert wanted == {2: [("0-2", "WORLD")]}
    flag = next_of(all_say(hub, find, ""), "flag")
    assert order(flag, Mark) == (
        name, {0: msgspec.structs.replace(MARK)},
    )  # fmt: skip
    act = next_of(all_say(hub, flag, ""), "act")
    acts = {0: [], 2: [Act("send", "0-2", "WORLD", 0, 7)]}
    assert order(act, list[Act]) == (name, acts)
    assert not asked(all_say(hub, act, Done(raised=True), Done(), Done("", True)))
    hub.answer("e0")
    settle = next_of(all_say(hub, later(hub, "recipe"), IDLE), "settle")
    assert order(settle, bool) == (name, {0: True, 1: True, 2: True})
    freed = told(all_say(hub, settle, Done()))
    assert freed == Freed((("0", "Recv(source=2, tag=7, comm WORLD)  s.py:3"),))


# -- before anybody is touched


def test_nobody_is_interrupted_before_all_helpers_have_the_communicators(hub):
    find = next_of(begin(hub, WAITING, IDLE, IDLE), "find")
    actions = all_say(hub, find, "", "it is not told from others", "")
    assert not asked(actions)
    assert told(actions) == Freed(
        (), ("Rank 1 cannot help: it is not told from others",)
    )


def test_a_helper_that_does_not_answer_is_no_helper(hub):
    find = next_of(begin(hub, WAITING, IDLE, IDLE), "find")
    all_say(hub, find, "", "")
    actions = tick(hub, 4.0)
    assert not asked(actions)
    assert told(actions) == Freed((), ("Rank 2 cannot help: it was not done in time",))


def test_a_program_that_is_healthy_is_left_alone(hub):
    """Two ranks of a halo exchange wait, for less than it takes to prove anything."""
    hub.submit("a-2", targets="1", joint=True, silent=False)
    actions = begin(hub, YOUNG, YOUNG, BUSY)
    assert not asked(actions)
    assert "Rank 2 computes" in told(actions).refusals[0]


def test_what_is_not_proved_yet_is_looked_at_again(hub):
    young = in_call(waits(recv(1, 7), 0.3), "Recv")
    assert not asked(begin(hub, young, IDLE, IDLE))
    hub.now += 1.0
    older = in_call(waits(recv(1, 7), 2.5), "Recv")
    next_of(all_say(hub, later(hub, "recipe"), older, IDLE, IDLE), "find")


def test_what_stays_without_a_proof_is_refused_unless_one_insists(hub):
    hub.submit("a-2", targets="1", joint=True, silent=False)
    calls = send(1, size=-1), send(0, size=-1)
    both = [in_call(waits(call, 3.0), "Ssend") for call in calls]
    actions = begin(hub, *both, IDLE)
    looks = 0
    while not sent(actions, wire.Answer):
        actions = all_say(hub, later(hub, "recipe", 0.51), *both, IDLE)
        looks += 1
        assert looks < TRIES
    (why,) = told(actions).refusals
    assert "not proved" in why
    assert "--insist" in why
    ((_, glance),) = asked(hub.ask("unstick", targets="0", insist=True))
    next_of(all_say(hub, glance, *both, IDLE), "find")


# -- flags


def test_flags_are_taken_back_if_somebody_has_gone_on(hub):
    hub.submit("a-2", targets="1", joint=True, silent=False)
    receives = in_call(waits(recv(2, 7)), "Recv")
    flag = until_flagged(hub, RECEIVES, receives, IDLE)
    settle = next_of(all_say(hub, flag, "", "it has gone on meanwhile", ""), "settle")
    assert order(settle, bool)[1] == {0: False, 1: False, 2: False}
    assert not asked(all_say(hub, settle, Done()))
    # Rank 1 computes now: refused, and nobody is said to be back.
    actions = all_say(hub, later(hub, "recipe"), RECEIVES, BUSY, IDLE)
    freed = told(actions)
    assert not freed.freed
    assert not freed.left
    assert "Rank 1 computes" in freed.refusals[0]


def test_who_raised_before_a_flag_was_taken_back_is_told(hub):
    hub.submit("a-2", targets="1", joint=True, silent=False)
    receives = in_call(waits(recv(2, 7)), "Recv")
    flag = until_flagged(hub, RECEIVES, receives, IDLE)
    settle = next_of(all_say(hub, flag, "", "it has gone on meanwhile", ""), "settle")
    assert not asked(all_say(hub, settle, Done(raised=True), Done(), Done()))
    actions = all_say(hub, later(hub, "recipe"), IDLE, BUSY, IDLE)
    settle = next_of(actions, "settle")
    freed = told(all_say(hub, settle, Done()))
    assert [ranks for ranks, _ in freed.freed] == ["0"]


def test_flags_of_a_rank_that_does_not_answer_are_taken_back(hub):
    flag = until_flagged(hub, RECEIVES, IDLE, IDLE)
    all_say(hub, flag, "", "")
    settle = later(hub, "settle", 2.1)
    all_say(hub, settle, Done(), Done())
    find = later(hub, "recipe", 2.4)
    next_of(all_say(hub, find, RECEIVES, IDLE, IDLE), "find")


def test_who_went_on_by_itself_is_not_said_to_be_back(hub):
    act = until_acted(hub, RECEIVES, IDLE, IDLE)
    all_say(hub, act, Done(), Done(), Done("", True))
    actions = all_say(hub, later(hub, "recipe"), BUSY, IDLE, IDLE)
    settle = next_of(actions, "settle")
    assert not told(all_say(hub, settle, Done())).freed


# -- acts that fail


def test_helpers_that_failed_are_asked_again(hub):
    """Those who came back meanwhile can help now."""
    act = until_acted(hub, WAITING, IDLE, IDLE)
    all_say(hub, act, Done(), Done("join: no"), Done("", True))
    name = order(act, object)[0]
    pending = msgspec.structs.replace(WAITING, pending=name)
    find = next_of(all_say(hub, later(hub, "recipe"), pending, IDLE, IDLE), "find")
    assert order(find, object)[0] != name
    act = next_of(all_say(hub, next_of(all_say(hub, find, ""), "flag"), ""), "act")
    all_say(hub, act, Done(raised=True), Done("", True), Done("", True))
    hub.answer("e0")
    settle = next_of(all_say(hub, later(hub, "recipe"), IDLE), "settle")
    freed = told(all_say(hub, settle, Done()))
    assert [ranks for ranks, _ in freed.freed] == ["0"]
    assert not freed.refusals
    assert not freed.left


def test_who_came_back_and_who_did_not_is_told(hub):
    act = until_acted(hub, WAITING, RECEIVES, IDLE)
    all_say(hub, act, Done(), Done("join: no", raised=True), Done("", True))
    name = order(act, object)[0]
    pending = msgspec.structs.replace(WAITING, pending=name)
    find = next_of(all_say(hub, later(hub, "recipe"), pending, IDLE, IDLE), "find")
    act = next_of(all_say(hub, next_of(all_say(hub, find, ""), "flag"), ""), "act")
    all_say(hub, act, Done(), Done("join: no"), Done("", True))
    pending = msgspec.structs.replace(WAITING, pending=order(act, object)[0])
    settle = next_of(all_say(hub, later(hub, "recipe"), pending, IDLE, IDLE), "settle")
    assert order(settle, bool)[1][0] is True  # something was done: it stays
    freed = told(all_say(hub, settle, Done()))
    assert [ranks for ranks, _ in freed.freed] == ["1"]
    assert freed.left == "0"
    assert freed.refusals == ("Rank 1 cannot help: join: no",)
    assert "raises KeyboardInterrupt when the call ends" in freed.notes[0]


def test_a_thread_that_waits_in_a_collective_is_refused_and_told(hub):
    inside = Testimony(inside=(Joined("0-2", "#3", "Allreduce", 0),))
    actions = begin(hub, WAITING, inside, IDLE)
    assert not asked(actions)
    (why,) = told(actions).refusals
    assert "Rank 1 took part in Allreduce of ranks 0-2 for others" in why
    # It may be asked again for the same.
    same = Testimony(inside=(Joined("0-2", "#3", "Barrier", 0),))
    next_of(begin(hub, WAITING, same, IDLE), "find")


# -- what is left over


def freed_both(hub, *, settled, resting=(True, True)):
    """Ranks 0 and 1 are back; what is asked when helpers have settled."""
    hub.submit("a-2", targets="1", joint=True, silent=False)
    receives = in_call(waits(recv(2, 5)), "Recv")
    act = until_acted(hub, RECEIVES, receives, IDLE)
    all_say(hub, act, Done(raised=True), Done(raised=True), Done("", True))
    hub.answer("e0")
    hub.answer("e1", "a-2")
    now = [IDLE if rests else BUSY for rests in resting]
    settle = next_of(all_say(hub, later(hub, "recipe"), *now, IDLE), "settle")
    return all_say(hub, settle, Done(), Done(), settled)


def test_only_what_was_sent_and_what_freed_ranks_left_is_thrown_away(hub):
    lost = Lost("0-2", "WORLD", 2, 0, 7)
    drain = next_of(freed_both(hub, settled=Done(lost=(lost,))), "drain")
    assert order(drain, list[Stale])[1] == {
        0: [Stale("0-2", "WORLD", 2, 7, True), Stale("0-2", "WORLD", 1)],
        1: [Stale("0-2", "WORLD", 0)],  # nothing of rank 2, which was not freed
    }
    freed = told(all_say(hub, drain, Drained(2), Drained(), Drained()))
    assert freed.dropped == 2
    assert not freed.notes


def test_who_went_on_keeps_its_messages(hub):
    actions = freed_both(hub, settled=Done(), resting=(True, False))
    freed = told(actions)
    assert [ranks for ranks, _ in freed.freed] == ["0", "1"]
    assert "Rank 1 went on: messages" in freed.notes[0]


def test_who_was_not_drained_is_told(hub):
    lost = Lost("0-2", "WORLD", 2, 0, 7)
    drain = next_of(freed_both(hub, settled=Done(lost=(lost,))), "drain")
    say(hub, 0, drain.number, Drained(0, "it is gone"))
    (first, second) = told(tick(hub, 3.0)).notes
    assert first == "Rank 0: messages may be left there (it is gone)"
    assert second == "Rank 1: messages may be left there (did not answer)"


def test_what_is_left_is_thrown_away_after_an_unhappy_end_too(hub):
    act = until_acted(hub, WAITING, RECEIVES, IDLE)
    name = order(act, object)[0]
    lost = Lost("0-2", "WORLD", 2, 1, 7)
    all_say(hub, act, Done(), Done("join: no"), Done("send: no", True))
    for _ in range(TRIES):
        pending = [msgspec.structs.replace(each, pending=name)
                   for each in (WAITING, RECEIVES)]  # fmt: skip
        glance = asked(all_say(hub, later(hub, "recipe"), *pending, IDLE))[0][1]
        if glance.what == "settle":
            break
        flag = next_of(all_say(hub, glance, ""), "flag")
        act = next_of(all_say(hub, flag, ""), "act")
        name = order(act, object)[0]
        all_say(hub, act, Done(), Done("join: no"), Done("send: no", True))
    drain = next_of(all_say(hub, glance, Done(), Done(), Done(lost=(lost,))), "drain")
    assert order(drain, list[Stale])[1] == {1: [Stale("0-2", "WORLD", 2, 7, True)]}
    assert told(all_say(hub, drain, Drained())).left == "0-1"


# -- several, and ends


def test_who_asks_meanwhile_hears_the_same(hub):
    hub.hello("b")
    find = next_of(begin(hub, WAITING, IDLE, IDLE), "find")
    question = hub.hear("ob", wire.Ask("r", "unstick"), pack({"targets": "1"}))
    assert not asked(question)
    actions = all_say(hub, find, "no")
    answers = sent(actions, wire.Answer)
    assert [peers for peers, _ in answers] == [(b"ia",), (b"ib",)]
    begin(hub, WAITING, IDLE, IDLE)  # and then there is another one


def test_it_ends_before_who_asked_gives_up(hub):
    """Whatever ranks do, or do not."""
    began = hub.now
    actions = hub.ask("unstick", targets="0")
    while not sent(actions, wire.Answer):
        assert hub.now < began + LONGEST
        for _, glance in asked(actions):
            said = {
                "recipe": [WAITING, IDLE, IDLE],
                "find": ["", "", ""],
                "flag": ["", ""],  # one is silent, each time
                "settle": [Done(), Done()],
            }.get(glance.what, [])
            if len(said) == 3:
                actions = all_say(hub, glance, *said)
                break
            if said:
                all_say(hub, glance, *said)
        else:
            actions = tick(hub, 0.1)
    assert hub.now > BEGINS / 2


def the_hub_ends(hub):
    return hub.hear("oa", wire.Shutdown("a-9", "", True))


def the_ranks_end(hub):
    for rank in range(3):
        hub.feed(ev.Died(f"e{rank}", "ended"))
    return tick(hub, 1.0)


def test_a_program_that_ended_before_it_could_say_so_is_told(hub):
    """All of it ends with the first rank that does not catch the interrupt."""
    until_acted(hub, RECEIVES, IDLE, IDLE)
    for rank in range(3):
        hub.feed(ev.Died(f"e{rank}", "ended"))
    freed = told(tick(hub, 1.0))
    assert [ranks for ranks, _ in freed.ended] == ["0"]
    assert not freed.refusals


@pytest.mark.parametrize("ends", [the_hub_ends, the_ranks_end])
def test_what_was_brought_back_is_told_though_all_ends(hub, ends):
    """As it does when a program that was brought back comes to its end at once."""
    hub.submit("a-2", targets="1", joint=True, silent=False)
    act = until_acted(hub, RECEIVES, WAITING, IDLE)
    all_say(hub, act, Done(raised=True), Done(), Done("", True))
    actions = ends(hub)
    found = [a for a in actions if isinstance(a, ev.Send) and a.frames]
    (freed,) = [unpack(a.frames[0]) for a in found if b"freed" in a.frames[0]]
    assert [ranks for ranks, _ in freed["freed"]] == ["0"]
    assert [ranks for ranks, _ in freed["ended"]] == ["1"]
    assert freed["gone"] == ("0" if ends is the_ranks_end else "")
    assert not freed["refusals"]
    assert not freed["left"]
    assert not sent(tick(hub, 1.0), wire.Answer)

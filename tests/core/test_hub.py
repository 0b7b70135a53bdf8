"""Each message and event, and what the hub does about it."""

from __future__ import annotations

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from steer.core import events as ev
from steer.core.hub import ASK_EVERY, ORPHANS_AFTER, RETURN_WITHIN, SILENCE, HubCore
from steer.wire import messages as wire
from steer.wire.frames import pack, unpack
from steer.wire.messages import VERSION, Part, Store, Submit

from .hubs import Hub, sent


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def ready(hub):
    """Two engines and one client are here."""
    hub.join()
    hub.hello()
    return hub


def refusal(actions):
    ((peers, message),) = sent(actions, wire.Refused)
    return peers[0], message.id, message.error.ename, message.error.evalue


STORE = Store(7, 9, 10, ())


# -- engines


def test_an_engine_is_enrolled_and_watched(hub):
    actions = hub.register("e0", 0, 2)
    assert actions == [
        ev.Watch("e0", 100, 5), ev.Send((b"ce0",), wire.Enrolled(0, 7, -1)),
    ]  # fmt: skip


def test_it_is_here_when_mpi_is_up(ready):
    ready.register("e9")
    ((peers, joined),) = sent(ready.hear("ce9", wire.Ready("e9", 0, 1)), wire.Joined)
    assert peers == (b"ia",)
    assert [engine.id for engine in joined.engines] == [2]
    assert ready.hear("ce9", wire.Ready("e9", 0, 1)) == []


def test_another_version_is_told_to_quit(hub):
    actions = hub.register("e0", version=VERSION + 1)
    ((peers, quit_),) = sent(actions, wire.Quit)
    assert peers == (b"we0", b"ce0")
    assert "install the same Steer" in quit_.why
    assert not hub.core.registry.engines


def test_nobody_registers_for_another(hub):
    register = wire.Register(VERSION, "e1", 1, 1, "h", "here", "j", 0, 1)
    (say,) = hub.hear("ce0", register)
    assert isinstance(say, ev.Say)
    assert not hub.core.registry.engines


def test_after_a_cut_an_engine_gets_what_it_owes(ready):
    ready.submit()
    ready.submit("a-2", "0")
    actions = ready.register("e0", 0, 2, engine=0, ready=True)
    ids = [m.id for peers, m in sent(actions, Submit) if peers == (b"we0",)]
    assert ids == ["a-1", "a-2"]


def test_an_engine_that_was_not_reached_is_tried_again(ready):
    ready.submit()
    ready.feed(ev.Unreached("e0"))
    assert ready.feed(ev.Unreached("e0")) == []
    ready.now = ready.core.deadline()
    assert [m.id for _, m in sent(ready.feed(ev.Tick()), Submit)] == ["a-1"]
    assert not ready.core.retries


def test_a_problem_ends_its_job_and_is_told(ready):
    actions = ready.hear("ce0", wire.Ready("e0", 0, 1, problem="No MPI."))
    ((_, notice),) = sent(actions, wire.Notice)
    assert notice.what == "problem"
    ((peers, _),) = sent(actions, wire.Quit)
    assert peers == (b"we0", b"ce0", b"we1", b"ce1")


def test_a_dead_engine_is_named_in_what_it_owed(ready):
    ready.submit()
    ready.answer("e1")
    ready.hear("ce0", wire.Ready("e0", 0, 2, segments=("seg",)))
    died = ev.Died("e0", "was killed by SIGKILL", "SIGKILL")
    actions = ready.feed(died)
    ((_, replies),) = sent(actions, wire.Replies)
    assert [part.ranks for part in replies.parts] == ["1", "0"]
    (send,) = [a for a in actions if isinstance(a, ev.Send) and a.message is replies]
    text = "Engine 0 (rank 0 of 2 on node1) was killed by SIGKILL."
    assert unpack(send.frames[1])[:2] == ["EngineError", text]
    ((_, left),) = sent(actions, wire.Left)
    assert left == wire.Left((0,), (text,))
    assert not [a for a in actions if isinstance(a, ev.Sweep)], "rank 1 lives"
    actions = ready.feed(ev.Died("e1", "ended"))
    assert ev.Sweep(("seg",)) in actions


def test_an_engine_that_leaves_is_gone_once(ready):
    actions = ready.hear("ce0", wire.Leaving("e0", "left"))
    assert len(sent(actions, wire.Left)) == 1
    assert ready.hear("ce0", wire.Leaving("e0", "left")) == []
    ready.register("e0", 0, 2, engine=0, ready=True)
    assert [e.id for e in ready.core.registry.here()] == [1]
    assert sent(ready.feed(ev.Died("e0", "ended")), wire.Left) == []


def test_silence_of_an_engine_nobody_can_watch(hub):
    hub.join(1, boot="there")
    asked = 0
    while hub.core.registry.engines:
        hub.now = hub.core.deadline()
        asked += bool(sent(hub.feed(ev.Tick()), wire.Ping))
        assert hub.now < SILENCE + 2 * ASK_EVERY
    assert asked == SILENCE // ASK_EVERY
    assert hub.core.deadline() is None


def test_an_answer_is_a_sign_of_life(hub):
    hub.join(1, boot="there")
    for _ in range(20):
        hub.now = hub.core.deadline()
        hub.feed(ev.Tick())
        hub.hear("ce0", wire.Pong())
    assert hub.core.registry.engines


# -- clients


def test_hello(hub):
    hub.join(1)
    send, watch, window = hub.hello()
    assert isinstance(window.message, wire.Window)
    assert send.peers == (b"ia",)
    assert [e.id for e in send.message.engines] == [0]
    assert (send.message.pid, send.message.cluster) == (7, "x")
    assert watch == ev.Watch("a", 50, 6)


def test_a_client_of_another_version_is_refused(hub):
    actions = hub.hear("ia", wire.Hello(VERSION + 1, "a", 50, 6, "here"))
    assert refusal(actions)[2:] == (
        "ProtocolError",
        f"The client speaks version {VERSION + 1} and the hub {VERSION}; "
        "install the same Steer on both sides.",
    )


def test_a_stranger_is_asked_once_who_it_is(hub):
    hub.join()
    assert hub.submit(store=STORE) == [
        ev.Send((b"ia",), wire.WhoAreYou(7)), ev.Drop(STORE),
    ]  # fmt: skip
    assert hub.submit("a-2") == []
    hub.hello()
    assert sent(hub.submit("a-3"), Submit)


@pytest.mark.parametrize("number", ["b-1", "a", "", "a-x", "a--1", "a-1-1"])
def test_a_request_of_another_client_is_refused(ready, number):
    actions = ready.submit(number, store=STORE)
    assert refusal(actions)[:3] == (b"ia", number, "ProtocolError")
    assert ev.Drop(STORE) in actions


@pytest.mark.parametrize("targets", ["x", "3-1", "0-99999999", "-1"])
@pytest.mark.parametrize("resent", [False, True])
def test_targets_that_are_none(ready, targets, resent):
    actions = ready.submit(targets=targets, resent=resent, store=STORE)
    assert refusal(actions)[:3] == (b"ia", "a-1", "ProtocolError")
    assert ev.Drop(STORE) in actions


@pytest.mark.parametrize("resent", [False, True])
def test_no_targets(ready, resent):
    actions = ready.submit(targets="", resent=resent)
    assert refusal(actions)[3] == "The request names no engine; there are 0-1."


def test_an_engine_that_is_not_there(ready):
    actions = ready.submit(targets="1-2", store=STORE)
    assert refusal(actions)[2:] == (
        "EngineError", "No engine 2 is here; there are 0-1.",
    )  # fmt: skip
    assert ev.Drop(STORE) in actions


def test_no_engines_at_all(hub):
    hub.hello()
    assert refusal(hub.submit())[2] == "NoEnginesRegistered"


def test_a_request_that_crossed_the_hello_is_asked_for(hub):
    hub.join()
    hub.submit("a-1")
    hub.submit("a-2")
    asked = ev.Send((b"ia",), wire.WhoAreYou(7))
    assert asked in hub.hello(sent=1)
    assert asked not in hub.hello(sent=2)


def test_a_first_copy_that_was_long_under_way(ready):
    ready.hello(sent=5)
    assert ready.submit("a-5", store=STORE) == [ev.Drop(STORE)]
    assert sent(ready.submit("a-6"), Submit)


def test_a_second_copy_brings_the_answers_again(ready):
    ready.submit()
    ready.answer("e0")
    ready.answer("e1")
    actions = ready.submit(resent=True, store=STORE)
    assert [p.ranks for _, m in sent(actions, wire.Replies) for p in m.parts] == ["0-1"]
    assert ev.Drop(STORE) in actions


def test_release_is_only_for_the_owner(ready):
    ready.hello("b")
    ready.submit()
    ready.answer("e0", store=STORE)
    ready.answer("e1")
    assert refusal(ready.hear("ib", wire.Release("a-1", "0")))[2] == "ProtocolError"
    assert ready.hear("ia", wire.Release("a-1", "0")) == [
        ev.Drop(STORE), ev.Send((b"ce0",), wire.Acknowledge(("a-1",))),
    ]  # fmt: skip
    assert ready.hear("ia", wire.Release("a-9", "0")) == []


def test_abort_reaches_who_has_not_answered(ready):
    ready.submit("a-1")
    ready.submit("a-2", "1")
    ready.answer("e0", "a-1")
    actions = ready.hear("oa", wire.Abort((), "0-1"))
    ((peers, abort),) = sent(actions, wire.Abort)
    assert (peers, abort.ids) == ((b"ce1",), ("a-1", "a-2"))
    assert sent(ready.hear("oa", wire.Abort(("a-2",), "0")), wire.Abort) == []


def test_signals_go_to_processes_or_as_messages(ready):
    ready.register("far", boot="there")
    actions = ready.hear("oa", wire.Signal("q", "0-2", 2))
    assert ev.Kill(((100, 5), (101, 5)), 2) in actions
    assert sent(actions, wire.Interrupt) == [((b"cfar",), wire.Interrupt(2))]


def test_a_rank_with_a_program_is_asked_to_interrupt_what_clients_run(hub):
    """A signal would end its program."""
    hub.join(run="sim")
    hub.hello()
    hub.submit("a-1", "0")
    actions = hub.hear("oa", wire.Signal("q", "0-1", 2, "a-1"))
    assert sent(actions, wire.Interrupt) == [((b"ce0",), wire.Interrupt(2))]
    for signal in (wire.Signal("q", "0", 2), wire.Signal("q", "0", 10, "a-1")):
        actions = hub.hear("oa", signal)
        assert sent(actions, wire.Interrupt) == []
        assert any(isinstance(a, ev.Kill) for a in actions)


@pytest.mark.parametrize("signum", [0, -9, 65, 2**40])
def test_a_signal_that_is_none(ready, signum):
    assert refusal(ready.hear("oa", wire.Signal("q", "0", signum)))[1] == "q"


def test_shutdown_of_engines_and_of_all(ready):
    actions = ready.hear("oa", wire.Shutdown("q", "1"))
    assert [peers for peers, _ in sent(actions, wire.Quit)] == [(b"we1", b"ce1")]
    actions = ready.hear("oa", wire.Shutdown("q", "", hub=True))
    assert sent(actions, wire.Answer)
    assert len(sent(actions, wire.Quit)[0][0]) == 4
    ((peers, quit_),) = sent(ready.register("new"), wire.Quit)
    assert peers == (b"wnew", b"cnew")  # its main thread may wait for work by now
    assert quit_.why == "The cluster stops."


def test_goodbye(ready):
    ready.submit(targets="0")
    assert ready.hear("oa", wire.Goodbye("a")) == [ev.Unwatch("a")]
    assert sent(ready.answer("e0"), wire.Replies) == []


# -- questions


def test_queue_and_status(ready):
    ready.submit("a-1")
    ready.submit("a-2", "1")
    ready.answer("e0")

    def answer(actions):
        (send,) = actions
        assert send.message == wire.Answer("q")
        return unpack(send.frames[0])

    assert answer(ready.ask("queue")) == {"engines": [[0, []], [1, ["a-1_1", "a-2_1"]]]}
    assert answer(ready.ask("status", ids=["a-1", "a-9"])) == {"pending": ["a-1"]}
    assert [e["here"] for e in answer(ready.ask("engines"))["engines"]] == [True] * 2


def test_watching_another_clients_request(ready):
    ready.hello("b")
    ready.submit(targets="0")
    watch = pack({"id": "a-1"})
    assert ready.hear("ob", wire.Ask("q", "watch"), watch) == []
    answers = sent(ready.answer("e0"), wire.Answer)
    assert answers == [((b"ib",), wire.Answer("q"))]
    assert sent(ready.hear("ob", wire.Ask("r", "watch"), watch), wire.Answer)


def test_a_watched_request_whose_engine_dies_is_finished(ready):
    ready.submit(targets="0")
    ready.ask("watch", id="a-1")
    assert sent(ready.feed(ev.Died("e0", "ended")), wire.Answer)


def test_questions_for_the_shell(ready):
    assert ready.ask("history") == [ev.Look(b"ia", "q", "history", {})]


@pytest.mark.parametrize("what", ["", "nonsense", "Look"])
def test_a_question_the_hub_has_no_answer_to(ready, what):
    assert refusal(ready.ask(what))[:3] == (b"ia", "q", "ProtocolError")


@pytest.mark.parametrize(
    "frames",
    [(), (b"",), (b"\xc1",), (pack(5),), (pack({1: 2}),), (b"\x81\xa1a" * 100_000,)],
)
def test_arguments_that_are_none(ready, frames):
    actions = ready.hear("oa", wire.Ask("q", "queue"), *frames)
    assert refusal(actions)[:3] == (b"ia", "q", "ProtocolError")


@hypothesis.given(
    what=st.sampled_from(["queue", "status", "watch", "engines", "history"]),
    key=st.sampled_from(["id", "ids", "x"]),
    value=st.recursive(
        st.none() | st.integers(-5, 5) | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=2),
    ),
)
def test_any_arguments_get_an_answer(what, key, value):
    hub = Hub()
    hub.hello()
    assert hub.ask(what, **{key: value})


# -- jobs


def test_who_died_is_started_again_if_that_is_wanted():
    hub = Hub(respawn=True)
    hub.join(1)
    hub.register("e5")  # not ready yet
    assert ev.Respawn("j") in hub.feed(ev.Died("e0", "was killed"))
    assert ev.Respawn("j") not in hub.feed(ev.Died("e5", "was killed"))


def test_but_not_a_rank_of_a_world_or_at_the_end():
    hub = Hub(respawn=True)
    hub.join(2)
    assert ev.Respawn("j") not in hub.feed(ev.Died("e0", "was killed"))
    assert ev.Respawn("j") not in hub.feed(ev.Died("e1", "was killed"))
    hub = Hub(respawn=True)
    hub.join(1)
    hub.hello()
    hub.hear("oa", wire.Shutdown("q", "", hub=True))
    assert ev.Respawn("j") not in hub.feed(ev.Died("e0", "was killed"))


def test_a_job_that_ends_is_told_and_its_orphans_are_ended(ready):
    ready.feed(ev.JobBegan("j", 2, "mpiexec"))
    actions = ready.feed(ev.JobEnded("j", "exited with status 1", "log"))
    ((_, notice),) = sent(actions, wire.Notice)
    assert notice.what == "job_ended"
    ready.now = ready.core.deadline()
    assert ready.now == ORPHANS_AFTER
    actions = ready.feed(ev.Tick())
    assert actions[:2] == [ev.Kill(((100, 5), (101, 5)), 9), ev.KillJobs(9, "j")]


def test_the_cluster_ends_when_all_are_gone(ready):
    ready.feed(ev.JobBegan("j", 2, "mpiexec"))
    ready.hear("oa", wire.Shutdown("q", "", hub=True))
    ready.feed(ev.Died("e0", "ended"))
    ready.feed(ev.Died("e1", "ended"))
    assert ev.End() in ready.feed(ev.JobEnded("j", "ended", ""))


# -- the journal, and the hub's restart


def test_what_is_saved_is_acknowledged_and_forgotten(ready):
    ready.submit()
    ready.answer("e0")
    ready.answer("e1")
    actions = ready.feed(ev.Saved((("a-1", 0), ("a-1", 1))))
    assert sent(actions, wire.Acknowledge) == [
        ((b"ce0",), wire.Acknowledge(("a-1",))),
        ((b"ce1",), wire.Acknowledge(("a-1",))),
    ]
    assert not ready.core.fanout.requests


def test_a_result_that_comes_again_is_acknowledged_again(ready):
    ready.submit()
    ready.answer("e0")
    ready.feed(ev.Saved((("a-1", 0),)))
    actions = ready.answer("e0", store=STORE)
    assert actions == [
        ev.Drop(STORE), ev.Send((b"ce0",), wire.Acknowledge(("a-1",))),
    ]  # fmt: skip


def recall(hub, *parts, targets="0-1", **more):
    (action,) = hub.submit(targets=targets, resent=True, **more)
    assert isinstance(action, ev.Recall)
    return ev.Recalled("a", action.submit, action.frames, parts)


def journal(ranks):
    return (Part(ranks, "ok", 1, (1.0,), (2.0,)), (b"r",))


def test_a_new_hub_asks_only_whom_the_journal_does_not_know(ready):
    actions = ready.feed(recall(ready, journal("1")))
    assert [p for p, _ in sent(actions, Submit)] == [(b"we0",)]
    ((_, replies),) = sent(actions, wire.Replies)
    assert [part.ranks for part in replies.parts] == ["1"]


def test_what_the_journal_knows_whole_is_forgotten_at_once(ready):
    actions = ready.feed(recall(ready, journal("0"), journal("1"), store=STORE))
    assert len(sent(actions, wire.Replies)) == 1
    assert ev.Drop(STORE) in actions
    assert not ready.core.fanout.requests


def test_an_answer_that_comes_during_the_look_into_the_journal_is_kept(ready):
    event = recall(ready)
    assert ready.answer("e0") == []
    actions = ready.feed(event)
    ((_, replies),) = sent(actions, wire.Replies)
    assert [part.ranks for part in replies.parts] == ["0"]
    assert [p for p, _ in sent(actions, Submit)] == [(b"we1",)]


def test_a_request_that_comes_twice_is_looked_up_once(ready):
    recall(ready)
    assert ready.submit(resent=True, store=STORE) == [ev.Drop(STORE)]


def test_a_new_hub_waits_for_engines(hub):
    hub.hello()
    hub.register("e0", 0, 2, engine=0, ready=True)
    assert hub.feed(recall(hub)) == []
    assert hub.core.deadline() == RETURN_WITHIN
    actions = hub.register("e1", 1, 2, engine=1, ready=True)
    assert [p for p, _ in sent(actions, Submit)] == [(b"we0", b"we1")]


def restored(n):
    """A new hub of n ranks, of which the first is back."""
    hub = Hub(restoring_until=RETURN_WITHIN)
    hub.feed(ev.JobBegan("j", n, "mpiexec"))
    hub.hello()
    hub.register("e0", 0, n, engine=0, ready=True)
    return hub


def test_a_request_made_before_all_ranks_are_back_waits_for_them():
    hub = restored(2)
    assert sent(hub.submit(targets="0-1"), wire.Refused) == []
    actions = hub.register("e1", 1, 2, engine=1, ready=True)
    assert [p for p, _ in sent(actions, Submit)] == [(b"we0", b"we1")]
    actions = hub.submit("a-2", targets="0-1")
    assert [p for p, _ in sent(actions, Submit)] == [(b"we0", b"we1")]


def test_a_rank_that_never_was_is_not_waited_for():
    hub = restored(2)
    assert sent(hub.submit(targets="0-2"), wire.Refused)
    hub.now = RETURN_WITHIN
    assert sent(hub.submit("a-2", targets="0-1"), wire.Refused)


def test_but_not_for_ever(hub):
    hub.hello()
    hub.register("e0", 0, 2, engine=0, ready=True)
    hub.feed(recall(hub))
    hub.now = hub.core.deadline()
    actions = hub.feed(ev.Tick())
    assert [p for p, _ in sent(actions, Submit)] == [(b"we0",)]
    (send,) = [a for a in actions if isinstance(getattr(a, "message", 0), wire.Replies)]
    assert unpack(send.frames[0])[1].startswith("Engine 1 did not come back")


# -- anybody


@pytest.mark.parametrize("role", ["w", "c", "o", "i", "x", ""])
@pytest.mark.parametrize(
    "message", [wire.Welcome(1, 1, "", False, 0, ()), wire.Quit(""), wire.Ping()]
)
def test_messages_that_are_not_for_a_hub(ready, role, message):
    actions = ready.hear(f"{role}a", message)
    assert [a for a in actions if isinstance(a, ev.Say)]
    assert bool(sent(actions, wire.Refused)) == (role in ("o", "i"))


def test_an_event_makes_a_story(ready):
    ready.submit()
    assert "Submit(id='a-1'" in ready.core.story.tell()


def test_every_message_of_a_peer_has_a_handler():
    handled = set(HubCore(pid=1, boot="", cluster="")._on_message)
    spoken = {
        wire.Hello, wire.Submit, wire.Abort, wire.Signal, wire.Shutdown, wire.Ask,
        wire.Release, wire.Goodbye, wire.Register, wire.Ready, wire.Result,
        wire.Output, wire.Leaving, wire.Pong, wire.Typed,
        wire.Tasks, wire.RankTask, wire.Functions, wire.Cancel, wire.Taken,
        wire.Outcomes, wire.Unsent, wire.Seceded, wire.Rejoined, wire.HeldTasks,
        wire.Steer, wire.Watching, wire.RunBegan, wire.RunEnded, wire.FamilyBorn,
        wire.Rang, wire.Inquired, wire.PlanHere, wire.PlanDone, wire.Sample,
        wire.Fired, wire.Ordered, wire.Looked, wire.Glanced,
    }  # fmt: skip
    assert handled == spoken
    assert all(issubclass(kind, msgspec.Struct) for kind in handled)

"""Tasks through the hub's core: which messages go where, what is kept and dropped."""

from __future__ import annotations

import pytest

from steer.core import events as ev
from steer.core.taskoutput import SHOWN
from steer.core.tasksend import HEAVY
from steer.wire import messages as wire
from steer.wire.frames import unpack
from steer.wire.messages import Dependency, Needs, Outcome, Store, Task, TaskOptions

from .hubs import Hub, sent

DONE = wire.TaskStatus.DONE
PLAIN = TaskOptions()
STORE = Store(50, 3, 1 << 20, ((0, 0, 1 << 20),))


class FarmHub(Hub):
    """Short words for tasks."""

    def start(self, engines=1, world=1):
        for rank in range(engines):
            self.register(f"e{rank}", rank % world, world)
            self.hear(f"ce{rank}", wire.Ready(f"e{rank}", rank % world, world))
        self.hello()
        self.hear("oa", wire.Functions((b"f",)), b"the function")
        return self

    def tasks(self, *ids, who="a", body=b"x", options=None, needs=(), resent=False):
        table = {1: options} if options else {}
        tasks = tuple(Task(i, b"f", body, int(bool(options))) for i in ids)
        return self.hear(
            f"o{who}", wire.Tasks("", tasks, table, tuple(needs), {}, resent)
        )

    def large(self, number, *frames, store=None, options=PLAIN, **more):
        task = Task(number, b"f", b"", int(options is not PLAIN))
        message = wire.RankTask("", task, options, store=store, **more)
        return self.hear("oa", message, *frames)

    def ended(self, who, *ids, client="a", store=None, frames=(), **more):
        outcomes = tuple(
            Outcome(i, DONE, b"" if frames else b"v", 1.0, 1e-4, store) for i in ids
        )
        return self.hear(f"w{who}", wire.Outcomes(client, outcomes, **more), *frames)

    def taken(self, actions):
        """The client says that it has what these actions brought."""
        bundles = [
            m.number for _, m in sent(actions, (wire.Outcomes, wire.RankOutcomes))
        ]
        return self.hear("oa", wire.Taken(bundles[-1]))


@pytest.fixture
def farm():
    return FarmHub().start()


def drops(actions):
    return [a.store for a in actions if isinstance(a, ev.Drop)]


def frames_of(actions, kind):
    return [
        list(a.frames)
        for a in actions
        if isinstance(a, ev.Send) and isinstance(a.message, kind)
    ]


# -- there and back


def test_a_function_goes_once_and_ahead_of_the_tasks(farm):
    actions = farm.tasks(1)
    assert [(a.peers, type(a.message)) for a in actions] == [
        ((b"we0",), wire.Functions), ((b"we0",), wire.Tasks),
    ]  # fmt: skip
    assert frames_of(actions, wire.Functions) == [[b"the function"]]
    farm.ended("e0", 1)
    assert sent(farm.tasks(2), wire.Functions) == []


def test_a_function_that_got_lost_is_asked_for_and_sent_on():
    farm = FarmHub().start()
    task = Task(1, b"g", b"")
    actions = farm.hear("oa", wire.Tasks("", (task,)))
    assert sent(actions, wire.WhoAreYou)
    assert sent(actions, wire.Tasks)
    actions = farm.hear("oa", wire.Functions((b"g",)), b"another")
    assert sent(actions, wire.Functions) == [((b"ce0",), wire.Functions((b"g",)))]


def test_what_is_fetched_ahead_goes_to_the_thread_that_can_give_it_back(farm):
    farm.tasks(1)
    farm.ended("e0", 1)
    farm.tasks(2)
    ((peers, tasks),) = sent(farm.tasks(3, 4), wire.Tasks)
    assert peers == (b"ce0",)
    assert [t.id for t in tasks.tasks] == [3, 4]
    assert tasks.client == "a"


def test_outcomes_go_to_their_client_and_are_settled_when_it_has_them(farm):
    farm.tasks(1)
    actions = farm.ended("e0", 1)
    ((peers, outcomes),) = sent(actions, wire.Outcomes)
    assert peers == (b"ia",)
    assert outcomes.engine == 0
    assert outcomes.outcomes[0].body == b"v"
    settled = sent(farm.taken(actions), wire.Settled)
    assert settled == [((b"ce0",), wire.Settled("a", (1,)))]
    assert farm.core.farm.scheduler.tables.clients["a"].tasks == {}


def test_a_client_hears_how_much_it_may_send(farm):
    ((peers, window),) = sent(farm.hello("b"), wire.Window)[-1:]
    assert peers == (b"ib",)
    assert window.tasks < 200_000


def test_tasks_of_a_stranger_are_dropped_and_it_is_asked_once(farm):
    actions = farm.tasks(1, who="z")
    assert sent(actions, wire.WhoAreYou)
    assert farm.tasks(2, who="z") == []
    assert "z" not in farm.core.farm.scheduler.tables.clients


def test_words_of_an_old_hubs_bundles_mean_nothing():
    farm = FarmHub(began=10**9).start()
    farm.tasks(1)
    actions = farm.ended("e0", 1)
    assert sent(farm.hear("oa", wire.Taken(500)), wire.Settled) == []
    assert sent(farm.taken(actions), wire.Settled)


@pytest.mark.parametrize(
    "options",
    [TaskOptions(timeout=-1.0), TaskOptions(wait=1e300), TaskOptions(targets="x"),
     TaskOptions(ranks=-1), TaskOptions(timeout=float("nan"))],
)  # fmt: skip
def test_options_that_are_none_are_refused(farm, options):
    assert sent(farm.tasks(1, options=options), wire.Refused)
    assert sent(farm.large(1, options=options), wire.Refused)


def test_options_that_did_not_come_are_refused(farm):
    task = Task(1, b"f", b"", 7)
    assert sent(farm.hear("oa", wire.Tasks("", (task,))), wire.Refused)


def test_a_long_bundle_is_cut_where_it_gets_too_heavy(farm):
    farm.tasks(1)
    farm.ended("e0", 1)
    body = bytes(HEAVY // 3)
    bundles = sent(farm.tasks(*range(2, 10), body=body), wire.Tasks)
    assert [len(m.tasks) for _, m in bundles] == [2, 2, 2, 2]


# -- large arguments and values


def test_large_arguments_travel_alone_and_are_dropped_at_the_end(farm):
    actions = farm.large(1, b"", store=STORE)
    ((peers, task),) = sent(actions, wire.RankTask)
    assert (peers, task.store, task.engines) == ((b"we0",), STORE, ())
    assert drops(farm.ended("e0", 1)) == [STORE]
    assert not farm.core.farm.data


def test_they_are_kept_for_another_try(farm):
    farm.large(1, b"", store=STORE, options=TaskOptions(retries=1))
    assert drops(farm.feed(ev.Died("e0", "was killed"))) == []
    farm.register("e1")
    ((peers, task),) = sent(farm.hear("ce1", wire.Ready("e1", 0, 1)), wire.RankTask)
    assert (peers, task.store) == ((b"we1",), STORE)


def test_a_second_copy_is_dropped(farm):
    farm.large(1, b"", store=STORE)
    other = Store(50, 4, 1 << 20, ())
    assert drops(farm.large(1, b"", store=other, resent=True)) == [other]


def test_a_large_value_stays_until_it_is_taken(farm):
    farm.tasks(1)
    actions = farm.ended("e0", 1, store=STORE, frames=[b"p", b""])
    ((_, outcomes),) = sent(actions, wire.Outcomes)
    assert outcomes.outcomes[0].store == STORE
    assert frames_of(actions, wire.Outcomes) == [[b"p", b""]]
    assert drops(farm.taken(actions)) == [STORE]
    assert not farm.core.farm.data


def test_a_value_that_is_late_is_dropped(farm):
    farm.tasks(1)
    farm.taken(farm.ended("e0", 1))
    assert drops(farm.ended("e0", 1, store=STORE, frames=[b""])) == [STORE]


def test_a_value_that_comes_twice_before_it_is_taken_is_still_there(farm):
    farm.tasks(1)
    actions = farm.ended("e0", 1, store=STORE, frames=[b""])
    other = Store(50, 4, 1 << 20, ())
    assert drops(farm.ended("e0", 1, store=other, frames=[b""])) == [other]
    assert drops(farm.taken(actions)) == [STORE]


def test_what_strangers_share_is_dropped(farm):
    message = wire.RankTask("", Task(1, b"f", b""), store=STORE)
    assert drops(farm.hear("oz", message, b"")) == [STORE]
    outcome = Outcome(1, DONE, b"", 1.0, 1.0, STORE)
    message = wire.Outcomes("a", (outcome,))
    assert drops(farm.hear("we9", message, b"")) == [STORE]


def test_a_bundle_with_a_large_value_has_its_number_at_the_end(farm):
    farm.tasks(1, 2)
    farm.ended("e0", 1, store=STORE, frames=[b""])
    farm.ended("e0", 2)
    actions = farm.tasks(1, 2, resent=True)
    answers = [m for _, m in sent(actions, wire.Outcomes)]
    assert [[o.id for o in m.outcomes] for m in answers] == [[1], [2]]
    assert answers[0].number == 0 < answers[1].number
    assert drops(farm.taken(actions)) == [STORE]


def test_a_large_value_is_an_argument_even_if_its_client_has_taken_it(farm):
    farm.tasks(1, 2)
    after = Needs(3, after=Dependency((2,)), values=(1,))
    farm.tasks(3, options=TaskOptions(name="g"), needs=[after])
    value = farm.ended("e0", 1, store=STORE, frames=[b"p", b""])
    assert drops(farm.taken(value)) == []
    actions = farm.ended("e0", 2)
    ((_, task),) = sent(actions, wire.RankTask)
    assert task.values[1].store == STORE
    assert task.parts == (0, 2)
    assert frames_of(actions, wire.RankTask) == [[b"p", b""]]
    assert drops(farm.ended("e0", 3)) == [STORE]
    assert not farm.core.farm.data


# -- several ranks


def test_ranks_get_their_task_at_once_and_each_answers():
    farm = FarmHub().start(2, world=2)
    actions = farm.large(1, b"p", options=TaskOptions(ranks=2))
    ((peers, task),) = sent(actions, wire.RankTask)
    assert (peers, task.engines) == ((b"we0", b"we1"), (0, 1))
    assert len(sent(actions, wire.Functions)) == 2
    assert (
        sent(farm.ended("e1", 1, store=STORE, frames=[b"", b"q"]), wire.Message) == []
    )
    actions = farm.ended("e0", 1)
    ((_, ranks),) = sent(actions, wire.RankOutcomes)
    assert ranks.parts == (0, 2)
    assert frames_of(actions, wire.RankOutcomes) == [[b"", b"q"]]
    assert drops(farm.taken(actions)) == [STORE]


def test_a_rank_that_is_stuck_is_killed_and_the_reason_told():
    farm = FarmHub().start(2, world=2)
    farm.large(1, b"p", options=TaskOptions(ranks=2))
    outcome = Outcome(1, wire.TaskStatus.RAISED, b"no")
    farm.hear("we0", wire.Outcomes("a", (outcome,)))
    said = []
    while farm.core.deadline() is not None and farm.now < 20.0:
        farm.now = farm.core.deadline()
        said += farm.feed(ev.Tick())
    assert sent(said, wire.Unstick) == [((b"ce1",), wire.Unstick("a", 1))]
    assert ev.Kill(((101, 5),), 9) in said
    actions = farm.feed(ev.Died("e1", "was killed by SIGKILL"))
    ((_, ranks),) = sent(actions, wire.RankOutcomes)
    assert b"stayed stuck" in ranks.outcomes[1].body


# -- engines come and go


def test_a_dead_engine_names_itself_in_what_is_lost(farm):
    farm.tasks(1)
    actions = farm.feed(ev.Died("e0", "was killed by SIGSEGV"))
    ((_, outcomes),) = sent(actions, wire.Outcomes)
    assert outcomes.outcomes[0].status is wire.TaskStatus.LOST
    assert outcomes.outcomes[0].body == b"Engine 0 (on node1) was killed by SIGSEGV."


def test_an_engine_that_comes_back_says_first_what_it_holds(farm):
    farm.tasks(1)
    farm.register("e0", ready=True, engine=0, holding=True)
    assert sent(farm.ended("e0", 1), wire.Outcomes) == []
    actions = farm.hear("ce0", wire.HeldTasks("a", (1,)))
    assert [m.outcomes[0].id for _, m in sent(actions, wire.Outcomes)] == [1]


def test_what_it_is_given_before_it_says_so_is_not_taken_for_lost(farm):
    farm.tasks(1)
    farm.ended("e0", 1)
    farm.tasks(2)
    farm.register("e0", ready=True, engine=0, holding=True)
    assert sent(farm.tasks(3), wire.Tasks)
    assert sent(farm.hear("ce0", wire.HeldTasks("a", (2,))), wire.Tasks) == []
    farm.ended("e0", 2, 3)
    assert farm.core.farm.scheduler.tables.engines[0].held == {}


def test_an_engine_may_hold_tasks_of_several_clients(farm):
    farm.hello("b")
    farm.tasks(1)
    farm.ended("e0", 1)
    farm.tasks(2)
    farm.hear("ob", wire.Tasks("", (Task(1, b"f", b""),)))
    farm.register("e0", ready=True, engine=0, holding=True)
    assert farm.hear("ce0", wire.HeldTasks("a", (2,), True)) == []
    assert sent(farm.hear("ce0", wire.HeldTasks("b", (1,))), wire.Tasks) == []
    held = farm.core.farm.scheduler.tables.engines[0].held
    assert [r.client for r in held.values()] == ["a", "b"]


def test_what_could_not_be_reached_is_sent_again(farm):
    farm.tasks(1)
    farm.feed(ev.Unreached("e0"))
    farm.now += 1.0
    actions = farm.feed(ev.Tick())
    assert sent(actions, wire.Functions)
    assert [m.tasks[0].id for _, m in sent(actions, wire.Tasks)] == [1]


def test_after_a_restart_all_start_when_the_engines_are_back():
    farm = FarmHub(restoring_until=10.0)
    farm.feed(ev.JobBegan("j", 2, "mpiexec"))
    farm.hello()
    farm.hear("oa", wire.Functions((b"f",)), b"the function")
    farm.tasks(1, 2, resent=True)
    for rank in range(2):
        actions = farm.register(
            f"e{rank}", rank, 2, ready=True, engine=rank, holding=rank == 0
        )
        assert sent(actions, wire.Tasks) == []
    actions = farm.hear("ce0", wire.HeldTasks("a", (1,)))
    assert [(p, m.tasks[0].id) for p, m in sent(actions, wire.Tasks)] == [
        ((b"we1",), 2)
    ]


# -- who asks


def test_what_is_going_on(farm):
    farm.tasks(1)
    farm.ended("e0", 1)
    farm.tasks(2, 3, 4)
    ((_, answer),) = sent(actions := farm.ask("tasks"), wire.Answer)
    facts = unpack(actions[0].frames[0])
    assert answer.id == "q"
    (engine,) = facts["engines"]
    assert engine["tasks"] == ["a-t2", "a-t3", "a-t4"]
    mine = facts["clients"]["a"]
    assert (mine["submitted"], mine["ended"], mine["failed"]) == (4, 1, 0)
    assert facts["held"] + facts["ready"] == 3
    assert unpack(farm.ask("tasks", client="z")[0].frames[0])["clients"] == {}


# -- the journal


def notes(actions):
    return [a for a in actions if isinstance(a, ev.NoteTasks)]


def test_what_ended_is_noted_with_what_it_printed(farm):
    farm.now = 5.0
    farm.tasks(1, options=TaskOptions(name="work"))
    farm.hear("ce0", wire.Output("a/t1", wire.Stream.STDOUT), b"hello")
    (note,) = notes(farm.ended("e0", 1))
    assert (note.client, note.engine, note.uuid, note.keep) == ("a", 0, "e0", False)
    assert note.tasks == [
        (1, DONE, 1.0, 1e-4, 5.0, "work", b"f", b"v", {"stdout": "hello"})
    ]
    assert farm.core.farm.sender.printed == {}


def test_outcomes_for_a_client_that_left_are_the_journals(farm):
    farm.tasks(1, 2)
    farm.feed(ev.Died("a", "ended"))
    (note,) = notes(farm.ended("e0", 1, store=STORE, frames=[b"p", b""]))
    assert note.keep
    assert note.tasks[0][7].store == STORE
    actions = farm.feed(ev.SavedTasks("a", note.number))
    assert drops(actions) == [STORE]
    assert sent(actions, wire.Settled)
    (note,) = notes(farm.ended("e0", 2))
    farm.feed(ev.SavedTasks("a", note.number))
    assert "a" not in farm.core.farm.scheduler.tables.clients
    assert farm.core.farm.functions.bodies == {}


def test_what_was_under_way_to_a_client_that_died_is_noted_again(farm):
    farm.tasks(1)
    farm.ended("e0", 1, store=STORE, frames=[b"p", b""])
    (note,) = notes(farm.feed(ev.Died("a", "ended")))
    assert note.keep
    assert note.again
    assert note.tasks[0][7].store == STORE
    assert drops(farm.feed(ev.SavedTasks("a", note.number))) == [STORE]


def test_a_client_that_came_again_takes_its_outcomes_itself(farm):
    farm.tasks(1)
    farm.ended("e0", 1)
    assert farm.feed(ev.SavedTasks("a", 10**9)) == []


# -- output


def test_what_a_task_prints_goes_to_its_client_at_once(farm):
    farm.tasks(1)
    actions = farm.hear("ce0", wire.Output("a/t1", wire.Stream.STDOUT), b"hello")
    assert sent(actions, wire.Outputs) == [
        ((b"ia",), wire.Outputs((wire.Piece("a/t1", "0", wire.Stream.STDOUT),)))
    ]


def test_a_gigabyte_of_prints_ends_early(farm):
    farm.tasks(1)
    said = []
    piece = bytes(1 << 20)
    for _ in range(100):
        said += farm.hear("ce0", wire.Output("a/t1", wire.Stream.STDOUT), piece)
    sizes = [len(frames[0]) for frames in frames_of(said, wire.Outputs)]
    assert SHOWN <= sum(sizes) < SHOWN + 1000
    assert b"more than is shown" in frames_of(said, wire.Outputs)[-1][0]
    (note,) = notes(farm.ended("e0", 1))
    assert len(note.tasks[0][8]["stdout"]) < 100_000

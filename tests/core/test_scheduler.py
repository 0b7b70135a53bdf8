"""Submit, dispatch, outcomes, loss, cancel: what everything else stands on."""

from __future__ import annotations

import pytest

from steer.core import dispatch
from steer.core import taskevents as ev
from steer.wire.messages import Outcome, Task, TaskOptions, TaskStatus

from .farm import Farm

DONE = TaskStatus.DONE


def test_every_task_is_answered_once():
    farm = Farm(engines=3)
    keys = farm.submit(1000) + farm.submit(10, client="b")
    farm.finish()
    assert farm.statuses(keys) == [DONE] * 1010
    assert set(farm.ran.values()) == {1}


def test_tasks_wait_for_the_first_engine():
    farm = Farm()
    keys = farm.submit(3)
    assert farm.gives == []
    farm.join(7)
    farm.finish()
    assert farm.statuses(keys) == [DONE] * 3


def test_an_unmeasured_function_goes_one_to_an_engine():
    farm = Farm(engines=4)
    farm.submit(100)
    assert [len(give.tasks) for give in farm.gives] == [1, 1, 1, 1]


@pytest.mark.parametrize(("took", "bundle"), [(1e-5, 400), (1e-3, 4), (1.0, 1)])
def test_a_bundle_holds_the_work_of_some_milliseconds(took, bundle):
    farm = Farm(engines=1)
    farm.submit(3000)
    farm.run(0, 1, took)
    assert len(farm.gives[1].tasks) == pytest.approx(bundle, abs=1)


def test_a_few_short_tasks_are_shared_among_engines():
    farm = Farm(engines=4)
    farm.submit(1)
    farm.run(0, 1, took=5e-4)
    farm.gives.clear()
    farm.submit(8)
    assert [len(give.tasks) for give in farm.gives] == [2, 2, 2, 2]


def test_an_engine_has_its_next_bundle_before_it_asks():
    farm = Farm(engines=1)
    farm.submit(1)
    farm.run(0, 1, took=1e-3)
    farm.submit(100)
    assert [len(give.tasks) for give in farm.gives] == [1, 4, 4]


def test_a_late_or_double_outcome_does_nothing():
    farm = Farm(engines=2)
    (key,) = farm.submit(1)
    late = Outcome(key[1], DONE, b"late")
    farm.run(0)
    for _ in range(2):
        assert farm.feed(ev.Ended(0, "a", [late])) == []
        settle = ev.Settle(1, "a", (key[1],))
        assert farm.feed(ev.Ended(1, "a", [late])) == [settle]
    assert farm.bodies[key] == b"v"


def test_a_dead_engine_fails_what_it_ran_and_no_more():
    farm = Farm(engines=1)
    farm.submit(1)
    farm.run(0, 1, took=1e-3)
    keys = farm.submit(4)
    farm.join(1)
    farm.die(0)
    farm.finish()
    assert farm.statuses(keys) == [TaskStatus.LOST, DONE, DONE, DONE]
    assert b"engine 0 was killed" in farm.bodies[keys[0]]


def test_what_the_page_says_ran_is_blamed():
    farm = Farm(engines=1)
    farm.submit(1)
    farm.run(0, 1, took=1e-3)
    keys = farm.submit(4)
    farm.die(0, running=keys[2])
    farm.join(1)
    farm.finish()
    assert [farm.got[key][0] for key in keys] == [DONE, DONE, TaskStatus.LOST, DONE]


def test_what_may_have_killed_an_engine_shares_no_bundle():
    farm = Farm(engines=1)
    farm.submit(1)
    farm.run(0, 1, took=1e-3)
    farm.submit(4)
    farm.die(0)
    farm.gives.clear()
    farm.join(1)
    assert [len(give.tasks) for give in farm.gives] == [1]


def test_a_waiting_task_is_cancelled_at_once():
    farm = Farm()
    first, second = farm.submit(2)
    farm.cancel(first, first)
    assert farm.got[first] == [TaskStatus.CANCELLED]
    farm.join(0)
    farm.finish()
    assert farm.order == [second]


def test_a_sent_task_is_cancelled_if_it_has_not_begun():
    farm = Farm(engines=1)
    farm.submit(1)
    farm.run(0, 1, took=1e-3)
    first, second, _ = farm.submit(3)
    farm.cancel(first, second)
    farm.give_back(0)
    assert farm.got[second] == [TaskStatus.CANCELLED]
    assert farm.got[first] == []
    assert farm.other[-1] == ev.TellUncancelled("a", (first[1],))
    farm.finish()
    assert farm.got[first] == [DONE]


def test_a_running_task_is_interrupted_and_then_killed():
    farm = Farm(engines=1)
    (key,) = farm.submit(1)
    farm.cancel(key, running=True)
    farm.give_back(0)
    assert farm.other[-1] == ev.InterruptRun(0, *key)
    farm.tick(10.0)
    assert isinstance(farm.other[-1], ev.KillEngine)
    farm.die(0)
    assert farm.got[key] == [TaskStatus.CANCELLED]


def test_an_interrupted_task_ends_as_cancelled_and_its_engine_lives():
    farm = Farm(engines=1)
    (key,) = farm.submit(1)
    farm.cancel(key, running=True)
    farm.give_back(0)
    farm.run(0, status=TaskStatus.RAISED)
    farm.tick(10.0)
    assert farm.got[key] == [TaskStatus.CANCELLED]
    assert not any(isinstance(a, ev.KillEngine) for a in farm.other)


def test_memory_is_given_back_when_the_client_has_its_outcomes():
    farm = Farm(engines=1)
    farm.submit(10, body=b"12345")
    farm.finish()
    client = farm.core.tables.clients["a"]
    assert len(client.tasks) == 10
    assert len(farm.engines[0].unsettled) == 10
    farm.take()
    assert client.tasks == {}
    assert client.size == 0
    assert farm.engines[0].unsettled == {}


def test_what_is_sent_again_is_answered_again_and_runs_once():
    farm = Farm(engines=1)
    keys = farm.submit(2)
    tasks = [Task(i, b"f", b"") for _, i in keys]
    farm.feed(ev.Submitted("a", tasks, resent=True))
    farm.run(0)
    farm.feed(ev.Submitted("a", tasks, resent=True))
    farm.finish()
    assert set(farm.ran.values()) == {1}
    assert farm.got[keys[0]] == [DONE, DONE]


def test_clients_share_the_room_and_one_that_ignores_it_is_refused():
    farm = Farm(tasks=100)
    farm.feed(ev.ClientHere("a"))
    farm.feed(ev.ClientHere("b"))
    allowed = [a for a in farm.other if isinstance(a, ev.Allow)]
    assert [(a.client, a.tasks) for a in allowed] == [("a", 100), ("a", 50), ("b", 50)]
    farm.feed(ev.ClientGone("b"))
    assert farm.other[-1].tasks == 100
    keys = farm.submit(201)
    assert farm.got[keys[-1]] == [TaskStatus.REFUSED]
    assert farm.got[keys[0]] == []


def test_higher_priorities_go_first():
    farm = Farm()
    low, none = farm.submit(3, priority=-1), farm.submit(3)
    high = farm.submit(3, priority=5)
    farm.join(0)
    farm.finish(took=1.0)
    assert farm.order == high + none + low


def test_clients_get_equal_time_and_not_equal_numbers():
    farm = Farm(engines=1)
    farm.submit(1, client="a", function=b"long")
    farm.submit(1, client="b", function=b"short")
    farm.run(0, 1, took=0.1)
    farm.run(0, 1, took=0.01)
    farm.submit(100, client="a", function=b"long")
    farm.submit(1000, client="b", function=b"short")
    spent = {"a": 0.0, "b": 0.0}
    while spent["a"] < 5.0:
        client = farm.engines[0].queue[0][0]
        took = 0.1 if client == "a" else 0.01
        farm.run(0, 1, took)
        spent[client] += took
    assert spent["b"] == pytest.approx(spent["a"], rel=0.1)


def test_a_client_that_comes_late_does_not_catch_up():
    farm = Farm(engines=1)
    farm.submit(500, client="a")
    for _ in range(100):
        farm.run(0, 1, took=0.05)
    farm.submit(200, client="b")
    farm.order.clear()
    for _ in range(40):
        farm.run(0, 1, took=0.05)
    assert 17 <= sum(client == "b" for client, _ in farm.order) <= 23


def test_idle_engines_take_what_a_late_one_has_not_begun():
    farm = Farm(engines=1)
    farm.submit(1)
    farm.run(0, 1, took=1e-3)
    keys = farm.submit(8)
    farm.join(1)
    assert len(farm.engines[0].recalls[0].ids) == 4  # half, as it may be on time
    for _ in range(3):
        farm.give_back(0)
        while farm.engines[1].queue:
            farm.run(1, 100)
        farm.tick(0.1)  # engine 0 should have been done long ago
    assert len(farm.engines[0].queue) == 1
    assert [farm.got[key] for key in keys[1:]] == [[DONE]] * 7


def test_what_is_on_time_is_not_taken_back():
    farm = Farm(engines=1)
    farm.submit(1)
    farm.run(0, 1, took=1e-4)
    farm.submit(8)
    farm.join(1)
    assert farm.engines[0].recalls == []


def test_targets_bind_a_task():
    farm = Farm(engines=4)
    keys = farm.submit(10, targets="2")
    farm.finish()
    assert {farm.where[key] for key in keys} == {2}
    (nowhere,) = farm.submit(1, targets="17")
    assert farm.got[nowhere] == [TaskStatus.IMPOSSIBLE]


def test_a_task_whose_engines_are_gone_is_impossible():
    farm = Farm(engines=2)
    keys = farm.submit(2, targets="0")
    farm.die(0)
    assert farm.statuses(keys) == [TaskStatus.LOST, TaskStatus.IMPOSSIBLE]


def test_a_failure_that_may_be_tried_again_goes_to_another_engine():
    farm = Farm(engines=2)
    (key,) = farm.submit(1, retries=2)
    first = farm.where[key]
    farm.run(first, status=TaskStatus.RETRYABLE)
    assert farm.where[key] != first
    farm.run(farm.where[key], status=TaskStatus.RETRYABLE)
    assert farm.got[key] == []
    farm.run(farm.where[key], status=TaskStatus.RETRYABLE)
    assert farm.got[key] == [TaskStatus.RETRYABLE]
    assert farm.ran[key] == 3


def test_a_lost_task_with_retries_runs_elsewhere():
    farm = Farm(engines=2)
    (key,) = farm.submit(1, retries=1)
    farm.die(0)
    farm.finish()
    assert farm.got[key] == [DONE]


def test_a_task_that_no_engine_may_run_is_impossible():
    farm = Farm(engines=3)
    (key,) = farm.submit(1)
    for _ in range(3):
        assert farm.got[key] == []
        farm.run(farm.where[key], status=TaskStatus.UNMET)
    assert farm.got[key] == [TaskStatus.IMPOSSIBLE]
    assert farm.ran[key] == 3


def test_a_limit_on_run_time_counts_from_its_begin():
    farm = Farm(engines=1)
    farm.submit(1)
    farm.run(0, 1, took=1e-3)
    first, second = farm.submit(2, timeout=1.0)
    farm.tick(0.9)
    farm.run(0, 1, took=0.05)
    assert farm.got[first] == [DONE]
    farm.tick(0.9)
    assert farm.other == [a for a in farm.other if not isinstance(a, ev.InterruptRun)]
    farm.tick(0.2)
    assert farm.other[-1] == ev.InterruptRun(0, *second)
    farm.run(0, status=TaskStatus.RAISED)
    assert farm.got[second] == [TaskStatus.OVERRAN]


def test_a_task_that_waits_for_others_gives_up_its_turn():
    farm = Farm(engines=1)
    outer, inner = farm.submit(2)
    assert len(farm.engines[0].queue) == 1
    farm.engines[0].queue.clear()
    farm.feed(ev.Seceded(0, *outer))
    farm.run(0)
    assert farm.got[inner] == [DONE]
    farm.feed(ev.Rejoined(0, *outer))
    farm.feed(ev.Ended(0, "a", [Outcome(outer[1], DONE)]))
    assert farm.got[outer] == [DONE]


def test_what_waited_on_a_dead_engine_is_lost_too():
    farm = Farm(engines=1)
    outer, _ = farm.submit(2)
    farm.feed(ev.Seceded(0, *outer))
    farm.die(0)
    assert farm.got[outer] == [TaskStatus.LOST]


def test_options_travel_with_their_tasks():
    farm = Farm(engines=1)
    farm.submit(1, priority=3)
    assert farm.gives[0].options == {1: TaskOptions(priority=3)}


def test_bundles_are_bounded(monkeypatch):
    monkeypatch.setattr(dispatch, "MOST", 10)
    farm = Farm(engines=1)
    farm.submit(100)
    farm.run(0, 1, took=1e-7)
    assert max(len(give.tasks) for give in farm.gives) == 10

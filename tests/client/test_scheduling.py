"""What is asked of a run for points to come, and what the user gets."""

from __future__ import annotations

import threading

import pytest

from steer.core.params import Bool, Float, Int
from steer.errors import NotYet, PlanError, UsageError
from steer.wire import payload
from steer.wire.plans import Call, Change, Changes, Code, decode_deed

from .steeredrun import FakeRun


@pytest.fixture
def run():
    return FakeRun(dt=Float(0.1, 1e-6, 1.0), n=Int(3), out=Bool(True))


def deed(run):
    _, arguments = run.asked[-1]
    return decode_deed(arguments["verb"], arguments["body"])


def test_a_change(run):
    plan = run.set(dt=0.01, out=False)
    assert deed(run) == Changes((Change({"dt": 0.01, "out": False}),))
    assert (plan.point, plan.every, repr(plan)) == (
        413, 0, "dt=0.01, out=False: at point 413",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("when", "point", "ahead"),
    [(None, 0, 0), (500, 500, 0), ("500", 500, 0), ("+50", 0, 50)],
)
def test_when(run, when, point, ahead):
    run.set(dt=0.1, at=when)
    _, arguments = run.asked[-1]
    assert (arguments["point"], arguments["ahead"]) == (point, ahead)


@pytest.mark.parametrize("when", [0, -5, "soon", "+", "+-3", 1.5, True, "٣٣x"])
def test_no_point(run, when):
    with pytest.raises(UsageError, match="A point is 500"):
        run.at(when, "save()")


def test_code(run):
    assert run.at("+50", "checkpoint()").text == "checkpoint(): at point 413"
    assert deed(run) == Code("checkpoint()")
    run.at(500, "a = 1\nb = 2")
    assert run.asked[-1][1]["text"] == "a = 1 ..."
    with pytest.raises(UsageError, match=r"'a =' is no Python: invalid syntax\.$"):
        run.at(500, "a = ")
    with pytest.raises(UsageError, match="no Python"):
        run.at(500, 3)
    with pytest.raises(UsageError, match="a function and its arguments"):
        run.at(500, "save()", 3)


def test_functions(run):
    def save(name, *, size):
        return name, size

    run.every(100, save, "u", size=3)
    _, arguments = run.asked[-1]
    assert (arguments["text"], arguments["every"]) == ("save('u', size=3)", 100)
    call = deed(run)
    assert isinstance(call, Call)
    function, args, kwargs = payload.loads([call.pickled])
    assert function(*args, **kwargs) == ("u", 3)
    for n in (0, "3", True):
        with pytest.raises(UsageError, match="from 1 on"):
            run.every(n, save)


def test_large_data_goes_another_way(run):
    with pytest.raises(UsageError, match=r"2,000,0\d\d bytes, .* run.view.push"):
        run.at("+5", print, b"x" * 2_000_000)
    assert run.asked == []


def test_a_plan_waits_until_it_is_done(run):
    plan = run.set(dt=0.2)
    with pytest.raises(NotYet, match=r"dt=0.2: at point 413; .* after 0.01 s"):
        plan.wait(0.01)
    assert not plan.done
    teller = threading.Thread(
        target=run.tell, args=("done", "dt=0.2: done at point 413"),
        kwargs={"plan": plan.number, "over": True},
    )  # fmt: skip
    teller.start()
    assert plan.wait(10).text == "dt=0.2: done at point 413"
    teller.join(10)
    assert plan.done


def test_a_plan_may_be_done_before_its_answer_comes(run):
    """The answer waits for the other loops; the same is said of it again then."""
    plan = run.at("+50", "save()")
    run.tell("planned", plan.text, plan=plan.number, every=0, ends=0)
    run.tell("done", "save(): done", plan=plan.number, over=True)
    run.tell("planned", plan.text, plan=plan.number, every=0, ends=0)
    assert plan.wait(10).text == "save(): done"


def test_a_plan_that_is_taken_back_is_over(run):
    plan = run.at("+50", "save()")
    run.tell("planned", plan.text, plan=plan.number, every=0, ends=0)
    ended = run.unplan(2)
    run.tell("planned", ended.text, plan=ended.number, every=0, ends=plan.number)
    assert plan.done
    with pytest.raises(PlanError, match=r"save.*: at point 413; it was taken back"):
        plan.wait(10)
    assert ended.wait(10).done


def test_a_plan_that_is_taken_back_too_late_is_still_waited_for(run):
    plan = run.at("+50", "save()")
    run.tell("planned", plan.text, plan=plan.number, every=0, ends=0)
    run.tell("planned", "no more", point=414, plan=9, every=0, ends=plan.number)
    assert not plan.done
    run.tell("done", "save(): done", plan=plan.number, over=True)
    assert plan.wait(10).text == "save(): done"


@pytest.mark.parametrize(
    ("kind", "facts"), [("dropped", {}), ("done", {"errors": {"NameError": "0"}})]
)
def test_a_plan_that_came_to_nothing_is_an_error(run, kind, facts):
    plan = run.at("+5", "save()")
    run.tell(kind, "save(): what went wrong", plan=plan.number, over=True, **facts)
    with pytest.raises(PlanError, match="what went wrong"):
        plan.wait(10)


def test_a_plan_that_no_hub_knows_is_an_error(run, monkeypatch):
    monkeypatch.setattr("steer.client.scheduling.LOOK", 0.01)
    plan = run.at("+5", "save()")
    with pytest.raises(PlanError, match="what became of that is not known"):
        plan.wait(10)


def test_what_recurs_is_ended(run):
    plan = run.every(10, "save()")
    with pytest.raises(UsageError, match="no end"):
        plan.wait()
    plan.numbers = [2]
    assert repr(plan.end()).startswith("no more")
    assert run.asked[-1] == ("unplan", {"plan": 2})
    with pytest.raises(UsageError, match="There is no plan 9"):
        run.unplan(9)
    run.planned = [
        {"plan": 1, "text": "save()", "point": 413, "every": 10},
        {"plan": 2, "text": "dt=1", "point": 500, "every": 0},
    ]
    run.unplan()
    assert [asked[1]["plan"] for asked in run.asked[-2:]] == [1, 2]
    assert repr(run.plans()) == (
        "plan 1: save(), every 10 points from 413\nplan 2: dt=1, at point 500"
    )
    run.planned = []
    assert repr(run.plans()) == "Nothing is planned."


def test_all_are_taken_back_also_if_one_is_done_meanwhile(run, monkeypatch):
    def gone(verb, timeout=None, /, **arguments):
        run.planned = [p for p in run.planned if p["plan"] != arguments["plan"]]
        return FakeRun.do(run, verb, timeout, **arguments)

    said = {"text": "dt=1", "point": 500, "every": 0}
    planned = [said | {"plan": n, "waits": n == 9} for n in (1, 9, 2)]
    run.planned = planned
    with pytest.raises(UsageError, match="There is no plan 9"):
        run.unplan()  # it is there, and the hub says that it is not
    monkeypatch.setattr(run, "do", gone)
    run.unplan()
    assert [asked[1]["plan"] for asked in run.asked[-3:]] == [9, 1, 2]

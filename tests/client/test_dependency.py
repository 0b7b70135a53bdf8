"""What tasks wait for: sets of messages, and what is left of them at each sending."""

from __future__ import annotations

from typing import Any

import pytest

from steer.client.dependency import Dependency, Waits, checked, named
from steer.errors import ImpossibleDependency, InvalidDependency
from steer.wire import messages as wire
from steer.wire.messages import TaskStatus

from .acting import acting

AB = ["a", "b"]


@pytest.mark.parametrize(
    ("options", "completed", "failed", "met", "hopeless"),
    [
        ({}, AB, (), True, False),
        ({}, ["a"], (), False, False),
        ({}, ["a"], ["b"], False, True),
        ({"all": False}, ["b"], (), True, False),
        ({"all": False}, (), ["a"], False, False),
        ({"all": False}, (), AB, False, True),
        ({"failure": True}, ["a"], ["b"], True, False),
        ({"success": False, "failure": True}, ["a"], ["b"], False, True),
        ({"success": False, "failure": True}, (), AB, True, False),
        ({"success": False, "failure": True, "all": False}, AB, (), False, True),
    ],
)
def test_when_a_dependency_is_met(
    options: Any, completed: Any, failed: Any, met: bool, hopeless: bool
) -> None:
    dependency = Dependency(AB, **options)
    assert dependency.check(completed, failed) is met
    assert dependency.unreachable(completed, failed) is hopeless
    assert Dependency(**dependency.as_dict()) == dependency
    assert Dependency(**dependency.as_dict()).all == dependency.all


def test_a_dependency_on_nothing() -> None:
    assert Dependency().check(())
    assert not Dependency().unreachable((), AB)
    assert checked([]) is None
    assert checked(None) is None
    with pytest.raises(ValueError, match="for success, for failure, or for both"):
        Dependency("a", success=False)


def test_messages_are_named_in_many_ways() -> None:
    with acting(2) as (rc, _):
        result = rc[:].apply_async(abs, -1)
        assert named(result) == result.msg_ids
        both = [result, "x", [("y",)]]
        assert Dependency(both) == {*result.msg_ids, "x", "y"}
    assert Dependency("abc") == {"abc"}
    assert checked(Dependency("abc", all=False).as_dict()) == {"abc"}
    with pytest.raises(TypeError, match="msg_ids or AsyncResults, not 3"):
        Dependency([3])


class Future:
    """As much of a TaskFuture as is looked at."""

    def __init__(self, number: int) -> None:
        self.id = number
        self.engine: int | None = None
        self.status: TaskStatus | None = None

    def end(self, status: TaskStatus = TaskStatus.DONE, engine: int = 0) -> None:
        self.status, self.engine = status, engine

    def done(self) -> bool:
        return self.status is not None


@pytest.fixture
def two() -> dict[str, Any]:
    return {"a": Future(1), "b": Future(2)}


def after(tasks: dict[str, Any], **options: Any) -> Any:
    return Waits(Dependency(AB, **options), None, tasks.get)


def test_only_what_has_not_ended_is_told(two: dict[str, Any]) -> None:
    waits = after(two)
    assert waits.settle() == (wire.Dependency((1, 2)), None, ())
    two["a"].end()
    assert waits.settle() == (wire.Dependency((2,)), None, ())
    two["b"].end()
    assert waits.settle() == (None, None, ())
    assert (waits.after, waits.follow) == (AB, [])


def test_any_of_them_is_enough(two: dict[str, Any]) -> None:
    waits = after(two, all=False)
    two["a"].end(TaskStatus.RAISED)
    assert waits.settle() == (wire.Dependency((2,), all=False), None, ())
    two["b"].end()
    assert waits.settle() == (None, None, ())


@pytest.mark.parametrize("all_", [True, False])
def test_what_can_not_come_any_more(two: dict[str, Any], all_: bool) -> None:
    waits = after(two, all=all_)
    two["a"].end(TaskStatus.RAISED)
    if not all_:
        two["b"].end(TaskStatus.CANCELLED)
    with pytest.raises(ImpossibleDependency, match="can never run"):
        waits.settle()


def test_failure_may_be_what_is_wanted(two: dict[str, Any]) -> None:
    waits = after(two, success=False, failure=True)
    two["a"].end(TaskStatus.LOST)
    left = wire.Dependency((2,), success=False, failure=True)
    assert waits.settle() == (left, None, ())
    two["b"].end()
    with pytest.raises(ImpossibleDependency):
        waits.settle()


def test_where_those_to_follow_ran_is_told(two: dict[str, Any]) -> None:
    waits = Waits(None, Dependency(AB), two.get)
    two["a"].end(engine=3)
    assert waits.settle() == (None, wire.Dependency((2,)), (3,))
    two["b"].end(engine=3)
    assert waits.settle() == (None, wire.Dependency(()), (3, 3))


def test_what_is_not_known_cannot_be_waited_for(two: dict[str, Any]) -> None:
    with pytest.raises(InvalidDependency, match="'c' is no task of this client"):
        Waits(Dependency("c"), None, two.get)

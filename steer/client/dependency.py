"""What a task waits for: `Dependency`, and the flags `after` and `follow` of a view.

A dependency names messages. What has ended already is settled here, whenever the task
is sent: the hub forgets a task as soon as its client has the outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from steer.client.asyncresult import AsyncResult
from steer.errors import ImpossibleDependency, InvalidDependency
from steer.wire import messages as wire
from steer.wire.messages import TaskStatus

if TYPE_CHECKING:
    from steer.client.futures import TaskFuture

Find = Callable[[str], "TaskFuture | None"]
"""The task that a message is, if it is one of this client."""


class Dependency(set[str]):
    """Messages that have to end before a task may begin: all of them or any, by
    success, by failure, or either way."""

    def __init__(
        self,
        dependencies: Any = (),
        all: bool = True,
        success: bool = True,
        failure: bool = False,
    ) -> None:
        if not (success or failure):
            raise ValueError(
                "A Dependency waits for success, for failure, or for both."
            )
        super().__init__(named(dependencies))
        self.all = all
        self.success = success
        self.failure = failure

    def check(
        self, completed: Iterable[str], failed: Iterable[str] | None = None
    ) -> bool:
        """Whether it is met, when these have ended well and those have failed."""
        wanted = self._among(completed, failed, self.success, self.failure)
        if not self:
            return True
        return self <= wanted if self.all else bool(self & wanted)

    def unreachable(
        self, completed: Iterable[str], failed: Iterable[str] | None = None
    ) -> bool:
        """Whether it can not be met any more."""
        against = self._among(completed, failed, not self.success, not self.failure)
        if not self:
            return False
        return bool(self & against) if self.all else self <= against

    def _among(
        self,
        completed: Iterable[str],
        failed: Iterable[str] | None,
        success: bool,
        failure: bool,
    ) -> Set[str]:
        chosen = set(completed) if success else set()
        return chosen | set(failed or ()) if failure else chosen

    def as_dict(self) -> dict[str, Any]:
        """All that it is, for those who keep it elsewhere."""
        return {
            "dependencies": list(self),
            "all": self.all,
            "success": self.success,
            "failure": self.failure,
        }


def named(work: Any) -> list[str]:
    """The messages that are meant: by their ids, by results, or by many of these."""
    if work is None:
        return []
    if isinstance(work, Mapping):  # what as_dict made
        return named(work["dependencies"])
    if isinstance(work, str):
        return [work]
    if isinstance(work, AsyncResult):
        return work.msg_ids
    if not isinstance(work, Iterable):
        raise TypeError(f"Dependencies are msg_ids or AsyncResults, not {work!r}")
    return [msg_id for one in work for msg_id in named(one)]


def checked(work: Any) -> Dependency | None:
    """The value of a flag as a dependency; None if there is nothing to wait for."""
    if isinstance(work, Dependency):
        return work or None
    if isinstance(work, Mapping):
        return Dependency(**work) or None
    return Dependency(work) or None


class Waits:
    """What a task waits for, with the tasks themselves."""

    def __init__(
        self, after: Dependency | None, follow: Dependency | None, find: Find
    ) -> None:
        self.after = sorted(after or ())
        self.follow = sorted(follow or ())
        """The messages."""
        self._after = _resolved(after, find)
        self._follow = _resolved(follow, find)

    def settle(
        self,
    ) -> tuple[wire.Dependency | None, wire.Dependency | None, tuple[int, ...]]:
        """What is left to wait for, and where those to follow ran that have ended;
        ImpossibleDependency if that can not come any more."""
        after = _left(*self._after) if self._after is not None else None
        if after is not None and not after.ids:
            after = None
        if self._follow is None:
            return after, None, ()
        dependency, tasks = self._follow
        ended = [future.engine for future in tasks if future.done()]
        where = tuple(engine for engine in ended if engine is not None)
        return after, _left(dependency, tasks), where


Resolved = tuple[Dependency, "Sequence[TaskFuture]"]


def _resolved(dependency: Dependency | None, find: Find) -> Resolved | None:
    if dependency is None:
        return None
    tasks = []
    for msg_id in sorted(dependency):
        task = find(msg_id)
        if task is None:
            raise InvalidDependency(
                f"{msg_id!r} is no task of this client, or was forgotten; a task can "
                "wait for tasks whose results you hold."
            )
        tasks.append(task)
    return dependency, tasks


def _left(dependency: Dependency, tasks: Sequence[TaskFuture]) -> wire.Dependency:
    """What is left of a dependency; it names no task if nothing is."""
    ended = [future for future in tasks if future.done()]
    good = [future for future in ended if _as_wanted(dependency, future)]
    bad = len(ended) - len(good)
    left = tuple(future.id for future in tasks if not future.done())
    if bad and (dependency.all or bad == len(tasks)):
        raise ImpossibleDependency(
            "A task that this one waits for has ended otherwise than it should, so it "
            "can never run."
        )
    if good and not dependency.all:
        left = ()
    flags = dependency.all, dependency.success, dependency.failure
    return wire.Dependency(left, *flags)


def _as_wanted(dependency: Dependency, future: TaskFuture) -> bool:
    ok = future.status is TaskStatus.DONE
    return dependency.success if ok else dependency.failure

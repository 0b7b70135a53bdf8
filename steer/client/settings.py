"""The options of an executor's face, checked when they are given."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steer.core.tasklist import PLAIN
from steer.errors import UsageError
from steer.ranks import RankSet
from steer.wire.messages import TaskOptions

if TYPE_CHECKING:
    from steer.client.client import Client

_GATHERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "root": lambda values: values[0],
    "dict": lambda values: dict(enumerate(values)),
}
_TASK = ("priority", "retries", "timeout", "wait", "targets", "ranks", "retry_on",
         "name")  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What a face submits with."""

    options: TaskOptions = PLAIN
    gather: Callable[[list[Any]], Any] = list
    memo: bool = False

    @property
    def name(self) -> str:
        """What its tasks are called, if they have a name of their own."""
        return self.options.name

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """The same but for these options; raises UsageError."""
        import msgspec

        for name in changes:
            if name not in _TASK and name not in ("gather", "memo"):
                known = ", ".join(sorted((*_TASK, "gather", "memo")))
                raise UsageError(f"There is no option {name!r}; there are {known}.")
        task = {k: _CHECKS[k](v) for k, v in changes.items() if k in _TASK}
        options = msgspec.structs.replace(self.options, **task)
        if options.retries and not options.retry_on:
            again = _retry_on(Exception)
            options = msgspec.structs.replace(options, retry_on=again)
        gather = self.gather
        if "gather" in changes:
            gather = _gather(changes["gather"])
        memo = bool(changes.get("memo", self.memo))
        if memo and options.ranks:
            raise UsageError("memo=True is for tasks of one rank, not for ranks=...")
        return Settings(options, gather, memo)

    def check(self, client: Client) -> None:
        """Raise UsageError if the cluster could never run such a task."""
        ranks = self.options.ranks
        worlds: dict[str, int] = {}
        for engine in client.link.core.engines.values():
            worlds[engine.world] = worlds.get(engine.world, 0) + 1
        largest = max(worlds.values(), default=0)
        if ranks > largest > 0:
            raise UsageError(
                f"ranks={ranks} is more than the {largest} ranks of the largest world; "
                f"ask for at most {largest}, or start more with one mpiexec."
            )


def _whole(name: str, least: int | None = None) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise UsageError(f"{name} is a whole number, not {value!r}.")
        if least is not None and value < least:
            raise UsageError(f"{name} is {least} or more, not {value}.")
        return int(value)

    return check


def _seconds(name: str) -> Callable[[Any], float | None]:
    def check(value: Any) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise UsageError(f"{name} is a number of seconds, not {value!r}.")
        if not math.isfinite(value) or value <= 0:
            raise UsageError(f"{name} is more than 0 s, not {value!r}.")
        return float(value)

    return check


def _targets(value: Any) -> str:
    if value is None or value == "all":
        return ""
    try:
        if isinstance(value, str):
            return str(RankSet.parse(value))
        return str(RankSet([value] if isinstance(value, int) else value))
    except (TypeError, ValueError):
        raise UsageError(f"targets are ranks like '0-3,5', not {value!r}.") from None


def _retry_on(value: Any) -> bytes:
    classes = value if isinstance(value, tuple | list) else (value,)
    for cls in classes:
        if not isinstance(cls, type) or not issubclass(cls, BaseException):
            raise UsageError(f"retry_on takes exception classes, not {cls!r}.")
    from steer.wire import payload

    return payload.dumps_whole(tuple(classes))


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"name is a text, not {value!r}.")
    return value


def _gather(value: Any) -> Callable[[list[Any]], Any]:
    if callable(value):
        return value  # type: ignore[no-any-return]
    try:
        return _GATHERS[value]
    except (KeyError, TypeError):
        raise UsageError(
            f"gather is 'list', 'root', 'dict' or a function, not {value!r}."
        ) from None


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "priority": _whole("priority"),
    "retries": _whole("retries", 0),
    "timeout": _seconds("timeout"),
    "wait": _seconds("wait"),
    "targets": _targets,
    "ranks": _whole("ranks", 1),
    "retry_on": _retry_on,
    "name": _name,
}

"""What became of a task, as the value or the exception that its future gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from steer.errors import (
    DependencyError,
    EngineError,
    ImpossibleDependency,
    InvalidDependency,
    MPITaskError,
    SteerError,
    TaskOverrun,
    TaskRejectError,
    TaskTimeout,
    UnmetDependency,
    from_wire,
    original,
)
from steer.wire import payload
from steer.wire.frames import unpack
from steer.wire.messages import ErrorInfo, RankOutcomes, TaskStatus

if TYPE_CHECKING:
    from steer.client.futures import TaskFuture

_RAISED = (TaskStatus.RAISED, TaskStatus.RETRYABLE, TaskStatus.UNMET)

_SAID: dict[TaskStatus, Callable[[str], SteerError]] = {
    TaskStatus.TIMED_OUT: TaskTimeout,
    TaskStatus.OVERRAN: TaskOverrun,
    TaskStatus.IMPOSSIBLE: ImpossibleDependency,
    TaskStatus.INVALID: InvalidDependency,
    TaskStatus.DEPENDENCY: DependencyError,
    TaskStatus.REFUSED: TaskRejectError,
    TaskStatus.UNMET: UnmetDependency,
    TaskStatus.CANCELLED: UnmetDependency,
}
"""What the hub says; its sentence is the text."""


def make_value(future: TaskFuture, frames: Sequence[Any]) -> Any:
    """The value of a task that has ended well."""
    return payload.loads(frames)


def make_failure(
    future: TaskFuture, of: tuple[TaskStatus, Any, Sequence[TaskFuture]]
) -> Any:
    """Raise what became of the others."""
    status, body, needed = of
    error = failure(future, status, bytes(body), future.engine)
    if status is TaskStatus.DEPENDENCY:
        failed = (f.exception(0) for f in needed if f.done() and not f.cancelled())
        error.__cause__ = next((e for e in failed if e is not None), None)
    raise error


def failure(
    future: TaskFuture, status: TaskStatus, body: bytes, engine: int | None
) -> BaseException:
    """The exception for one outcome."""
    facts = future.facts(engine)
    if status in _RAISED and body:
        info = unpack(body, type=ErrorInfo)
        return from_wire(info, facts) if future.classic else original(info, facts)
    text = body.decode(errors="replace")
    if status is TaskStatus.LOST:
        return EngineError(text, engine_info=facts)
    text = text[:1].upper() + text[1:]
    return _SAID[status](text if text.endswith(".") else f"{text}.")


def make_ranks(
    future: TaskFuture, of: tuple[RankOutcomes, Sequence[Sequence[Any]]]
) -> Any:
    """What the ranks of a task gave, in the order of its communicator; or raise what
    became of each."""
    message, values = of
    if message.status is TaskStatus.DONE:
        return future.gather([payload.loads(frames) for frames in values])
    if not message.outcomes:
        raise _SAID.get(message.status, TaskRejectError)(
            f"The task ended as {message.status.name}."
        )
    told: list[tuple[int, int, BaseException | None]] = []
    for rank, (engine, outcome) in enumerate(
        zip(message.engines, message.outcomes, strict=True)
    ):
        error = None
        if outcome.status is not TaskStatus.DONE:
            error = failure(future, outcome.status, bytes(values[rank][0]), engine)
        told.append((rank, engine, error))
    raise MPITaskError.of(future.name, told)

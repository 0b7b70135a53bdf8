"""The engine of this process, for code that runs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from steer.errors import UsageError

if TYPE_CHECKING:
    from steer.engines.eyes import Failure
    from steer.engines.progress import Bars


class Publisher(Protocol):
    """What can send data to the client whose request runs."""

    bars: Bars

    failure: Failure | None
    mourned: tuple[Failure, BaseException] | None

    def publish(self, values: dict[str, Any]) -> None:
        """Send it."""


current: Publisher | None = None
comm: Any = None
"""The communicator of the task of several ranks that runs here."""


def communicator() -> Any:
    """`steer.comm`: that of the ranks which run this task together."""
    if comm is None:
        raise UsageError(
            "steer.comm is there while a task of several ranks runs: submit it with "
            "executor.options(ranks=k)."
        )
    return comm


def publish_data(values: dict[str, Any]) -> None:
    """Send a dictionary to the client; it becomes `AsyncResult.data` there, merged."""
    if not isinstance(values, dict):
        raise UsageError(
            f"publish_data takes a dictionary, not {type(values).__name__}."
        )
    if current is None:
        raise UsageError(
            "publish_data only works on an engine; call it in code that runs there."
        )
    current.publish(values)

"""The engine of this process, for code that runs on it."""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from steer.errors import UsageError

if TYPE_CHECKING:
    from steer.engines.eyes import Failure
    from steer.engines.namespace import Namespace
    from steer.engines.progress import Bars


class Publisher(Protocol):
    """What can send data to the client whose request runs."""

    bars: Bars

    namespace: Namespace
    failure: Failure | None
    failed_before: Failure | None
    mourned: tuple[Failure, BaseException] | None

    def publish(self, values: dict[str, Any]) -> None:
        """Send it."""


current: Publisher | None = None
comm: Any = None
"""The communicator of the task of several ranks that runs here."""
held: FrameType | None = None
"""The frame of the program that holds here, while it runs what is asked of it."""
aside: Any = None
"""A communicator of all ranks of a run beside those of its program."""


def communicator() -> Any:
    """`steer.comm`: that of the ranks which run this task together, or which run a
    program; in a program that nobody steers, it is COMM_WORLD."""
    if comm is not None:
        return comm
    if aside is not None:
        return aside
    if current is None and "mpi4py.MPI" in sys.modules:
        return sys.modules["mpi4py.MPI"].COMM_WORLD
    raise UsageError(
        "steer.comm is there on the ranks of a run, and while a task of several ranks "
        "runs: submit it with executor.options(ranks=k)."
    )


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

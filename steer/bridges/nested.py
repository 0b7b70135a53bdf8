"""Tasks that submit tasks: `steer.get_executor()`, and how they wait.

On a rank there is one client for all of its tasks, made when the first one asks. Its
tasks go before others of the same priority, so that who waits for them waits not for
long, and the stack of waiting tasks stays low. A task that waits for a future gives up
its turn: its rank runs others on top of it (`steer.engines.nested`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from steer.engines import nested
from steer.errors import UsageError

__all__ = ["get_executor", "in_task", "wait_until", "wake"]

_lock = threading.Lock()
_client: tuple[int, Any] | None = None
"""The process that made it, and the client: a child of a fork needs one of its own."""


def get_executor() -> Executor:
    """The executor of the cluster that this task runs on.

    A task that waits for its futures lets its rank run others meanwhile.
    """
    here = nested.current
    if here is None:
        raise UsageError(
            "steer.get_executor works in tasks and cells, on an engine; elsewhere "
            "use rc.executor()."
        )
    executor = _connected().executor()
    options: Executor = executor.options(priority=here.priority + 1)
    return options


def in_task() -> bool:
    """Whether this is the thread of an engine that runs user code."""
    return nested.current is not None and nested.current.is_main()


def wait_until(over: Callable[[], bool], timeout: float | None = None) -> None:
    """Run other tasks here until it is over; returns at once where nothing can run.

    Whoever makes it so calls `wake`.
    """
    if nested.current is not None and nested.current.is_main():
        nested.current.wait_until(over, timeout)


def wake() -> None:
    """Something that `wait_until` waits for may have happened; from any thread."""
    if nested.current is not None:
        nested.current.wake()


def _connected() -> Any:
    """The client of this process."""
    global _client
    with _lock:
        if _client is None or _client[0] != os.getpid():
            from steer.bridges.nestedfuture import NestedFuture
            from steer.client.client import Client

            client = Client(os.environ["STEER_CONNECTION"])
            client.link.tasks.future_class = NestedFuture
            # An engine ends when it is told to.
            client.link.tasks.outlives_calls = False
            _client = (os.getpid(), client)
        return _client[1]

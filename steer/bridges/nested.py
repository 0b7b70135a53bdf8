"""Tasks that submit tasks: `steer.get_executor()`, and how they wait.

On a rank there is one client for all of its tasks, made when the first one asks. Its
tasks go before others of the same priority, so that who waits for them waits not for
long, and the stack of waiting tasks stays low. A task that waits for a future gives up
its turn: its rank runs others on top of it (`steer.engines.nested`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from steer.client.futures import TaskFuture
from steer.client.tasks import Tasks
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
            from steer.client.client import Client

            client = Client(os.environ["STEER_CONNECTION"])
            client.link.tasks.future_class = NestedFuture
            _client = (os.getpid(), client)
        return _client[1]


class NestedFuture(TaskFuture):
    """A future that lets others run where it is waited for."""

    def __init__(self, tasks: Tasks) -> None:
        super().__init__(tasks)
        self._waiters = _Waiters()

    def wait_for(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until it is done, or ready for another reason."""
        began = time.monotonic()
        wait_until(lambda: self.done() or ready(), timeout)
        if timeout is not None:
            timeout = max(0.0, timeout - (time.monotonic() - began))
        return super().wait_for(ready, timeout)

    def wake(self) -> None:
        """Let who waits look again."""
        super().wake()
        wake()

    def refuse_cancel(self) -> None:
        """The hub says that it runs, and goes on."""
        super().refuse_cancel()
        wake()

    def _invoke_callbacks(self) -> None:
        super()._invoke_callbacks()
        wake()


class _Waiters(list[Any]):
    """Where concurrent.futures' `wait` and `as_completed` put what they wait with."""

    def append(self, waiter: Any) -> None:
        if in_task() and not isinstance(waiter.event, _Event):
            waiter.event = _Event()
        super().append(waiter)


class _Event(threading.Event):
    """An event that lets others run where it is waited for."""

    def wait(self, timeout: float | None = None) -> bool:
        began = time.monotonic()
        wait_until(self.is_set, timeout)
        if timeout is not None:
            timeout = max(0.0, timeout - (time.monotonic() - began))
        return super().wait(timeout)

    def set(self) -> None:
        super().set()
        wake()

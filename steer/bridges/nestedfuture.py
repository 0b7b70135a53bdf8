"""Futures of tasks that tasks submit: where one is waited for, the rank runs others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from steer.bridges import nested
from steer.client.futures import TaskFuture
from steer.client.tasks import Tasks

__all__ = ["NestedFuture"]


class NestedFuture(TaskFuture):
    """A future that lets others run where it is waited for."""

    def __init__(self, tasks: Tasks) -> None:
        super().__init__(tasks)
        self._waiters = _Waiters()

    def wait_for(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until it is done, or ready for another reason."""
        began = time.monotonic()
        nested.wait_until(lambda: self.done() or ready(), timeout)
        if timeout is not None:
            timeout = max(0.0, timeout - (time.monotonic() - began))
        return super().wait_for(ready, timeout)

    def wake(self) -> None:
        """Let who waits look again."""
        super().wake()
        nested.wake()

    def refuse_cancel(self) -> None:
        """The hub says that it runs, and goes on."""
        super().refuse_cancel()
        nested.wake()

    def _invoke_callbacks(self) -> None:
        super()._invoke_callbacks()
        nested.wake()


class _Waiters(list[Any]):
    """Where concurrent.futures' `wait` and `as_completed` put what they wait with."""

    def append(self, waiter: Any) -> None:
        if nested.in_task() and not isinstance(waiter.event, _Event):
            waiter.event = _Event()
        super().append(waiter)


class _Event(threading.Event):
    """An event that lets others run where it is waited for."""

    def wait(self, timeout: float | None = None) -> bool:
        began = time.monotonic()
        nested.wait_until(self.is_set, timeout)
        if timeout is not None:
            timeout = max(0.0, timeout - (time.monotonic() - began))
        return super().wait(timeout)

    def set(self) -> None:
        super().set()
        nested.wake()

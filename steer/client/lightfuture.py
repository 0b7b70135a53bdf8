"""A future that costs little until somebody waits for it.

The standard library's makes a condition, a lock and two lists at once: four fifths of
what submitting a task costs, and most of what the garbage collector then looks at. In
a flood hardly anybody waits for a future that has not ended. So this one makes them
when they are first asked for, and one that ends before has never had them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

ENDED = ("CANCELLED", "CANCELLED_AND_NOTIFIED", "FINISHED")

_door = threading.Lock()
"""Held while a future gets its condition, or ends without one; for an instant."""


class _Audience:
    """What those need who wait."""

    __slots__ = ("callbacks", "condition", "waiters")

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.waiters: list[Any] = []
        self.callbacks: list[Callable[[Any], object]] = []


class LightFuture(Future[Any]):
    """PEP 3148's future; all that the standard library knows of it is there."""

    _audience: _Audience | None = None

    def __init__(self) -> None:
        # Future.__init__ would make what this class is for not making.
        self._state = "PENDING"
        self._result = None
        self._exception: BaseException | None = None

    def _get_audience(self) -> _Audience:
        audience = self._audience
        if audience is None:
            with _door:
                audience = self._audience
                if audience is None:
                    audience = self._audience = _Audience()
        return audience

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        return self._get_audience().condition

    @property
    def _waiters(self) -> list[Any]:
        return self._get_audience().waiters

    @_waiters.setter
    def _waiters(self, waiters: list[Any]) -> None:
        self._get_audience().waiters = waiters

    @property
    def _done_callbacks(self) -> list[Callable[[Any], object]]:
        return self._get_audience().callbacks

    def _end_unseen(
        self, result: Any, exception: BaseException | None, state: str = "FINISHED"
    ) -> bool:
        """End it, if nobody has ever waited for it and it has not ended."""
        with _door:
            if self._audience is not None:
                return False
            if self._state not in ENDED:
                self._result, self._exception = result, exception
                self._state = state
            return True

    def _begin_unseen(self) -> bool:
        """Let it run, if nobody has ever waited for it."""
        with _door:
            if self._audience is not None:
                return False
            if self._state == "PENDING":
                self._state = "RUNNING"
            return True

    # A state is one word, which is read at once: no lock helps to read it.

    def done(self) -> bool:
        """Whether it has ended."""
        return self._state in ENDED

    def running(self) -> bool:
        """Whether it runs."""
        return self._state == "RUNNING"

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._state in ENDED[:2]

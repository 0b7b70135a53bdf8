"""Callables that carry the user's function to an engine, and do something around it.

A client makes and pickles them, an engine calls them: `bound` gives them the user's
function bound to the engine's variables. `carried` is what a pickle of one holds.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any

from steer.wire import payload
from steer.wire.messages import ErrorInfo

Bind = Callable[[Any], Any]


class Batch:
    """Calls the function for many items: takes a list for each of its arguments."""

    def __init__(self, function: Callable[..., Any], *, whole: bool = False) -> None:
        self.__wrapped__ = function
        self.whole = whole
        """Whether an error is that of all items, which then may be tried again."""

    @property
    def carried(self) -> tuple[Any, ...]:
        """What it brings along."""
        return (self.__wrapped__,)

    def bound(self, bind: Bind) -> Batch:
        """The same on an engine."""
        return Batch(bind_inside(self.__wrapped__, bind), whole=self.whole)

    def __call__(self, *columns: Sequence[Any]) -> list[Any] | Broken:
        """The values in order; or those before an error, and the error."""
        function = self.__wrapped__
        values: list[Any] = []
        try:
            values.extend(map(function, *columns))
        except Exception as error:
            if self.whole:
                raise
            return Broken(values, _told(error))
        return values


class Broken:
    """The values of some items, and what the next one raised."""

    def __init__(self, values: list[Any], error: Any) -> None:
        self.values = values
        self.error = error


def _told(error: Exception) -> ErrorInfo:
    lines = traceback.format_exception(error)
    name, text = type(error).__name__, str(error)
    return ErrorInfo(name, text, ("".join(lines),), payload.dumps_error(error))


_initialized: dict[str, str] = {}
"""The executors whose initializer has run here, each with the error that it raised."""


class Initialized:
    """Calls the function on an engine where an initializer has run before."""

    def __init__(
        self,
        executor: str,
        initializer: Callable[..., object],
        initargs: Sequence[Any],
        function: Callable[..., Any],
    ) -> None:
        self.executor = executor
        self.initializer = initializer
        self.initargs = tuple(initargs)
        self.__wrapped__ = function

    @property
    def carried(self) -> tuple[Any, ...]:
        """What it brings along."""
        return (self.__wrapped__, self.initializer, *self.initargs)

    def bound(self, bind: Bind) -> Initialized:
        """The same on an engine."""
        return Initialized(
            self.executor, bind(self.initializer), self.initargs,
            bind_inside(self.__wrapped__, bind),
        )  # fmt: skip

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the initializer if this is the first task here; then the function."""
        failed = _initialized.get(self.executor)
        if failed is None:
            failed = _initialized[self.executor] = self._initialize()
        if failed:
            raise BrokenExecutor(failed)
        return self.__wrapped__(*args, **kwargs)

    def _initialize(self) -> str:
        try:
            self.initializer(*self.initargs)
        except Exception as error:  # noqa: BLE001  whatever user code raises
            return f"The initializer failed: {type(error).__name__}: {error}"
        return ""


def bind_inside(function: Any, bind: Bind) -> Any:
    """A function bound to an engine's variables, or one that carries another."""
    own = getattr(type(function), "bound", None)
    return own(function, bind) if own is not None else bind(function)

"""What is known of a result besides its values: metadata, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from steer.client.filed import Filed
from steer.client.metadata import METADATA, Metadata

Place = tuple[Filed, int]
"""A request and one of its engines, or a batch and one of its tasks."""


class Described:
    """The part of `AsyncResult` that describes it."""

    _requests: list[Filed]
    _single: bool

    if TYPE_CHECKING:

        @property
        def _places(self) -> list[Place]: ...
        def _states(self) -> list[str]: ...
        def done(self) -> bool: ...  # noqa: D102

    def _get_metadata(self, name: str, error: Exception) -> Any:
        if name not in METADATA:
            raise error
        values = [Metadata(request, key)[name] for request, key in self._places]
        return values[0] if self._single else values

    def __getattr__(self, name: str) -> Any:
        text = f"{type(self).__name__!r} object has no attribute {name!r}"
        if name.startswith("_"):
            raise AttributeError(text)
        return self._get_metadata(name, AttributeError(text))

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *METADATA]

    def keys(self) -> tuple[str, ...]:
        """The names of the metadata."""
        return METADATA

    @property
    def metadata(self) -> Any:
        """What is known besides the values; a list unless there is one engine only."""
        every = [Metadata(request, key) for request, key in self._places]
        return every[0] if self._single else every

    # -- time

    @property
    def progress(self) -> int:
        """How many engines have answered."""
        return sum(map(bool, self._states()))

    @property
    def elapsed(self) -> float:
        """Seconds since it was sent, or that it took."""
        if not self._requests:
            return 0.0
        first = min(request.submitted for request in self._requests)
        if not self.done():
            return time.time() - first
        return max(r.times(key).received for r, key in self._places) - first

    def _must_be_ready(self) -> None:
        if not self.done():
            raise TimeoutError("result not ready")

    @property
    def serial_time(self) -> float:
        """Seconds of work, summed over engines."""
        self._must_be_ready()
        times = [request.times(key) for request, key in self._places]
        return sum(its.completed - its.started for its in times)

    @property
    def wall_time(self) -> float:
        """Seconds from the sending to the last answer."""
        self._must_be_ready()
        return self.elapsed

    def timedelta(
        self,
        start: Any,
        end: Any,
        start_key: Callable[..., Any] = min,
        end_key: Callable[..., Any] = max,
    ) -> float:
        """Seconds between two of the metadata's times."""
        first = start if isinstance(start, datetime) else start_key(start)
        last = end if isinstance(end, datetime) else end_key(end)
        span: timedelta = last - first
        return span.total_seconds()

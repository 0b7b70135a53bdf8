"""The result of a map whose elements, or chunks of them, are tasks."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from steer.client import partition
from steer.client.asyncresult import AsyncResult
from steer.client.batches import Batch
from steer.client.described import Place
from steer.client.results import AsyncMapResult


class TaskMapResult(AsyncMapResult):
    """What a load-balanced map gives: the values in the order of the elements, or, to
    who iterates and did not want them ordered, as they come."""

    def __init__(
        self,
        *args: Any,
        ordered: bool = True,
        chunked: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._ordered = ordered
        self._chunked = chunked
        """Whether a task gives a list for several elements."""

    def _joined(self, values: list[Any]) -> Any:
        return super()._joined(values) if self._chunked else values

    def _iterate(self) -> Iterator[Any]:
        for share in AsyncResult._iterate(self):
            if self._chunked and partition.is_share(share):
                yield from share
            else:
                yield share

    def _raise_at(self, error: BaseException) -> None:
        raise error.with_traceback(None)  # it may have been raised before

    def _in_turn(self) -> Iterator[Place]:
        if self._ordered:
            yield from super()._in_turn()
            return
        for batch in self._requests:
            assert isinstance(batch, Batch)
            for place in range(len(batch.keys)):
                if len(batch.arrived) <= place:
                    self._await(functools.partial(_has, batch, place), None)
                yield batch, batch.arrived[place]


def _has(batch: Batch, place: int) -> bool:
    return len(batch.arrived) > place


TaskMapResult.__name__ = "AsyncMapResult"  # what users read in its repr

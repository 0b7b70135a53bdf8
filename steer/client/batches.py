"""Tasks as the places of a result.

One batch holds all the tasks of a call or a map; each place has its task's number. What
is known of a task its future knows; here is only what a result wants to hear.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from steer.client.filed import About, Filed, Times
from steer.errors import TaskAborted
from steer.ranks import RankSet
from steer.wire.messages import Piece, Stream, TaskStatus

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult
    from steer.client.futures import TaskFuture
    from steer.client.tasks import Tasks

ABORTED = "The task was aborted before it had ended."


class Batch(Filed):
    """The tasks of one result, as they are sent one after the other."""

    together = False

    def __init__(self, result: AsyncResult, about: About, count: int) -> None:
        super().__init__(result, about, time.time())
        self._client = about.client.link.client
        self._left = count
        self.futures: dict[int, TaskFuture] = {}
        self.arrived: list[int] = []
        """Those that have ended, in this order."""

    def expect(self, tasks: Tasks) -> TaskFuture:
        """A future for one of its tasks."""
        future = tasks.future_class(tasks)
        future.classic = True
        future._on_end = self.ended
        future._on_wake = self.notify
        future._on_output = self.printed_in
        return future

    def add(self, future: TaskFuture) -> None:
        """A task was sent."""
        if not self.futures:
            self.id = self.msg_id(future.id)
        self.futures[future.id] = future

    # -- in the I/O thread

    def ended(self, future: TaskFuture) -> None:
        """A task has ended."""
        result = self.result
        with self.about.condition:
            self.arrived.append(future.id)
            self.failed |= future.status is not TaskStatus.DONE
            self._left -= 1
            if result is not None:
                result._news()
        if result is not None:
            result._look_at_parts()
        if not self._left:
            self.let_go()

    def printed_in(self, future: TaskFuture, piece: Piece, frame: Any) -> None:
        """File what a task printed or displayed."""
        if piece.stream is Stream.PROMPT:
            return
        if future.engine is None:  # it runs still, so this is the first that we hear
            future.engine = RankSet.parse(piece.ranks).min()
        self.file_output([future.id], piece.stream, frame)

    # -- its places

    @property
    def keys(self) -> Collection[int]:
        """The numbers of its tasks."""
        return self.futures.keys()

    @property
    def prefix(self) -> str:
        """What stands before its number in a task's name."""
        return f"{self._client}-t"

    def engine_of(self, key: int) -> int | None:
        """Where a task ran."""
        return self.futures[key].engine

    def task(self, key: int) -> TaskFuture | None:
        """The future of a task."""
        return self.futures.get(key)

    def status(self, key: int) -> str:
        """ "ok", "error", "aborted", or nothing yet."""
        future = self.futures[key]
        if not future.done():
            return ""
        if future.status is TaskStatus.DONE:
            return "ok"
        return "aborted" if future.cancelled() else "error"

    def value(self, key: int) -> Any:
        """What the future of a task has, as a result has it."""
        future = self.futures[key]
        if future.status is TaskStatus.DONE:
            return future.result(0)
        if future.cancelled():
            return self.values.setdefault(key, TaskAborted(ABORTED))
        return future.exception(0)

    def times(self, key: int) -> Times:
        """When a task was sent, began, ended, and its outcome came."""
        future = self.futures[key]
        if not future.started:
            return Times(future.submitted, received=future.received)
        ended = future.started + future.took
        return Times(future.submitted, future.started, ended, future.received)

    def size(self) -> int:
        """Bytes that it keeps, about."""
        return self.size_of_output() + sum(f.size for f in self.futures.values())

    # -- what is done to it

    def fail(self, error: BaseException) -> None:
        """Let this be the outcome of all that have none."""
        for future in list(self.futures.values()):
            future.fail(error)

    def abort(self, keys: Collection[int]) -> None:
        """Cancel these, as far as they have not begun."""
        self._cancel(keys, running=False)

    def interrupt(self, keys: Collection[int], signum: int) -> Future[Any]:
        """Cancel these, also if they run."""
        ran = [key for key in keys if self.futures[key].running()]
        engines = [engine for key in ran if (engine := self.engine_of(key)) is not None]
        self._cancel(keys, running=True)
        answer: Future[Any] = Future()
        answer.set_result({"signalled": str(RankSet(engines))})
        return answer

    def _cancel(self, keys: Collection[int], *, running: bool) -> None:
        tasks = self.about.client.link.tasks
        tasks.cancel([self.futures[key] for key in keys], running=running)

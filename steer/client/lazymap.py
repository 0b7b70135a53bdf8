"""A map over elements that may be endless: tasks are sent as others end.

A thread of its own takes the elements, since the caller's iterator may wait for
something, and stops when as many values as it may are under way or not taken.
"""

from __future__ import annotations

import collections
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from steer.client.futures import TaskFuture
from steer.errors import TaskAborted

if TYPE_CHECKING:
    from steer.client.link import Link
    from steer.client.tasks import Tasks

AUTO = "auto"

UNTAKEN = 1000
"""Values that may wait to be taken, unless more tasks may be under way."""

Submit = Callable[[Sequence[Any], TaskFuture], None]


class _Flow:
    """What those who send, receive and take values have in common."""

    def __init__(self, limit: int, ordered: bool) -> None:
        self.limit = limit
        self.ordered = ordered
        self.changed = threading.Condition()
        self.queue: collections.deque[TaskFuture] = collections.deque()
        """Those to be taken next: as they were sent, or as they ended."""
        self.under_way: dict[TaskFuture, None] = {}
        self.untaken = 0
        self.over = False
        """Whether no more will be sent."""
        self.error: BaseException | None = None
        """Why, if it was the elements' iterator that failed."""

    def begin(self, future: TaskFuture) -> bool:
        """Wait until one more may be sent; False if none may any more."""
        with self.changed:
            self.changed.wait_for(lambda: self.over or self._has_room())
            if self.over:
                return False
            self.under_way[future] = None
            self.untaken += 1
            if self.ordered:
                self.queue.append(future)
        return True

    def _has_room(self) -> bool:
        if not self.limit:
            return True
        room = len(self.under_way) < self.limit
        return room and self.untaken < max(UNTAKEN, self.limit)

    def ended(self, future: TaskFuture) -> None:
        """A task has ended; in the I/O thread."""
        with self.changed:
            self.under_way.pop(future, None)
            if not self.ordered:
                self.queue.append(future)
            self.changed.notify_all()

    def wake(self) -> None:
        """Let all who wait look again."""
        with self.changed:
            self.changed.notify_all()

    def stop(self, error: BaseException | None = None) -> None:
        """Send no more."""
        with self.changed:
            self.over = True
            self.error = error
            self.changed.notify_all()

    def take(self, check: Callable[[], object]) -> TaskFuture | None:
        """The next that has ended; None if there will be none."""
        queue = self.queue
        with self.changed:
            while not (queue and queue[0].done()):
                if self.over and not queue and not self.under_way:
                    return None
                check()
                self.changed.wait()
            self.untaken -= 1
            self.changed.notify_all()
            return queue.popleft()


def _feed(flow: _Flow, tasks: Tasks, submit: Submit, rows: Iterator[Any]) -> None:
    """Send the elements; in a thread."""
    try:
        for row in rows:
            future = tasks.future_class(tasks)
            future.classic = True
            future._on_end = flow.ended
            future._on_wake = flow.wake
            if not flow.begin(future):
                return
            try:
                submit(row, future)
            except Exception as error:  # noqa: BLE001  it is the element's value
                future.fail(error)
    except BaseException as error:  # noqa: BLE001  who takes the values gets it
        flow.stop(error)
    else:
        flow.stop()


class LazyMapIterator(Iterator[Any]):
    """The values of an `imap`; `cancel` ends it."""

    def __init__(
        self,
        link: Link,
        submit: Submit,
        rows: Iterator[Any],
        *,
        ordered: bool,
        limit: int,
        return_exceptions: bool,
    ) -> None:
        self._link = link
        self._flow = _Flow(limit, ordered)
        self._return_exceptions = return_exceptions
        self._cancelled = False
        # The thread knows the flow only: it ends when nobody has the iterator.
        weakref.finalize(self, self._flow.stop)
        self._thread = threading.Thread(
            target=_feed, args=(self._flow, link.tasks, submit, rows), name="steer-imap"
        )
        self._thread.daemon = True  # an endless iterator must not keep the program
        self._thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        while (future := self._flow.take(self._check)) is not None:
            if future.cancelled():
                if self._cancelled:
                    continue
                raise TaskAborted("The task was aborted before it had ended.")
            error = future.exception(0)
            if error is None:
                return future.result(0)
            if self._return_exceptions:
                return error
            raise error
        error, self._flow.error = self._flow.error, None
        raise error or StopIteration

    def _check(self) -> None:
        trouble = self._link.trouble
        if trouble is not None:
            raise trouble.with_traceback(None)

    def cancel(self) -> None:
        """Take no more elements, and cancel the tasks that have not begun."""
        self._cancelled = True
        self._flow.stop()
        with self._flow.changed:
            left = list(self._flow.under_way)
        self._link.tasks.cancel(left)

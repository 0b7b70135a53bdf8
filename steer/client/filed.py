"""What requests and tasks have in common for a result: places, and what is filed there.

A place is a request on one engine, or one task. Each has a number in its request or
batch: the engine's, or the task's own, since a task's engine is not known before it
runs. The I/O thread files what comes under the result's condition.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

from steer.client.replies import Output, collapse
from steer.wire import payload
from steer.wire.frames import unpack
from steer.wire.messages import Stream

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult
    from steer.client.client import Client
    from steer.client.futures import TaskFuture

State = tuple[str, int, int | None]
"""How far a loop is: its label, how many are done, how many there are if known."""


class Times(NamedTuple):
    """When work was sent, began, ended, and its answer came; zero if it has not."""

    submitted: float
    started: float = 0.0
    completed: float = 0.0
    received: float = 0.0


class Printed:
    """What was printed and displayed in one place."""

    __slots__ = ("bars", "data", "displays", "streams")

    def __init__(self) -> None:
        self.bars: dict[int, State] = {}
        self.streams: dict[str, list[str]] = {}
        self.displays: list[Output] = []
        self.data: dict[str, Any] = {}


NOTHING = Printed()


class About:
    """What the requests of a result need to know of it, to be read without it."""

    __slots__ = ("client", "code", "condition", "kind", "label")

    def __init__(
        self,
        client: Client,
        kind: str,
        label: str,
        code: str | None,
        condition: threading.Condition,
    ) -> None:
        self.client = client
        self.kind = kind
        self.label = label
        self.code = code
        self.condition = condition


class Filed(ABC):
    """Some places of a result, that were sent together.

    It lets its result go when all answers are here: a circle would keep what may be
    hundreds of megabytes until Python looks for circles.
    """

    together = True
    """Whether its places do the same at the same time, so that they may be folded."""
    after: Sequence[str] = ()
    follow: Sequence[str] = ()
    """The messages that it waits for."""

    def __init__(
        self, result: AsyncResult | None, about: About, submitted: float
    ) -> None:
        self.result = result
        self.about = about
        self.id = ""
        self.submitted = submitted
        self.failed = False
        """Whether one of the answers is an error."""
        self.printed: dict[int, Printed] = {}
        self.values: dict[int, Any] = {}

    # -- its places

    @property
    @abstractmethod
    def keys(self) -> Collection[int]:
        """The numbers of its places."""

    @property
    @abstractmethod
    def prefix(self) -> str:
        """What a message's name has before the number of its place."""

    def msg_id(self, key: int) -> str:
        """What ipyparallel calls a message."""
        return f"{self.prefix}{key}"

    @abstractmethod
    def engine_of(self, key: int) -> int | None:
        """The engine of a place, as far as it is known."""

    @abstractmethod
    def status(self, key: int) -> str:
        """ "ok", "error", "aborted", or nothing yet."""

    @abstractmethod
    def value(self, key: int) -> Any:
        """The value or the exception of a place that has answered, made once."""

    @abstractmethod
    def times(self, key: int) -> Times:
        """When it was sent, began, ended, was received."""

    @abstractmethod
    def size(self) -> int:
        """Bytes that it keeps, about."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Let this be the answer of all places that have none."""

    def task(self, key: int) -> TaskFuture | None:
        """The future of what is a task."""
        return None

    def abort(self, keys: Collection[int]) -> None:
        """Do not start these; of what is not `together`."""
        raise NotImplementedError

    @abstractmethod
    def interrupt(self, keys: Collection[int], signum: int) -> Future[Any]:
        """Send a signal where these run, and do not start them elsewhere; the answer
        says to whom it went."""

    def made(self) -> list[Any]:
        """The values of all places."""
        return [self.value(key) for key in self.keys]

    def engine_info(self, key: int) -> dict[str, Any]:
        """What error texts say about the engine of a place."""
        engine = self.engine_of(key)
        core = self.about.client.link.core
        known = None if engine is None else core.engines.get(engine)
        method = "execute" if self.about.kind == "execute" else "apply"
        facts: dict[str, Any] = {
            "engine_id": engine,
            "engine_uuid": known.uuid if known else "",
            "method": method,
        }
        if known is not None:
            facts |= {"rank": known.rank, "size": known.size, "host": known.host}
        return facts

    # -- what comes

    def file_output(self, keys: Sequence[int], stream: Stream, frame: Any) -> Any:
        """File what was printed or displayed in some places; returns what it was."""
        content = _open(stream, frame)
        result = self.result
        with self.about.condition:
            for key in keys:
                printed = self.printed.get(key)
                if printed is None:
                    printed = self.printed[key] = Printed()
                _keep(printed, stream, content)
            if result is not None:
                result._heard([(key, stream, content) for key in keys])
        return content

    def notify(self) -> None:
        """Wake those who wait: the connection changed."""
        if self.result is not None:
            self.result._wake()

    def let_go(self) -> None:
        """All have answered."""
        result, self.result = self.result, None
        if result is not None:
            result._one_done()

    # -- what was printed

    def printed_by(self, key: int) -> Printed:
        """What was printed in a place."""
        return self.printed.get(key, NOTHING)

    def text(self, key: int, stream: str) -> str:
        """What was printed so far; what was joined once is kept joined."""
        pieces = self.printed_by(key).streams.get(stream)
        if not pieces:
            return ""
        with self.about.condition:
            if len(pieces) > 1:
                pieces[:] = ["".join(pieces)]
        return collapse(pieces[0])

    def size_of_output(self) -> int:
        """Bytes of text and displays, about."""
        total = 0
        for printed in list(self.printed.values()):
            total += sum(len(t) for texts in printed.streams.values() for t in texts)
            shown = [v for output in printed.displays for v in output["data"].values()]
            total += sum(len(v) for v in shown if isinstance(v, str | bytes))
        return total


def _open(stream: Stream, frame: Any) -> Any:
    if stream is Stream.DISPLAY:
        return Output.received(*unpack(frame))
    if stream is Stream.DATA:
        return payload.loads([frame])
    if stream is Stream.PROMPT or stream is Stream.PROGRESS:
        return tuple(unpack(frame))
    return bytes(frame).decode(errors="replace")


def _keep(printed: Printed, stream: Stream, content: Any) -> None:
    if stream is Stream.DISPLAY:
        if not (content.replaces and _updated(printed.displays, content)):
            printed.displays.append(content)
    elif stream is Stream.DATA:
        printed.data.update(content)
    elif stream is Stream.PROGRESS:
        bar, *state = content
        printed.bars[bar] = tuple(state)
    elif stream is not Stream.PROMPT:
        printed.streams.setdefault(stream.value, []).append(content)


def _updated(displays: list[Output], content: Output) -> bool:
    """Whether a display that is to be updated was found."""
    name = content["transient"].get("display_id")
    for i, old in enumerate(displays):
        if name is not None and old["transient"].get("display_id") == name:
            displays[i] = content
            return True
    return False

"""One request under way: what its engines have answered, printed and displayed.

The I/O thread files what comes under the result's condition. Nothing is kept engine by
engine that need not be: an answer that a thousand engines gave alike is one `Answer`,
and values, metadata and texts are made in the thread that asks for them, when it asks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from steer.client.prompts import Prompts
from steer.client.replies import ExecuteReply, Output, collapse
from steer.errors import from_wire
from steer.ranks import RankSet
from steer.wire import payload
from steer.wire.frames import unpack
from steer.wire.messages import ErrorInfo, Part, Piece, Stream

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult
    from steer.client.client import Client

METADATA = (
    "msg_id", "submitted", "started", "completed", "received", "engine_id",
    "engine_uuid", "follow", "after", "status", "execute_input", "execute_result",
    "error", "stdout", "stderr", "outputs", "data", "label",
)  # fmt: skip
FAILED = ("error", "aborted")
_TIMES = ("submitted", "started", "completed", "received")
_SHARED = (type(None), bool, int, float, str, bytes)
"""Values that engines with equal answers may share: nobody can change them."""
_UNMADE: Any = object()

State = tuple[str, int, int | None]
"""How far a loop is: its label, how many are done, how many there are if known."""


class Answer:
    """What some engines answered alike."""

    __slots__ = ("engines", "frames", "part", "received", "used")

    def __init__(
        self, part: Part, frames: Sequence[Any] | None, engines: list[int], now: float
    ) -> None:
        self.part = part
        self.frames = frames
        self.engines = engines
        self.received = now
        self.used = False

    def load(self) -> Any:
        """A value of the caller's own: its buffers belong to nobody else."""
        frames = self.frames
        assert frames is not None
        first, self.used = not self.used, True
        if len(frames) > 1 and not first:
            frames = [frames[0], *map(bytearray, frames[1:])]
        elif len(frames) > 1:
            frames = [frames[0], *map(_writable, frames[1:])]
        return payload.loads(frames)


def _writable(buffer: Any) -> Any:
    view = memoryview(buffer)
    return bytearray(view) if view.readonly else view


class Printed:
    """What one engine printed and displayed."""

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


class Request:
    """The sink of one request, and all that is known of it.

    It lets its result go when all answers are here: a circle would keep what may be
    hundreds of megabytes until Python looks for circles.
    """

    def __init__(
        self,
        result: AsyncResult,
        about: About,
        engines: Sequence[int],
        submitted: float,
    ) -> None:
        self.result: AsyncResult | None = result
        self.about = about
        self.id = ""
        self.engines = engines
        self.submitted = submitted
        self.answers: dict[int, Answer] = {}
        self.failed = False
        """Whether one of the answers is an error."""
        self.printed: dict[int, Printed] = {}
        self.values: dict[int, Any] = {}

    # -- in the I/O thread

    def part(self, part: Part, frames: list[Any]) -> None:
        """File what some engines answered."""
        engines = list(RankSet.parse(part.ranks))
        self._file(engines, Answer(part, frames, engines, time.time()))

    def _file(self, engines: list[int], answer: Answer) -> None:
        result = self.result
        with self.about.condition:
            self.answers.update(dict.fromkeys(engines, answer))
            self.failed |= answer.part.status != "ok"
            if result is not None:
                result._news()
        self.prompts.drop(self.id, engines)
        if result is not None:
            result._look_at_parts()

    def output(self, piece: Piece, frame: Any) -> None:
        """File what some engines printed or displayed."""
        engines = list(RankSet.parse(piece.ranks))
        content = _open(piece.stream, frame)
        result = self.result
        with self.about.condition:
            for engine in engines:
                printed = self.printed.get(engine)
                if printed is None:
                    printed = self.printed[engine] = Printed()
                _keep(printed, piece.stream, content)
            if result is not None:
                result._heard([(engine, piece.stream, content) for engine in engines])
        if piece.stream is Stream.PROMPT:
            left = len(self.engines) - len(self.answers)
            self.prompts.heard(self.id, engines, *content, left=left)

    def done(self) -> None:
        """All engines have answered."""
        self.prompts.forget(self.id)
        result, self.result = self.result, None
        if result is not None:
            result._one_done()

    def refused(self, error: ErrorInfo) -> None:
        """Let the refusal be every engine's answer."""
        self.fail(from_wire(error))

    def notify(self) -> None:
        """Wake those who wait: the connection changed."""
        if self.result is not None:
            self.result._wake()

    def fail(self, error: BaseException) -> None:
        """Let this be the answer of all engines that have not answered."""
        left = [e for e in self.engines if e not in self.answers]
        self.values.update(dict.fromkeys(left, error))
        self.fail_missing()
        self.done()

    def fail_missing(self) -> None:
        """Let engines without an answer have failed: with what their value is."""
        left = [e for e in self.engines if e not in self.answers]
        zeros = (0.0,) * len(left)
        part = Part(str(RankSet(left)), "error", 0, zeros, zeros)
        self._file(left, Answer(part, None, left, time.time()))

    @property
    def prompts(self) -> Prompts:
        """The questions of its ranks, and of all others."""
        return self.about.client.link.prompts

    # -- in the thread that asks

    def msg_id(self, engine: int) -> str:
        """What ipyparallel calls a message: this request on one engine."""
        return f"{self.id}_{engine}"

    def status(self, engine: int) -> str:
        """ "ok", "error", "aborted", or nothing yet."""
        answer = self.answers.get(engine)
        return "" if answer is None else answer.part.status

    def value(self, engine: int) -> Any:
        """The value or the exception of an engine that has answered, made once.

        No lock: unpickling may run code that waits for another thread. If two threads
        make it at once, the second takes the first's; frames go when all are made.
        """
        value = self.values.get(engine, _UNMADE)
        if value is _UNMADE:
            answer = self.answers[engine]
            value = self.values.setdefault(engine, self._make(engine, answer))
            if all(other in self.values for other in answer.engines):
                answer.frames = None
        return value

    def made(self) -> list[Any]:
        """The values of all engines."""
        values, answers = self.values, self.answers
        for engine in self.engines:
            if engine not in values:
                values.setdefault(engine, self._make(engine, answers[engine]))
        for answer in answers.values():
            answer.frames = None
        return [values[engine] for engine in self.engines]

    def _make(self, engine: int, answer: Answer) -> Any:
        frames = answer.frames
        if frames is None:  # another thread has just made it
            return self.values[engine]
        if answer.part.status != "ok":
            info = unpack(frames[0], type=ErrorInfo)
            return from_wire(info, self.engine_info(engine))
        kind = self.about.kind
        if kind == "execute":
            body = frames[0] if frames else b""
            data = unpack(body) if body else None
            md = Metadata(self, engine)
            return ExecuteReply(engine, answer.part.count, data, md)
        if kind not in ("apply", "pull"):
            return None
        value = answer.load()
        if type(value) in _SHARED:
            for other in answer.engines:
                self.values.setdefault(other, value)
        return value

    def engine_info(self, engine: int) -> dict[str, Any]:
        """What error texts say about an engine."""
        known = self.about.client.link.core.engines.get(engine)
        method = "execute" if self.about.kind == "execute" else "apply"
        facts: dict[str, Any] = {
            "engine_id": engine,
            "engine_uuid": known.uuid if known else "",
            "method": method,
        }
        if known is not None:
            facts |= {"rank": known.rank, "size": known.size, "host": known.host}
        return facts

    def times(self, engine: int) -> tuple[float, float, float]:
        """When it started, completed, and was received; zero if it has not."""
        answer = self.answers.get(engine)
        if answer is None:
            return 0.0, 0.0, 0.0
        i = answer.engines.index(engine)
        return answer.part.started[i], answer.part.completed[i], answer.received

    def text(self, engine: int, stream: str) -> str:
        """What was printed so far; what was joined once is kept joined."""
        pieces = self.printed.get(engine, NOTHING).streams.get(stream)
        if not pieces:
            return ""
        with self.about.condition:
            if len(pieces) > 1:
                pieces[:] = ["".join(pieces)]
        return collapse(pieces[0])

    def size(self) -> int:
        """Bytes that it keeps, about: values not made yet, text, displays."""
        answers = {id(a): a for a in self.answers.values()}.values()
        total = sum(memoryview(f).nbytes for a in answers for f in a.frames or ())
        for printed in self.printed.values():
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


class Metadata(Mapping[str, Any]):
    """What is known about a request on one engine, besides the value."""

    def __init__(self, request: Request, engine: int) -> None:
        self._request, self._engine = request, engine

    def __getitem__(self, key: str) -> Any:
        request, engine = self._request, self._engine
        if key in _TIMES:
            return _when((request.submitted, *request.times(engine))[_TIMES.index(key)])
        match key:
            case "msg_id":
                return request.msg_id(engine)
            case "engine_id":
                return engine
            case "engine_uuid":
                return request.engine_info(engine)["engine_uuid"]
            case "status":
                return request.status(engine) or None
            case "label":
                return request.about.label or None
            case "execute_input":
                return request.about.code
            case "stdout" | "stderr":
                return request.text(engine, key)
            case "outputs":
                return request.printed.get(engine, NOTHING).displays
            case "data":
                return dict(request.printed.get(engine, NOTHING).data)
            case "execute_result":
                return self._execute_result()
            case "error":
                return self._error()
            case "follow" | "after":
                return []
        raise KeyError(key)

    def _execute_result(self) -> dict[str, Any] | None:
        reply = self._value()
        return reply._content() if isinstance(reply, ExecuteReply) else None

    def _error(self) -> BaseException | None:
        """As `execute_result`, of those that failed."""
        if self._request.status(self._engine) not in FAILED:
            return None
        error: BaseException = self._value()
        return error

    def _value(self) -> Any:
        if not self._request.status(self._engine):
            return None
        return self._request.value(self._engine)

    def __getattr__(self, name: str) -> Any:
        if name in METADATA:
            return self[name]
        raise AttributeError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(METADATA)

    def __len__(self) -> int:
        return len(METADATA)

    def __repr__(self) -> str:
        return repr(dict(self))


def _when(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None

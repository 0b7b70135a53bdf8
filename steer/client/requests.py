"""One request under way: what its engines have answered, printed and displayed.

Nothing is kept engine by engine that need not be: an answer that a thousand engines
gave alike is one `Answer`, and values, metadata and texts are made in the thread that
asks for them, when it asks.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from steer.client.filed import NOTHING, About, Filed, Printed, State, Times
from steer.client.metadata import FAILED, METADATA, Metadata
from steer.client.prompts import Prompts
from steer.client.replies import ExecuteReply
from steer.errors import from_wire
from steer.ranks import RankSet
from steer.wire import payload
from steer.wire.frames import unpack
from steer.wire.messages import ErrorInfo, Insight, Part, Piece, Stream

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult

__all__ = [
    "FAILED", "METADATA", "NOTHING", "About", "Answer", "Metadata", "Printed",
    "Request", "State",
]  # fmt: skip

_SHARED = (type(None), bool, int, float, str, bytes)
"""Values that engines with equal answers may share: nobody can change them."""
_UNMADE: Any = object()


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


class Request(Filed):
    """The sink of one request, and all that is known of it."""

    def __init__(
        self,
        result: AsyncResult | None,
        about: About,
        engines: Sequence[int],
        submitted: float,
    ) -> None:
        super().__init__(result, about, submitted)
        self.engines = engines
        self.answers: dict[int, Answer] = {}

    @property
    def keys(self) -> Collection[int]:
        """Its engines."""
        return self.engines

    @property
    def prefix(self) -> str:
        """What stands before the engine in a message's name."""
        return f"{self.id}_"

    def engine_of(self, key: int) -> int | None:
        """The place of an engine has its number."""
        return key

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
        content = self.file_output(engines, piece.stream, frame)
        if piece.stream is Stream.PROMPT:
            left = len(self.engines) - len(self.answers)
            self.prompts.heard(self.id, engines, *content, left=left)

    def insight(self, message: Insight, content: Any) -> None:
        """Tell who watches what the hub has found out."""
        from steer.client import sight

        shown = sight.snapshot(content)
        if message.kind == "verdict":
            text = sight.verdict_text(shown)
        else:
            text = sight.waiters_text(shown, RankSet.parse(message.ranks))
        result = self.result
        if not text or result is None:
            return
        with self.about.condition:
            result.insights.append(text)
            result._heard([(self.engines[0], Stream.INSIGHT, text)])

    def done(self) -> None:
        """All engines have answered."""
        self.prompts.forget(self.id)
        self.let_go()

    def refused(self, error: ErrorInfo) -> None:
        """Let the refusal be every engine's answer."""
        self.fail(from_wire(error))

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

    def interrupt(self, keys: Collection[int], signum: int) -> Future[Any]:
        """Send a signal to these engines if they run it, and abort it on the others."""
        link, targets = self.about.client.link, str(RankSet(keys))
        link.abort([self.id], targets)
        answer: Future[Any] = link.signal(signum, targets, self.id)
        return answer

    @property
    def prompts(self) -> Prompts:
        """The questions of its ranks, and of all others."""
        return self.about.client.link.prompts

    # -- in the thread that asks

    def status(self, key: int) -> str:
        """ "ok", "error", "aborted", or nothing yet."""
        answer = self.answers.get(key)
        return "" if answer is None else answer.part.status

    def value(self, key: int) -> Any:
        """The value or the exception of an engine that has answered, made once.

        No lock: unpickling may run code that waits for another thread. If two threads
        make it at once, the second takes the first's; frames go when all are made.
        """
        value = self.values.get(key, _UNMADE)
        if value is _UNMADE:
            answer = self.answers[key]
            value = self.values.setdefault(key, self._make(key, answer))
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

    def times(self, key: int) -> Times:
        """When it was sent, started, completed, and received."""
        answer = self.answers.get(key)
        if answer is None:
            return Times(self.submitted)
        i = answer.engines.index(key)
        started, completed = answer.part.started[i], answer.part.completed[i]
        return Times(self.submitted, started, completed, answer.received)

    def size(self) -> int:
        """Bytes that it keeps, about: values not made yet, text, displays."""
        answers = {id(a): a for a in self.answers.values()}.values()
        total = sum(memoryview(f).nbytes for a in answers for f in a.frames or ())
        return total + self.size_of_output()

"""A result shown as it comes, engine by engine, under ipyparallel's headings.

This is what `fold=False` gives, and, without headings, what one engine alone gives.
"""

from __future__ import annotations

import collections
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steer.client import live
from steer.client.metadata import FAILED
from steer.client.replies import say, show_displays, show_reply
from steer.client.showing import Meter, Metered, is_one
from steer.core.texts import TAIL, collapse
from steer.errors import CompositeError, RemoteError
from steer.wire.messages import Stream

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult
    from steer.client.described import Place


class Limit:
    """The first lines of a stream, and of the others the last, when it has ended.

    A browser with a million lines in it is of no use to anybody.
    """

    HEAD = 1000

    def __init__(self) -> None:
        self._room = self.HEAD
        self._left_out = 0
        self._rest = ""
        self._tail: collections.deque[str] = collections.deque(maxlen=TAIL)

    def passed(self, text: str) -> str:
        """What may be printed of some lines now."""
        count = text.count("\n")
        if count < self._room:
            self._room -= count
            return text
        *lines, self._rest = (self._rest + text).split("\n")
        head, rest = lines[: self._room], lines[self._room :]
        self._room = 0
        self._rest = collapse(self._rest)
        self._left_out += len(rest)
        self._tail.extend(rest)
        return "".join(f"{line}\n" for line in head)

    def end(self, where: str) -> str:
        """The last lines, and where those between are."""
        dropped = self._left_out - len(self._tail)
        said = [f"… {dropped:,} lines more: {where}"] if dropped else []
        rest = [self._rest] if self._rest else []
        return "".join(f"{line}\n" for line in [*said, *self._tail, *rest])


class Headed(Metered):
    """Prints everything as it comes, a heading when the engine or stream changes."""

    def __init__(self, result: AsyncResult, meter: Meter) -> None:
        super().__init__(result, meter)
        self._heading: tuple[int, Stream] | None = None
        self._rest: dict[tuple[int, Stream], str] = {}
        """Lines that are not ended yet: the next piece may be of another engine."""
        self._plain = is_one(result)
        self._open = False
        """Whether what was printed last has not ended its line."""
        self._limits: dict[tuple[int, Stream], Limit] | None = (
            {} if live.in_kernel() else None
        )

    def hear(self, engine: int, stream: Stream, content: Any) -> None:
        """Print text and displays."""
        match stream:
            case Stream.STDOUT | Stream.STDERR:
                self._hear_text(engine, stream, content)
            case Stream.DISPLAY:
                self._show_rests(engine)
                self._end_line()
                self._heading = None
                show_displays(None if self._plain else engine, [content])
            case Stream.PROGRESS:
                self._meter.hear(engine, content)
            case Stream.INSIGHT:
                self._end_line()
                say("stderr", content)
            case Stream.DATA | Stream.PROMPT:
                pass

    def fail(self, places: Sequence[Place]) -> None:
        """Errors come at the end."""

    def flush(self) -> None:
        """Print lines that have not ended, too."""
        self._show_rests()

    def _hear_text(self, engine: int, stream: Stream, text: str) -> None:
        if self._plain:  # nobody else writes into its lines
            self._write(engine, stream, text)
            return
        text = self._rest.pop((engine, stream), "") + text
        whole, end, rest = text.rpartition("\n")
        if rest:
            self._rest[engine, stream] = rest
        if end:
            self._write(engine, stream, whole + end)

    def _show_rests(self, engine: int | None = None) -> None:
        for (owner, stream), text in list(self._rest.items()):
            if engine is None or owner == engine:
                del self._rest[owner, stream]
                self._write(owner, stream, text + "\n")

    def _write(self, engine: int, stream: Stream, text: str) -> None:
        if self._limits is not None:
            limit = self._limits.setdefault((engine, stream), Limit())
            text = limit.passed(text)
        self._print(engine, stream, text)

    def _print(self, engine: int, stream: Stream, text: str) -> None:
        if not text:
            return
        heading = ""
        if self._heading != (engine, stream) and not self._plain:
            heading = f"[{stream.value}:{engine}]\n"
        self._heading = (engine, stream)
        self._open = not text.endswith("\n")
        with live.SCREEN:
            say(stream.value, heading + text)

    def _end_line(self) -> None:
        """What follows begins a line."""
        if self._open:
            self._open = False
            say("stdout", "\n")

    def _show_limited(self) -> None:
        engines = self._result._engines
        for (engine, stream), limit in (self._limits or {}).items():
            index = "" if self._result._single else f"[{engines.index(engine)}]"
            self._print(engine, stream, limit.end(f"result.{stream}{index}"))

    def finish(self) -> None:
        """What the last lines gave, then the errors as CompositeError limits them."""
        self._region.close()
        self._show_rests()
        self._show_limited()
        self._end_line()
        result = self._result
        if result.ends_elsewhere:
            return
        errors = []
        for request, key in result._places:
            if request.status(key) == "ok":
                show_reply(result._reply(request, key))
            elif request.status(key) in FAILED:
                errors.append(request.value(key))
        remote = [error for error in errors if isinstance(error, RemoteError)]
        if remote:
            whole = CompositeError("", remote)
            sys.stderr.write("\n".join(whole.render_traceback()).rstrip() + "\n")

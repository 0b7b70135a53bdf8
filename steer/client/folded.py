"""Output of many ranks, folded, as text, as HTML, and as displays.

What is equal is shown once with the ranks that it came from; `steer.core.folding`
decides what that is. `view` shows a result while it comes, `show` shows a finished one.
"""

from __future__ import annotations

import collections
import itertools
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from steer.client import live, markup
from steer.client.bars import earliest
from steer.client.failures import Failures, who_waits
from steer.client.replies import ExecuteReply, say, show_displays
from steer.client.requests import NOTHING
from steer.client.rich import Gallery, alike
from steer.client.showing import Metered
from steer.core.folding import MARK, Group, fold, fold_lines, head, render
from steer.core.livefold import HOLD, Ended, Flush, LiveFold, Said, Show, Tick
from steer.core.texts import HEAD, TAIL, clip
from steer.ranks import RankSet
from steer.wire.messages import Stream

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult
    from steer.client.described import Place
    from steer.client.replies import Output
    from steer.client.showing import Meter, View

FLOOD = 10_000
"""Lines after which a notebook does not show what comes before all is there."""
CLOSELY = 1000
FLOOD_SECONDS = 0.5
"""So many lines in that time are looked at closely, for lines that differ in numbers
only; that takes 20 us a line and more, and nobody reads faster."""
PARTIAL = 10
"""Lines that have not ended that are shown at once."""
TEXTS = ("stdout", "stderr")
_MUTED = "color:var(--jp-ui-font-color3,#8a8a8a)"
_LOUD = "color:#c2410c;font-weight:600"
_BOLD = "font-weight:600"
_OF_TEXT = (
    (re.compile(r"(?m)^(\[[0-9,…-]+\](?: \([0-9]+\))?)(?=  |$)"), _MUTED),
    (re.compile(rf"(?m)({MARK})$"), _LOUD),
    (re.compile(r"(?m)^ +(missing: [0-9,…-]+)$"), _MUTED),
)
_OF_ERRORS = (
    (re.compile(r"(?m)^(\S+ ranks? \[[^\]]+\] \([0-9]+ of [0-9]+\).*)$"), _BOLD),
    (re.compile(r"(?m)^(\S+ still runs?: .*)$"), _BOLD),
)
_STDERR = "background:rgba(220,80,60,.1);border-left:3px solid #dc503c;padding:2px 6px"


def view(result: AsyncResult, meter: Meter) -> View:
    """What shows a result of several engines while it comes."""
    return Page(result, meter) if live.updates_outputs() else Lines(result, meter)


def show(result: AsyncResult, *, result_only: bool = False) -> None:
    """Show what a finished result's engines printed, displayed, and gave."""
    parts = [] if result_only else texts(result)
    parts.append(("result", results(result, alone=not any(t for _, t in parts))))
    outputs = {} if result_only else displays(result)
    if live.updates_outputs():
        text, html = joined(parts)
        if text:
            live.Notebook().close(text, html)
        Gallery().show(outputs, rich_results(result))
        return
    for name, text in parts[:-1]:
        say(name, text)
    show_folded_displays(outputs)
    say("stdout", parts[-1][1])


# -- what there is to show


def texts(result: AsyncResult) -> list[tuple[str, str]]:
    """What was printed, by stream, folded and not too much."""
    found = []
    for name in TEXTS:
        said: dict[int, str] = {}
        for request, engine in result._places:
            if text := request.text(engine, name):
                said[engine] = said.get(engine, "") + text
        found.append((name, _text(result, said, f"result.{name}")))
    return found


def _text(result: AsyncResult, said: Mapping[int, str], where: str) -> str:
    if not said:
        return ""
    total = RankSet(result._engines)
    few = {rank: clip(text, rest=where) for rank, text in said.items()}
    if len(total) == 1:
        (text,) = few.values()
        return text if text.endswith("\n") else text + "\n"
    return clip(render(fold_lines(few), total, width=_width()), rest=where)


def results(result: AsyncResult, *, alone: bool) -> str:
    """What the last lines gave, folded; what is rich is shown by itself."""
    replies = [reply for reply in _replies(result) if not _is_rich(reply)]
    said = {reply._engine: clip(reply._text()) for reply in replies}
    if not said:
        return ""
    if len(set(result._engines)) == 1:
        return replies[0]._out() + "\n"
    text = clip(render(fold(said), width=_width()))
    if alone:
        return text
    counts = {reply.execution_count for reply in replies}
    count = f":{min(counts)}" if len(counts) == 1 else ""
    return f"Out[{RankSet(said)}{count}]:\n{text}"


def _replies(result: AsyncResult) -> list[ExecuteReply]:
    replies = [
        result._reply(request, engine)
        for request, engine in result._places
        if request.status(engine) == "ok"
    ]
    return [reply for reply in replies if reply is not None and reply._has_result]


def rich_results(result: AsyncResult) -> dict[int, Any]:
    """What the last lines gave, as far as it is more than text."""
    return {reply._engine: reply for reply in _replies(result) if _is_rich(reply)}


def _is_rich(reply: ExecuteReply) -> bool:
    return live.updates_outputs() and set(reply.data) - {"text/plain"} != set()


def displays(result: AsyncResult) -> dict[int, list[Output]]:
    """What was displayed, by engine."""
    found: dict[int, list[Output]] = {}
    for request, engine in result._places:
        shown = request.printed.get(engine, NOTHING).displays
        if shown:
            found.setdefault(engine, []).extend(shown)
    return found


def _width() -> int:
    return shutil.get_terminal_size((88, 24)).columns - 1


def show_folded_displays(outputs: Mapping[int, Sequence[Output]]) -> None:
    """Show rich output where it is text: equal ones once, under their ranks."""
    longest = max(map(len, outputs.values()), default=0)
    for number in range(longest):
        row = {r: shown[number] for r, shown in outputs.items() if number < len(shown)}
        for shown in alike(row):
            show_displays(shown.ranks, [row[shown.ranks.min()]])


# -- text and HTML


def joined(parts: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Blocks of text under each other, as text and as HTML."""
    blocks = [(name, text) for name, text in parts if text]
    html = "".join(_block(name, text) for name, text in blocks)
    return "\n".join(text.rstrip("\n") for _, text in blocks), html


def _block(name: str, text: str) -> str:
    text = text.rstrip("\n")
    style = _STDERR if name in ("stderr", "error") else ""
    patterns = _OF_ERRORS if name == "error" else _OF_TEXT
    places = [(m.span(1), look) for p, look in patterns for m in p.finditer(text)]
    pieces: list[str] = []
    position = 0
    for (start, end), look in sorted(places):
        pieces.append(markup.spans(text[position:start]))
        body = markup.spans(text[start:end])
        pieces.append(f'<span style="{look}">{body}</span>')
        position = end
    pieces.append(markup.spans(text[position:]))
    return markup.preformatted("".join(pieces), style)


# -- while it comes


class Folding(Metered):
    """What the two views below have in common: text and errors wait for their twins."""

    def __init__(self, result: AsyncResult, meter: Meter) -> None:
        super().__init__(result, meter)
        self._engines = RankSet(result._engines)
        self._fold = LiveFold(self._engines)
        self._failures = Failures(len(result._places))
        self._indent = 0
        """Where texts begin: as far right as any before."""
        self._partial = ""
        """Lines that have not ended, such as other people's bars, as they are shown."""
        self._unended = False
        self._quiet = 0.0
        """When such a line is no piece of a line under way any more."""
        self._amount = 0
        self._flood_ends = 0.0
        """How many lines came, and until when they are counted."""
        self._untold: float | None = None
        """When failures that came are to be told."""

    def hear(self, engine: int, stream: Stream, content: Any) -> None:
        """Take what an engine printed or displayed."""
        match stream:
            case Stream.STDOUT | Stream.STDERR:
                self._handle(Said(engine, content, stream.value))
                self._unended = "\n" not in content[-1:]
                self._quiet = time.monotonic() + (0 if "\r" in content else HOLD)
            case Stream.DISPLAY:
                self._handle(Flush(RankSet([engine])))
                self._hear_display(engine, content)
            case Stream.PROGRESS:
                self._meter.hear(engine, content)
            case Stream.DATA | Stream.PROMPT:
                pass

    def fail(self, places: Sequence[Place]) -> None:
        """Tell it soon: others may fail in the same way, or wait for these."""
        for request, engine in places:
            self._failures.add(engine, request.value(engine))
        if self._untold is None:
            self._untold = time.monotonic() + HOLD

    def deadline(self) -> float | None:
        """The first of all."""
        quiet = self._quiet if self._unended else None
        return earliest(super().deadline(), self._fold.deadline(), self._untold, quiet)

    def tick(self) -> None:
        """Show what has waited long enough."""
        now = time.monotonic()
        due = self._fold.deadline()
        if due is not None and now >= due:
            self._handle(Tick())
        if self._untold is not None and (now >= self._untold or self._result.done()):
            self._tell()
        if self._partial or (self._unended and now >= self._quiet):
            self._look_at_partial()
        super().tick()

    def _look_at_partial(self) -> None:
        self._unended = False
        groups = [group for name in TEXTS for group in self._fold.pending(name)]
        partial = clip(render(groups, width=_width(), indent=self._indent), PARTIAL, 0)
        if partial != self._partial:
            self._partial, self._stale = partial, True

    def flush(self) -> None:
        """Show what is held for twins."""
        self._handle(Flush(self._engines))

    def _tell(self) -> None:
        self._untold = None
        if self._result.ends_elsewhere and self._result.done():
            return
        failed = RankSet(e for _, e in self._result._failed())
        self._handle(Flush(failed))
        lines = self._failures.news()
        waits = self._waits(failed)
        if lines:
            self._show_failures([*lines, waits] if waits else lines)

    def _waits(self, failed: RankSet) -> str:
        result = self._result
        if len(result._requests) > 1 or not len(self._failures):
            return ""  # of tasks none waits for another
        states = zip(result._engines, result._states(), strict=True)
        return who_waits([engine for engine, state in states if not state], failed)

    def _handle(self, event: Any) -> None:
        for shown in self._fold.handle(event, time.monotonic()):
            total = RankSet(shown.texts) | shown.missing
            groups = self._groups(shown)
            wide = max(len(head(group.ranks)) for group in groups) + 2
            self._indent = max(self._indent, wide)
            text = render(groups, total, width=_width(), indent=self._indent)
            self._show_text(shown, text)

    def _groups(self, shown: Show) -> list[Group]:
        """What is to be shown, folded; in a flood only what is equal."""
        now = time.monotonic()
        if now >= self._flood_ends:
            self._flood_ends, self._amount = now + FLOOD_SECONDS, 0
        self._amount += sum(text.count("\n") for text in shown.texts.values())
        return shown.groups if self._amount <= CLOSELY else _equal(shown.texts)

    def _hear_display(self, engine: int, output: Output) -> None:
        raise NotImplementedError

    def _show_text(self, shown: Show, text: str) -> None:
        raise NotImplementedError

    def _show_failures(self, lines: list[str]) -> None:
        raise NotImplementedError


def _equal(texts: Mapping[int, str]) -> list[Group]:
    """Ranks that said just the same, line by line where all said as many lines."""
    lines = {rank: text.removesuffix("\n").split("\n") for rank, text in texts.items()}
    if len(set(map(len, lines.values()))) > 1:
        return _same({rank: "\n".join(said) for rank, said in lines.items()})
    groups: list[Group] = []
    rows = zip(*lines.values(), strict=True)
    for _, some in itertools.groupby(rows, _pattern):
        said = map("\n".join, zip(*some, strict=True))
        groups += _same(dict(zip(lines, said, strict=True)))
    return groups


def _pattern(row: Sequence[str]) -> tuple[int, ...]:
    """Which of these lines are equal to which."""
    return tuple(map(row.index, row))


def _same(texts: Mapping[int, str]) -> list[Group]:
    said: dict[str, list[int]] = {}
    for rank, text in texts.items():
        said.setdefault(text, []).append(rank)
    return [Group(RankSet(ranks), text) for text, ranks in said.items()]


class Lines(Folding):
    """Prints folded lines when they are decided; for terminals and files."""

    def __init__(self, result: AsyncResult, meter: Meter) -> None:
        super().__init__(result, meter)
        self._pending: dict[int, list[Output]] = {}
        self._displays_due: float | None = None
        self._spoken = False

    def deadline(self) -> float | None:
        """The first of all."""
        return earliest(super().deadline(), self._displays_due)

    def tick(self) -> None:
        """Show what has waited long enough."""
        due = self._displays_due
        if due is not None and time.monotonic() >= due:
            self._show_pending()
        super().tick()

    def flush(self) -> None:
        """Show what is held for twins."""
        super().flush()
        self._show_pending()

    def _hear_display(self, engine: int, output: Output) -> None:
        self._pending.setdefault(engine, []).append(output)
        if self._displays_due is None:
            self._displays_due = time.monotonic() + HOLD

    def _draw(self) -> None:
        self._region.update(self._partial + "\n".join(self._bars))

    def _show_pending(self) -> None:
        self._displays_due = None
        pending, self._pending = self._pending, {}
        self._spoken = self._spoken or bool(pending)
        show_folded_displays(pending)

    def _show_text(self, shown: Show, text: str) -> None:
        self._spoken = True
        with live.SCREEN:
            if self._partial:  # perhaps it is what has ended now
                self._partial = ""
                self._region.pace = 0.0
                self._draw()
            say(shown.stream, text)

    def _show_failures(self, lines: list[str]) -> None:
        with live.SCREEN:
            say("stderr", "\n".join(lines) + "\n")

    def finish(self) -> None:
        """What waited still, the results, and errors."""
        self._region.close()
        self._handle(Ended(self._engines))
        self._show_pending()
        if not (self._result.ends_elsewhere and self._result.done()):
            say("stdout", results(self._result, alone=not self._spoken))
        self._tell()


class Page(Folding):
    """One output of a notebook, updated; figures and the like below it."""

    def __init__(self, result: AsyncResult, meter: Meter) -> None:
        super().__init__(result, meter)
        self._head: list[str] = []
        self._tail: collections.deque[str] = collections.deque(maxlen=TAIL)
        self._lines = 0
        self._errors: list[str] = []
        self._gallery = Gallery()
        self._displayed = False

    def hear(self, engine: int, stream: Stream, content: Any) -> None:
        """Take what an engine printed or displayed; of a flood only how much it is."""
        if self._lines > FLOOD and stream in (Stream.STDOUT, Stream.STDERR):
            self._lines += content.count("\n")
            self._stale = True
        else:
            super().hear(engine, stream, content)

    def _hear_display(self, engine: int, output: Output) -> None:
        self._displayed = True

    def _show_text(self, shown: Show, text: str) -> None:
        lines = text.splitlines()
        self._lines += len(lines)
        room = HEAD - len(self._head)
        self._head += lines[:room]
        self._tail.extend(lines[room:])
        self._stale = True

    def _show_failures(self, lines: list[str]) -> None:
        self._errors += lines
        self._stale = True

    def _draw(self) -> None:
        left_out = self._lines - len(self._head) - len(self._tail)
        between = [f"… {left_out:,} lines more"] if left_out else []
        text = "\n".join([*self._head, *between, *self._tail, self._partial])
        parts = [
            ("stdout", text.rstrip("\n")), ("error", "\n".join(self._errors)),
            ("bars", "\n".join(self._bars)),
        ]  # fmt: skip
        self._region.update(*joined(parts))

    def flush(self) -> None:
        """Show what is held for twins, and at once."""
        super().flush()
        self._region.pace = 0.0

    def tick(self) -> None:
        """Draw what is new."""
        super().tick()
        if self._displayed:
            self._displayed = False
            self._gallery.show(displays(self._result), {})

    def finish(self) -> None:
        """The final view: all that was said, folded as a whole."""
        result = self._result
        parts = texts(result)
        if result.ends_elsewhere and result.done():
            self._region.close(*joined(parts))
            self._gallery.show(displays(result), {})
            return
        parts.append(("result", results(result, alone=not any(t for _, t in parts))))
        lines = self._failures.lines()
        waits = self._waits(RankSet(e for _, e in result._failed()))
        parts.append(("error", "\n".join([*lines, waits] if waits else lines)))
        self._region.close(*joined(parts))
        self._gallery.show(displays(result), rich_results(result))

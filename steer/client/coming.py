"""A folded result while it comes.

Lines wait for their twins on other ranks a tenth of a second (`steer.core.livefold`),
failures for others of their kind as long. In terminals and files what is decided is
printed and stays; in a notebook one output is updated, and replaced by the final view.
"""

from __future__ import annotations

import collections
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from steer.client import live
from steer.client.bars import earliest
from steer.client.failures import Failures, who_waits
from steer.client.folded import (
    TEXTS,
    displays,
    joined,
    results,
    rich_results,
    screen_width,
    show_folded_displays,
    texts,
)
from steer.client.replies import say
from steer.client.rich import Gallery
from steer.client.showing import Metered
from steer.core.folding import Group, head, render
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
CLOSELY = 300
FLOOD_SECONDS = 0.5
"""So many lines of a rank in that time are looked at closely, for those that differ in
numbers only; that takes 100 us a line, and nobody reads faster."""
PARTIAL = 10
"""Lines that have not ended that are shown at once."""


def view(result: AsyncResult, meter: Meter) -> View:
    """What shows a result of several engines while it comes."""
    return Page(result, meter) if live.updates_outputs() else Lines(result, meter)


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
            case Stream.INSIGHT:
                if self._untold is not None:  # the failure that it is about
                    self._tell()
                self._show_failures(content.rstrip("\n").split("\n"))
            case Stream.DATA | Stream.PROMPT:
                pass

    def fail(self, places: Sequence[Place]) -> None:
        """Tell it soon: others may fail in the same way, or wait for these."""
        for request, key in places:
            self._failures.add(request.engine_of(key) or 0, request.value(key))
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
        partial = clip(
            render(groups, width=screen_width(), indent=self._indent), PARTIAL, 0
        )
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
            text = render(groups, total, width=screen_width(), indent=self._indent)
            self._show_text(shown, text)

    def _groups(self, shown: Show) -> list[Group]:
        """What is to be shown, folded; in a flood only what is equal."""
        now = time.monotonic()
        if now >= self._flood_ends:
            self._flood_ends, self._amount = now + FLOOD_SECONDS, 0
        self._amount += max(text.count("\n") for text in shown.texts.values())
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

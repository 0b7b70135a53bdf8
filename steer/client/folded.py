"""Output of many ranks, folded, as text, as HTML, and as displays.

What is equal is shown once with the ranks that it came from; `steer.core.folding`
decides what that is. `show` shows a finished result; `coming.py` one under way.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from steer.client import live, markup
from steer.client.replies import ExecuteReply, say, show_displays
from steer.client.rich import Gallery, alike
from steer.client.showing import is_one
from steer.core.folding import MARK, fold, fold_lines, render
from steer.core.texts import clip
from steer.ranks import RankSet

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult
    from steer.client.replies import Output

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
        for request, key in result._places:
            engine = request.engine_of(key)
            if engine is not None and (text := request.text(key, name)):
                said[engine] = said.get(engine, "") + text
        found.append((name, _text(result, said, f"result.{name}")))
    return found


def _text(result: AsyncResult, said: Mapping[int, str], where: str) -> str:
    if not said:
        return ""
    total = RankSet(result._engines)
    few = {rank: clip(text, rest=where) for rank, text in said.items()}
    if is_one(result):
        (text,) = few.values()
        return text if text.endswith("\n") else text + "\n"
    return clip(render(fold_lines(few), total, width=screen_width()), rest=where)


def results(result: AsyncResult, *, alone: bool) -> str:
    """What the last lines gave, folded; what is rich is shown by itself."""
    replies = [reply for reply in _replies(result) if not _is_rich(reply)]
    said = {reply._engine: clip(reply._text()) for reply in replies}
    if not said:
        return ""
    if is_one(result) or (len(said) == 1 and not alone):
        return replies[0]._out() + "\n"
    text = clip(render(fold(said), width=screen_width()))
    if alone:
        return text
    counts = {reply.execution_count for reply in replies}
    count = f":{min(counts)}" if len(counts) == 1 else ""
    return f"Out[{RankSet(said)}{count}]:\n{text}"


def _replies(result: AsyncResult) -> list[ExecuteReply]:
    if result.done():
        for request in result._requests:
            request.made()  # all at once: one by one takes the square of the time
    replies = [
        result._reply(request, key)
        for request, key in result._places
        if request.status(key) == "ok"
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
    for request, key in result._places:
        shown = request.printed_by(key).displays
        engine = request.engine_of(key)
        if shown and engine is not None:
            found.setdefault(engine, []).extend(shown)
    return found


def screen_width() -> int:
    """Columns to write in."""
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

"""Rich output of many ranks in a notebook: equal ones once, different pictures side by
side, each with its ranks.

What ranks display one after another are rows; a row is drawn anew when another rank's
share of it comes. What cannot be part of a page, such as a widget, is shown as it is,
under a line that names its ranks.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from steer.client import live, markup
from steer.client.replies import ExecuteReply, Output
from steer.core.folding import head
from steer.ranks import RankSet

PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif")
MOST = 64
"""Different outputs of one row that are shown: a browser has its limits."""
_WHOLE = ("text/latex", "text/markdown")
"""Only the front end can make something of these."""
_GRID = "display:flex;flex-wrap:wrap;gap:8px;align-items:flex-end"
_CAPTION = "color:var(--jp-ui-font-color3,#8a8a8a);font-family:monospace;font-size:90%"


class Shown(NamedTuple):
    """Something rich and the ranks that it came from."""

    ranks: RankSet
    data: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @property
    def title(self) -> str:
        """`[0-3] (4)`."""
        return head(self.ranks)


Bundle = tuple[dict[str, Any], dict[str, Any]]


class Gallery:
    """The rich outputs of a cell: rows of outputs that are updated in place."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int], tuple[str, str]] = {}
        """For each part of a row, its id here and what is there."""

    def show(
        self, displays: Mapping[int, Sequence[Output]], results: Mapping[int, Any]
    ) -> None:
        """Show what ranks have displayed so far, and what their last lines gave."""
        longest = max(map(len, displays.values()), default=0)
        rows = [
            {rank: shown[k] for rank, shown in displays.items() if k < len(shown)}
            for k in range(longest)
        ]
        for number, row in enumerate(rows):
            self._show_row(number, alike(row))
        self._show_row(longest, alike(results))

    def _show_row(self, number: int, row: Sequence[Shown]) -> None:
        for part, (data, metadata) in enumerate(bundles(row)):
            here = json.dumps(data, sort_keys=True, default=repr)
            name, there = self._rows.get((number, part), ("", ""))
            if here == there:
                continue
            update, name = bool(name), name or live.new_id()
            self._rows[number, part] = name, here
            live.publish(data, metadata, name, update=update)


def alike(outputs: Mapping[int, Any]) -> list[Shown]:
    """Equal outputs as one; in the order of their lowest ranks."""
    groups: dict[str, tuple[list[int], Any]] = {}
    for rank in sorted(outputs):
        data, metadata = _content(outputs[rank])
        key = json.dumps([data, metadata], sort_keys=True, default=repr)
        groups.setdefault(key, ([], (data, metadata)))[0].append(rank)
    return [Shown(RankSet(ranks), *content) for ranks, content in groups.values()]


def _content(output: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    if isinstance(output, ExecuteReply):
        return output.data, output._data_metadata
    return output["data"], output["metadata"]


def bundles(row: Sequence[Shown]) -> list[Bundle]:
    """What to publish of a row: its pictures and pages as one, others by themselves."""
    left_out = len(row) - MOST
    more = f"… {left_out:,} more: result.outputs" if left_out > 0 else ""
    pages = [(shown, _as_html(shown)) for shown in row[:MOST]]
    inside = [(shown, page) for shown, page in pages if page is not None]
    made = [_together(inside, more, alone=len(row) == 1)] if inside else []
    for shown, page in pages:
        if page is None:
            made.append((_caption(shown.title), {}))
            made.append((dict(shown.data), dict(shown.metadata)))
    if more and not inside:
        made.append((_caption(more), {}))
    return made


def _together(inside: list[tuple[Shown, str]], more: str, *, alone: bool) -> Bundle:
    lines = [f"{shown.title} {_text(shown)}" for shown, _ in inside]
    data = {
        "text/plain": "\n".join([*lines, more] if more else lines),
        "text/html": _grid([(shown.title, page) for shown, page in inside], more),
    }
    if not alone:
        return data, {}
    # Who makes a PDF of the notebook takes a picture itself, not the page with it.
    shown, _ = inside[0]
    return dict(shown.data) | data, dict(shown.metadata)


def _caption(text: str) -> dict[str, Any]:
    return {"text/plain": text, "text/html": f'<span style="{_CAPTION}">{text}</span>'}


def _text(shown: Shown) -> str:
    return str(shown.data.get("text/plain", f"<{', '.join(shown.data)}>"))


def _grid(cells: list[tuple[str, str]], more: str) -> str:
    figures = "".join(
        f'<figure style="margin:0"><figcaption style="{_CAPTION}">{title}'
        f"</figcaption>{page}</figure>"
        for title, page in cells
    )
    end = f'<span style="{_CAPTION}">{more}</span>' if more else ""
    return f'<div style="{_GRID}">{figures}{end}</div>'


def _as_html(shown: Shown) -> str | None:
    """What stands for it in a page; None if nothing can."""
    data = shown.data
    if any(name.startswith("application/") for name in data):
        return None
    if "text/html" in data:
        return str(data["text/html"])
    for name in PICTURES:
        if name in data:
            return _picture(name, data[name], shown.metadata.get(name))
    if any(name in data for name in _WHOLE):
        return None
    return markup.to_html(_text(shown))


def _picture(name: str, content: Any, size: Any) -> str:
    if isinstance(content, str) and name == "image/svg+xml":
        content = content.encode()
    if isinstance(content, bytes):
        content = base64.b64encode(content).decode()
    source = html.escape("".join(str(content).split()))
    size = size if isinstance(size, Mapping) else {}
    sizes = "".join(
        f' {side}="{int(size[side])}"'
        for side in ("width", "height")
        if isinstance(size.get(side), int | float)
    )
    return f'<img style="max-width:100%" src="data:{name};base64,{source}"{sizes}>'

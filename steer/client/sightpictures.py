"""Pictures of what ranks do: stacks as boxes upon each other, waits as arrows.

SVG and HTML are written as text; no library is needed, and nothing is fetched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from steer.core.folding import brief
from steer.core.rankstates import Doing
from steer.core.stacks import Branch, Tree, boxes
from steer.core.verdict import Arrow, Diagnosis, arrows
from steer.core.verdicttext import rows_of
from steer.ranks import RankSet

WIDTH = 800
ROW = 20
_FONT = 'font-family="monospace" font-size="11"'
_COLOURS = ("#f7c59f", "#f5d491", "#efe9ae", "#cddafd", "#bee1e6", "#e2ece9")
_STATES = {
    Doing.PYTHON: "#b7e4c7", Doing.NATIVE: "#b7e4c7", Doing.HOLDING: "#95d5b2",
    Doing.MPI: "#ffd6a5", Doing.HELD: "#cddafd", Doing.FINISHED: "#e9ecef",
    Doing.POST_MORTEM: "#ffadad", Doing.DEAD: "#adb5bd", Doing.UNREACHABLE: "#dee2e6",
    Doing.SILENT: "#dee2e6",
}  # fmt: skip


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f"{''.join(parts)}</svg>"
    )


def boxes_svg(tree: Tree) -> str:
    """A box for each line, as wide as its part of the ranks, callers above."""
    drawn = []
    found = boxes(tree)
    for box in found:
        if box.width * WIDTH < 1:
            continue
        x, y, w = box.left * WIDTH, box.depth * ROW, box.width * WIDTH
        colour = _COLOURS[hash_of(box.label) % len(_COLOURS)]
        tip = escape(f"[{box.ranks}] {box.label}  {box.path}")
        room = int(w / 6.8)
        label = escape(box.label if len(box.label) <= room else box.label[:room])
        drawn.append(
            f"<g><title>{tip}</title>"
            f'<rect x="{x:.1f}" y="{y}" width="{max(w - 1, 1):.1f}" height="{ROW - 1}" '
            f'fill="{colour}" rx="2"/>'
            f'<text x="{x + 3:.1f}" y="{y + 14}" {_FONT}>{label}</text></g>'
        )
    deepest = max((box.depth for box in found), default=0)
    return _svg(WIDTH, (deepest + 1) * ROW, drawn)


def hash_of(text: str) -> int:
    """The same number for the same text, in every process."""
    return sum(at * ord(letter) for at, letter in enumerate(text, 1))


def tree_html(tree: Tree, note: Callable[[Branch], str]) -> str:
    """The tree, to be folded and unfolded."""
    return f'<div style="font-family:monospace">{_list(tree.roots, note)}</div>'


def _list(branches: Sequence[Branch], note: Callable[[Branch], str]) -> str:
    return "".join(_item(branch, note) for branch in branches)


def _item(branch: Branch, note: Callable[[Branch], str]) -> str:
    """A line and those below it; a chain in which nobody turns off is not nested."""
    lines = []
    while True:
        said = escape(note(branch))
        lines.append(
            f"<b>[{escape(brief(branch.ranks))}]</b> "
            f"{escape(branch.spot.function or '?')} "
            f'<span title="{escape(branch.spot.file)}">'
            f"{escape(str(branch.spot))}</span>"
            f"{f' <i>{said}</i>' if said else ''}"
        )
        if len(branch.children) != 1 or branch.children[0].mask != branch.mask:
            break
        branch = branch.children[0]
    body = "<br>".join(lines)
    if not branch.children:
        return f'<div style="margin-left:1.2em">{body}</div>'
    return (
        f'<details open style="margin-left:1.2em"><summary>{body}</summary>'
        f"{_list(branch.children, note)}</details>"
    )


# -- who waits for whom


def stuck_html(text: str, diagnoses: Sequence[Diagnosis]) -> str:
    """The text, and below it the graph if there is something to see."""
    graphs = "".join(graph_svg(found) for found in diagnoses if found.graph.waits)
    return f'<pre style="white-space:pre-wrap">{escape(text)}</pre>{graphs}'


def graph_svg(found: Diagnosis) -> str:
    """Groups of ranks in a circle, an arrow from each to those it waits for."""
    groups = _groups(found)
    radius = 70 + 22 * len(groups)
    middle_x, middle_y = radius + 130, radius + 30
    places = []
    for at in range(len(groups)):
        angle = 2 * math.pi * at / max(len(groups), 1) - math.pi / 2
        places.append(
            (middle_x + radius * math.cos(angle), middle_y + radius * math.sin(angle))
        )
    parts = [_HEADS]
    for arrow in arrows(found):
        parts += _arrow(arrow, groups, places, found)
    for (ranks, what, doing), (x, y) in zip(groups, places, strict=True):
        parts.append(_node(ranks, what, doing, x, y))
    return _svg(2 * middle_x, 2 * middle_y, parts)


_HEADS = (
    '<defs><marker id="steer-head" viewBox="0 0 10 10" refX="9" refY="5" '
    'markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
    '<path d="M 0 0 L 10 5 L 0 10 z" fill="#555"/></marker></defs>'
)

_Group = tuple[RankSet, str, Doing]


def _groups(found: Diagnosis) -> list[_Group]:
    """Those of one row; ranks of a circle each by itself, as far as that is few."""
    alone = RankSet(found.head.cycle) if len(found.head.cycle) <= 8 else RankSet()
    groups: list[_Group] = []
    for row in rows_of(found):
        what = f"{row.what} {row.place}"
        groups += [
            (RankSet([rank]), what, found.states[rank].doing)
            for rank in row.ranks & alone
        ]
        rest = row.ranks - alone
        if rest:
            groups.append((rest, what, found.states[rest.min()].doing))
    return groups


def _node(ranks: RankSet, what: str, doing: Doing, x: float, y: float) -> str:
    said = what if len(what) <= 34 else f"{what[:33]}…"
    return (
        f"<g><title>{escape(f'[{ranks}] {what}')}</title>"
        f'<rect x="{x - 118:.0f}" y="{y - 18:.0f}" width="236" height="36" rx="8" '
        f'fill="{_STATES[doing]}" stroke="#888"/>'
        f'<text x="{x:.0f}" y="{y - 4:.0f}" text-anchor="middle" {_FONT} '
        f'font-weight="bold">[{escape(brief(ranks))}]</text>'
        f'<text x="{x:.0f}" y="{y + 11:.0f}" text-anchor="middle" {_FONT}>'
        f"{escape(said)}</text></g>"
    )


def _arrow(
    arrow: Arrow,
    groups: Sequence[_Group],
    places: Sequence[tuple[float, float]],
    found: Diagnosis,
) -> list[str]:
    circle = found.head.cycle
    drawn = []
    for (start, _, _), (x1, y1) in zip(groups, places, strict=True):
        if not start & arrow.waiting:
            continue
        for (end, _, _), (x2, y2) in zip(groups, places, strict=True):
            if not end & arrow.targets or (x1, y1) == (x2, y2):
                continue
            long = math.hypot(x2 - x1, y2 - y1) or 1.0
            cut = 40 / long
            red = len(circle) > 1 and start.min() in circle and end.min() in circle
            colour, wide = ("#c1121f", 2) if red else ("#888", 1)
            dashes = "" if arrow.every else ' stroke-dasharray="5 4"'
            drawn.append(
                f'<line x1="{x1 + (x2 - x1) * cut:.0f}" '
                f'y1="{y1 + (y2 - y1) * cut:.0f}" '
                f'x2="{x2 - (x2 - x1) * cut:.0f}" y2="{y2 - (y2 - y1) * cut:.0f}" '
                f'stroke="{colour}" stroke-width="{wide}"{dashes} '
                'marker-end="url(#steer-head)"/>'
            )
    return drawn

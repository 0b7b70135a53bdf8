"""The calls of MPI that ranks made: as text, as a matrix of who talked to whom, and as
a file for Perfetto."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steer.client.sight import Seen, ask
from steer.core.tracerows import (
    KEPT,
    RECEIVES,
    SENDS,
    Row,
    chrome,
    forgetful,
    matrix,
)
from steer.errors import UsageError
from steer.ranks import RankSet, describe

if TYPE_CHECKING:
    from steer.client.views import DirectView

CELL = 26
WORDS = ("on", "off", "last", "save", "matrix")


class MpiTrace(Seen):
    """What was noted, by ranks."""

    def __init__(
        self,
        rows: Mapping[int, Sequence[Row]],
        last: int = 20,
        hosts: Mapping[int, str] | None = None,
    ) -> None:
        self.rows = {rank: [tuple(row) for row in its] for rank, its in rows.items()}
        self._hosts = dict(hosts or {})
        self.text = "".join(f"{line}\n" for line in self._lines(last) + self.cautions)

    @property
    def cautions(self) -> list[str]:
        """What is not to be relied on, in sentences."""
        found = []
        if len({self._hosts.get(rank, "") for rank in self.rows}) > 1:
            found.append("Times are those of several hosts' clocks, not aligned.")
        if cut := RankSet(forgetful(self.rows)):  # type: ignore[arg-type]
            found.append(
                f"{describe(cut).capitalize()}: only the last {KEPT:,} calls are here, "
                "so no arrows go to or from there."
            )
        return found

    def _lines(self, last: int) -> list[str]:
        every = [(row[1], rank, row) for rank, its in self.rows.items() for row in its]
        if not every:
            return ["No call was noted; `%pxmpi on` begins."]
        every.sort(key=lambda item: item[:2])
        begin = every[0][0]
        return [_told(rank, row, begin) for _, rank, row in every[-last:]]  # type: ignore[arg-type]

    @property
    def matrix(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Messages and bytes, from one rank to another."""
        return matrix(self.rows)  # type: ignore[arg-type]

    @property
    def svg(self) -> str:
        """A picture of the matrix: a row for each sender, darker for more bytes."""
        found = self.matrix
        ranks = sorted(self.rows)
        most = max((size or count for count, size in found.values()), default=1) or 1
        edge = CELL * (len(ranks) + 1)
        drawn = []
        for at, rank in enumerate(ranks, 1):
            label = f'font-family="monospace" font-size="11">{rank}</text>'
            drawn.append(f'<text x="4" y="{at * CELL + 17}" {label}')
            drawn.append(f'<text x="{at * CELL + 6}" y="17" {label}')
        for (sender, receiver), (count, size) in found.items():
            if sender not in self.rows or receiver not in self.rows:
                continue
            x = (ranks.index(receiver) + 1) * CELL
            y = (ranks.index(sender) + 1) * CELL
            share = 0.15 + 0.85 * (size or count) / most
            tip = escape(f"{sender} → {receiver}: {count} messages, {size:,} bytes")
            drawn.append(
                f'<g><title>{tip}</title><rect x="{x}" y="{y}" width="{CELL - 2}" '
                f'height="{CELL - 2}" fill="#1d3557" fill-opacity="{share:.2f}"/></g>'
            )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{edge}" height="{edge}">'
            f"{''.join(drawn)}</svg>"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text)}</pre>{self.svg}"

    def save(self, path: str | Path) -> Path:
        """Write a file for chrome://tracing or ui.perfetto.dev."""
        file = Path(path).expanduser()
        file.write_text(json.dumps(chrome(self.rows, self._hosts)))  # type: ignore[arg-type]
        return file


def _told(rank: int, row: Row, begin: int) -> str:
    op, began, ended, peer, tag, size, comm, file, line, source, came = row
    if op in RECEIVES and op not in SENDS:
        peer, tag = max(peer, source), max(tag, came)
    said = [f"{comm}"]
    said += [f"peer={peer}"] if peer >= 0 else []
    said += [f"tag={tag}"] if tag >= 0 else []
    said += [f"{size:,} B"] if size >= 0 else []
    name = file.rpartition("/")[2]
    return (
        f"{(began - begin) / 1e6:10.3f} ms  [{rank}]  {op}({', '.join(said)})  "
        f"{(ended - began) / 1e3:,.0f} us  {name}:{line}"
    )


def switch(view: DirectView, ranks: Sequence[int], on: bool) -> str:
    """Begin or end noting calls; when the ranks are free."""
    code = f"__import__('steer.engines.tracing', fromlist=('switch',)).switch({on!r})"
    counts = view.pull(code, targets=list(ranks), block=False).get_dict()
    if not on:
        return "Calls of MPI are noted no more; what was noted stays.\n"
    count = max(counts.values(), default=0)
    return (
        f"Calls of MPI are noted, the last {KEPT:,} of each rank, on {count} "
        "communicators; `%pxmpi last 20` shows them.\n"
    )


def trace(view: DirectView, ranks: Sequence[int], last: int = 20) -> MpiTrace:
    """What was noted, also of ranks that are busy."""
    if last < 1:
        raise UsageError("The last 1 or more calls can be shown.")
    told: Any = ask(view.client.link, "trace", ranks)
    known = view.client.link.core.engines
    rows, hosts = {}, {}
    for engine, its in told.items():
        info = known.get(int(engine))
        first = 0 if info is None else info.id - max(info.rank, 0)
        hosts[int(engine)] = "" if info is None else info.host
        rows[int(engine)] = [_by_engine(first, row) for row in its]
    return MpiTrace(rows, last, hosts)


def _by_engine(first: int, row: Sequence[Any]) -> Row:
    """Ranks of a second world have other numbers there than users know them by."""
    told = list(row)
    for place in (3, 9):
        told[place] += first if told[place] >= 0 else 0
    if first and told[6]:
        ranks, space, name = told[6].partition(" ")
        moved = RankSet(first + rank for rank in RankSet.parse(ranks))
        told[6] = f"{moved}{space}{name}"
    return tuple(told)

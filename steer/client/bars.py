"""How far things are, on one line: cells, maps, loops inside ranks, a start.

Everything here makes text of numbers; `live.py` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from steer.ranks import RankSet, describe

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult

PROGRESS_AFTER = 2.0
"""Seconds until a person wants to know how far it is."""
REFRESH = 1.0
"""Seconds after which a bar is drawn again although nothing has happened."""
WIDTH = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_FEW = 24
"""Characters of a rank set that may be named: a longer one says nothing."""


def earliest(*times: float | None) -> float | None:
    """The first of some deadlines, of which some may be none."""
    return min((time for time in times if time is not None), default=None)


def bar(fraction: float, width: int = WIDTH) -> str:
    """A bar of eighths of a character: `▕█████▌    ▏`."""
    eighths = round(min(1.0, max(0.0, fraction)) * width * 8)
    whole, rest = divmod(eighths, 8)
    filled = "█" * whole + (_EIGHTHS[rest] if rest else "")
    return f"▕{filled:<{width}}▏"


def seconds(value: float) -> str:
    """A time for people: `3.2 s`, `48 s`, `5 min 20 s`, `3 h 05 min`."""
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def counted(
    name: str,
    done: int,
    total: int | None,
    unit: str,
    elapsed: float,
    *,
    rate: float | None = None,
    failed: int = 0,
) -> str:
    """A line for tasks that end one after another, with their rate.

    Args:
        total: None if nobody knows.
        rate: how fast it goes now; if not given, as fast as it went until now.
    """
    share = "" if total is None else f"{bar(done / total if total else 1)} "
    of = "" if total is None else f" of {total}"
    text = f"{name} {share}{done}{of} {unit}".lstrip()
    text += f", {failed} failed" if failed else ""
    text += f"  {seconds(elapsed)}"
    if done and done != total and elapsed > 0:
        rate = rate or done / elapsed
        text += f"  {_rate(rate)}"
        if total is not None and total > done:
            text += f"  about {seconds((total - done) / rate)} left"
    return text


class Pace:
    """How fast something goes now: over the later half of its time, so that a slow
    start, or a task that was longer than others, is not held against it for ever."""

    SAMPLES = 32

    def __init__(self, now: float) -> None:
        self.began = now
        self._samples = [(now, 0)]

    def rate(self, done: int, now: float) -> float:
        """How many a second, when so many are done."""
        samples = self._samples
        elapsed = now - self.began
        while len(samples) > 1 and samples[1][0] <= self.began + elapsed / 2:
            del samples[0]
        since, before = samples[0]
        if now - samples[-1][0] >= elapsed / self.SAMPLES:
            samples.append((now, done))
        if now <= since or done <= before:
            since, before = self.began, 0
        return (done - before) / (now - since) if now > since else 0.0


def _rate(rate: float) -> str:
    if rate >= 10:
        return f"{rate:,.0f}/s"
    return f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"


def of_result(result: AsyncResult, name: str = "") -> str:
    """How far a result is: engines that are done, or the tasks of a map."""
    name = name or result._fname
    lengths = getattr(result, "_lengths", None)
    places = result._places
    states = result._states()
    if lengths is not None:
        total = sum(lengths)
        done = sum(n for n, state in zip(lengths, states, strict=True) if state)
        return counted(name, done, total, "tasks", result.elapsed)
    engines = [engine for _, engine in places]
    if len(set(engines)) < len(engines):
        done = sum(map(bool, states))
        return counted(name, done, len(places), "tasks", result.elapsed)
    left = [e for e, state in zip(engines, states, strict=True) if not state]
    return of_ranks(name, len(engines), left, result.elapsed)


def of_ranks(name: str, total: int, left: list[int], elapsed: float) -> str:
    """How many ranks are done, and which are not if they are few."""
    done = total - len(left)
    text = f"{name} {bar(done / total if total else 1)} {done} of {total} ranks done"
    text += f"  {seconds(elapsed)}"
    ranks = str(RankSet(left))
    if left and done and len(ranks) <= _FEW:
        verb = "runs" if len(left) == 1 else "run"
        text += f"  {describe(left)} still {verb}"
    return text


def of_start(here: int, n: int, elapsed: float, how: str = "") -> str:
    """A start: how many ranks are here, and who is to bring the others."""
    text = f"starting {bar(here / n if n else 1)} {here} of {n} ranks are here"
    text += f"  {seconds(elapsed)}"
    return f"{text}  the others come with {how}" if how and here < n else text


def of_loop(label: str, ranks: Mapping[int, tuple[int, int | None]]) -> str:
    """A loop that ranks are in: `relax ▕███▏ min 41 (r3)  med 48  max 50 of 100`."""
    label = label or "progress"
    totals = {total for _, total in ranks.values()}
    common = next(iter(totals)) if len(totals) == 1 else None
    if len(totals) > 1 and None not in totals:
        shares = {r: 100 * d // t if t else 100 for r, (d, t) in ranks.items()}
        return f"{label} {_spread(shares, '%')}"
    done = {rank: d for rank, (d, _) in ranks.items()}
    end = "" if common is None else f" of {common}"
    lead = "" if common is None else f"{bar(_mean(done) / common if common else 1)} "
    return f"{label} {lead}{_spread(done)}{end}"


def _mean(values: Mapping[int, int]) -> float:
    return sum(values.values()) / len(values)


def _spread(values: Mapping[int, int], unit: str = "") -> str:
    """The least with its rank, the middle, and the most; one number if all agree."""
    low = min(values, key=lambda rank: (values[rank], rank))
    most = max(values.values())
    if values[low] == most:
        return f"{most}{unit}"
    middle = sorted(values.values())[(len(values) - 1) // 2]
    least = f"{values[low]}{unit} (r{low})"
    return f"min {least}  med {middle}{unit}  max {most}{unit}"


State = tuple[str, int, int | None]


class Loops:
    """The loops that ranks are in: what `steer.progress` says, folded."""

    def __init__(self) -> None:
        self._bars: dict[int, dict[int, State]] = {}

    def hear(
        self, rank: int, bar: int, label: str, done: int, total: int | None
    ) -> None:
        """Take what a rank says of one of its loops."""
        self._bars.setdefault(bar, {})[rank] = label, done, total

    def lines(self) -> list[str]:
        """A line for each loop that is not over everywhere."""
        lines = []
        for ranks in self._bars.values():
            loops: dict[str, dict[int, tuple[int, int | None]]] = {}
            for rank, (label, done, total) in ranks.items():
                loops.setdefault(label, {})[rank] = done, total
            lines += [
                of_loop(label, ranks)
                for label, ranks in loops.items()
                if any(done != total for done, total in ranks.values())
            ]
        return lines

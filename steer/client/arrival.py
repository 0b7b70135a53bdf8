"""Waiting for engines: they come, or something says that they will not.

What already happened does not count, neither a job that the user stopped nor one that
failed before while enough of the others may still come. So when a job ends or an engine
leaves, the hub is asked what still runs; only if that cannot make up the number,
waiting is over.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from steer.client import bars, live
from steer.client.link import Link
from steer.errors import EngineError, LaunchError

_seen: weakref.WeakKeyDictionary[Link, int] = weakref.WeakKeyDictionary()
"""How many of a link's notices an earlier wait has looked at."""


class Arrival:
    """Says how far a start is: in a terminal or a notebook, and after a while only."""

    def __init__(self, n: int, after: float, how: str = "") -> None:
        self._n, self._how = n, how
        self._began = time.monotonic()
        self._due = None if after < 0 else self._began + after
        self._here = 0
        self._region: live.Region | None = None

    @property
    def due(self) -> float | None:
        """When there is something to say, in monotonic time."""
        return self._due

    def tell(self, here: int) -> None:
        """Say how many are here, if a person has waited for long enough."""
        self._here = here
        now = time.monotonic()
        if self._due is None or (now < self._due and self._region is None):
            return
        self._due = now + bars.REFRESH
        self._region = self._region or live.open_region()
        self._region.update(self._line())

    def _line(self) -> str:
        elapsed = time.monotonic() - self._began
        return bars.of_start(self._here, self._n, elapsed, self._how)

    def close(self) -> None:
        """Say no more; a notebook keeps the last line, which nothing else replaces."""
        if self._region is not None:
            stays = isinstance(self._region, live.Notebook)
            self._region.close(self._line() if stays else None)


@contextmanager
def arriving(n: int, after: float, how: str = "") -> Iterator[Arrival]:
    """Say how far a start is while the block runs."""
    arrival = Arrival(n, after, how)
    try:
        yield arrival
    finally:
        arrival.close()


def wait_for_engines(
    link: Link, n: int, timeout: float | None, interactive: bool | None = None
) -> None:
    """Return when n engines are here; raise why they do not come.

    How far it is, is said at once if it is `interactive`, never if it is False, and
    otherwise after a while.
    """
    after = bars.PROGRESS_AFTER if interactive is None else 0.0 if interactive else -1.0
    with arriving(n, after) as arrival:
        _wait(link, n, timeout, arrival)


def _wait(link: Link, n: int, timeout: float | None, arrival: Arrival) -> None:
    deadline = None if timeout is None or timeout < 0 else time.monotonic() + timeout
    notices = _seen.get(link, 0)
    gone = len(link.gone)
    while (here := len(link.core.engines)) < n:
        arrival.tell(here)
        if link.trouble is not None:
            raise link.trouble
        fresh = link.notices[notices:]
        notices = _seen[link] = notices + len(fresh)
        if fresh or len(link.gone) > gone:
            left = list(link.gone.values())[gone:]
            _check_hope(link, n, fresh, left)
            gone = len(link.gone)
        until = bars.earliest(deadline, arrival.due)
        news = _wait_for_news(link, (here, notices, gone), until)
        if not news and deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(
                f"{n} engines not ready in {timeout} seconds. "
                f"Currently ready: {len(link.core.engines)}"
            )
    arrival.tell(n)


def _wait_for_news(
    link: Link, known: tuple[int, int, int], deadline: float | None
) -> bool:
    """Whether something has changed before the deadline."""
    with link.changed:
        while link.trouble is None and known == (
            len(link.core.engines), len(link.notices), len(link.gone)
        ):  # fmt: skip
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            link.changed.wait(left)
    return True


def _check_hope(
    link: Link, n: int, notices: list[tuple[str, dict[str, Any]]], left: list[str]
) -> None:
    """Raise if what runs cannot make up the number any more, and say why."""
    for what, content in notices:
        if what == "problem":
            raise LaunchError(str(content["text"]))
    jobs = link.wait(link.ask("jobs"))["jobs"]
    coming = sum(job["n"] for job in jobs if job["running"])
    if coming - len(left) >= n or len(link.core.engines) >= n:
        return
    for what, content in reversed(notices):
        if what == "job_ended" and content.get("text"):
            raise LaunchError(str(content["text"]))
    if left:
        raise EngineError(left[-1])

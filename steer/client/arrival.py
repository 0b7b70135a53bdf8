"""Waiting for engines: they come, or something says that they will not.

What already happened does not count, neither a job that the user stopped nor one that
failed before while enough of the others may still come. So when a job ends or an engine
leaves, the hub is asked what still runs; only if that cannot make up the number,
waiting is over.
"""

from __future__ import annotations

import sys
import time
import weakref
from typing import Any

from steer.client.link import Link
from steer.errors import EngineError, LaunchError

_seen: weakref.WeakKeyDictionary[Link, int] = weakref.WeakKeyDictionary()
"""How many of a link's notices an earlier wait has looked at."""


def wait_for_engines(
    link: Link, n: int, timeout: float | None, interactive: bool = False
) -> None:
    """Return when n engines are here; raise why they do not come."""
    deadline = None if timeout is None or timeout < 0 else time.monotonic() + timeout
    notices = _seen.get(link, 0)
    gone = len(link.gone)
    while (here := len(link.core.engines)) < n:
        if interactive:
            sys.stderr.write(f"\r{here}/{n} engines are here")
        if link.trouble is not None:
            raise link.trouble
        fresh = link.notices[notices:]
        notices = _seen[link] = notices + len(fresh)
        if fresh or len(link.gone) > gone:
            left = list(link.gone.values())[gone:]
            _check_hope(link, n, fresh, left)
            gone = len(link.gone)
        if not _wait_for_news(link, (here, notices, gone), deadline):
            raise TimeoutError(
                f"{n} engines not ready in {timeout} seconds. "
                f"Currently ready: {len(link.core.engines)}"
            )
    if interactive:
        sys.stderr.write(f"\r{n}/{n} engines are here\n")


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

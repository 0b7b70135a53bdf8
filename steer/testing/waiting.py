"""Wait for a condition with a deadline: the one place where tests may poll.

A test never sleeps for a time it hopes is long enough. It says what it waits for, and
when the deadline passes it fails with those words. Product code does not use this: it
waits on sockets and is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Short enough that a test hardly waits longer than it must, long enough that two cores
# are left to the ranks that are waited for.
_PAUSE = 0.005


def wait_until(condition: Callable[[], T], seconds: float, what: str) -> T:
    """Return the first true value of ``condition``, or fail when ``seconds`` are over.

    The failure is an ``AssertionError``, because a test that waits asserts that what it
    waits for happens.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(
                f"Waited {seconds:g} s for {what}; it came to {value!r}."
            )
        time.sleep(_PAUSE)

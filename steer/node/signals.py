"""Sending signals to processes that may be gone, and never to whoever took their pid.

A pidfd pins the process between the check and the signal; kill(2) cannot promise that.
What to send, and when, is decided in the core.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable

from steer.node.processes import Process
from steer.node.watch import Watch

__all__ = ["send", "send_all"]


def send(process: Process, signum: int) -> bool:
    """Send one signal; False when the process has ended."""
    try:
        watch = Watch.on(process)
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(watch.fileno(), signum)
    except ProcessLookupError:
        return False
    finally:
        watch.close()
    return True


def send_all(processes: Iterable[Process], signum: int) -> list[Process]:
    """Send the same signal to each; return those that were there to get it."""
    return [process for process in processes if send(process, signum)]

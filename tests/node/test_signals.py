"""Signals reach the process that is meant, or nobody."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from steer.node.processes import Process, start_time
from steer.node.signals import send, send_all


def spawn() -> tuple[subprocess.Popen[bytes], Process]:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = start_time(child.pid)
    assert started is not None
    return child, Process(child.pid, started)


@pytest.fixture
def two() -> Iterator[list[tuple[subprocess.Popen[bytes], Process]]]:
    both = [spawn(), spawn()]
    yield both
    for child, _ in both:
        with child:
            child.kill()


def test_all_that_are_there_get_it(
    two: list[tuple[subprocess.Popen[bytes], Process]],
) -> None:
    (first, a), (second, b) = two
    first.kill()
    first.wait()
    assert send_all([a, b], signal.SIGTERM) == [b]
    assert second.wait(10) == -signal.SIGTERM


def test_a_pid_that_passed_on_gets_nothing(
    two: list[tuple[subprocess.Popen[bytes], Process]],
) -> None:
    child, process = two[0]
    assert not send(Process(process.pid, process.start_time - 1), signal.SIGKILL)
    assert send(process, 0)
    assert child.poll() is None

"""A watch tells how a process ended: child, grandchild, zombie or stranger."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from steer.errors import UsageError
from steer.node import watch as module
from steer.node.processes import start_time
from steer.node.watch import Exit, Watch, describe, require_pidfd

# Starts a child that runs argv[1] when a line comes on stdin, and says its pid. Then it
# reaps the child and says so, or it leaves it a zombie.
PARENT = """
import signal, subprocess, sys
code = "import os, sys; sys.stdin.readline(); " + sys.argv[1]
child = subprocess.Popen([sys.executable, "-c", code])
print(child.pid, flush=True)
if sys.argv[2] == "reap":
    child.wait()
    print("reaped", flush=True)
signal.pause()
"""

ENDS = [
    ("sys.exit(0)", Exit(returncode=0)),
    ("sys.exit(3)", Exit(returncode=3)),
    ("os.kill(os.getpid(), 9)", Exit(signal=signal.SIGKILL)),
    ("os.kill(os.getpid(), 11)", Exit(signal=signal.SIGSEGV)),
]


def wait_readable(watch: Watch) -> None:
    poller = select.poll()
    poller.register(watch, select.POLLIN)
    assert poller.poll(10_000), "the watch did not become readable"


class Family:
    """A child of ours with a child of its own."""

    def __init__(self, code: str, then: str) -> None:
        self.parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, code, then],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.grandchild = int(self.read())

    def read(self) -> str:
        assert self.parent.stdout is not None
        return self.parent.stdout.readline()

    def go(self) -> None:
        assert self.parent.stdin is not None
        self.parent.stdin.write("\n")
        self.parent.stdin.flush()


@pytest.fixture(params=ENDS, ids=[code for code, _ in ENDS])
def end(request: pytest.FixtureRequest) -> tuple[str, Exit]:
    code, expected = request.param
    return code, expected


@pytest.fixture(params=["reap", "zombie"])
def family(request: pytest.FixtureRequest, end: tuple[str, Exit]) -> Iterator[Family]:
    family = Family(end[0], request.param)
    with family.parent:
        yield family
        family.parent.kill()


def test_grandchild_before_and_after_reaping(
    family: Family, end: tuple[str, Exit]
) -> None:
    watch = Watch(family.grandchild)
    assert watch.how() is None
    family.go()
    wait_readable(watch)
    if "reap" in family.parent.args:
        assert family.read() == "reaped\n"
    assert watch.how() == end[1]
    watch.close()
    assert watch.how() == end[1]
    assert watch.fileno() == -1


def test_child_is_read_but_not_reaped(end: tuple[str, Exit]) -> None:
    code, expected = end
    child = subprocess.Popen([sys.executable, "-c", f"import os, sys; {code}"])
    watch = Watch(child.pid)
    wait_readable(watch)
    assert watch.how() == expected
    watch.close()
    assert Exit.from_returncode(child.wait()) == expected


def test_without_the_kernels_help_the_end_of_a_stranger_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PIDFD_GET_INFO", 0)  # as on Linux before 6.15
    family = Family("sys.exit(3)", "reap")
    with family.parent:
        watch = Watch(family.grandchild)
        family.go()
        assert family.read() == "reaped\n"
        assert watch.how() == Exit()
        watch.close()
        family.parent.kill()


def test_gone_or_another_process_is_refused() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child:
        started = start_time(child.pid)
        assert started is not None
        Watch(child.pid, started).close()
        with pytest.raises(ProcessLookupError):
            Watch(child.pid, started + 1)
        child.kill()
    with pytest.raises(ProcessLookupError):
        Watch(child.pid, started)


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (Exit(returncode=3), "exited with status 3"),
        (Exit(returncode=0), "exited with status 0"),
        (Exit(signal=9), "was killed by SIGKILL"),
        (Exit(signal=40), "was killed by signal 40"),
        (Exit(), "ended"),
    ],
)
def test_describe(ended: Exit, said: str) -> None:
    assert describe(ended) == said


def test_a_host_without_pidfd_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    require_pidfd()
    monkeypatch.delattr(os, "pidfd_open")
    with pytest.raises(UsageError, match=r"Linux 5\.3 or newer"):
        require_pidfd()

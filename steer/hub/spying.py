"""py-spy, run for ranks of this host: a few at a time, each for a while at most.

It is not part of Steer and not needed: who has it gets frames of native code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from steer.core.events import Event
from steer.core.nativestacks import Spied, Spy
from steer.core.sightings import NATIVE_WITHIN
from steer.eventloop import Loop

NOT_THERE = (
    "that takes py-spy, which the hub does not find; "
    "`pip install 'mpi-steer[native]'` brings it"
)
_NOT_PERMITTED = ("permission denied", "operation not permitted", "ptrace")
_AT_ONCE = os.cpu_count() or 1


class Spying:
    """Runs py-spy."""

    def __init__(self, loop: Loop, feed: Callable[[Event], None]) -> None:
        self._loop = loop
        self._feed = feed
        self._todo: deque[tuple[str, Spied]] = deque()
        self._running = 0

    def show(self, action: Spy) -> None:
        """Look at processes, one after the other."""
        program = _program()
        for engine, pid in action.pids.items():
            blank = Spied(action.number, engine, pid, "", NOT_THERE)
            if program is None:
                self._tell_soon(blank)
            else:
                self._todo.append((program, blank))
        self._go_on()

    def _go_on(self) -> None:
        while self._todo and self._running < _AT_ONCE:
            program, blank = self._todo.popleft()
            try:
                _Look(self._loop, program, blank, self._looked)
                self._running += 1
            except OSError as error:
                self._tell_soon(_refusal(blank, str(error)))

    def _tell_soon(self, told: Spied) -> None:
        """Not from within the carrying out of the core's actions."""
        self._loop.call_soon(lambda: self._feed(told))

    def _looked(self, told: Spied) -> None:
        self._running -= 1
        self._go_on()
        self._feed(told)


class _Look:
    """One run of py-spy."""

    def __init__(
        self, loop: Loop, program: str, blank: Spied, done: Callable[[Spied], None]
    ) -> None:
        command = [program, "dump", "--native", "--full-filenames", "--json"]
        self._child = subprocess.Popen(
            [*command, "--pid", str(blank.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._child.stdout is not None
        self._pipe = self._child.stdout.fileno()
        os.set_blocking(self._pipe, False)
        self._said = bytearray()
        self._loop, self._blank, self._done = loop, blank, done
        self._limit = loop.call_later(NATIVE_WITHIN, self._child.kill)
        loop.add_reader(self._pipe, self._read)

    def _read(self) -> None:
        try:
            some = os.read(self._pipe, 1 << 16)
        except BlockingIOError:
            return
        if some:
            self._said += some
            return
        self._loop.remove_reader(self._pipe)
        self._limit.cancel()
        assert self._child.stdout is not None
        self._child.stdout.close()
        status = self._child.wait()  # it has closed its output: it ends
        text = self._said.decode(errors="replace")
        self._done(_answer(self._blank, status, text))


def _program() -> str | None:
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def _answer(blank: Spied, status: int, text: str) -> Spied:
    if status == 0:
        return Spied(blank.number, blank.engine, blank.pid, text)
    return _refusal(blank, text)


def _refusal(blank: Spied, text: str) -> Spied:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = (lines[0] if lines else "it ended without a word").removeprefix("Error: ")
    why = f"py-spy could not: {said.rstrip('.')}"
    if any(sign in text.lower() for sign in _NOT_PERMITTED):
        why = (
            "this system does not permit py-spy to look into other processes "
            "(see /proc/sys/kernel/yama/ptrace_scope, or a container's SYS_PTRACE)"
        )
    return Spied(blank.number, blank.engine, blank.pid, "", why)

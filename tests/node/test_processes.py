"""Processes are told apart by pid and start time, and found by their environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from steer.node import processes
from steer.node.processes import Process

MARK = "STEER_TEST_MARK"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A child that says it is ready and waits for its stdin to close."""
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        env={**os.environ, MARK: str(os.getpid()), "OTHER": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    with process:
        yield process
        process.kill()


def test_a_process_is_itself_until_it_is_reaped(
    child: subprocess.Popen[bytes],
) -> None:
    started = processes.start_time(child.pid)
    assert started is not None
    assert processes.same_process(child.pid, started)
    assert not processes.same_process(child.pid, started + 1)
    child.kill()
    child.wait()
    assert processes.start_time(child.pid) is None
    assert not processes.same_process(child.pid, started)


def test_a_child_starts_after_its_parent(child: subprocess.Popen[bytes]) -> None:
    mine, its = processes.start_time(os.getpid()), processes.start_time(child.pid)
    assert mine is not None
    assert its is not None
    assert its > mine


def test_a_zombie_is_not_alive_and_keeps_its_status(
    child: subprocess.Popen[bytes],
) -> None:
    assert processes.is_alive(child.pid)
    assert processes.zombie_status(child.pid) is None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.is_alive(child.pid)
    assert processes.zombie_status(child.pid) == 9


def test_found_by_all_given_variables(child: subprocess.Popen[bytes]) -> None:
    started = processes.start_time(child.pid)
    assert started is not None
    mark = {MARK: str(os.getpid())}
    assert processes.find_by_environment(mark) == [Process(child.pid, started)]
    assert processes.find_by_environment({**mark, "OTHER": "1"}) != []
    assert processes.find_by_environment({**mark, "OTHER": "2"}) == []
    child.kill()
    child.wait()
    assert processes.find_by_environment(mark) == []


def test_found_by_name_of_the_command(child: subprocess.Popen[bytes]) -> None:
    with open(f"/proc/{child.pid}/comm") as file:
        name = file.read().strip()
    assert child.pid in [p.pid for p in processes.find_by_name(name)]
    assert processes.find_by_name("no-such-command") == []


def test_a_name_with_brackets_and_blanks_is_read(tmp_path: os.PathLike[str]) -> None:
    program = os.path.join(tmp_path, "a) S 1 (b")
    os.symlink("/bin/cat", program)
    with subprocess.Popen([program], stdin=subprocess.PIPE) as process:
        mine = processes.start_time(os.getpid())
        assert mine is not None
        assert (processes.start_time(process.pid) or 0) > mine
        assert processes.is_alive(process.pid)
        process.kill()

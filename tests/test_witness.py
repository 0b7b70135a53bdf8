"""A process's stack, had from outside while its threads cannot give it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from steer.core.outside import read_faulthandler, where_it_died
from steer.testing.waiting import wait_until
from steer.witness import LARGEST, SHOW, Witness, Witnessed

PROGRAM = """
import ctypes, faulthandler, sys
from steer.witness import Witness
witness = Witness()
witness.install()
faulthandler.enable(witness.fd, all_threads=False)
def hold():
    # In C, with the GIL, and no signal ends it.
    sum(range(10**11)) if sys.argv[1] == "hold" else crash()
def crash():
    ctypes.string_at(0)
witness.note("solver.py:3 in step")
print(witness.fd, flush=True)
sys.stdin.readline()
hold()
"""


@pytest.fixture
def start():
    started = []

    def run(how):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process, Witnessed(process.pid, int(process.stdout.readline()))

    yield run
    for process in started:
        process.kill()
        process.communicate()


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_stack_while_the_gil_is_held(start):
    process, witnessed = start("hold")
    before = witnessed.size()
    go(process)

    def shown():
        os.kill(process.pid, SHOW)
        text = witnessed.since(before)
        return "in hold" in text and text.endswith("in <module>\n")

    wait_until(shown, 20, "the stack")
    frames = read_faulthandler(witnessed.since(before))
    assert [name for _, _, name in frames] == ["<module>", "hold"]
    assert "solver.py" not in witnessed.since(0)
    assert witnessed.last_note()[1] == "solver.py:3 in step"
    assert witnessed.last_words() == ""
    witnessed.close()


def test_where_a_process_crashed_is_known_afterwards(start):
    process, witnessed = start("crash")
    go(process)
    assert process.wait(20) == -signal.SIGSEGV
    assert where_it_died(witnessed.last_words()).endswith("in crash")
    age, seen = witnessed.last_note()
    assert seen == "solver.py:3 in step"
    assert 0 <= age < 60
    witnessed.close()


def test_a_process_that_is_stopped_is_told_from_one_that_runs(start):
    process, witnessed = start("hold")
    assert witnessed.stopped() == ""
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: witnessed.stopped() == "stopped by a signal", 20, "the stop")
    assert witnessed.halted() == witnessed.stopped()
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: witnessed.stopped() == "", 20, "that it goes on")
    witnessed.close()


def test_a_thread_that_has_ended_is_not_waited_for():
    """What is silent then is not said to hold the GIL."""
    witness = Witness()
    witnessed = Witnessed(os.getpid(), witness.fd)
    assert witnessed.stopped() == ""
    begun, end = threading.Event(), threading.Event()

    def answers():
        witness.introduce()
        begun.set()
        end.wait(20)

    thread = threading.Thread(target=answers)
    thread.start()
    assert begun.wait(20)
    assert witnessed.stopped() == ""
    end.set()
    thread.join(20)
    gone = "its thread that answers has ended"
    wait_until(lambda: witnessed.stopped() == gone, 20, "the thread's end")
    witnessed.close()
    os.close(witness.fd)


def test_what_is_no_memory_is_not_waited_for():
    """The end of a pipe would wait for the other one to be opened."""
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="no memory"):
            Witnessed(os.getpid(), reading)
    finally:
        os.close(reading)
        os.close(writing)


def test_the_memory_is_emptied_now_and_then():
    witness = Witness()
    witnessed = Witnessed(os.getpid(), witness.fd)
    for _ in range(40):
        witness.note("x" * (LARGEST // 20))
    assert witnessed.size() < 2 * LARGEST
    witness.note("the last")
    assert witnessed.last_note()[1] == "the last"
    witnessed.close()
    os.close(witness.fd)

"""An interrupt that main raises when its call ends, and that can be taken back."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager

import pytest

from steer.engines.interrupting import SIGNAL, Interrupt
from steer.testing.waiting import wait_until


@pytest.fixture
def interrupt():
    before = signal.getsignal(SIGNAL)
    made = Interrupt()
    made.install()
    yield made
    signal.signal(SIGNAL, before)


@contextmanager
def ended_by(work):
    """A pipe from which main reads; it gets a byte when another thread has done this
    with the frame in which main reads."""
    reading, writing = os.pipe()
    said = []
    main = threading.main_thread().ident

    def in_read():
        return sys._current_frames()[main].f_code.co_name == "read"

    def job():
        try:
            wait_until(in_read, 10, "main to read")
            said.append(work(sys._current_frames()[main]))
        finally:
            os.write(writing, b"x")

    thread = threading.Thread(target=job, name="steer-test")
    thread.start()
    try:
        yield reading, said
    finally:
        thread.join(10)
        os.close(reading)
        os.close(writing)


def read(pipe, log):
    got = os.read(pipe, 1)
    log.append(got)


def test_main_raises_before_it_sees_what_ended_its_call(interrupt):
    log = []
    setting = ended_by(lambda frame: interrupt.set("t", frame))
    with setting as (pipe, said), pytest.raises(KeyboardInterrupt):
        read(pipe, log)
    assert said == [""]
    assert log == []
    assert (interrupt.raised, interrupt.pending) == ("t", "")
    assert interrupt.came.is_set()


def test_a_handler_of_the_programs_for_sigint_makes_no_difference(interrupt):
    called, log = [], []
    before = signal.signal(signal.SIGINT, lambda *_: called.append(1))
    try:
        setting = ended_by(lambda frame: interrupt.set("t", frame))
        with setting as (pipe, _), pytest.raises(KeyboardInterrupt):
            read(pipe, log)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not called
    assert not log


def test_it_can_be_taken_back(interrupt):
    def set_and_take_back(frame):
        interrupt.set("t", frame)
        interrupt.take_back("another")
        assert interrupt.pending == "t"
        interrupt.take_back("t")
        return interrupt.pending

    log = []
    with ended_by(set_and_take_back) as (pipe, said):
        read(pipe, log)
    assert log == [b"x"]
    assert said == [""]
    assert interrupt.raised == ""


def test_it_stays_once_something_was_done(interrupt):
    def set_and_keep(frame):
        interrupt.set("t", frame)
        assert not interrupt.keep("another")
        assert interrupt.keep("t")
        interrupt.set("u", frame)  # the next try
        interrupt.take_back("u")
        return interrupt.pending

    with ended_by(set_and_keep) as (pipe, said), pytest.raises(KeyboardInterrupt):
        read(pipe, [])
    assert said == ["u"]
    assert interrupt.raised == "u"


def test_nothing_is_raised_where_the_users_code_is_over(interrupt):
    """Our own steps are never cut in half."""

    def users():
        return sys._getframe()

    names = {}
    exec(compile("def carry(run): return run()", "<frozen carry>", "exec"), names)
    over = names["carry"](users)
    assert interrupt.set("t", over) == ""
    assert (interrupt.raised, interrupt.pending) == ("", "")


def test_a_sigint_that_was_there_before_is_enough(interrupt):
    def both(frame):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        return interrupt.set("t", frame)

    def first(signum, frame):
        raise KeyboardInterrupt("the first")

    log = []
    before = signal.signal(signal.SIGUSR1, first)
    try:
        with ended_by(both) as (pipe, _):
            try:
                read(pipe, log)
            except KeyboardInterrupt as error:
                log.append(str(error))
                log.append("handled")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert log == ["the first", "handled"]
    assert interrupt.raised == "t"


def test_a_signal_that_the_program_has_taken_is_refused(interrupt):
    signal.signal(SIGNAL, signal.SIG_IGN)
    assert "handler of its own" in interrupt.set("t", sys._getframe())
    assert interrupt.pending == ""

"""The one place that waits."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import zmq

from steer.eventloop import Loop


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


def test_jobs_are_done_in_order_in_the_loops_thread(loop):
    done = []
    for number in range(100):
        loop.call_soon(lambda n=number: done.append((n, threading.get_ident())))
    loop.call_soon(loop.stop)
    loop.run()
    assert done == [(n, threading.get_ident()) for n in range(100)]


def test_another_thread_wakes_it(loop):
    heard = []
    thread = threading.Thread(
        target=lambda: (
            [loop.call_soon(lambda n=n: heard.append(n)) for n in range(5000)]
            and loop.call_soon(loop.stop)
        )
    )
    loop.call_later(30, loop.stop)
    thread.start()
    loop.run()
    thread.join()
    assert heard == list(range(5000))


def test_a_signal_handler_may_call_soon(loop):
    old = signal.signal(signal.SIGUSR1, lambda *_: loop.call_soon(loop.stop))
    try:
        loop.call_soon(lambda: os.kill(os.getpid(), signal.SIGUSR1))
        loop.call_later(30, lambda: pytest.fail("the signal did not wake the loop"))
        loop.run()
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_a_signal_that_another_thread_gets_wakes_it(loop):
    """So does one that comes just before the poll, which no test can aim at."""
    old = signal.signal(signal.SIGUSR1, lambda *_: loop.call_soon(loop.stop))
    loop.wake_on_signals()
    polls = threading.Event()

    def get_one() -> None:
        polls.wait(30)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    thread = threading.Thread(target=get_one)
    thread.start()
    try:
        loop.call_soon(polls.set)
        loop.call_later(10, lambda: pytest.fail("the signal did not wake the loop"))
        loop.run()
    finally:
        signal.signal(signal.SIGUSR1, old)
        thread.join()


def test_timers_come_in_order_and_not_too_early(loop):
    done = []
    began = time.monotonic()
    for seconds in (0.03, 0.01, 0.02):
        loop.call_later(seconds, lambda s=seconds: done.append(s))
    cancelled = loop.call_later(0.015, lambda: done.append("never"))
    cancelled.cancel()
    loop.call_later(0.03, loop.stop)
    loop.run()
    assert done == [0.01, 0.02, 0.03]
    assert time.monotonic() - began >= 0.03


def test_a_job_of_a_job_is_done_too(loop):
    loop.call_soon(lambda: loop.call_soon(loop.stop))
    loop.run()


def test_sockets_and_descriptors_until_removed(loop):
    read, write = os.pipe()
    context = zmq.Context()
    a, b = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    a.bind("inproc://x")
    b.connect("inproc://x")
    heard = []

    def on_pipe():
        heard.append(os.read(read, 10))
        loop.remove_reader(read)
        os.write(write, b"unheard")
        b.send(b"two")

    def on_socket():
        heard.append(a.recv())
        loop.call_soon(loop.stop)

    loop.add_reader(read, on_pipe)
    loop.add_reader(a, on_socket)
    loop.remove_reader(12345)
    os.write(write, b"one")
    loop.run()
    assert heard == [b"one", b"two"]
    for sock in (a, b):
        sock.close(0)
    context.term()
    os.close(read)
    os.close(write)


def test_an_error_comes_out_of_run(loop):
    def fail():
        raise ZeroDivisionError

    loop.call_soon(fail)
    with pytest.raises(ZeroDivisionError):
        loop.run()


def test_waiting_costs_nothing(loop):
    loop.call_later(0.2, loop.stop)
    began = time.thread_time()
    loop.run()
    assert time.thread_time() - began < 0.05

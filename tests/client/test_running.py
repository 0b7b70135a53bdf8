"""What needs no rank: signals, as events."""

from __future__ import annotations

import os
import signal
import threading

from steer.client.running import _Signals

SECONDS = 10


def test_a_signal_is_heard_though_it_does_not_end_the_wait():
    """One that another thread gets leaves main waiting, as one does that comes just
    before main begins to."""

    def interrupt():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        os.kill(os.getpid(), signal.SIGUSR2)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        with _Signals() as signals:
            signals.attend()
            later = threading.Timer(0.2, interrupt)
            later.start()
            heard = {signals.events.get(timeout=SECONDS) for _ in range(2)}
            later.join()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert heard == {("heard", None), ("signal", signal.SIGUSR2)}


def test_nothing_is_left_of_it():
    before = signal.getsignal(signal.SIGTERM), threading.active_count()
    with _Signals() as signals:
        signals.attend()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.events.get(timeout=SECONDS) in (
            ("signal", signal.SIGTERM), ("heard", None),
        )  # fmt: skip
    for thread in threading.enumerate():
        if thread.name.endswith("(_wake)"):
            thread.join(SECONDS)
    assert (signal.getsignal(signal.SIGTERM), threading.active_count()) == before
    assert signal.set_wakeup_fd(-1) == -1

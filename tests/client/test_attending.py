"""Waiting for a run: the answer, what is said meanwhile, and ways to leave."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from steer.client.attending import Attending, attended
from steer.errors import HubUnreachable, NotYet
from steer.testing.waiting import wait_until
from steer.wire.messages import News
from tests.client.screen import in_terminal


class Steering:
    """What hears of runs; here a test says what."""

    def __init__(self) -> None:
        self.listeners: list[Any] = []

    def say(self, kind: str, text: str, run: str = "sim", **facts: Any) -> None:
        for listener in list(self.listeners):
            listener(News(run, f"{run}/step", kind, text, facts=facts))


@pytest.fixture
def steering() -> Steering:
    return Steering()


def answered(news: News) -> Future[News]:
    future: Future[News] = Future()
    future.set_result(news)
    return future


def test_the_answer_is_given_and_nothing_stays(steering: Steering):
    news = News("sim", "sim/step", "stopped", "stopped at point 3")

    assert Attending(steering, "sim", "stop").wait(lambda: answered(news)) is news
    assert steering.listeners == []
    assert attended == []


def test_who_waits_for_a_condition_hears_that_it_fails(steering: Steering):
    def ask() -> Future[News]:
        steering.say("done", "until x>1: failed: NameError", errors={"NameError": "0"})
        steering.say("done", "tick(): failed", errors={"NameError": "0"})
        steering.say("done", "until y>1: no more")
        return Future()

    with pytest.raises(NotYet, match=r"0.01 s. until x>1: failed: NameError."):
        Attending(steering, "sim", "until").wait(ask, timeout=0.01)
    with pytest.raises(NotYet) as caught:
        Attending(steering, "sim", "stop").wait(ask, timeout=0.01)
    assert "NameError" not in str(caught.value)


def test_time_may_be_over_and_one_hears_why_and_what_to_do(steering: Steering):
    def ask() -> Future[News]:
        steering.say("waiting", "Rank 3 runs.")
        steering.say("waiting", "Rank 5 runs.", run="other")
        return Future()

    with pytest.raises(NotYet) as caught:
        Attending(steering, "sim", "stop").wait(ask, timeout=0.01)

    text = str(caught.value)
    assert text.startswith("Not yet after 0.01 s. Rank 3 runs. The stop is still")
    assert "Rank 5" not in text
    assert steering.listeners == []


def test_what_went_wrong_is_raised(steering: Steering):
    future: Future[News] = Future()
    future.set_exception(HubUnreachable("The hub is gone."))

    with pytest.raises(HubUnreachable):
        Attending(steering, "sim", "stop").wait(lambda: future)


def test_ctrl_c_ends_the_waiting_only(steering: Steering):
    future: Future[News] = Future()

    def press() -> None:
        wait_until(lambda: steering.listeners, 10, "somebody to wait")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt, match="The stop is still wanted"):
        Attending(steering, "sim", "stop").wait(lambda: future, timeout=20)
    thread.join()

    assert not future.cancelled()
    assert steering.listeners == []


WAITING = """
import termios
from concurrent.futures import Future
from steer.client.attending import Attending
from steer.wire.messages import News

quiet = termios.tcgetattr(0)
quiet[3] &= ~termios.ECHO
termios.tcsetattr(0, termios.TCSANOW, quiet)

class Steering:
    listeners = []

future = Future()

def say(kind, text):
    for listener in Steering.listeners:
        listener(News("sim", "sim/step", kind, text))

def ask():
    import threading
    say("waiting", "Rank 3 runs.")
    def answer():
        input()
        future.set_result(News("sim", "sim/step", "stopped", "stopped at point 3"))
    threading.Thread(target=answer).start()
    return future

print(Attending(Steering, "sim", "stop").wait(ask).text)
"""


def test_a_terminal_shows_what_it_waits_for_until_the_answer():
    with in_terminal(WAITING) as session:
        assert session.read_until(lambda text: "Rank 3 runs." in text)
        session.type("\n")
        shown = session.read_all()

    assert shown.strip() == "stopped at point 3"

"""Waiting for numbers of a run ends, whatever becomes of the run."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from steer.client.curves import MOST
from steer.client.steering import Steering
from steer.client.watches import Watching
from steer.errors import HubUnreachable, NotYet, PlanError, SteerError
from steer.testing.waiting import wait_until
from steer.wire.frames import pack
from steer.wire.messages import News, Sample

SECONDS = 20.0


class Run(Watching):
    """A run that watches `residual`, as plan 5."""

    name = "sim"

    def __init__(self):
        link = SimpleNamespace(trouble=None)
        self.steering = link.steering = Steering(link)
        self.client = SimpleNamespace(link=link)
        self.watched_now = self._watch_of(5, "residual")

    def numbers(self, first, last):
        rows = [(point, 1.0, 2.0, 3.0, 0, 1) for point in range(first, last + 1)]
        self.steering.heard(Sample("sim", 5, last), [pack(rows)])

    def tell(self, kind, **facts):
        self.steering.heard(News("sim", "sim/step", kind, "text", facts=facts), [])

    def lose_the_hub(self):
        self.client.link.trouble = HubUnreachable("it is gone")
        self.steering.trouble(self.client.link.trouble)


@pytest.fixture
def run():
    return Run()


@pytest.fixture
def waiting(run):
    """Waits for 10 points, and has what became of that."""
    ended = []

    def wait():
        try:
            ended.append(run.watched_now.wait(10, timeout=SECONDS))
        except SteerError as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: run.watched_now.changed._waiters, SECONDS, "somebody to wait")
    yield lambda: (thread.join(SECONDS), ended)[1]
    thread.join(SECONDS)


def test_it_ends_when_the_numbers_are_there(run, waiting):
    run.numbers(1, 4)
    run.numbers(3, 10)  # some again, as after a hub's restart
    assert waiting() == [run.watched_now]


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("planned", {"plan": 6, "ends": 5}),
        ("dropped", {"plan": 5, "over": True}),
        ("over", {}),
    ],
)
def test_it_ends_when_no_more_can_come(run, waiting, kind, facts):
    run.numbers(1, 4)
    run.tell(kind, **facts)
    (error,) = waiting()
    assert isinstance(error, PlanError)
    assert "numbers of 4 points have come, and not 10" in str(error)


def test_it_ends_when_the_hub_is_gone(run, waiting):
    run.lose_the_hub()
    (error,) = waiting()
    assert isinstance(error, HubUnreachable)


def test_points_count_and_not_what_is_kept_of_them(run):
    n = 3 * MOST
    run.numbers(1, n)
    watch = run.watched_now
    assert watch.wait(n, timeout=SECONDS) is watch
    assert len(watch.curve) <= MOST
    with pytest.raises(NotYet, match=f"{n} points have come in 0 s, not {n + 1}"):
        watch.wait(n + 1, timeout=0)


def test_what_ended_before_is_waited_for_no_more(run):
    run.numbers(1, 2)
    run.tell("over")
    assert run.watched_now.wait(2, timeout=SECONDS).ended
    with pytest.raises(PlanError):
        run.watched_now.wait(3, timeout=SECONDS)

"""How far loops are: what is told, how often, and what it costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

import steer
from steer.engines import here
from steer.engines.progress import INTERVAL, Bars
from steer.eventloop import Loop
from steer.testing.waiting import wait_until
from steer.wire.frames import unpack

State = tuple[int, str, int, int | None]


class Rank:
    """Bars with a loop's thread, and what they told."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.told: list[tuple[str, State]] = []
        self.times: list[float] = []
        self.bars = Bars(self.loop, self._hear)
        self.bars.begin("a-1")
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def _hear(self, request: str, body: bytes) -> None:
        self.times.append(time.monotonic())
        self.told.append((request, tuple(unpack(body))))

    def publish(self, values: object) -> None:
        """Be the publisher of this process."""

    def last(self) -> State:
        return self.told[-1][1]

    def end(self) -> list[State]:
        return [tuple(unpack(body)) for body in self.bars.end()]

    def close(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


@pytest.fixture
def rank(monkeypatch) -> Iterator[Rank]:
    rank = Rank()
    monkeypatch.setattr(here, "current", rank)
    yield rank
    rank.close()


def told(rank: Rank, *states: State) -> None:
    """Wait until these were told last."""
    wait_until(
        lambda: tuple(s for _, s in rank.told[-len(states) :]) == states, 5, states
    )


def test_anywhere_else_it_is_the_iterable():
    items = [1, 2]
    assert steer.progress(items) is items
    assert here.current is None


def test_items_pass_and_the_end_is_told(rank):
    assert list(steer.progress(range(5), "steps")) == [0, 1, 2, 3, 4]
    assert rank.end() == [(0, "steps", 5, 5)]


def test_it_is_told_while_it_goes_on(rank):
    bar = iter(steer.progress("abc", label="letters"))
    next(bar)
    told(rank, (0, "letters", 0, 3))
    next(bar)
    told(rank, (0, "letters", 1, 3))  # before the next item: it may take an hour
    assert rank.told[-1][0] == "a-1"


def test_a_total_is_found_given_or_none(rank):
    list(steer.progress(iter("ab")))
    assert rank.end() == [(0, "", 2, None)]
    rank.bars.begin("a-2")
    list(steer.progress(iter("ab"), total=9))
    assert rank.end() == [(0, "", 2, 9)]


def test_a_loop_left_early_leaves_its_state(rank):
    for item in steer.progress(range(10)):
        if item == 3:
            break
    assert rank.end() == [(0, "", 3, 10)]
    rank.bars.begin("a-2")
    with pytest.raises(ZeroDivisionError):
        [1 // (2 - item) for item in steer.progress(range(10))]
    assert rank.end() == [(0, "", 2, 10)]


def test_fast_loops_tell_seldom(rank):
    began = time.monotonic()
    loops = 0
    while time.monotonic() - began < 5 * INTERVAL:
        loops += 1
        list(steer.progress(range(1000), "inner"))
    took = time.monotonic() - began
    assert loops > 20
    assert len(rank.told) <= took / INTERVAL + 1
    assert all(
        b - a > INTERVAL / 2 for a, b in zip(rank.times, rank.times[1:], strict=False)
    )


def test_a_loop_in_a_loop_has_one_bar(rank):
    for _ in steer.progress(range(3), "outer"):
        for _ in steer.progress(range(2), "inner"):
            pass
    assert rank.end() == [(0, "outer", 3, 3), (1, "inner", 2, 2)]


def test_the_next_request_begins_anew(rank):
    old = iter(steer.progress(range(3), "old"))
    next(old)
    rank.end()
    rank.bars.begin("a-2")
    list(old)
    list(steer.progress(range(1), "new"))
    assert rank.end() == [(0, "new", 1, 1)]


def test_what_was_told_is_not_told_again(rank):
    list(steer.progress(range(3)))
    told(rank, (0, "", 3, 3))
    assert rank.end() == []


def test_nobody_looks_at_a_count_that_stands_still(rank):
    bar = iter(steer.progress(range(3)))
    next(bar)
    wait_until(lambda: rank.told and rank.bars.resting, 5, "rest")
    assert rank.loop._patience() is None


def test_many_ranks_tell_more_seldom(rank):
    rank.bars.share_with(100)
    assert rank.bars._interval == INTERVAL
    rank.bars.share_with(10_000)
    assert rank.bars._interval == 5.0


def test_a_label_that_cannot_travel_is_told_somehow(rank):
    list(steer.progress("a", "half \ud800"))
    assert rank.end() == [(0, "half \\ud800", 1, 1)]


def test_an_item_costs_little(rank):
    def cost(items: object) -> float:
        began = time.perf_counter()
        for _ in items:  # type: ignore[attr-defined]
            pass
        return (time.perf_counter() - began) / 200_000

    plain = min(cost(range(200_000)) for _ in range(5))
    shown = min(cost(steer.progress(range(200_000))) for _ in range(5))
    # 60 ns on an idle machine; a message for each would be a hundred times that.
    assert shown - plain < 2e-6

"""How far things are, as a line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steer.client import bars
from steer.client.client import Client

from .acting import ActingLink, acting

Acting = tuple[Client, ActingLink]


@pytest.fixture
def four() -> Iterator[Acting]:
    with acting(4) as pair:
        yield pair


@pytest.mark.parametrize(
    ("fraction", "seen"),
    [
        (0, "▕          ▏"),
        (0.5, "▕█████     ▏"),
        (0.55, "▕█████▌    ▏"),
        (1, "▕██████████▏"),
        (7, "▕██████████▏"),
        (-1, "▕          ▏"),
    ],
)
def test_a_bar(fraction: float, seen: str) -> None:
    assert bars.bar(fraction) == seen


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04, "0.0 s"), (3.21, "3.2 s"), (9.97, "10 s"), (59.4, "59 s"),
        (60, "1 min 00 s"), (320, "5 min 20 s"), (3600 * 3 + 300, "3 h 05 min"),
    ],
)  # fmt: skip
def test_times_for_people(value: float, text: str) -> None:
    assert bars.seconds(value) == text


def test_a_loop_on_many_ranks_is_one_line() -> None:
    ranks = {0: (48, 100), 1: (50, 100), 2: (48, 100), 3: (41, 100)}
    assert bars.of_loop("relax", ranks) == (
        "relax ▕████▋     ▏ min 41 (r3)  med 48  max 50 of 100"
    )
    assert bars.of_loop("", {0: (3, None)}) == "progress 3"
    assert bars.of_loop("x", {0: (3, None), 1: (5, None)}) == (
        "x min 3 (r0)  med 3  max 5"
    )
    assert bars.of_loop("x", {0: (5, 10), 1: (5, 10)}) == "x ▕█████     ▏ 5 of 10"


def test_loops_of_different_lengths_are_told_in_percent() -> None:
    assert bars.of_loop("x", {0: (5, 10), 1: (4, 5), 2: (0, 0)}) == (
        "x min 50% (r0)  med 80%  max 100%"
    )


def test_loops_that_are_over_are_not_shown() -> None:
    loops = bars.Loops()
    loops.hear(0, 0, "a", 3, 10)
    loops.hear(1, 0, "a", 10, 10)
    loops.hear(0, 1, "b", 7, 7)
    assert loops.lines() == ["a ▕██████▌   ▏ min 3 (r0)  med 3  max 10 of 10"]
    loops.hear(0, 0, "next", 1, 2)  # the same bar, for another loop
    assert loops.lines() == ["next ▕█████     ▏ 1 of 2"]


def test_how_far_a_cell_is(four: Acting) -> None:
    rc, link = four
    link.hold = link.split_answers = True
    result = rc[:].execute("1", block=False)
    assert "0 of 4 ranks done" in bars.of_result(result)
    assert "still" not in bars.of_result(result)
    link.settled()
    for done, rest in enumerate(("ranks 1-3 still run", "ranks 2-3", "rank 3"), 1):
        link.release_one()
        link.settled()
        assert f"{done} of 4 ranks done" in bars.of_result(result)
        assert rest in bars.of_result(result)
    link.release()


def test_how_far_a_map_is(four: Acting) -> None:
    rc, link = four
    link.hold = True
    result = rc[:].map_async(abs, range(10))
    link.settled()
    assert bars.of_result(result).startswith("abs ▕          ▏ 0 of 10 tasks")
    link.release_one()
    link.settled()
    line = bars.of_result(result)
    assert line.startswith("abs ▕███       ▏ 3 of 10 tasks")
    assert "/s" in line
    assert line.endswith("left")
    link.release()
    result.wait(5)
    assert bars.of_result(result).startswith("abs ▕██████████▏ 10 of 10 tasks")


def test_rates() -> None:
    assert "  1,000/s  about 1.0 s left" in bars.counted("f", 1000, 2000, "tasks", 1)
    assert "  0.6/min  about 5 min 00 s left" in bars.counted("f", 1, 4, "tasks", 100)


def test_how_far_a_start_is() -> None:
    assert bars.of_start(2, 4, 3.0, "mpiexec") == (
        "starting ▕█████     ▏ 2 of 4 ranks are here  3.0 s  "
        "the others come with mpiexec"
    )
    assert bars.of_start(4, 4, 3.0, "mpiexec").endswith("4 of 4 ranks are here  3.0 s")


def test_tasks_have_a_rate_and_an_end() -> None:
    assert bars.counted("map", 25, 100, "tasks", 5.0, failed=2) == (
        "map ▕██▌       ▏ 25 of 100 tasks, 2 failed  5.0 s  5.0/s  about 15 s left"
    )
    assert bars.counted("map", 25, 100, "tasks", 5.0, rate=15.0) == (
        "map ▕██▌       ▏ 25 of 100 tasks  5.0 s  15/s  about 5.0 s left"
    )
    assert bars.counted("", 7, None, "items", 2.0) == "7 items  2.0 s  3.5/s"


def test_the_rate_is_that_of_the_later_half() -> None:
    """A slow start is forgotten: 10 s with nothing, then ten a second."""
    pace = bars.Pace(100.0)
    rates = []
    for tenth in range(1, 401):
        now = 100.0 + tenth / 10
        rates.append(pace.rate(max(0, tenth - 100), now))

    assert rates[50] == 0.0
    assert rates[-1] == pytest.approx(10, rel=0.05)
    assert 5 < rates[150] < 10


def test_a_pace_forgets_what_is_long_past() -> None:
    pace = bars.Pace(0.0)
    for done in range(100_000):
        pace.rate(done, done * 0.01)

    assert len(pace._samples) < 100
    assert pace.rate(100_000, 1000.0) == pytest.approx(100)


def test_no_time_no_rate() -> None:
    assert bars.Pace(5.0).rate(3, 5.0) == 0.0

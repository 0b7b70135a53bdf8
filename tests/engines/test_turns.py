"""Whether main had a core in a span of time, as the kernel counts it."""

from __future__ import annotations

import threading
import time

import pytest

from steer.engines.turns import Turns, of_main, without


@pytest.mark.parametrize(
    ("after", "had_none"),
    [
        (Turns(1.1, 5.0, True), 0.0),  # it ran all the time
        (Turns(1.0, 5.0, True), 0.1),  # it would have, and never came to it
        (Turns(1.04, 5.01, True), 0.06),
        (Turns(1.0, 5.0, False), 0.0),  # it slept: in a call that does
        (Turns(1.0, 5.08, False), 0.08),  # it slept after it had waited long
        (Turns(1.0, 9.0, False), 0.1),
        (None, 0.0),
    ],
)
def test_how_long_it_had_no_core(after, had_none):
    assert without(Turns(1.0, 5.0, True), after, 0.1) == pytest.approx(had_none)


def test_nothing_is_known_from_nothing():
    assert without(None, Turns(1.0, 5.0, True), 0.1) == 0.0


def test_the_kernel_knows_of_main():
    before = of_main()
    if before is None:
        pytest.skip("this kernel does not count that")
    seen: list[Turns | None] = []
    thread = threading.Thread(target=lambda: seen.append(of_main()))
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    thread.start()
    thread.join()  # main sleeps meanwhile
    (after,) = seen
    assert after is not None
    assert after.ran - before.ran >= 0.04

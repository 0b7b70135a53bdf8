"""A watch in a notebook: drawn when numbers come, not more often than one can see."""

from __future__ import annotations

from typing import Any

import pytest

from steer.client import live, livecurve
from steer.client.curves import Curve, Sample
from steer.client.livecurve import EVERY, Picture


class Watch:
    """What a picture needs of one."""

    def __init__(self) -> None:
        self.curve = Curve("residual")
        self.listeners: list[Any] = []

    def took(self, point: int) -> None:
        self.curve.add(Sample(point, 1.0, 2.0, 3.0))
        for listener in list(self.listeners):
            listener(self)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], str, bool]]:
    published: list[tuple[dict[str, str], str, bool]] = []

    def publish(data: Any, metadata: Any, name: str, *, update: bool) -> None:
        published.append((data, name, update))

    monkeypatch.setattr(live, "publish", publish)
    return published


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(livecurve.time, "monotonic", lambda: now[0])
    return now


def test_one_output_is_drawn_anew(shown: Any, clock: list[float]):
    watch, waiting = Watch(), []
    Picture(watch, lambda seconds, job: waiting.append((seconds, job)))
    clock[0] += 1
    watch.took(1)

    assert [update for _, _, update in shown] == [False, True]
    assert len({name for _, name, _ in shown}) == 1
    assert "nothing yet" in shown[0][0]["text/plain"]
    assert "point 1: min 1" in shown[1][0]["text/plain"]
    assert shown[1][0]["text/html"].startswith("<svg")
    assert waiting == []


def test_many_numbers_are_one_picture_and_the_last_is_on_it(
    shown: Any, clock: list[float]
):
    watch, waiting = Watch(), []
    Picture(watch, lambda seconds, job: waiting.append((seconds, job)))
    for point in range(1, 50):
        clock[0] += 0.001
        watch.took(point)

    assert len(shown) == 1
    ((seconds, job),) = waiting
    assert seconds == pytest.approx(EVERY - 0.001)
    clock[0] += seconds
    job()
    assert "point 49" in shown[-1][0]["text/plain"]
    clock[0] += EVERY
    watch.took(50)
    assert "point 50" in shown[-1][0]["text/plain"]


def test_a_notebook_that_ends_takes_nothing_with_it(
    shown: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch
):
    watch = Watch()
    Picture(watch, lambda seconds, job: None)

    def closed(*_: Any, **__: Any) -> None:
        raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(live, "publish", closed)
    clock[0] += 1
    watch.took(1)
    watch.took(2)

    assert watch.listeners == []


def test_elsewhere_it_is_a_line(capsys: Any):
    watch = Watch()
    watch.took(7)

    livecurve.show(watch, lambda seconds, job: None)

    assert capsys.readouterr().out.startswith("residual  ▁  point 7: min 1")

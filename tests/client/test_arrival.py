"""Waiting for engines."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from steer.client import bars
from steer.client.arrival import arriving
from steer.client.client import Client
from steer.errors import EngineError, HubUnreachable, LaunchError
from steer.testing.waiting import wait_until

from .acting import ActingLink, acting
from .kernels import notebook

Acting = tuple[Client, ActingLink]


@pytest.fixture
def two() -> Iterator[Acting]:
    with acting(2) as pair:
        yield pair


def soon(action: object, *arguments: object) -> None:
    """Do it while the test waits."""
    threading.Timer(0.01, action, arguments).start()  # type: ignore[arg-type]


def test_engines_that_are_here_need_no_waiting(two: Acting) -> None:
    two[0].wait_for_engines(2, timeout=0)
    with pytest.raises(TypeError, match="n engines to wait for must be specified"):
        two[0].wait_for_engines()


def test_it_returns_when_they_come(two: Acting) -> None:
    rc, link = two
    soon(link.join, [2, 3])
    rc.wait_for_engines(4, timeout=10)
    assert rc.ids == [0, 1, 2, 3]


def test_a_future_if_it_shall_not_block(two: Acting) -> None:
    rc, link = two
    future = rc.wait_for_engines(3, block=False)
    assert not future.done()
    link.join([2])
    future.result(10)


def test_time_is_over(two: Acting) -> None:
    with pytest.raises(TimeoutError) as caught:
        two[0].wait_for_engines(5, timeout=0.01)
    assert str(caught.value) == (
        "5 engines not ready in 0.01 seconds. Currently ready: 2"
    )


def test_a_job_that_ended_says_why_at_once(two: Acting) -> None:
    rc, link = two
    link.jobs = [{"job": "a", "n": 2, "running": True}]
    soon(lambda: link.notice("job_ended", job="b", how="x", text="It died of this."))
    with pytest.raises(LaunchError, match=r"It died of this\."):
        rc.wait_for_engines(4, timeout=10)


def test_an_old_end_does_not_matter_if_enough_may_come(two: Acting) -> None:
    rc, link = two
    link.notice("job_ended", job="b", how="x", text="Old story.")
    link.jobs = [{"job": "c", "n": 4, "running": True}]
    soon(link.join, [2, 3])
    rc.wait_for_engines(4, timeout=10)


def test_a_problem_ends_it(two: Acting) -> None:
    rc, link = two
    soon(lambda: link.notice("problem", job="b", text="Four worlds of one."))
    with pytest.raises(LaunchError, match="Four worlds of one"):
        rc.wait_for_engines(4, timeout=10)


def test_an_engine_that_leaves_ends_it(two: Acting) -> None:
    rc, link = two
    link.jobs = [{"job": "a", "n": 3, "running": True}]
    soon(link.leave, 1, "Engine 1 was killed.")
    with pytest.raises(EngineError, match="Engine 1 was killed"):
        rc.wait_for_engines(3, timeout=10)


def test_a_lost_hub_ends_it(two: Acting) -> None:
    rc, link = two
    soon(link.cut)
    with pytest.raises(HubUnreachable):
        rc.wait_for_engines(4, timeout=10)


def test_a_notebook_sees_who_is_here_and_keeps_the_end(two: Acting) -> None:
    rc, link = two
    with notebook() as outputs:
        future = rc.wait_for_engines(4, timeout=10, interactive=True, block=False)
        wait_until(lambda: outputs.shown, 5, "a bar")
        assert outputs.texts[0].startswith(
            "starting ▕█████     ▏ 2 of 4 ranks are here"
        )
        link.join([2, 3])
        future.result(10)
    (text,) = outputs.texts
    assert text.startswith("starting ▕██████████▏ 4 of 4 ranks are here")


def test_it_is_said_after_a_while_and_only_then(
    two: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    rc, link = two
    monkeypatch.setattr(bars, "PROGRESS_AFTER", 0.05)
    with notebook() as outputs:
        with pytest.raises(TimeoutError):
            rc.wait_for_engines(4, timeout=0.2)
        assert "2 of 4 ranks are here" in outputs.texts[0]
    with notebook() as outputs:
        with pytest.raises(TimeoutError):
            rc.wait_for_engines(4, timeout=0.2, interactive=False)
        soon(link.join, [2, 3])
        monkeypatch.setattr(bars, "PROGRESS_AFTER", 30)
        rc.wait_for_engines(4, timeout=10)
    assert outputs.shown == []


def test_a_bar_of_a_start_that_fails_is_not_left_behind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with contextlib.suppress(LaunchError), arriving(4, 0, "mpiexec") as arrival:
        arrival.tell(1)
        raise LaunchError("It did not come up.")
    assert capsys.readouterr().err == ""  # and nothing at all in a file

"""Output while it comes, and how far a result is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steer.client import showing
from steer.client.client import Client
from steer.testing.waiting import wait_until
from steer.wire.messages import Piece, Stream

from .acting import ActingLink, acting
from .kernels import notebook

Acting = tuple[Client, ActingLink]


@pytest.fixture
def two() -> Iterator[Acting]:
    with acting(2) as pair:
        yield pair


def test_waiting_interactively_leaves_one_line_in_a_file(
    two: Acting, capsys: pytest.CaptureFixture[str]
) -> None:
    rc, link = two
    link.hold = True
    result = rc[:].apply_async(abs, 1)
    result.wait_interactive(timeout=0)
    assert capsys.readouterr().err.startswith("abs ▕          ▏ 0 of 2 ranks done")
    link.settled()
    link.release()
    result.wait_interactive(timeout=5)
    shown = capsys.readouterr().err
    assert shown.startswith("abs ▕██████████▏ 2 of 2 ranks done")
    assert shown.count("\n") == 1


def test_what_is_measured_shows_a_bar_and_nothing_else(
    two: Acting, capsys: pytest.CaptureFixture[str]
) -> None:
    rc, link = two
    link.hold = True
    with notebook() as outputs:
        result = rc[:].execute("print('x')", silent=False)
        with result.measure_progress(0):
            wait_until(lambda: outputs.shown, 5, "a bar")
            assert outputs.texts[0].startswith("execute ▕          ▏ 0 of 2 ranks done")
            link.settled()
            link.release()
            result.wait(5)
    assert outputs.texts == [""]
    assert capsys.readouterr().out == ""


def test_a_bar_is_drawn_again_while_nothing_happens(
    two: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "REFRESH", 0.1)
    rc, link = two
    link.hold = True
    with notebook() as outputs:
        result = rc[:].execute("1", block=False)
        with result.stream_output(progress_after=0):
            wait_until(lambda: result.wait(0.01) or outputs.published > 2, 5, "bars")
            link.settled()
            link.release()
            result.wait(5)


def test_no_bar_if_nobody_wants_one(two: Acting) -> None:
    rc, link = two
    link.hold = True
    with notebook() as outputs:
        result = rc[:].execute("1", block=False)
        with result.stream_output(progress_after=-1):
            result._requests[0].output(
                Piece(result._requests[0].id, "0-1", Stream.STDOUT), b"x\n"
            )
            wait_until(lambda: outputs.shown, 5, "a line")
            link.settled()
            link.release()
            result.wait(5)
    assert outputs.texts == ["[0-1] (2)  x"]

"""Output while it comes, and how far a result is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steer.client.client import Client
from steer.testing.waiting import wait_until

from .acting import ActingLink, acting

Acting = tuple[Client, ActingLink]


@pytest.fixture
def two() -> Iterator[Acting]:
    with acting(2) as pair:
        yield pair


CELL = "print('from', rank)\nshow({'text/plain': '<plot>'}, {}, {}, False)\nrank + 5"


def test_output_is_shown_while_it_comes(
    two: Acting, capsys: pytest.CaptureFixture[str]
) -> None:
    rc, link = two
    link.hold = True
    result = rc[:].execute(CELL, silent=False)
    seen = ""
    with result.stream_output(fold=False):

        def shown() -> bool:
            nonlocal seen
            seen += capsys.readouterr().out
            return "[output:1]\n<plot>\n" in seen

        wait_until(shown, 5, "the output of both engines")
        assert not result.done()
        link.release()
        result.wait(5)
    seen += capsys.readouterr().out
    assert seen.count("from 0\n") == seen.count("from 1\n") == 1
    assert "[stdout:0]\nfrom 0\n" in seen
    assert seen.endswith("Out[0:1]: 5\nOut[1:1]: 6\n")


def test_streaming_what_is_finished_shows_all_and_errors(
    two: Acting, capsys: pytest.CaptureFixture[str]
) -> None:
    result = two[0][:].execute("print('no end', end='')\nrank / rank", silent=False)
    result.wait(5)
    with result.stream_output(fold=False):
        pass
    shown = capsys.readouterr()
    assert shown.out == "[stdout:0]\nno end\n[stdout:1]\nno end\nOut[1:1]: 1.0\n"
    assert "[0:execute]:" in shown.err
    assert "division by zero" in shown.err


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

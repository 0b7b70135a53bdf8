"""Output under headings, and output of one engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from steer.client.client import Client
from steer.client.headed import Limit
from steer.testing.waiting import wait_until
from steer.wire.messages import Piece, Stream

from .acting import ActingLink, acting
from .kernels import notebook

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


def test_one_engines_pieces_are_printed_as_they_come(
    two: Acting, capsys: pytest.CaptureFixture[str]
) -> None:
    rc, link = two
    link.hold = True
    result = rc[1].execute("5", silent=False)
    request = result._requests[0]
    link.settled()
    with result.stream_output():
        for text in ("10%", "\r20%"):
            request.output(Piece(request.id, "1", Stream.STDOUT), text.encode())
            wait_until(lambda t=text: capsys.readouterr().out == t, 5, "the piece")
        link.release()
        result.wait(5)
    assert capsys.readouterr().out == "\nOut[1:1]: 5\n"


def test_a_limit_lets_head_and_tail_pass() -> None:
    limit = Limit()
    assert limit.passed("a\nb") == "a\nb"
    assert limit.passed("c\n" * 998) == "c\n" * 998
    assert limit.passed("last of the head\nfirst of the rest\nun") == (
        "last of the head\n"
    )
    for i in range(1000):
        assert limit.passed(f"finished {i}\nun") == ""
    lines = limit.end("result.stdout").splitlines()
    assert lines[0] == "… 801 lines more: result.stdout"
    assert lines[1] == "unfinished 800"
    assert lines[-2:] == ["unfinished 999", "un"]


def test_headings_are_limited_too_in_a_notebook(
    two: Acting, capsys: pytest.CaptureFixture[str]
) -> None:
    result = two[0][:].execute("for i in range(5000): print(i)", silent=False)
    result.wait(5)
    with notebook(), result.stream_output(fold=False):
        pass
    shown = capsys.readouterr().out
    assert "lines more: result.stdout[1]\n" in shown
    assert len(shown.splitlines()) < 2600

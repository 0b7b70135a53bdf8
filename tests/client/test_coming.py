"""A folded result while it comes: in a file, a console, a notebook."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from steer.client import coming, live
from steer.client.client import Client
from steer.testing.waiting import wait_until
from steer.wire.messages import Piece, Stream

from .acting import ActingLink, acting
from .kernels import CONSOLE, NBCLIENT, notebook

Acting = tuple[Client, ActingLink]
Text = pytest.CaptureFixture[str]

CELL = "print('cells', 4096)\nprint('res', 'nan' if rank == 3 else 0.5)\nrank == 3"


@pytest.fixture
def four() -> Iterator[Acting]:
    with acting(4) as pair:
        yield pair


def run(rc: Client, code: str, targets: object = None) -> object:
    result = rc[:].execute(code, silent=False, targets=targets)
    result.wait(30)
    return result


def narrow(text: str) -> str:
    """The text without the columns that `steer.core.folding` aligns."""
    return re.sub(" +", " ", text)


@pytest.mark.parametrize("request_", [None, CONSOLE])
def test_lines_appear_when_all_ranks_have_said_them(
    four: Acting, capsys: Text, request_: object
) -> None:
    rc, link = four
    link.hold = True
    result = rc[:].execute("print('x')\nprint('r', rank == 3)", silent=False)
    seen = ""
    with result.stream_output():

        def shown() -> bool:
            nonlocal seen
            seen += capsys.readouterr().out
            return "differs" in seen

        wait_until(shown, 5, "folded lines")
        assert not result.done()
        link.release()
        result.wait(5)
    seen += capsys.readouterr().out
    assert narrow(seen) == ("[0-3] (4) x\n[0-2] (3) r False\n[3] r True ← differs\n")


def test_the_first_error_is_told_while_others_run(four: Acting, capsys: Text) -> None:
    rc, link = four
    link.hold = link.split_answers = True
    result = rc[:].execute("1 / (rank != 0)", silent=False)
    link.settled()
    seen = ""
    with result.stream_output():
        link.release_one()  # that of rank 0

        def told() -> bool:
            nonlocal seen
            seen += capsys.readouterr().err
            return "1-3 still run: they may wait for rank 0" in seen

        wait_until(told, 5, "the error")
        assert not result.done()
        link.release()
        result.wait(5)
    assert seen.startswith("ZeroDivisionError rank [0] (1 of 4)")
    assert seen.count("division by zero") == 1
    assert capsys.readouterr().err == ""


def test_an_error_that_comes_again_is_told_with_a_line(
    four: Acting, capsys: Text
) -> None:
    rc, link = four
    link.hold = link.split_answers = True
    result = rc[:].execute("1 / (rank > 1)", silent=False)
    link.settled()
    seen = ""
    with result.stream_output():
        link.release_one()

        def told() -> bool:
            nonlocal seen
            seen += capsys.readouterr().err
            return "still run" in seen

        wait_until(told, 5, "the error")
        link.release()
        result.wait(5)
    assert capsys.readouterr().err == (
        "ZeroDivisionError rank [1] (1 of 4), as rank 0\n"
    )


def test_tasks_do_not_wait_for_each_other(four: Acting, capsys: Text) -> None:
    rc, link = four
    link.hold = True
    result = rc[:].map_async(lambda x: 1 / x, range(4))
    link.settled()
    with result.stream_output():
        link.release_one()
        wait_until(lambda: "ZeroDivisionError" in capsys.readouterr().err, 5, "error")
        link.release()
        result.wait(5)
    assert "still run" not in capsys.readouterr().err


def test_a_page_is_updated_and_its_end_replaces_it(four: Acting, capsys: Text) -> None:
    rc, link = four
    link.hold = True
    with notebook(NBCLIENT) as outputs:
        result = rc[:].execute(CELL + "\n1 / (rank != 1)", silent=False)
        with result.stream_output():
            wait_until(lambda: outputs.shown, 5, "the live view")
            assert "[0-3] (4)  cells 4096" in outputs.texts[0]
            link.release()
            result.wait(5)
    (text,) = outputs.texts
    assert text.index("cells") < text.index("Out[0,2-3") < text.index("ZeroDivision")
    assert "still run" not in text
    assert text.count("Traceback") == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_nothing_to_show_makes_no_output(four: Acting) -> None:
    with notebook() as outputs, run(four[0], "x = 1").stream_output():
        pass
    assert outputs.shown == []


@pytest.mark.slow
def test_a_flood_is_not_drawn_line_by_line(
    four: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coming, "FLOOD", 100)
    code = "for i in range(100_000): print('line', i, rank)"
    with notebook() as outputs:
        result = run(four[0], code)
        with result.stream_output():
            pass
    (text,) = outputs.texts
    assert len(text.splitlines()) < 1000
    assert "lines more: result.stdout" in text
    assert outputs.published < 20


def test_a_flood_of_one_rank_in_a_notebook(four: Acting, capsys: Text) -> None:
    result = run(four[0], "for i in range(100_000): print(i)", 2)
    with notebook(), result.stream_output():
        pass
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["0", "1"]
    assert lines[-1] == "99999"
    assert len(lines) < 2000
    assert "lines more: result.stdout" in lines[1000]
    with result.stream_output():  # a terminal or a file takes it all
        pass
    assert len(capsys.readouterr().out.splitlines()) == 100_000


def test_a_question_finds_all_shown_that_led_to_it(four: Acting, capsys: Text) -> None:
    rc, link = four
    link.hold = True
    result = rc[:].execute("if rank == 0: print('Which one')\n0", silent=False)
    link.settled()
    with result.stream_output():
        with live.aside():
            assert "Which one" in capsys.readouterr().out
        link.release()
        result.wait(5)
    assert live.before_questions == []


def test_an_error_of_ours_is_raised_where_the_result_is_shown(
    four: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(coming.Lines, "finish", fail)
    with (
        pytest.raises(RuntimeError, match="no room"),
        run(four[0], "1").stream_output(),
    ):
        pass
    assert not any(t.name == "steer-stream-output" for t in threading.enumerate())


def test_lines_that_have_not_ended_are_seen(four: Acting) -> None:
    rc, link = four
    link.hold = True
    with notebook() as outputs:
        result = rc[:].execute("1", block=False)
        request = result._requests[0]
        piece = Piece(request.id, "0-3", Stream.STDOUT)
        with result.stream_output(progress_after=-1):
            for text in ("\r10%", "\r20%"):
                request.output(piece, text.encode())
                wait_until(
                    lambda t=text: any(t[1:] in shown for shown in outputs.texts),
                    5, "the rank's own bar",
                )  # fmt: skip
            request.output(piece, b"\rdone\nno end")
            wait_until(lambda: "no end" in outputs.texts[0], 5, "half a line")
            assert outputs.texts[0] == "[0-3] (4)  done\n[0-3] (4)  no end"
            link.release()
            result.wait(5)
    assert "20%" not in outputs.texts[0]

"""Output of many ranks, folded: in a file, in a notebook, while it comes."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from steer.client import folded, live
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
    result.wait(5)
    return result


def narrow(text: str) -> str:
    """The text without the columns that `steer.core.folding` aligns."""
    return re.sub(" +", " ", text)


# -- a finished result, as text


def test_what_is_equal_is_shown_once(four: Acting, capsys: Text) -> None:
    run(four[0], CELL).display_outputs()
    assert narrow(capsys.readouterr().out) == (
        "[0-3] (4) cells 4096\n"
        "[0-2] (3) res 0.5\n"
        "[3] res nan ← differs\n"
        "Out[0-3:1]:\n"
        "[0-2] (3) False\n"
        "[3] True ← differs\n"
    )


def test_results_alone_need_no_heading(four: Acting, capsys: Text) -> None:
    run(four[0], "3.2e-4").display_outputs()
    assert capsys.readouterr().out == "[0-3] (4)  0.00032\n"
    run(four[0], CELL).display_outputs(result_only=True)
    shown = capsys.readouterr().out
    assert "cells" not in shown
    assert "[0-2] (3)  False" in shown


def test_who_was_silent_is_listed(four: Acting, capsys: Text) -> None:
    run(four[0], "if rank != 2: print('here')\n0").display_outputs()
    assert "missing: 2\n" in capsys.readouterr().out


def test_one_engine_needs_no_heading(four: Acting, capsys: Text) -> None:
    for targets in (1, [1]):
        run(four[0], "print('here')\nrank", targets).display_outputs()
    shown = capsys.readouterr().out
    assert shown == "here\nOut[1:1]: 1\nhere\nOut[1:2]: 1\n"


def test_displays_in_a_file(four: Acting, capsys: Text) -> None:
    code = (
        "show({'text/plain': '<plot>'}, {}, {}, False)\n"
        "show({'text/plain': str(rank // 2)}, {}, {}, False)"
    )
    run(four[0], code).display_outputs()
    assert capsys.readouterr().out == (
        "[output:0-3]\n<plot>\n[output:0-1]\n0\n[output:2-3]\n1\n"
    )


def test_a_million_lines_are_not_all_shown(four: Acting, capsys: Text) -> None:
    code = "print('\\n'.join(map(str, range(100_000))))"
    run(four[0], code).display_outputs()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 1000
    assert lines[0] == "[0-3] (4)  0"
    assert lines[-1].split() == ["99999"]
    (said,) = [line for line in lines if "lines more" in line]
    assert said.split()[0] == "…"
    assert said.endswith("result.stdout")


@pytest.mark.parametrize(
    "text",
    ["\x00\x07\x1b[2J", "a\tb", "日本語 " * 100, "x" * 100_000, "\ud800", "\r\r\n\x85"],
)
def test_no_text_breaks_it(four: Acting, capsys: Text, text: str) -> None:
    code = f"print({text!r}.encode('utf-8', 'replace').decode())\nrank"
    run(four[0], code).display_outputs()
    with notebook() as outputs, run(four[0], code).stream_output():
        pass
    assert len(outputs.shown) == 1


# -- a finished result, in a notebook


def test_a_notebook_gets_one_output_that_reads_as_text_too(
    four: Acting, capsys: Text
) -> None:
    result = run(four[0], CELL)
    with notebook() as outputs:
        result.display_outputs()
    (text,), (page,) = outputs.texts, outputs.pages
    assert narrow(text).splitlines()[1:3] == [
        "[0-2] (3) res 0.5",
        "[3] res nan ← differs",
    ]
    assert '<span style="color:var(--jp-ui-font-color3' in page
    assert f'<span style="{folded._LOUD}">← differs</span>' in page
    assert capsys.readouterr().out == ""


def test_what_is_printed_is_no_markup(four: Acting) -> None:
    code = "print('<script>alert(1)</script>')\n'<img src=x onerror=alert(2)>'"
    for stream in (False, True):
        with notebook() as outputs:
            result = run(four[0], code)
            if stream:
                with result.stream_output():
                    pass
            else:
                result.display_outputs()
        (page,) = outputs.pages
        assert "&lt;script&gt;" in page
        assert "<script" not in page
        assert "<img" not in page


def test_colours_are_styles_in_a_notebook_and_stay_in_text(
    four: Acting, capsys: Text
) -> None:
    result = run(four[0], "print('\\x1b[31mred\\x1b[0m')")
    with notebook() as outputs:
        result.display_outputs()
    assert '<span style="color:#c33c2f">red</span>' in outputs.pages[0]
    result.display_outputs()
    assert "\x1b[31mred\x1b[0m" in capsys.readouterr().out


def test_figures_of_ranks_are_a_grid(four: Acting) -> None:
    code = "show({'image/png': 'AAA' + str(rank), 'text/plain': 'F'}, {}, {}, False)"
    with notebook() as outputs:
        run(four[0], code).display_outputs()
    (page,) = outputs.pages
    assert page.count("<img ") == 4
    assert outputs.texts == ["[0] F\n[1] F\n[2] F\n[3] F"]


# -- while it comes


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


def test_a_flood_is_not_drawn_line_by_line(
    four: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folded, "FLOOD", 100)
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

    monkeypatch.setattr(folded.Lines, "finish", fail)
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

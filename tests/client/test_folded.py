"""Output of many ranks, folded: in a file, in a notebook, while it comes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from steer.client import folded
from steer.client.client import Client

from .acting import ActingLink, acting
from .kernels import notebook

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


@pytest.mark.parametrize(("targets", "head"), [(1, ""), ([1], "[1]  ")])
def test_one_engine_has_a_heading_where_it_was_not_asked_for_alone(
    four: Acting, capsys: Text, targets: int | list[int], head: str
) -> None:
    run(four[0], "print('here')\nrank", targets).display_outputs()
    assert capsys.readouterr().out == f"{head}here\nOut[1:1]: 1\n"


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

"""A region that is replaced: in a real terminal, in a file, in a notebook."""

from __future__ import annotations

import io
import sys

import pytest

from steer.client import live

from .screen import in_terminal

BUSY = """
import sys, time
from steer.client import live
region = live.open_region()
def update(text):
    region.pace = 0
    region.update(text)
"""


def run(code: str, columns: int = 40) -> tuple[str, str]:
    """What the screen shows at the end, and all that was written."""
    with in_terminal(BUSY + code, columns) as session:
        return session.read_all(), session.raw


def test_a_region_is_replaced() -> None:
    shown, raw = run(
        "update('a\\nb'); update('c'); update('d\\ne'); region.close('end')"
    )
    assert shown == "end\n"
    assert raw.replace("\r\n", "\n") == (
        "a\nb\r\x1b[1A\x1b[Jc\r\x1b[Jd\ne\r\x1b[1A\x1b[Jend\n"
    )


def test_a_region_goes_without_a_trace() -> None:
    assert run("print('before'); update('x'); region.close(); print('after')")[0] == (
        "before\nafter\n"
    )
    assert run("region.close()")[1] == ""


def test_what_is_printed_stays_above() -> None:
    shown, _ = run(
        "update('bar 1')\nprint('one')\nprint('half', end=' ')\nupdate('bar 2')\n"
        "print('whole', file=sys.stderr)\nsys.stdout.write('x\\ny\\n')\n"
        "update('bar 3\\nmore')\nprint('last')\nregion.close('done')\nprint('after')"
    )
    assert shown == "one\nhalf whole\nx\ny\nlast\ndone\nafter\n"


def test_it_is_below_what_was_printed_while_it_is_visible() -> None:
    code = "update('bar')\nprint('one')\nprint('two')\nsys.stdin.readline()\n"
    with in_terminal(BUSY + code, 40) as session:
        assert session.read_until(lambda text: text == "one\ntwo\nbar\n")


def test_streams_are_given_back() -> None:
    shown, _ = run(
        "out, err = sys.stdout, sys.stderr\nupdate('x')\n"
        "assert sys.stdout is not out and sys.stdout.isatty()\n"
        "assert sys.stdout.fileno() == 1\n"
        "region.close()\nassert (sys.stdout, sys.stderr) == (out, err)\nprint('good')"
    )
    assert shown == "good\n"


def test_long_and_wide_lines_do_not_break_it() -> None:
    shown, _ = run(
        "update('x' * 500 + '\\n' + '日' * 50 + '\\n\\x1b[31m' + 'c' * 99 + '\\ttab')\n"
        "update('\\x1b[2Jevil\\x07')\nregion.close('end')",
    )
    assert shown == "end\n"


def test_a_window_that_became_narrower() -> None:
    code = "update('z' * 35)\nsys.stdin.readline()\nregion.close('end')"
    with in_terminal(BUSY + code, 40) as session:
        session.read_until(lambda text: "zzz" in text)
        session.resize(10)
        before = len(session.raw)
        session.type("\n")
        session.read_all()
        assert "\r\x1b[3A\x1b[J" in session.raw[before:]  # 35 columns are 4 rows now


def test_a_question_has_the_terminal_to_itself() -> None:
    code = (
        "update('bar')\n"
        "with live.aside():\n    answer = input('who? ')\n"
        "print('answer', answer)\nsys.stdin.readline()"
    )
    with in_terminal(BUSY + code, 40) as session:
        session.read_until(lambda text: text == "who?\n")
        session.type("me\n")
        session.read_until(lambda text: text == "who? me\nanswer me\nbar\n")


def test_updates_are_few() -> None:
    _, raw = run(
        "end = time.monotonic() + 0.55\nn = 0\n"
        "while time.monotonic() < end:\n    n += 1; region.update(str(n))\n"
        "region.close(f'drawn of {n}')"
    )
    assert 3 <= raw.count("\x1b[J") <= 8


def test_a_file_gets_the_final_text_only() -> None:
    file = io.StringIO()
    region = live.open_region(file)
    region.update("1%")
    region.update("2%")
    assert file.getvalue() == ""
    region.close("all done")
    assert file.getvalue() == "all done\n"
    live.open_region(file).close()
    assert file.getvalue() == "all done\n"


def test_a_terminal_that_cannot_move_its_cursor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(live.open_region(Tty()), live.Terminal)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(live.open_region(Tty()), live.Plain)
    closed = io.StringIO()
    closed.close()
    assert isinstance(live.open_region(closed), live.Plain)


def test_ipython_is_not_imported_to_ask() -> None:
    if "IPython" not in sys.modules:
        assert live.in_shell() is None
        assert "IPython" not in sys.modules

"""What is said about an exception."""

from __future__ import annotations

import subprocess
import sys

from steer.engines.namespace import Namespace
from steer.engines.shell import remember_source
from steer.engines.tracebacks import LONGEST, format_error, shorten


def caught(source: str, name: str = "<cell test>") -> BaseException:
    remember_source(name, source)
    try:
        exec(compile(source, name, "exec"), {})
    except BaseException as error:  # noqa: BLE001
        return error
    raise AssertionError("it should have raised")


def test_lines_of_the_source_are_shown():
    report = format_error(caught("def f(x):\n    return 1 / x\n\nf(0)\n"))
    assert (report.ename, report.evalue) == ("ZeroDivisionError", "division by zero")
    text = "\n".join(report.traceback)
    assert '  File "<cell test>", line 4, in <module>\n    f(0)\n' in text
    assert '  File "<cell test>", line 2, in f\n    return 1 / x\n' in text
    assert report.traceback[-1] == "ZeroDivisionError: division by zero"
    assert isinstance(report.exception, ZeroDivisionError)


def test_our_own_frames_are_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    namespace = Namespace()
    try:
        namespace.pull("nobody")
    except NameError as error:
        report = format_error(error)
    text = "\n".join(report.traceback)
    assert "namespace.py" not in text
    assert text.endswith("NameError: name 'nobody' is not defined")


def test_causes_are_told():
    source = "try:\n    1/0\nexcept Exception as e:\n    raise KeyError('k') from e\n"
    text = "\n".join(format_error(caught(source)).traceback)
    assert "ZeroDivisionError: division by zero" in text
    assert "direct cause" in text
    assert text.endswith("KeyError: 'k'")


def test_groups_are_told():
    source = "raise ExceptionGroup('two', [ValueError(1), KeyError(2)])\n"
    text = "\n".join(format_error(caught(source)).traceback)
    assert "ValueError: 1" in text
    assert "KeyError: 2" in text


def test_a_syntax_error_shows_its_place():
    report = format_error(caught("a = (1,\nb c\n"))
    assert report.ename == "SyntaxError"
    assert any(line.strip().startswith("^") for line in report.traceback)


def test_endless_recursion_is_short():
    report = format_error(caught("def f(): f()\nf()\n"))
    assert report.ename == "RecursionError"
    assert len(report.traceback) < 30


def test_an_exception_that_cannot_speak():
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    report = format_error(Mute())
    assert report.ename == "Mute"
    assert "cannot be had" in report.evalue
    assert report.traceback


def test_long_texts_lose_their_middle():
    assert shorten("short") == "short"
    text = format_error(ValueError("x" * 10**6)).evalue
    assert len(text) < LONGEST + 100
    assert f"{10**6 - LONGEST:,} characters" in text


def test_ipython_is_not_needed():
    script = (
        "import sys; from steer.engines.tracebacks import format_error; "
        "format_error(ValueError(1)); sys.exit('IPython' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=30).returncode == 0

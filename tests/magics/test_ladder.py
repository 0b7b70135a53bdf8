"""Ctrl-C while a cell runs: real SIGINT, on this process' own main thread."""

from __future__ import annotations

import re
import signal
import threading

import pytest

from steer.magics import ladder as module
from steer.magics.ladder import Ladder
from steer.testing.waiting import wait_until

SECONDS = 20
RECEIVED = "Received Keyboard Interrupt. Sending signal SIGINT to engines...\n"

# Every rank says by a file what it has come to: its number of caught interrupts.
SAY = """
import time
from pathlib import Path
folder = Path({folder!r})
def say(what): (folder / f"{{what}}-{{n}}").touch()
"""
STUBBORN = """
caught = 0
while not (folder / "go").exists():
    try:  # says what it has come to where it can catch the next
        say(f"caught{caught}" if caught else "began")
        while not (folder / "go").exists(): time.sleep(0.005)
    except KeyboardInterrupt:
        caught += 1
print("ended after", caught)
"""


@pytest.fixture
def said(notebook, rc, tmp_path):
    """Whether so many ranks, all four if not told, have said something."""
    rc[:].scatter("n", range(4), flatten=True, block=True)
    rc[:].execute(SAY.format(folder=str(tmp_path)), block=True)

    def check(what, ranks=4):
        return lambda: len(list(tmp_path.glob(f"{what}-*"))) == ranks

    return check


@pytest.fixture(autouse=True)
def nothing_stays(request):
    """The handler is put back, and no thread of a display is left."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before
    assert not [t for t in threading.enumerate() if t.name.startswith("steer-st")]


@pytest.fixture(params=["--stream", "--no-stream"])
def stream(request):
    return request.param


def test_the_first_press_interrupts_and_shows_what_was_printed(
    notebook, said, press, stream
):
    press(said("began"))
    ran = notebook.fails(
        f"%%px {stream}\nprint('before')\ntry: say('began'); time.sleep(60)\n"
        "finally: print('cleaned up')",
        KeyboardInterrupt,
    )
    assert ran.err.startswith(RECEIVED)
    assert "before" in ran.out
    assert "cleaned up" in ran.out
    assert "say('began'); time.sleep(60)" in ran.shown, "where each rank was"
    assert str(ran.error) == "ranks 0-3 were interrupted by SIGINT."
    assert ran.out.rstrip().endswith(f"KeyboardInterrupt: {ran.error}")
    assert notebook.run("%px 'goes on'").error is None


def test_only_ranks_that_still_run_get_the_signal(notebook, rc, said, press):
    press(lambda: said("began", 2)() and len(rc.outstanding) == 2)
    ran = notebook.fails(
        "%%px\nif n > 1: say('began'); time.sleep(60)", KeyboardInterrupt
    )
    assert "ranks 2-3 were interrupted" in str(ran.error)


def test_the_second_press_sends_it_again(notebook, said, press):
    press(said("began"))
    press(said("caught1"))
    ran = notebook.fails(
        "%%px\ntry: say('began'); time.sleep(60)\n"
        "except KeyboardInterrupt: say('caught1'); time.sleep(60)",
        KeyboardInterrupt,
    )
    assert RECEIVED + "Sending signal SIGINT to engines again...\n" in ran.err
    assert "ranks 0-3 were interrupted" in str(ran.error)


def test_the_third_press_leaves_the_cell_running(
    notebook, rc, said, press, stream, tmp_path
):
    press(said("began"))
    press(said("caught1"))
    press(said("caught2"))
    ran = notebook.fails(f"%%px {stream} --out left\n{STUBBORN}", KeyboardInterrupt)
    assert str(ran.error) == (
        "ranks 0-3 still run this cell; `%pxresult` waits for it, `%pxstuck` says why, "
        "`%pxunstick` ends calls of MPI in which ranks wait for each other, and "
        "`%pxkill` or `steer stop` ends them."
    )
    assert not notebook.names["left"].done()
    (tmp_path / "go").touch()
    assert "ended after 2" in notebook.run("%pxresult").out


def test_pxresult_has_the_ladder_too(notebook, said, press):
    press(said("began"))
    notebook.run("%%px -a\nsay('began'); time.sleep(60)")
    ran = notebook.fails("%pxresult", KeyboardInterrupt)
    assert RECEIVED in ran.err


def test_when_has_the_ladder_too(notebook, said, press):
    press(said("began"))
    ran = notebook.fails(
        "%%px --when 'say(\"began\") or time.sleep(60)'\n1", KeyboardInterrupt
    )
    assert "ranks 0-3 were interrupted" in str(ran.error)


def test_another_signal(notebook, rc, said, press):
    notebook.run(
        "%%px\nimport signal\ndef on_signal(*_): raise ArithmeticError('told to end')\n"
        "before = signal.signal(signal.SIGUSR1, on_signal)"
    )
    press(said("began"))
    ran = notebook.fails(
        "%%px --signal-on-interrupt SIGUSR1\nsay('began'); time.sleep(60)",
        KeyboardInterrupt,
    )
    assert "Sending signal SIGUSR1 to engines..." in ran.err
    assert "told to end" in ran.shown
    notebook.run("%px signal.signal(signal.SIGUSR1, before);")


def test_no_signal(notebook, said, press, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HINT_AFTER", 0.0)
    seen = threading.Event()
    original = module.say

    def heard(text):
        original(text)
        if "Press again to leave the cell running and return" in text:
            seen.set()

    monkeypatch.setattr(module, "say", heard)
    press(said("began"))
    press(seen.is_set)
    ran = notebook.fails(f"%%px --signal-on-interrupt 0\n{STUBBORN}", KeyboardInterrupt)
    assert "Sending nothing to engines" in ran.err
    assert "ranks 0-3 still run" in str(ran.error)
    (tmp_path / "go").touch()
    assert "ended after 0" in notebook.run("%pxresult").out


def test_what_the_next_press_does_is_said_while_ranks_go_on(
    notebook, said, press, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "HINT_AFTER", 0.0)
    told: list[str] = []
    original = module.say

    def heard(text):
        original(text)
        told.append(text)

    monkeypatch.setattr(module, "say", heard)
    press(said("began"))
    press(lambda: sum("send SIGINT again" in text for text in told))
    press(lambda: sum("leave the cell running" in text for text in told))
    notebook.fails(f"%%px\n{STUBBORN}", KeyboardInterrupt)
    (tmp_path / "go").touch()
    notebook.run("%pxresult")
    assert [text for text in told if text.startswith("Waiting")] == [
        "Waiting for ranks 0-3. Press again to send SIGINT again.",
        "Waiting for ranks 0-3. Press again to leave the cell running and return.",
    ]


def test_timeout_leaves_ranks_that_do_not_end(notebook, said, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "GRACE", 1.0)
    notebook.run("%px 1")  # the first cell takes longer than that to begin
    ran = notebook.fails(f"%%px --timeout 0.5\n{STUBBORN}", TimeoutError)
    assert "ranks 0-3 still run this cell" in str(ran.error)
    (tmp_path / "go").touch()
    assert "ended after 1" in notebook.run("%pxresult").out


def test_timeout_without_a_signal_only_returns(notebook, said, tmp_path):
    ran = notebook.fails(
        f"%%px --timeout 0.2 --signal-on-interrupt 0\n{STUBBORN}", TimeoutError
    )
    assert "ranks 0-3 still run this cell" in str(ran.error)
    (tmp_path / "go").touch()
    assert "ended after 0" in notebook.run("%pxresult").out


def test_a_thread_may_wait_and_another_may_press(rc, notebook, said):
    """A kernel that is told of interrupts by a message does so."""
    result = rc[:].execute("say('began'); time.sleep(60)", block=False)
    ladder = Ladder()
    ended: list[bool] = []

    def wait():
        with ladder:
            ended.append(ladder.wait(result))

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(said("began"), SECONDS, "the ranks to begin")
    ladder.press()
    thread.join(SECONDS)
    assert ended == [True]
    assert ladder.story() == "ranks 0-3 were interrupted by SIGINT."


def test_a_program_that_ignores_ctrl_c_goes_on_ignoring_it(rc, notebook):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Ladder():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_presses_while_much_is_shown_do_no_harm(notebook, said, press, capsys):
    """However they fall, each line is shown once."""
    for number in range(5):
        press(said(f"many{number}", 1))
        ran = notebook.fails(
            f"%%px -t 0\nsay('many{number}')\nfor i in range(2000): print('line', i)\n"
            "time.sleep(60)",
            KeyboardInterrupt,
        )
        lines = re.findall(r"line (\d+)", ran.out)
        assert lines == sorted(set(lines), key=int)


def test_questions_of_ranks_are_asked_while_we_wait(notebook, rc, monkeypatch):
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or "42")
    ran = notebook.run("%%px -t 0-1\nanswer = input('how much? ')")
    assert ran.error is None
    assert asked == ["[ranks 0-1] how much? "]
    assert rc[:2]["answer"] == ["42", "42"]


def test_ctrl_c_at_a_question_interrupts_the_ranks_that_ask(
    notebook, rc, monkeypatch, stream
):
    def press_instead(text):
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the question went on")

    monkeypatch.setattr("builtins.input", press_instead)
    ran = notebook.fails(f"%%px {stream} -t 2\ninput('sure? ')", KeyboardInterrupt)
    assert RECEIVED in ran.err
    assert str(ran.error) == "rank 2 was interrupted by SIGINT."
    assert notebook.run("%px 'goes on'").error is None

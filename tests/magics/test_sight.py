"""`%pxwhere`, `%pxpeek`, `%pxstatus`, `%pxstuck`, `%pxdebug`, `%pxinterrupt` in a
notebook."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from steer.testing.waiting import wait_until

SECONDS = 20

BUSY = """
import time
def solve(depth, seconds):
    if depth:
        return solve(depth - 1, seconds)
    end = time.monotonic() + seconds
    while time.monotonic() < end: residual = 0.25  # one line for all ranks
u = [1.0, 2.0]
solve(2, {seconds})
"""


@pytest.fixture
def busy(notebook) -> Iterator[object]:
    """All engines compute, in the background."""
    rc = notebook.names["rc"]
    result = rc[:].execute(BUSY.format(seconds=60), silent=False, block=False)
    wait_until(
        lambda: list(rc[:].peek("residual").values.values()) == ["0.25"] * 4,
        SECONDS, "engines that compute",
    )  # fmt: skip
    yield result
    rc[:].interrupt()
    assert result.wait(SECONDS)


def told(notebook, line: str, words: str) -> str:
    """What a magic shows when it has these words: on a crowded machine threads may wait
    for a core longer than the hub waits for them."""
    shown = [""]

    def there() -> bool:
        shown.append(notebook.run(line).out)
        return words in shown[-1]

    wait_until(there, SECONDS, f"{words} of {line}")
    return shown[-1]


def test_where_shows_the_lines_of_all(notebook, busy):
    assert told(notebook, "%pxwhere", "[0-3] (4)").count("solve") == 3
    told(notebook, "%pxwhere --ranks 1,2", "[1-2] (2)")


def test_where_over_time_tells_where_time_goes(notebook, busy):
    began = time.monotonic()
    shown = notebook.run("%pxwhere --time 0.3s").out
    assert time.monotonic() - began >= 0.3
    assert "100 %" in shown


def test_where_shows_the_lines_with_py_spy_and_without(notebook, busy):
    shown = notebook.run("%pxwhere --native").out
    assert shown.count("solve") >= 3
    assert "leave out the time" in notebook.mistake("%pxwhere --native --time 1")


def test_peek_reads_the_innermost_function_of_the_user(notebook, busy):
    shown = notebook.run("%pxpeek residual").out
    assert "[0-3] (4)  0.25" in shown
    assert "racy" in shown
    assert "[2]  2" in notebook.run("%pxpeek --ranks 2 len(u)").out
    assert "nobody knows" in notebook.run("%pxpeek solve(1, 2)").out
    assert "is a statement" in notebook.run("%pxpeek residual = 7").out


def test_status_and_stuck(notebook, busy):
    shown = told(notebook, "%pxstatus", "4 ranks: 4 computing")
    assert shown.startswith("4 ranks: 4 computing\n [0-3]  computing")
    assert "in solve" in shown
    shown = told(notebook, "%pxstuck --ranks 0", "1 rank: 1 computing")
    assert shown.startswith("1 rank: 1 computing")


def test_an_interrupt_says_what_comes_next(notebook, busy):
    shown = notebook.run("%pxinterrupt").out
    assert "ranks 0-3" in shown.lower()
    assert "%pxunstick" in shown
    assert busy.wait(SECONDS)
    assert "4 post-mortem" in notebook.run("%pxstatus").out


def test_idle_ranks(notebook):
    assert notebook.run("%pxstatus").out == "4 ranks: 4 idle\n [0-3]  idle\n"
    assert "nothing runs there" in notebook.run("%pxwhere").out


FAIL = """%%px --on-error continue
def inner(a):
    b = a * 2
    return 1 / (b - b)
def outer(c):
    return inner(c + 1)
if {who}: outer(3)
"""


def test_frames_of_a_failure_are_walked(notebook):
    rc = notebook.names["rc"]
    rc[:].scatter("number", range(4), flatten=True, block=True)
    notebook.run(FAIL.format(who="number in (1, 3)"))
    assert "2 post-mortem" in notebook.run("%pxstatus").out
    shown = notebook.run("%pxdebug where").out
    assert "[1,3] (2)" in shown
    assert "ZeroDivisionError: division by zero" in shown
    assert "b = 8" in notebook.run("%pxdebug locals").out
    assert "in outer" in notebook.run("%pxdebug up").out
    assert "[1,3] (2)  3" in notebook.run("%pxdebug p c").out
    assert "[1]  1\n[3]  3" in notebook.run("%pxdebug number").out
    assert "in inner" in notebook.run("%pxdebug down").out
    assert "NameError" in notebook.run("%pxdebug p nothing").out
    # Looking does not change what there is to be seen.
    assert "2 post-mortem" in notebook.run("%pxstatus").out


HOLDS = """%%px --on-error continue
import weakref
class Big: pass
def fails():
    global seen
    big = Big()
    seen = weakref.ref(big)
    1 / 0
fails()
"""


# Python and IPython keep the last error too, for who asks for `sys.last_value`, `%tb`.
FORGETS = """%%px
import sys
sys.last_value = sys.last_traceback = sys.last_exc = None
get_ipython().InteractiveTB.tb = get_ipython().last_execution_result = None
"""


def test_a_cell_that_goes_well_lets_go_of_the_frames_of_one_that_failed(notebook):
    notebook.run(HOLDS)
    rc = notebook.names["rc"]
    for _ in range(2):  # looking lets go of nothing
        assert "1 / 0" in notebook.run("%pxdebug where").out
    assert rc[:].pull("seen() is not None", block=True) == [True] * 4
    notebook.run(FORGETS)
    assert "nothing to look into" in notebook.mistake("%pxdebug")
    code = "(__import__('gc').collect(), seen())[1] is None"
    assert rc[:].pull(code, block=True) == [True] * 4


def test_the_debugger_talks_at_a_prompt(notebook, monkeypatch):
    notebook.run(FAIL.format(who="True"))
    lines = iter(["up", "p c", "what", "", "help", "q"])
    prompts = []

    def answer(prompt=""):
        prompts.append(prompt)
        return next(lines)

    monkeypatch.setattr("builtins.input", answer)
    shown = notebook.run("%pxdebug").out
    assert set(prompts) == {"[0-3] debug> "}
    assert "[0-3] (4)  3" in shown
    assert "NameError: name 'what'" in shown
    assert "up, u [N]" in shown


def test_nothing_to_debug(notebook):
    notebook.run("%%px\n1")
    assert "nothing to look into" in notebook.mistake("%pxdebug")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%pxwhere --ranks 9", "Rank 9 is not there"),
        ("%pxwhere --time soon", "number of seconds"),
        ("%pxwhere --time 1000", "at most 60"),
        ("%pxwhere more", "too much"),
        ("%pxpeek", "EXPRESSION is missing"),
        ("%pxkill --rank 0", "no option --rank"),
        ("%pxkill", "which ranks to end"),
        ("%pxunstick --ranks 0", "no option --ranks"),
        ("%pxshrink --ranks 0", "no option --ranks"),
    ],
)
def test_mistakes_are_sentences(notebook, line, said):
    assert said in notebook.mistake(line)


@pytest.mark.parametrize(
    "verb",
    ["where", "peek", "status", "stuck", "debug", "interrupt", "unstick", "kill"],
)
def test_each_has_help(notebook, verb):
    shown = notebook.run(f"%px{verb} --help").out
    assert f"%px{verb}" in shown
    # A world comes back as a whole.
    assert ("--ranks" in shown) is (verb not in ("mpi", "unstick"))


def test_kill_says_what_is_lost(notebook, monkeypatch):
    rc = notebook.names["rc"]
    sent = []

    def signal_(signum, targets, about=""):
        sent.append((signum, targets))
        return rc.link.ask("status", ids=[])

    monkeypatch.setattr(rc.link, "signal", signal_)
    monkeypatch.setattr(rc.link, "wait", lambda future, *_: {"signalled": "2"})
    shown = notebook.run("%pxkill --ranks 2").out
    assert sent == [(signal.SIGKILL, "2")]
    assert "all that they had is lost" in shown


def test_who_waits_for_a_variable_of_busy_ranks_hears_of_peek(notebook, busy, capsys):
    rc = notebook.names["rc"]
    wanted = rc[:].pull("u", block=False)
    from steer.client.seeing import offer_peek

    offer_peek(wanted, "u")
    said = capsys.readouterr().err
    assert said.startswith("ranks 0-3 are busy")
    assert "%pxpeek u" in said
    rc[:].interrupt()
    assert busy.wait(SECONDS)
    assert wanted.get(SECONDS) == [[1.0, 2.0]] * 4

"""Cells that go to the ranks by themselves."""

from __future__ import annotations

import pytest

from steer.errors import UsageError
from steer.magics.autopx import AutoPx


@pytest.fixture
def auto():
    made = AutoPx()
    made.names.update({"px", "pxresult", "result", "pxconfig", "autopx", "autopx_w"})
    return made


def on(auto):
    auto.magic = "px"
    return auto


CELLS = ["a = 1\n", "%matplotlib inline\n", "!ls\n", "%%time\nx = 1\n", "# c\nx\n"]
STAY = [
    "%autopx\n",
    "%autopx_w\n",
    "%px x\n",
    "%%px -t 0\nx\n",
    "%pxresult\n",
    "%result\n",
    "%pxconfig -t 0\n",
    "# a comment\n%px x\n",
    "y = 1\n%autopx\n",
    "\n",
    "# only a comment\n",
]


@pytest.mark.parametrize("cell", CELLS)
def test_cells_go_to_the_ranks(auto, cell):
    lines = cell.splitlines(keepends=True)
    assert auto(lines) == lines
    (sent,) = on(auto)(lines)
    assert sent == f"get_ipython().run_cell_magic('px', '', {cell!r})\n"


@pytest.mark.parametrize("cell", STAY)
def test_cells_that_stay_here(auto, cell):
    lines = cell.splitlines(keepends=True)
    assert on(auto)(lines) == lines


def test_local_is_the_cell_without_its_first_line(auto):
    for transformer in (auto, on(auto)):
        assert transformer(["%%local\n", "x = 1\n"]) == ["x = 1\n"]
    with pytest.raises(UsageError, match="takes nothing"):
        auto(["%%local -t 0\n", "x = 1\n"])


def test_another_switch_takes_over_and_the_same_ends(auto):
    assert auto.toggle("px", lambda: None)
    assert auto.toggle("px_w", lambda: None)
    assert auto.magic == "px_w"
    assert not auto.toggle("px_w", lambda: None)
    assert auto.magic == ""


def test_in_a_notebook(notebook, rc):
    assert notebook.run("%autopx").out == "%autopx enabled\n"
    ran = notebook.run("there = 1\nprint('from there')")
    assert "from there" in ran.out
    notebook.run("%%local\nhere = 2")
    notebook.run("%px also = 3")
    notebook.run("%%time\ntimed = 4")
    notebook.run("new = 5\n%autopx")
    assert notebook.names["new"] == 5
    assert notebook.run("after = 6").error is None
    assert {"there", "also", "timed"}.isdisjoint(notebook.names)
    assert (notebook.names["here"], notebook.names["after"]) == (2, 6)
    assert rc[:].pull(["there", "also", "timed"], block=True) == [[1, 3, 4]] * 4


def test_errors_there_end_the_cell_here(notebook):
    notebook.run("%autopx")
    ran = notebook.run("1 / 0")
    assert "ZeroDivisionError" in ran.shown
    assert str(ran.error) == "4 errors"
    assert notebook.run("%autopx").out == "%autopx disabled\n"


def test_whether_an_input_is_complete_is_asked_of_what_was_typed(notebook):
    complete = notebook.shell.check_complete
    before = [complete(text) for text in ("x = 1", "def f():", "x = (1,", "%px x")]
    notebook.run("%autopx")
    after = [complete(text) for text in ("x = 1", "def f():", "x = (1,", "%px x")]
    notebook.run("%autopx")
    assert after == before
    assert [state for state, _ in before] == [
        "complete", "incomplete", "incomplete", "complete",
    ]  # fmt: skip


def test_without_a_view_it_stays_off(bare):
    bare.run("%load_ext steer")
    assert "No view is active" in bare.mistake("%autopx")
    bare.run("x = 1")
    assert bare.names["x"] == 1

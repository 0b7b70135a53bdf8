"""Cells that IPython need not look through; the rest is in test_shell.py."""

from __future__ import annotations

import ast
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from steer.engines.ipython import looks_plain

PIECES = st.sampled_from(
    ["x", "ls", "cd ", "exit", " = ", "1", "(", ")", "\n", " ", "    ", "%", "!", "?",
     "/", ",", ";", ">>> ", "... ", "In [1]: ", "def f():", "'", '"', "#", "\\", "\t"]
)  # fmt: skip


@pytest.fixture(scope="module")
def shell():
    main = sys.modules["__main__"]
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    yield shell
    sys.modules["__main__"] = main


@given(st.lists(PIECES, max_size=8).map("".join))
@example("ls")
@example("x")
@example("\n\nx = 1")
@example("f = %pwd")
@example("x\ny")
@example("ls(")
@example("ls()\n")
def test_what_is_not_looked_through_would_not_have_changed(shell, cell):
    if cell and looks_plain(cell, shell.magics_manager.magics["line"]):
        try:
            transformed = shell.transform_cell(cell)
        except SyntaxError:
            return  # it is one without being transformed, too
        assert meaning(transformed) == meaning(cell)


def meaning(code):
    try:
        return ast.dump(ast.parse(code))
    except SyntaxError:
        return None


@pytest.mark.parametrize(
    "cell", ["x = 1", "print(x)", "import numpy\nx = 1", "for i in y:\n    f(i)"]
)
def test_what_people_write_is_not_looked_through(cell):
    assert looks_plain(cell, {"ls"})

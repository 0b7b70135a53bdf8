"""Cells that IPython need not look through; the rest is in test_shell.py."""

from __future__ import annotations

import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from steer.engines.ipython import MAGICAL

PIECES = st.sampled_from(
    ["x", "ls", "cd ", "exit", " = ", "1", "(", ")", "\n", " ", "    ", "%", "!", "?",
     "/", ",", ";", ">>> ", "... ", "In [1]: ", "def f():", "'", '"', "#", "\\", "\t"]
)  # fmt: skip


@pytest.fixture(scope="module")
def transform():
    main = sys.modules["__main__"]
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    yield shell.transform_cell
    sys.modules["__main__"] = main


@given(st.lists(PIECES, max_size=8).map("".join))
@example("ls")
@example("x")
@example("\n\nx = 1")
@example("f = %pwd")
@example("x\ny")
def test_what_is_not_looked_through_would_not_have_changed(transform, cell):
    if cell and not MAGICAL.search(cell):
        try:
            transformed = transform(cell)
        except SyntaxError:
            return  # it is one without being transformed, too
        assert transformed == (cell if cell.endswith("\n") else f"{cell}\n")


@pytest.mark.parametrize(
    "cell", ["x = 1", "print(x)", "import numpy\nx = 1", "for i in y:\n    f(i)"]
)
def test_what_people_write_is_not_looked_through(cell):
    assert not MAGICAL.search(cell)

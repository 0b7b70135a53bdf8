"""Lines of cells that ran lately."""

from __future__ import annotations

from steer.core.cellname import cell_name
from steer.core.cellsources import LARGEST, CellSources


def test_a_line_of_a_cell_is_found_by_its_name():
    cells = CellSources()
    cells.add(b"a = 1\nb = 2")
    cells.add(b"c = 3")
    assert cells.line(cell_name("a = 1\nb = 2"), 2) == "b = 2"
    assert cells.line(cell_name("a = 1\nb = 2"), 3) == ""
    assert cells.line("<cell unknown>", 1) == ""


def test_what_is_kept_is_bounded():
    cells = CellSources()
    cells.add(b"first")
    large = b"#" * (LARGEST - 2)
    cells.add(large)
    assert cells.line(cell_name("first"), 1) == ""
    assert cells.line(cell_name(large.decode()), 1)
    cells.add(large + b"##")
    assert cells.line(cell_name(large.decode() + "##"), 1)
    cells.add(b"x" * (LARGEST + 1))
    assert not cells.line(cell_name("x" * (LARGEST + 1)), 1)

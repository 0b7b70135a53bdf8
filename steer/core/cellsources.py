"""The sources of cells that ran lately, for who reads a stack from outside.

A function of a cell may run long after that cell has ended, and a rank that holds the
GIL cannot be asked what stands in its line.
"""

from __future__ import annotations

import collections

from steer.core.cellname import cell_name

LARGEST = 1 << 20
"""Bytes of all of them."""


class CellSources:
    """The last of them, within bounds."""

    def __init__(self) -> None:
        self._codes: collections.deque[bytes] = collections.deque()
        self._size = 0

    def add(self, code: bytes) -> None:
        """A cell is sent."""
        if len(code) > LARGEST or (self._codes and self._codes[-1] == code):
            return
        self._codes.append(code)
        self._size += len(code)
        while self._size > LARGEST:
            self._size -= len(self._codes.popleft())

    def line(self, file: str, number: int) -> str:
        """A line of the cell that has this name; empty if it is not known."""
        for code in reversed(self._codes):
            text = code.decode(errors="replace")
            if cell_name(text) == file:
                lines = text.splitlines()
                return lines[number - 1] if 1 <= number <= len(lines) else ""
        return ""

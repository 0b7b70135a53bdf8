"""Errors of ranks as a notebook's cell has them: named and worded as on the ranks.

Jupyter's error message has one name, one text and one traceback; of several ranks'
errors they are those of the lowest rank, and all of them folded.
"""

from __future__ import annotations

from collections.abc import Sequence

from steer.errors import (
    AlreadyDisplayedError,
    CompositeError,
    RemoteError,
    SteerError,
)

__all__ = ["CellFailed", "as_raised_there"]


class CellFailed(Exception):
    """A cell failed on ranks; its class is named as the error was there."""

    lines: Sequence[str] = ()

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of our frames."""
        return list(self.lines)


def as_raised_there(error: SteerError) -> CellFailed:
    """The error that ends the cell."""
    original: BaseException = error
    if isinstance(error, AlreadyDisplayedError):
        found = error.original_error
        original = found if isinstance(found, CompositeError) else error
    if isinstance(original, CompositeError):
        first: BaseException = original.exceptions[0]
        lines = (
            original.summary() if original is not error else original.render_folded()
        )
    elif isinstance(original, RemoteError):
        first, lines = original, original.render_traceback()
    else:
        first, lines = original, [f"{type(original).__name__}: {original}"]
    name = first.ename if isinstance(first, RemoteError) else type(first).__name__
    text = first.evalue if isinstance(first, RemoteError) else str(first)
    failed: CellFailed = type(name, (CellFailed,), {"lines": lines})(text)
    return failed

"""Where a cell of the kernel's notebook runs, read from its first line.

A cell runs on all ranks, unless it begins with

    %%local             here, in the kernel's own process
    %%rank 0-2,5        on these ranks
    %px..., %%px        here: magics of this name send to the ranks what they are given
    exit, quit          here: the kernel ends

Any other `%%magic` is part of the cell and runs on each rank, whose IPython knows it.
Pure: text in, a `Cell` out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Container
from dataclasses import dataclass

from steer.errors import UsageError

__all__ = ["OFFERED", "Cell", "needs_ranks", "read"]

OFFERED = frozenset({"rc", "view", "cluster"})
"""What a cell that runs here finds of the ranks, once they are there."""

_FIRST = re.compile(r"(?:[ \t]*\n)*")
_LINE = re.compile(r"%%(local|rank)\b[ \t]*([^\n]*)\n?")
_BEFORE_MAGIC = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*")
_OF_THE_RANKS = re.compile(r"%%?(?:(?:auto)?px\w*|result\b)")
_MAGIC_CALLS = frozenset({"run_line_magic", "run_cell_magic"})
_END = re.compile(r"\s*(?:exit|quit)\s*(?:\(\s*\))?\s*")


@dataclass(frozen=True)
class Cell:
    """A cell without the line that said where it runs."""

    code: str
    here: bool = False
    """Whether the kernel's own process runs it."""
    targets: str = ""
    """The ranks as the user wrote them; empty for all."""
    removed: int = 0
    """How many characters of the source stand before the code."""


def read(source: str) -> Cell:
    """Read where a cell runs; UsageError if its first line cannot be understood."""
    line = _LINE.match(source, _end(_FIRST, source))
    if line is not None:
        return _placed(line[1], line[2].strip(), source[line.end() :], line.end())
    here = _OF_THE_RANKS.match(source, _end(_BEFORE_MAGIC, source)) is not None
    return Cell(source, here=here or _END.fullmatch(source) is not None)


def _end(pattern: re.Pattern[str], source: str) -> int:
    found = pattern.match(source)
    return found.end() if found else 0


def _placed(word: str, rest: str, code: str, removed: int) -> Cell:
    if word == "local":
        if rest:
            raise UsageError(
                f"%%local takes nothing behind it, and {rest!r} is there; the code "
                "begins on the next line."
            )
        return Cell(code, here=True, removed=removed)
    if not rest:
        raise UsageError("%%rank needs ranks behind it, like %%rank 3 or %%rank 0-2,5.")
    return Cell(code, targets=rest, removed=removed)


def needs_ranks(code: ast.AST, known: Container[str] = ()) -> bool:
    """Whether code that runs here uses the ranks: a magic of theirs, or a name of
    `OFFERED` that is neither known nor given in the code itself."""
    nodes = list(ast.walk(code))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    given = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    used = {node.id for node in names} - given
    return any(name in OFFERED and name not in known for name in used) or any(
        _is_magic_of_ranks(node) for node in nodes
    )


def _is_magic_of_ranks(node: ast.AST) -> bool:
    match node:
        case ast.Call(
            func=ast.Attribute(attr=call), args=[ast.Constant(value=str(name)), *_]
        ):
            of_ranks = _OF_THE_RANKS.fullmatch(f"%{name}") is not None
            return call in _MAGIC_CALLS and of_ranks
    return False

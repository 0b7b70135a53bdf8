"""Where in a program's syntax a point goes that its user named instead of writing it.

    sim.py:40       before the statement of that line; if it is a loop's or a function's
                    head, at the beginning of each pass or call
    Solver.step     at the beginning of each call of that method
    solver.relax    likewise, of that module's function

A statement that calls the point is put into the syntax tree before it is compiled. So
it costs what a written one costs and nothing anywhere else, works alike in all Pythons,
is seen as a call from its own line, and leaves tracing to debuggers. Pure.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from steer.errors import UsageError

NAME = "__steer_point__"
"""What the statement calls: one of the builtins, so that no module needs it."""

_LINE = re.compile(r"(?P<file>.+\.pyw?):(?P<line>[0-9]+)\Z")
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
_COMPILERS = frozenset(
    {"cfunc", "guvectorize", "jit", "jit_module", "njit", "stencil", "vectorize"}
)
"""Decorators (numba's, jax's) whose functions are no Python when they run."""


@dataclass(frozen=True)
class Spot:
    """Where a user wants a point."""

    text: str
    """As it was written."""
    file: str = ""
    line: int = 0
    name: str = ""

    def may_be_in(self, path: str) -> bool:
        """Whether this file can be meant."""
        if not self.file:
            return True
        mine, theirs = self.file.split("/"), path.split("/")
        return theirs[-len(mine) :] == mine

    def may_be_of(self, source: bytes) -> bool:
        """Whether a file with this text is worth to be looked at more closely."""
        if self.line:
            return True
        function = self.name.rpartition(".")[2]
        return re.search(rf"def\s+{function}\b".encode(), source) is not None


def parse(text: str) -> Spot:
    """What `--point` was given; raises UsageError."""
    if found := _LINE.match(text):
        file = found["file"].removeprefix("./")
        if int(found["line"]) < 1:
            raise UsageError(f"--point {text}: lines are counted from 1.")
        return Spot(text, file=file, line=int(found["line"]))
    if _DOTTED.match(text) and not text.endswith((".py", ".pyw")):
        return Spot(text, name=text)
    raise UsageError(
        f"--point {text} is no place in a program; write FILE.py:LINE, or a name such "
        "as Solver.step."
    )


def place(tree: ast.Module, module: str, spot: Spot) -> list[int]:
    """Put a point there; the lines where it is now: none if it is not in this module.

    Raises UsageError if it cannot be there.
    """
    if spot.line:
        return _at_line(tree, spot)
    return _at_name(tree, module, spot)


# -- by line


@dataclass
class _Site:
    """A statement, and the block that it is in."""

    statement: ast.stmt
    block: list[ast.stmt]
    depth: int

    @property
    def first(self) -> int:
        decorators: list[ast.expr] = getattr(self.statement, "decorator_list", [])
        return min([self.statement.lineno, *(d.lineno for d in decorators)])

    @property
    def last(self) -> int:
        return self.statement.end_lineno or self.statement.lineno


def _sites(node: ast.AST, depth: int = 0) -> Iterator[_Site]:
    """All statements below, each before those in it."""
    for field in ("body", "handlers", "cases", "orelse", "finalbody"):
        block = getattr(node, field, [])
        for child in block if isinstance(block, list) else []:
            if isinstance(child, ast.stmt):
                yield _Site(child, block, depth)
            yield from _sites(child, depth + 1)


def _at_line(tree: ast.Module, spot: Spot) -> list[int]:
    sites = list(_sites(tree))
    site = _meant(sites, spot.line)
    if site is None:
        raise UsageError(
            f"--point {spot.text}: the last statement of that file is on line "
            f"{max((s.last for s in sites), default=0)}."
        )
    _refuse_compiled(tree, site, spot)
    return [_put(tree, site)]


def _meant(sites: list[_Site], line: int) -> _Site | None:
    """The statement that begins there, else the one that goes on there, else the
    next."""
    for site in sites:
        if site.first == line:
            return site
    around = [s for s in sites if s.first < line <= s.last]
    inner = max(around, key=lambda site: site.depth, default=None)
    if inner is not None and line <= _head_ends(inner):
        return inner
    behind = [site for site in sites if site.first > line]
    return min(behind, key=lambda site: site.first, default=None)


def _head_ends(site: _Site) -> int:
    """The last line of a statement without the blocks in it."""
    inside = [s.first for s in _sites(site.statement)]
    return max(site.first, min(inside) - 1) if inside else site.last


def _put(tree: ast.Module, site: _Site) -> int:
    """Insert the call; returns its line."""
    statement, block = site.statement, site.block
    line = statement.lineno
    match statement:
        case ast.For() | ast.AsyncFor() | ast.While():
            statement.body.insert(0, _call(statement))
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            statement.body.insert(_docstring(statement.body), _call(statement))
        case _:
            index = block.index(statement)
            if block is tree.body:
                index = max(index, _prologue(block))
            block.insert(index, _call(statement))
    return line


def _call(like: ast.stmt) -> ast.Expr:
    call = ast.Call(ast.Name(NAME, ast.Load()), [], [])
    return ast.fix_missing_locations(ast.copy_location(ast.Expr(call), like))


def _docstring(block: list[ast.stmt]) -> int:
    """How many statements of a body nothing may come before."""
    first = block[0]
    return int(
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
        and len(block) > 1
    )


def _prologue(block: list[ast.stmt]) -> int:
    """The same for a module: imports from __future__ come first, too."""
    count = _docstring(block)
    for statement in block[count:]:
        if not isinstance(statement, ast.ImportFrom) or statement.module != (
            "__future__"
        ):
            break
        count += 1
    return count


# -- by name


def _at_name(tree: ast.Module, module: str, spot: Spot) -> list[int]:
    wanted = spot.name
    lines = []
    for qualified, site in list(_functions(tree, "")):
        whole = f"{module}.{qualified}"
        exact = wanted == qualified and ("." in wanted or module == "__main__")
        longer = len(wanted) > len(qualified) and f".{whole}".endswith(f".{wanted}")
        if exact or longer:
            _refuse_compiled(tree, site, spot)
            lines.append(_put(tree, site))
    return lines


def _functions(node: ast.AST, inside: str) -> Iterator[tuple[str, _Site]]:
    """All functions below with their names, such as `Solver.step`."""
    for field in ("body", "handlers", "cases", "orelse", "finalbody"):
        block = getattr(node, field, [])
        for child in block if isinstance(block, list) else []:
            name = inside
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{inside}.{child.name}" if inside else child.name
                if not isinstance(child, ast.ClassDef):
                    yield name, _Site(child, block, 0)
            yield from _functions(child, name)


def _refuse_compiled(tree: ast.Module, site: _Site, spot: Spot) -> None:
    for other in _sites(tree):
        function = other.statement
        if not isinstance(function, ast.FunctionDef):
            continue
        if not other.first <= site.first <= other.last:
            continue
        for decorator in function.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            text = ast.unparse(called)
            if text.rpartition(".")[2] in _COMPILERS:
                raise UsageError(
                    f"--point {spot.text}: {function.name} is compiled by @{text}, and "
                    "a point has to be in Python code; name a line that calls it."
                )


def inherits(tree: ast.Module, spot: Spot) -> str:
    """If the spot's class is here but not its method: where to look, as a sentence."""
    owner, _, method = spot.name.rpartition(".")
    name = owner.rpartition(".")[2]
    for node in ast.walk(tree):
        if name and isinstance(node, ast.ClassDef) and node.name == name:
            bases = [ast.unparse(base) for base in node.bases]
            if bases:
                return (
                    f"the class {name} does not define {method} itself; try "
                    f"--point {bases[0]}.{method}."
                )
    return ""

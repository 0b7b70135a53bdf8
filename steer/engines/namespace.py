"""The user's variables on one rank: the dictionary of the module `__main__`.

It is a module of its own, not the one that `python -m steer.engines` runs in, and it is
in sys.modules: so classes defined in cells can be pickled, and functions that a client
defined in its `__main__` see the engine's variables here (`bind`).
"""

from __future__ import annotations

import builtins
import collections
import contextlib
import functools
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from steer.errors import UsageError

IN_USE = (
    "The variables of a program that runs cannot be cleared: that would end it. Delete "
    "those that are yours, one by one."
)


class Namespace:
    """What `push`, `pull`, cells and functions work on: `variables`, a plain dict."""

    def __init__(self) -> None:
        self.module = types.ModuleType("__main__", "The variables of this engine.")
        self.variables: dict[str, Any] = self.module.__dict__
        """Another one while a rank holds in a function: `inframe.Scope`."""
        self.scopes: dict[types.CodeType, Any] = {}
        """Those there were, by the code of the function."""
        self.settle: Callable[[], object] = lambda: None
        """To be called when something has run: what it has assigned is seen by all from
        now on."""
        self.variables["__builtins__"] = builtins
        self.on_clear: list[Callable[[], object]] = []
        """Who keeps something of its own among the variables puts it back here."""
        self._kept = set(self.variables)
        self._lent: collections.Counter[str] = collections.Counter()
        """Names that are lent to functions that run; several may, one on top of the
        other."""
        self.in_use = False
        """A program has its variables here, and runs."""
        sys.modules["__main__"] = self.module

    def evaluate(self, expression: str) -> Any:
        """The value of a Python expression."""
        found = self.variables.get(expression, self)  # most are names: 50 times faster
        if found is not self:
            return found
        return eval(expression, self.variables)

    def push(self, values: Mapping[str, Any]) -> None:
        """Set variables; in a name like `a.b.c` the last part is an attribute."""
        for name, value in values.items():
            owner, _, attribute = name.rpartition(".")
            if owner:
                setattr(self.evaluate(owner), attribute, value)
            else:
                self.variables[name] = value

    def pull(self, names: str | Iterable[str]) -> Any:
        """The value of one expression, or the list of those of many."""
        if isinstance(names, str):
            return self.evaluate(names)
        return [self.evaluate(name) for name in names]

    def clear(self) -> None:
        """Forget all that the user has set; not what a program works with."""
        self.refuse_if_in_use()
        for name in [name for name in self.variables if name not in self._kept]:
            del self.variables[name]
        self.variables["__builtins__"] = builtins
        for put_back in self.on_clear:
            put_back()

    def refuse_if_in_use(self) -> None:
        """Keep a program from losing its variables."""
        if self.in_use:
            raise UsageError(IN_USE)

    @contextlib.contextmanager
    def program_first(self, names: Iterable[str]) -> Iterator[None]:
        """Whoever makes variables of these names takes none of a program's."""
        own = self.module.__dict__
        before = {name: own[name] for name in names if name in own}
        yield
        if self.in_use:
            for name in names:
                own.pop(name, None)
            own.update(before)

    def bind(self, function: Any) -> Any:
        """The function with the engine's variables as globals, if it is `__main__`'s.

        Such a function came by value and brought what it names along. The engine's
        variables win over that; what the engine does not have is lent to it while the
        function runs, not kept: the next call may bring another value.
        """
        if isinstance(function, functools.partial):
            inner = self.bind(function.func)
            return functools.partial(inner, *function.args, **function.keywords)
        if not isinstance(function, types.FunctionType):
            return function
        brought = function.__globals__
        if function.__module__ != "__main__" or brought is self.variables:
            return function
        move = _Move(brought, self.variables)
        lent = {
            name: move(value)
            for name, value in brought.items()
            if (name not in self.variables or name in self._lent)
            and not name.startswith("__")
        }
        bound = move(function)
        return self._lending(bound, lent) if lent else bound

    def _lending(self, function: Any, lent: dict[str, Any]) -> Callable[..., Any]:
        variables = self.variables

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            # One that waits below may have been lent others of these names.
            before = {name: variables[name] for name in lent if name in variables}
            variables.update(lent)
            self._lent.update(lent.keys())
            try:
                return function(*args, **kwargs)
            finally:
                self._lent.subtract(lent.keys())
                for name, value in lent.items():
                    if not self._lent[name]:
                        del self._lent[name]
                    if variables.get(name, variables) is not value:
                        continue
                    if name in before:
                        variables[name] = before[name]
                    else:
                        del variables[name]

        return call


class _Move:
    """Makes functions over so that their globals are another dictionary."""

    def __init__(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        self._old = old
        self._new = new
        self._moved: dict[types.FunctionType, types.FunctionType] = {}

    def __call__(self, value: Any) -> Any:
        """The value, or the function made over."""
        if not self._concerns(value):
            return value
        if value not in self._moved:
            self._make(value)
        return self._moved[value]

    def _concerns(self, value: Any) -> bool:
        return isinstance(value, types.FunctionType) and value.__globals__ is self._old

    def _make(self, old: types.FunctionType) -> None:
        cells = [self._cell(cell) for cell in old.__closure__ or ()]
        new = types.FunctionType(
            old.__code__,
            self._new,
            old.__name__,
            old.__defaults__,
            tuple(cells) or None,
        )
        self._moved[old] = new  # before its cells are filled: it may be in one of them
        new.__kwdefaults__ = old.__kwdefaults__
        new.__annotations__ = old.__annotations__
        new.__doc__ = old.__doc__
        new.__module__ = old.__module__
        new.__qualname__ = old.__qualname__
        new.__dict__.update(old.__dict__)
        for mine, theirs in zip(cells, old.__closure__ or (), strict=True):
            if mine is not theirs:
                mine.cell_contents = self(theirs.cell_contents)

    def _cell(self, cell: types.CellType) -> types.CellType:
        """The cell itself, which functions may share, or an empty one to fill."""
        try:
            concerns = self._concerns(cell.cell_contents)
        except ValueError:  # it is empty, and stays so
            return cell
        return types.CellType() if concerns else cell

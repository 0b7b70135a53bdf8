"""Functions that say what they need: `require`, `depend` and `dependent`.

What they make travels to engines, which import this file: it imports next to nothing.
An engine that does not have what is needed gives the task back, and another one gets
it (`UnmetDependency`).
"""

from __future__ import annotations

import functools
import sys
import types
from typing import Any

from steer.errors import UnmetDependency
from steer.wire.wraps import Bind, bind_inside


class Carrier:
    """A callable that carries a function."""

    def __init__(self, f: Any) -> None:
        for name in functools.WRAPPER_ASSIGNMENTS:
            if hasattr(f, name):
                setattr(self, name, getattr(f, name))
        self.__wrapped__ = f

    @property
    def f(self) -> Any:
        """The function, by ipyparallel's name."""
        return self.__wrapped__

    @property
    def carried(self) -> tuple[Any, ...]:
        """What it brings along."""
        return (self.__wrapped__,)

    def bound(self, bind: Bind) -> Any:
        """The same on an engine, with functions that see its variables."""
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.__wrapped__ = bind_inside(self.__wrapped__, bind)
        return copy

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.__wrapped__(*args, **kwargs)


class dependent(Carrier):
    """A function that runs only where another one does not say False."""

    def __init__(self, f: Any, df: Any, /, *args: Any, **kwargs: Any) -> None:
        super().__init__(f)
        self.df = df
        self.dargs = args
        self.dkwargs = kwargs

    @property
    def carried(self) -> tuple[Any, ...]:
        """What it brings along."""
        return (*super().carried, self.df, *self.dargs, *self.dkwargs.values())

    def bound(self, bind: Bind) -> Any:
        """The same on an engine, with functions that see its variables."""
        copy = super().bound(bind)
        copy.df = bind(self.df)
        return copy

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, if the other one lets it."""
        if self.df(*self.dargs, **self.dkwargs) is False:
            name = getattr(self.df, "__name__", repr(self.df))
            raise UnmetDependency(f"{name} says that it must not run here.")
        return super().__call__(*args, **kwargs)


class depend:
    """A decorator: the function runs only on engines where this one does not say
    False, or raise UnmetDependency."""

    def __init__(self, df: Any, /, *args: Any, **kwargs: Any) -> None:
        self.df = df
        self.dargs = args
        self.dkwargs = kwargs

    def __call__(self, f: Any) -> dependent:
        """The function with its condition."""
        return dependent(f, self.df, *self.dargs, **self.dkwargs)


class require:
    """A decorator: import these modules, or send these objects, before each call."""

    def __init__(self, *needs: Any, **named: Any) -> None:
        modules = [n for n in needs if isinstance(n, str | types.ModuleType)]
        self._modules = [n if isinstance(n, str) else n.__name__ for n in modules]
        self._objects = named | {n.__name__: n for n in needs if n not in modules}

    def __call__(self, f: Any) -> Any:
        """The function, with what it needs."""
        return Requiring(f, self._modules, self._objects)


class Requiring(Carrier):
    """A function with what it needs; made ready on the engine."""

    def __init__(self, f: Any, modules: list[str], objects: dict[str, Any]) -> None:
        super().__init__(f)
        self._modules, self._objects = modules, objects

    @property
    def carried(self) -> tuple[Any, ...]:
        """What it brings along."""
        return (*super().carried, *self._objects.values())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Get what is needed, then call the function."""
        scope = vars(sys.modules["__main__"])
        needs = self._needs()
        scope.update(needs)
        # A function of `__main__` came by value, with globals of its own.
        brought = getattr(self.__wrapped__, "__globals__", scope)
        if brought is not scope and self.__wrapped__.__module__ == "__main__":
            brought.update({k: v for k, v in scope.items() if not k.startswith("__")})
        elif brought is not scope:
            for name, value in needs.items():
                brought.setdefault(name, value)
        return super().__call__(*args, **kwargs)

    def _needs(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self._modules:
            try:
                found[name.partition(".")[0]] = __import__(name)
            except ImportError as error:
                raise UnmetDependency(f"{name} cannot be imported: {error}") from error
        return found | self._objects

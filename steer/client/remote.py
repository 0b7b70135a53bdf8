"""Functions that run on engines when they are called here."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from steer.client import partition
from steer.client.results import AsyncMapResult
from steer.errors import UnmetDependency
from steer.wire import payload

if TYPE_CHECKING:
    from steer.client.views import DirectView


def remote(
    view: DirectView, block: bool | None = None, **flags: Any
) -> Callable[[Any], RemoteFunction]:
    """A decorator: the function runs on the view's engines."""
    return lambda f: RemoteFunction(view, f, block=block, **flags)


def parallel(
    view: DirectView,
    dist: str = "b",
    block: bool | None = None,
    ordered: bool = True,
    **flags: Any,
) -> Callable[[Any], ParallelFunction]:
    """A decorator: the function's sequences are divided among the view's engines."""
    return lambda f: ParallelFunction(view, f, dist=dist, block=block, **flags)


class RemoteFunction:
    """A function that runs elsewhere."""

    def __init__(
        self, view: DirectView, f: Any, block: bool | None = None, **flags: Any
    ) -> None:
        self.view = view
        self.func = f
        self.block = view.block if block is None else block
        self.flags = flags
        functools.update_wrapper(self, f)
        self.__doc__ = f"{type(self).__name__} wrapping:\n{f.__doc__ or ''}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function on all engines of the view."""
        with self.view.temp_flags(block=self.block, **self.flags):
            return self.view.apply(self.func, *args, **kwargs)

    def __repr__(self) -> str:
        name = getattr(self.func, "__qualname__", repr(self.func))
        return f"<{type(self).__name__} {name} on {self.view.targets}>"


class ParallelFunction(RemoteFunction):
    """A function whose sequences are divided: `f(*whole)` or `f.map(*whole)`."""

    def __init__(
        self, view: DirectView, f: Any, dist: str = "b", block: bool | None = None,
        **flags: Any,
    ) -> None:  # fmt: skip
        super().__init__(view, f, block, **flags)
        self.dist = dist

    def __call__(self, *sequences: Any, **kwargs: Any) -> Any:
        """Call the function once on each engine, with its share of the sequences."""
        if kwargs:
            raise TypeError(f"Unexpected keyword arguments: {kwargs}")
        if not sequences:
            raise TypeError("must have some sequences to divide")
        whole = [partition.sliceable(sequence) for sequence in sequences]
        lengths = [len(sequence) for sequence in whole]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"all sequences must have equal length, but have {lengths}"
            )
        with self.view.temp_flags(block=self.block, **self.flags):
            return self._divide(whole, lengths[0])

    def _divide(self, whole: list[Any], length: int) -> Any:
        view = self.view
        ids = view._ids()[0][: max(length, 1)]
        name = getattr(self.func, "__name__", repr(self.func))
        every = [
            payload.dumps_call(
                self.func,
                [partition.part(s, i, len(ids), self.dist) for s in whole],
                {},
                view.client._dump,
            )
            for i in range(len(ids))
        ]
        result = AsyncMapResult(
            view.client, "apply", fname=name, dist=self.dist, requests=len(ids),
            label=view.label,
        )  # fmt: skip
        for engine, frames in zip(ids, every, strict=True):
            view._request(result, "apply", [engine], frames, name=name)
        return view._finish(result, None)

    def map(self, *sequences: Any) -> Any:
        """Call the function on each element."""
        with self.view.temp_flags(block=self.block, **self.flags):
            return self.view.map(self.func, *sequences, dist=self.dist)


def interactive(f: Any) -> Any:
    """Make a function look as if `__main__` defined it: it sees the engine's names."""
    if isinstance(f, types.FunctionType):
        f.__module__ = "__main__"
    return f


class require:
    """A decorator: import these modules, or send these objects, before each call."""

    def __init__(self, *needs: Any, **named: Any) -> None:
        modules = [n for n in needs if isinstance(n, str | types.ModuleType)]
        self._modules = [n if isinstance(n, str) else n.__name__ for n in modules]
        self._objects = named | {n.__name__: n for n in needs if n not in modules}

    def __call__(self, f: Any) -> Any:
        """The function, with what it needs."""
        return functools.wraps(f)(_Requiring(f, self._modules, self._objects))


class _Requiring:
    """A function with what it needs; made ready on the engine."""

    def __init__(self, f: Any, modules: list[str], objects: dict[str, Any]) -> None:
        self._f, self._modules, self._objects = f, modules, objects

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        scope = vars(sys.modules["__main__"])
        needs = self._needs()
        scope.update(needs)
        # A function of `__main__` came by value, with globals of its own.
        brought = getattr(self._f, "__globals__", scope)
        if brought is not scope and self._f.__module__ == "__main__":
            brought.update({k: v for k, v in scope.items() if not k.startswith("__")})
        elif brought is not scope:
            for name, value in needs.items():
                brought.setdefault(name, value)
        return self._f(*args, **kwargs)

    def _needs(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self._modules:
            try:
                found[name.partition(".")[0]] = __import__(name)
            except ImportError as error:
                raise UnmetDependency(f"{name} cannot be imported: {error}") from error
        return found | self._objects

"""Functions that run on engines when they are called here."""

from __future__ import annotations

import functools
import sys
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
        with self.view.temp_flags(block=self.block, **self.flags):
            return self.view.apply(self.func, *args, **kwargs)


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
        whole = [s if hasattr(s, "__getitem__") else list(s) for s in sequences]
        if len({len(s) for s in whole}) > 1:
            raise ValueError("all sequences must have equal length")
        view = self.view
        ids, _ = view._ids()
        count = min(len(ids), max(len(whole[0]), 1)) if whole else len(ids)
        result = AsyncMapResult(view.client, "apply", fname=self.func.__name__)
        result.join_parts = lambda parts: partition.join(
            [p if hasattr(p, "__len__") else [p] for p in parts], self.dist
        )
        for i, engine in enumerate(ids[:count]):
            shares = [partition.part(s, i, count, self.dist) for s in whole]
            frames = payload.dumps_call(self.func, shares, kwargs, view.client._dump)
            view._request(
                result, "apply", [engine], frames, name=result._fname, expected=count
            )
        return result.get() if self.block else result

    def map(self, *sequences: Any) -> Any:
        """Call the function on each element."""
        return self.view.map(self.func, *sequences, block=self.block, dist=self.dist)


def interactive(f: Any) -> Any:
    """Make a function look as if it was defined in `__main__`: it sees engine
    globals."""
    if callable(f) and hasattr(f, "__module__"):
        f.__module__ = "__main__"
    return f


class require:  # noqa: N801  its name is ipyparallel's
    """A decorator: import these modules, or send these objects, before each call."""

    def __init__(self, *needs: Any, **named: Any) -> None:
        self.modules = [n if isinstance(n, str) else n.__name__ for n in needs
                        if isinstance(n, str) or isinstance(n, type(sys))]  # fmt: skip
        self.objects = {
            n.__name__: n for n in needs if not isinstance(n, str | type(sys))
        } | named

    def __call__(self, f: Any) -> Any:
        return functools.wraps(f)(_Requiring(f, self.modules, self.objects))


class _Requiring:
    """The function with what it needs; made ready on the engine."""

    def __init__(self, f: Any, modules: list[str], objects: dict[str, Any]) -> None:
        self.f, self.modules, self.objects = f, modules, objects

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        scope = sys.modules["__main__"].__dict__
        for name in self.modules:
            try:
                scope[name.partition(".")[0]] = __import__(name)
            except ImportError as error:
                raise UnmetDependency(f"{name} cannot be imported: {error}") from error
        scope.update(self.objects)
        f = self.f
        inner = getattr(f, "__globals__", None)
        if inner is not None and inner is not scope:
            for name in self.modules:
                inner.setdefault(
                    name.partition(".")[0], sys.modules[name.partition(".")[0]]
                )
            for name, value in self.objects.items():
                inner.setdefault(name, value)
        return f(*args, **kwargs)

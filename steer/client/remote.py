"""Functions that run on engines when they are called here."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from steer.client import partition

View = Any
"""A DirectView or a LoadBalancedView."""


def remote(
    view: View, block: bool | None = None, **flags: Any
) -> Callable[[Any], RemoteFunction]:
    """A decorator: the function runs on the view's engines."""
    return lambda f: RemoteFunction(view, f, block=block, **flags)


def parallel(
    view: View,
    dist: str = "b",
    block: bool | None = None,
    ordered: bool = True,
    chunksize: int | None = None,
    **flags: Any,
) -> Callable[[Any], ParallelFunction]:
    """A decorator: the function's sequences are divided among the view's engines.

    A load-balanced view divides them into parts of `chunksize` elements, one if left
    out; `ordered` and `chunksize` mean nothing to other views.
    """
    return lambda f: ParallelFunction(
        view, f, dist=dist, block=block, ordered=ordered, chunksize=chunksize, **flags
    )


class RemoteFunction:
    """A function that runs elsewhere."""

    def __init__(
        self, view: View, f: Any, block: bool | None = None, **flags: Any
    ) -> None:
        self.view = view
        self.func = f
        self.block = view.block if block is None else block
        self.flags = flags
        functools.update_wrapper(self, f)
        self.__doc__ = f"{type(self).__name__} wrapping:\n{f.__doc__ or ''}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function on all engines of the view, or on one if it balances."""
        with self.view.temp_flags(block=self.block, **self.flags):
            return self.view.apply(self.func, *args, **kwargs)

    def __repr__(self) -> str:
        name = getattr(self.func, "__qualname__", repr(self.func))
        return f"<{type(self).__name__} {name} on {self.view.targets}>"


class ParallelFunction(RemoteFunction):
    """A function whose sequences are divided: `f(*whole)` or `f.map(*whole)`."""

    def __init__(
        self,
        view: View,
        f: Any,
        dist: str = "b",
        block: bool | None = None,
        ordered: bool = True,
        chunksize: int | None = None,
        **flags: Any,
    ) -> None:
        super().__init__(view, f, block, **flags)
        self.dist = dist
        self.ordered = ordered
        self.chunksize = chunksize

    def __call__(self, *sequences: Any, **kwargs: Any) -> Any:
        """Call the function once on each part of the sequences."""
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
            return self.view._divide(self, whole, lengths[0])

    def map(self, *sequences: Any) -> Any:
        """Call the function on each element."""
        with self.view.temp_flags(block=self.block, **self.flags):
            return self.view._map_parallel(self, sequences)


def interactive(f: Any) -> Any:
    """Make a function look as if `__main__` defined it: it sees the engine's names."""
    if isinstance(f, types.FunctionType):
        f.__module__ = "__main__"
    return f

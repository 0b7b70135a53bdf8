"""Dividing sequences among engines, and putting them together again.

`b`, blocks: neighbours stay together. `r`, round robin: element i goes to engine i mod
n.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from typing import Any

from steer.errors import UsageError


def part(sequence: Any, index: int, count: int, dist: str = "b") -> Any:
    """The share of engine `index` of `count`."""
    if dist == "r":
        return sequence[index::count]
    if dist != "b":
        raise UsageError(f"dist is 'b' (blocks) or 'r' (round robin), not {dist!r}.")
    base, rest = divmod(len(sequence), count)
    first = index * base + min(index, rest)
    return sequence[first : first + base + (index < rest)]


def sliceable(sequence: Any) -> Any:
    """The sequence, or a list of it if it has no slices: a generator, a set, a dict."""
    if hasattr(sequence, "__getitem__") and not hasattr(sequence, "keys"):
        return sequence
    return list(sequence)


def is_share(value: Any) -> bool:
    """Whether a value is put together with others: text is not, it is one thing."""
    return isinstance(value, list | tuple | range) or _is_array(value)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray) and value.ndim > 0


def join(parts: Sequence[Any], dist: str = "b") -> Any:
    """What was divided: an array if the shares are arrays, else a list."""
    if parts and all(map(_is_array, parts)):
        numpy = sys.modules["numpy"]
        if dist == "b":
            return numpy.concatenate(parts)
        total = sum(map(len, parts))
        whole = numpy.empty((total, *parts[0].shape[1:]), parts[0].dtype)
        for i, share in enumerate(parts):
            whole[i :: len(parts)] = share
        return whole
    if not any(map(is_share, parts)):
        return list(parts)
    return join_lists(parts, dist)


def join_lists(parts: Sequence[Any], dist: str = "b") -> list[Any]:
    """The same, always as a list; what is no share (an error) stands for itself."""
    shares = [p if is_share(p) else [p] for p in parts]
    if dist == "b":
        return list(itertools.chain.from_iterable(shares))
    missing = object()
    rows = itertools.zip_longest(*shares, fillvalue=missing)
    return [value for row in rows for value in row if value is not missing]

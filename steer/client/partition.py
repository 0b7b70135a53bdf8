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


def join(parts: Sequence[Any], dist: str = "b") -> Any:
    """What was divided: an array if the shares are arrays, else a list."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and parts and isinstance(parts[0], numpy.ndarray):
        if dist == "b":
            return numpy.concatenate(parts)
        whole = numpy.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
        for i, share in enumerate(parts):
            whole[i :: len(parts)] = share
        return whole
    return join_lists(parts, dist)


def join_lists(parts: Sequence[Any], dist: str = "b") -> list[Any]:
    """The same, always as a list; a failed share stands for itself."""
    shares = [[p] if isinstance(p, BaseException) else p for p in parts]
    if dist == "b":
        return list(itertools.chain.from_iterable(shares))
    missing = object()
    rows = itertools.zip_longest(*shares, fillvalue=missing)
    return [value for row in rows for value in row if value is not missing]

"""Sets of ranks, written `0-63,65`.

One integer holds a whole set, a bit a rank, so that union, difference and membership of
ten thousand ranks cost about what they cost for one. Sets come over the wire, hence the
limit: a short text must not be able to ask for much memory.

What the numbers mean is the caller's business: engine ids and MPI ranks both travel
like this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from operator import index
from typing import final

LIMIT = 1 << 20
"""No rank is as high as this."""

_PIECE = re.compile(r"([0-9]{1,7})(?:-([0-9]{1,7}))?")
_RUN = re.compile("1+")


@final
class RankSet:
    """An immutable set of ranks; iterates in ascending order."""

    __slots__ = ("_mask",)
    _mask: int

    def __init__(self, ranks: Iterable[int] = ()) -> None:
        self._mask = ranks._mask if isinstance(ranks, RankSet) else _mask_of(ranks)

    @staticmethod
    def parse(text: str) -> RankSet:
        """Read `0-63,65`; the empty text is the empty set. Anything else:
        ValueError."""
        return _parse(text)

    @classmethod
    def from_mask(cls, mask: int) -> RankSet:
        """The set whose rank r is bit r of `mask`."""
        if mask < 0 or mask.bit_length() > LIMIT:
            raise ValueError(f"A mask of ranks has between 0 and {LIMIT} bits.")
        return _wrap(mask)

    @property
    def mask(self) -> int:
        """The set as one integer: bit r stands for rank r."""
        return self._mask

    def min(self) -> int:
        """The lowest rank; ValueError if there is none."""
        if not self._mask:
            raise ValueError("An empty set of ranks has no lowest rank.")
        return (self._mask & -self._mask).bit_length() - 1

    def max(self) -> int:
        """The highest rank; ValueError if there is none."""
        if not self._mask:
            raise ValueError("An empty set of ranks has no highest rank.")
        return self._mask.bit_length() - 1

    def __str__(self) -> str:
        return _text(self._mask)

    def __repr__(self) -> str:
        return f"RankSet.parse({_text(self._mask)!r})"

    def __iter__(self) -> Iterator[int]:
        mask = self._mask
        if not mask & (mask - 1):  # none or one: by far the most frequent
            return iter((mask.bit_length() - 1,) if mask else ())
        bits = bin(mask)[:1:-1]
        return iter([rank for rank, bit in enumerate(bits) if bit == "1"])

    def __len__(self) -> int:
        return self._mask.bit_count()

    def __bool__(self) -> bool:
        return self._mask != 0

    def __contains__(self, rank: object) -> bool:
        return isinstance(rank, int) and rank >= 0 and bool(self._mask >> rank & 1)

    def __or__(self, other: RankSet) -> RankSet:
        if not isinstance(other, RankSet):
            return NotImplemented
        return _wrap(self._mask | other._mask)

    def __and__(self, other: RankSet) -> RankSet:
        if not isinstance(other, RankSet):
            return NotImplemented
        return _wrap(self._mask & other._mask)

    def __sub__(self, other: RankSet) -> RankSet:
        if not isinstance(other, RankSet):
            return NotImplemented
        return _wrap(self._mask & ~other._mask)

    def __le__(self, other: RankSet) -> bool:
        """Whether every rank here is in `other` too."""
        if not isinstance(other, RankSet):
            return NotImplemented
        return not self._mask & ~other._mask

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RankSet):
            return NotImplemented
        return self._mask == other._mask

    def __hash__(self) -> int:
        return hash(self._mask)

    def __reduce__(self) -> tuple[object, ...]:
        return RankSet.from_mask, (self._mask,)


def describe(ranks: Iterable[int]) -> str:
    """Name ranks in a sentence: `rank 3`, `ranks 0-2,5`."""
    ranks = RankSet(ranks)
    match len(ranks):
        case 0:
            return "no rank"
        case 1:
            return f"rank {ranks}"
        case _:
            return f"ranks {ranks}"


def _wrap(mask: int) -> RankSet:
    ranks = object.__new__(RankSet)
    ranks._mask = mask
    return ranks


def _mask_of(ranks: Iterable[int]) -> int:
    numbers = [index(rank) for rank in ranks]
    if not numbers:
        return 0
    if min(numbers) < 0 or max(numbers) >= LIMIT:
        raise ValueError(f"A rank is a number from 0 to {LIMIT - 1}.")
    if len(numbers) == 1:
        return 1 << numbers[0]
    return _fill((number, number) for number in numbers)


@lru_cache(maxsize=512)
def _parse(text: str) -> RankSet:
    if not text:
        return _wrap(0)
    runs = []
    for piece in text.split(","):
        found = _PIECE.fullmatch(piece)
        if found is None:
            raise ValueError(
                f"{_short(text)} is no set of ranks; write it like 0-63,65."
            )
        low = int(found[1])
        high = low if found[2] is None else int(found[2])
        if high < low:
            raise ValueError(
                f"{_short(text)} is no set of ranks: {piece} runs backwards."
            )
        if high >= LIMIT:
            raise ValueError(
                f"{_short(text)} goes beyond the highest rank, {LIMIT - 1}."
            )
        runs.append((low, high))
    if len(runs) == 1:
        return _wrap((1 << high + 1) - (1 << low))
    return _wrap(_fill(runs))


def _fill(runs: Iterable[tuple[int, int]]) -> int:
    """The mask of some runs, in linear time, which adding bit by bit is not."""
    runs = list(runs)
    size = max(high for _, high in runs) + 1
    digits = bytearray(b"0") * size
    for low, high in runs:
        digits[size - 1 - high : size - low] = b"1" * (high - low + 1)
    return int(digits, 2)


@lru_cache(maxsize=512)
def _text(mask: int) -> str:
    if not mask:
        return ""
    pieces = []
    for run in _RUN.finditer(bin(mask)[:1:-1]):
        low, end = run.span()
        pieces.append(str(low) if end == low + 1 else f"{low}-{end - 1}")
    return ",".join(pieces)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")

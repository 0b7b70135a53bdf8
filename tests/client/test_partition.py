"""Dividing and putting together."""

from __future__ import annotations

import numpy
from hypothesis import given
from hypothesis import strategies as some

from steer.client.partition import is_share, join, join_lists, part, sliceable

COUNTS = some.integers(1, 12)
DISTS = some.sampled_from("br")


@given(some.lists(some.integers()), COUNTS, DISTS)
def test_what_was_divided_comes_together_again(
    values: list[int], count: int, dist: str
) -> None:
    shares = [part(values, i, count, dist) for i in range(count)]
    assert join(shares, dist) == values
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@given(some.integers(0, 30), COUNTS, DISTS)
def test_arrays_too(length: int, count: int, dist: str) -> None:
    field = numpy.arange(length * 3).reshape(length, 3)
    shares = [part(field, i, count, dist) for i in range(count)]
    assert numpy.array_equal(join(shares, dist), field)


def test_what_is_no_sequence_stands_for_itself() -> None:
    error = ValueError()
    assert join_lists([[1, 2], error, [3]]) == [1, 2, error, 3]
    assert join(["ab", "c"]) == ["ab", "c"]
    assert join([1, 2]) == [1, 2]
    assert join([]) == []
    assert not is_share("text")


def test_what_has_no_slices_is_listed() -> None:
    assert sliceable(i for i in range(3)) == [0, 1, 2]
    assert sliceable({"a": 1}) == ["a"]
    assert sliceable(range(3)) == range(3)

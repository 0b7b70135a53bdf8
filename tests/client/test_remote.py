"""Decorated functions."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from steer.client.client import Client
from steer.client.remote import interactive, parallel, remote

from .acting import ActingLink, acting

Acting = tuple[Client, ActingLink]


@pytest.fixture
def four() -> Iterator[Acting]:
    with acting(4) as pair:
        yield pair


def add(a, b=2):
    """Add."""
    return a + b


def test_a_remote_function_keeps_its_face(four: Acting) -> None:
    rc, _ = four
    view = rc[:]
    f = view.remote(block=True)(add)
    assert f(1) == [3] * 4
    assert f.__name__ == "add"
    assert f.__doc__ == "RemoteFunction wrapping:\nAdd."
    assert inspect.signature(f) == inspect.signature(add)
    assert not view.block
    assert remote(view, block=False, label="x")(add)(1, b=1).label == ["x"] * 4


@pytest.mark.parametrize("dist", ["b", "r"])
def test_a_parallel_function_gets_shares(four: Acting, dist: str) -> None:
    rc, link = four
    f = rc[:].parallel(dist=dist, block=True)(lambda xs: [x * 2 for x in xs])
    assert f(range(6)) == [0, 2, 4, 6, 8, 10]
    assert f([1, 2]) == [2, 4]
    assert len(link.submits) == 6


def test_a_parallel_function_maps_elements(four: Acting) -> None:
    rc, _ = four
    f = parallel(rc[:], block=True)(lambda x, y: x * y)
    assert f.map(range(6), range(6)) == [0, 1, 4, 9, 16, 25]
    later = parallel(rc[:], block=False)(lambda xs: sum(xs))(range(8))
    assert later.get(5) == [1, 5, 9, 13]


def test_a_parallel_function_refuses_what_it_cannot_divide(four: Acting) -> None:
    rc, _ = four
    f = rc[:].parallel(block=True)(add)
    with pytest.raises(ValueError, match=r"equal length, but have \[1, 2\]"):
        f([1], [1, 2])
    with pytest.raises(TypeError, match="Unexpected keyword arguments"):
        f(a=1)
    with pytest.raises(TypeError, match="must have some sequences"):
        f()


def test_interactive_functions_are_mains() -> None:
    assert interactive(lambda: 1).__module__ == "__main__"
    assert interactive(3) == 3

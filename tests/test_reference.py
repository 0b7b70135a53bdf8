"""Expressions that stand for values on the engine."""

from __future__ import annotations

import collections
import pickle

import pytest

from steer.reference import Reference, resolve


def test_it_travels_and_shows_itself():
    reference = pickle.loads(pickle.dumps(Reference("u.max()")))
    assert reference.name == "u.max()"
    assert repr(reference) == "<Reference: 'u.max()'>"


def test_only_text_names_something():
    with pytest.raises(TypeError, match="as text, not 3"):
        Reference(3)


def test_here_it_cannot_be_called():
    with pytest.raises(TypeError, match="can only be called on an engine"):
        Reference("f")(1)


def test_references_are_found_inside_containers():
    names = {"a": 1, "b": [2]}
    value = [Reference("a"), (Reference("b"), 5), {"k": Reference("a")}]
    assert resolve(value, names.__getitem__) == [1, ([2], 5), {"k": 1}]


def test_other_objects_are_left_alone():
    Pair = collections.namedtuple("Pair", "a b")
    pair = Pair(Reference("a"), 1)
    assert resolve(pair, str) is pair
    assert resolve("a", str) == "a"

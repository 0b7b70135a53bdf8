"""Functions that say what they need."""

from __future__ import annotations

import inspect
import json
import pickle
import types
from typing import Any

import pytest

from steer.client.needs import Carrier, depend, dependent, require
from steer.errors import UnmetDependency


def add(a: int, b: int = 2) -> int:
    """Add."""
    return a + b


def at_most(n: int, *, limit: int = 3) -> bool:
    return n <= limit


def test_require_brings_modules_and_objects() -> None:
    def elsewhere() -> Any:
        return colorsys.hls_to_rgb(0, 0, 0), add(1), answer  # type: ignore[name-defined]  # noqa: F821

    fresh = types.FunctionType(elsewhere.__code__, {"__builtins__": __builtins__})
    fresh.__module__ = "not_main"
    needing = require("colorsys", json, add, answer=42)(fresh)
    assert needing() == ((0, 0, 0), 3, 42)
    assert fresh.__globals__["json"] is json


def test_a_module_that_is_not_there_is_an_unmet_dependency() -> None:
    with pytest.raises(UnmetDependency, match="no_such_module cannot be imported"):
        require("no_such_module")(add)(1)


def test_a_condition_is_asked_first() -> None:
    assert depend(at_most, 2)(add)(1, b=5) == 6
    assert dependent(add, at_most, 5, limit=9)(1) == 3
    assert dependent(add, lambda: None)(1) == 3  # only False is no
    with pytest.raises(UnmetDependency, match="at_most says that it must not run here"):
        depend(at_most, 4)(add)(1)


def test_a_function_keeps_its_face() -> None:
    carried = require("json")(depend(at_most, 1)(add))
    assert (carried.__name__, carried.__doc__) == ("add", "Add.")
    assert inspect.signature(carried) == inspect.signature(add)
    assert carried.f.f is add


def test_what_is_carried_travels() -> None:
    carried = require("json")(dependent(add, at_most, 2))
    again = pickle.loads(pickle.dumps(carried))
    assert again(1) == 3
    assert again.f.df is at_most
    assert dependent(add, at_most, 2, limit=7).carried == (add, at_most, 2, 7)
    assert require(x=add)(abs).carried == (abs, add)


def test_an_engine_binds_what_is_inside() -> None:
    seen: list[Any] = []

    def bind(function: Any) -> Any:
        seen.append(function)
        return lambda *args: "bound"

    carried = require("json")(dependent(add, at_most, 2))
    bound = carried.bound(bind)
    assert seen == [add, at_most]
    assert bound(1) == "bound"
    assert carried(1) == 3
    assert isinstance(bound, Carrier)

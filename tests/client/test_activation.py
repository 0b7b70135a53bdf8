"""Activating a view where there is no IPython; where there is one see tests/magics."""

from __future__ import annotations

import sys
import types

import pytest

from steer.client import activation

from .acting import acting


def test_outside_of_ipython_it_is_only_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for ipython in (None, types.SimpleNamespace(get_ipython=lambda: None)):
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        with acting(2) as (rc, _):
            with pytest.warns(UserWarning, match="only within IPython"):
                rc[:].activate()
            with pytest.warns(UserWarning, match=r"use `view\.execute"):
                view = rc.activate([1], suffix="_one")
            assert view.block
            assert view.targets == [1]


def test_a_view_goes_to_the_magics_that_came_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = []
    manager = types.SimpleNamespace(load_extension=loaded.append)
    shell = types.SimpleNamespace(extension_manager=manager)
    ipython = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(activation, "_register", [])
    taken: list[object] = []
    activation.on_activate(lambda *given: pytest.fail("the older ones"))
    activation.on_activate(lambda *given: taken.extend(given))
    with acting(2) as (rc, _):
        view = rc[:]
        view.activate("_west")
    assert loaded == ["steer"]
    assert taken == [shell, view, "_west"]

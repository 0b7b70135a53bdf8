"""Snapshots on one rank: one at a time, and not lost for one that cannot be."""

from __future__ import annotations

import pytest

from steer.engines import snapshots


@pytest.fixture
def variables(monkeypatch):
    """Those of a loop in which nothing is under way."""
    variables = {"u": [1.0], "lines": iter("ab")}
    monkeypatch.setattr(snapshots, "_variables", lambda: variables)
    monkeypatch.setattr(snapshots, "_unsafe", lambda: "")
    monkeypatch.setattr(snapshots, "_own", dict)
    monkeypatch.setattr(snapshots, "_snapshots", [])
    return variables


@pytest.mark.parametrize("names", [("gone",), ("lines",), ("u", "lines")])
def test_one_that_is_refused_leaves_the_one_before(variables, names):
    assert snapshots.take(("u",), 5)["names"] == ["u"]
    refused = snapshots.check(names)["refused"]
    assert names[-1] in refused
    assert snapshots.take(names, 9)["refused"] == refused
    variables["u"][0] = 2.0
    assert snapshots.look() == {"refused": "", "point": 5}
    assert snapshots.put_back()["names"] == ["u"]
    assert variables["u"] == [1.0]


def test_there_are_never_two(variables, monkeypatch):
    class Copies(snapshots.Copies):
        def __init__(self, chosen):
            assert snapshots._snapshots == []
            super().__init__(chosen)

    monkeypatch.setattr(snapshots, "Copies", Copies)
    for point in (5, 9):
        told = snapshots.take((), point)
        assert (told["names"], list(told["left_out"])) == (["u"], ["lines"])
    assert snapshots.look()["point"] == 9


def test_without_variables_there_is_none(variables):
    variables.clear()
    assert snapshots.check(())["refused"] == "the loop has no variables yet"

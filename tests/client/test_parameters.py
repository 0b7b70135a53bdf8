"""A run's parameters, as its user sees them."""

from __future__ import annotations

import pytest

from steer.core import params as core
from steer.core.params import Choice, Float, Int
from steer.errors import UsageError
from steer.ranks import RankSet

from .steeredrun import FakeRun


@pytest.fixture
def run():
    return FakeRun(
        dt=Float(0.1, 1e-6, 1.0, doc="the time step"),
        scheme=Choice("rk4", "euler"),
        load=Float(1.0, per_rank=True),
    )


def test_they_read_like_a_table(run):
    core.change(run.ranks[3], {"load": 2.0})
    about = ["a number, from 1e-06 to 1.0: the time step"]
    about += ["one of 'rk4', 'euler'", "a number, per rank"]
    texts = ["0.1", "'rk4'", "1.0 on ranks 0-2, 2.0 on rank 3"]
    rows = zip(["dt", "scheme", "load"], texts, about, strict=True)
    expected = [f"{name:6}  {text:31}  {words}" for name, text, words in rows]
    assert repr(run.params).splitlines() == expected


def test_values(run):
    assert run.params.dt == 0.1
    assert dict(run.params) == {"dt": 0.1, "scheme": "rk4", "load": 1.0}
    core.change(run.ranks[3], {"load": 2.0})
    assert run.params["load"] == {0: 1.0, 1: 1.0, 2: 1.0, 3: 2.0}
    assert "dt" in dir(run.params)
    assert run.params() is not None


def test_unknown_ones(run):
    with pytest.raises(AttributeError, match="There is no parameter du; there are: dt"):
        _ = run.params.du
    with pytest.raises(UsageError, match="There is no parameter du"):
        _ = run.params["du"]


def test_they_are_set_like_attributes(run):
    run.params.dt = 0.2
    run.params["load"] = [1, 2, 3, 4]
    texts = [arguments["text"] for verb, arguments in run.asked if verb == "plan"]
    assert texts == [
        "dt=0.2", "load=1 on rank 0, 2 on rank 1, 3 on rank 2, 4 on rank 3",
    ]  # fmt: skip


def test_ranks_that_do_not_answer_are_named(run):
    run.silent = RankSet([1, 2])
    assert "No answer yet from ranks 1-2: in native code." in repr(run.params)
    run.silent = RankSet(range(4))
    assert repr(run.params) == "No answer yet from ranks 0-3: in native code."


def test_a_program_without_any():
    text = repr(FakeRun().params)
    assert text.startswith("The program declares no parameters")


def test_a_value_equal_in_number_but_not_in_kind_is_another(run):
    run = FakeRun(2, n=Int(1))
    object.__setattr__(run.ranks[1], "n", True)
    assert run.params.n == {0: 1, 1: True}


def test_shown_without_a_notebook_it_is_text(run, capsys):
    run.params._ipython_display_()
    assert "one of 'rk4', 'euler'" in capsys.readouterr().out

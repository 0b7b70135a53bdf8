"""Widgets made of parameters."""

from __future__ import annotations

import subprocess
import sys

import pytest

from steer.client import widgets
from steer.core import params as core
from steer.core.params import Bool, Choice, Float, Int, Str
from steer.errors import UsageError

from .steeredrun import FakeRun

kit = pytest.importorskip("ipywidgets")


@pytest.fixture
def run():
    return FakeRun(
        dt=Float(0.1, 3e-6, 1.0, doc="the time step"),
        courant=Float(0.5, 0.0, 1.0),
        length=Float(1.0, 0.0),
        ratio=Float(1.0),
        n=Int(10, 0, 100),
        cells=Int(1000, 1, 10**6),
        out=Bool(True),
        scheme=Choice("rk4", "euler"),
        name=Str("run"),
    )


@pytest.fixture
def panel(run):
    return widgets.Panel(run)


def changes(run):
    return [args["text"] for verb, args in run.asked if verb == "plan"]


def test_each_has_the_widget_that_fits(panel):
    kinds = {name: type(widget).__name__ for name, widget in panel.widgets.items()}
    assert kinds == {
        "dt": "FloatLogSlider", "courant": "FloatSlider", "length": "FloatText",
        "ratio": "FloatText", "n": "IntSlider", "cells": "BoundedIntText",
        "out": "Checkbox", "scheme": "Dropdown", "name": "Text",
    }  # fmt: skip
    assert panel.widgets["dt"].tooltip == "the time step"
    assert panel.widgets["dt"].value == 0.1
    assert panel.widgets["scheme"].options == (("rk4", "rk4"), ("euler", "euler"))
    assert len(panel.box.children) == 10


def test_moving_one_sets_the_parameter(run, panel):
    panel.widgets["out"].value = False
    panel.widgets["scheme"].value = "euler"
    panel.widgets["n"].value = 20
    assert changes(run) == ["out=False", "scheme='euler'", "n=20"]
    assert "n=20: at point 413" in panel.said.value


def test_the_ends_of_a_slider_are_those_of_the_parameter(run, panel):
    slider = panel.widgets["dt"]
    slider.value = 10**slider.min
    slider.value = 10**slider.max
    assert changes(run) == ["dt=3e-06", "dt=1.0"]
    assert run.ranks[0].dt == 0.1  # the run is not a real one


def test_what_may_not_be_is_said_and_taken_back(run, panel):
    panel.widgets["length"].value = -3.0
    assert "length is 0.0 or more, not -3.0." in panel.said.value
    assert panel.widgets["length"].value == 1.0
    assert changes(run) == ["length=-3.0"]  # asked once


def test_what_others_change_is_seen(run, panel):
    panel._later = lambda call: call()
    for rank in run.ranks:
        core.change(rank, {"courant": 0.25, "out": False})
    run.tell("done", "courant=0.25: done", plan=3, over=True)
    assert panel.widgets["courant"].value == 0.25
    assert panel.widgets["out"].value is False
    assert changes(run) == []


def test_one_refresh_is_enough(run, panel):
    calls = []
    panel._later = calls.append
    for _ in range(3):
        run.tell("done", "courant=0.25: done", plan=3, over=True)
    assert len(calls) == 1
    calls[0]()
    run.tell("done", "courant=0.25: done", plan=3, over=True)
    assert len(calls) == 2


def test_only_the_last_panels_follow(run):
    for _ in range(widgets.LIVE + 3):
        widgets.Panel(run)
    assert len(run.listeners) == widgets.LIVE


def test_values_that_differ_are_shown(run, panel):
    core.change(run.ranks[3], {"n": 11})
    panel.refresh()
    assert panel.widgets["n"].description == "n (10 on ranks 0-2, 11 on rank 3)"
    core.change(run.ranks[3], {"n": 10})
    panel.refresh()
    assert panel.widgets["n"].description == "n"


def test_text_of_others_is_not_html(run, panel):
    panel._say("<b>bold</b>")
    assert "&lt;b&gt;" in panel.said.value


def test_a_program_without_parameters_says_how():
    panel = widgets.Panel(FakeRun())
    assert "declares no parameters" in panel.box.children[0].value


def test_without_ipywidgets_it_is_said_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(UsageError, match=r"mpi-steer\[widgets\]"):
        run.params.widgets()


def test_nobody_imports_ipywidgets_before_it_is_needed():
    script = (
        "import sys\n"
        "import steer.client.parameters, steer.client.scheduling, steer.client.run\n"
        "assert 'ipywidgets' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)

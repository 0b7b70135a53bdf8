"""Views have the verbs of the run that their client reaches, and load nothing."""

from __future__ import annotations

import copy
import subprocess
import sys
from types import SimpleNamespace

import pytest

from steer.client.verbs import VERBS
from steer.client.views import DirectView


class Run:
    """Steps, and says how far."""

    def step(self, n: int = 1) -> str:
        return f"stopped at point {n}"


def view_of(run: Run) -> DirectView:
    return DirectView(SimpleNamespace(block=False, run=run), "all")


def test_a_view_has_the_verbs_of_its_run():
    view = view_of(Run())

    assert view.step(10) == "stopped at point 10"
    assert set(VERBS) < set(dir(view))


def test_other_names_are_missing_as_ever():
    view = view_of(Run())

    with pytest.raises(AttributeError, match=r"'DirectView' object has no .* 'leap'"):
        view.leap  # noqa: B018
    assert not hasattr(view, "_private")
    assert copy.copy(view).step(2) == "stopped at point 2"


def test_who_steers_nothing_loads_nothing():
    code = (
        "import sys, steer; steer.Client; steer.DirectView; "
        "loaded = {'verbs', 'run', 'curves', 'scheduling'} & "
        "{name.rpartition('.')[2] for name in sys.modules if 'steer' in name}; "
        "sys.exit(str(loaded) if loaded else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50
    )

    assert done.returncode == 0, done.stderr

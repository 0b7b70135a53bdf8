"""The table of verbs and the methods of a run are one thing."""

from __future__ import annotations

import inspect
import runpy
from pathlib import Path
from typing import Any

import pytest

from steer.client.run import Run
from steer.client.verblines import verb
from steer.client.verbs import REQUIRED, VERBS, Form, perform, place
from steer.errors import UsageError

PAGE_MAKER = Path(__file__).parents[2] / "docs" / "reference" / "list_verbs.py"
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
NOT_SPOKEN = (*VARIADIC, inspect.Parameter.POSITIONAL_ONLY)
"""What only Python can give: a function's arguments, a dictionary."""


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_a_method_that_takes_the_same(name: str):
    method = getattr(Run, name)
    if isinstance(method, property):
        assert VERBS[name].arguments == ()
        return
    taken = inspect.signature(method).parameters
    plain = {n: p for n, p in taken.items() if p.kind not in NOT_SPOKEN and n != "self"}
    rows = {a.name: a for a in VERBS[name].arguments}
    gathered = {n for n, a in rows.items() if a.form in (Form.PAIRS, Form.WORDS)}

    assert set(plain) == set(rows) - gathered
    assert all(p.kind in VARIADIC for n, p in taken.items() if n in gathered)
    for parameter in plain.values():
        default = rows[parameter.name].default
        expected = inspect.Parameter.empty if default is REQUIRED else default
        assert parameter.default == expected, parameter


@pytest.mark.parametrize("name", VERBS)
def test_every_method_says_what_it_does(name: str):
    assert inspect.getdoc(getattr(Run, name))
    assert VERBS[name].help.endswith(".")


def test_words_and_pairs_are_given_one_by_one():
    class Fake:
        def set(self, at: Any = None, **values: Any) -> Any:
            return at, values

        def snapshot(self, *names: str) -> Any:
            return names

        @property
        def params(self) -> str:
            return "dt=0.1"

    run = Fake()
    found = perform(run, "set", {"at": "+5", "values": {"dt": 1, "ocean.dt": 2}})
    assert found == ("+5", {"dt": 1, "ocean.dt": 2})
    assert perform(run, "snapshot", {"names": ("u", "v")}) == ("u", "v")
    assert perform(run, "snapshot", {}) == ()
    assert perform(run, "params", {}) == "dt=0.1"


def test_a_verb_that_is_none_is_a_sentence():
    with pytest.raises(UsageError, match="There is no verb 'leap'; there are stop, go"):
        verb("leap")


def test_the_page_of_the_documentation_is_this_table():
    made = runpy.run_path(str(PAGE_MAKER))

    assert made["PAGE"].read_text() == made["page"](), f"run {PAGE_MAKER.name}"


def test_points():
    assert place("500") == 500
    assert place("+50") == "+50"
    for wrong in ("0", "-3", "+0", "+", "5.5", "x", "+-3", ""):
        with pytest.raises(ValueError, match=r"least 1|a point like 500"):
            place(wrong)

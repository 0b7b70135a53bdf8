"""The magics of steering: what they call, print, and say of mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from steer.client.client import Client
from steer.client.verbs import VERBS
from steer.errors import UsageError
from steer.wire.messages import News
from tests.magics.conftest import Notebook

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]


class Run:
    """Has every verb, and remembers what was asked of it."""

    name = "sim"

    def __init__(self, client: Client) -> None:
        self.client = client
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.answer: Any = None

    def status(self) -> dict[str, Any]:
        return {"families": []}

    def __getattr__(self, name: str) -> Any:
        if name not in VERBS:  # but for those above
            raise AttributeError(name)

        def method(*args: Any, **named: Any) -> Any:
            self.calls.append((name, args, named))
            if isinstance(self.answer, BaseException):
                raise self.answer
            return self.answer

        return method


@pytest.fixture
def run(notebook: Notebook, rc: Client) -> Iterator[Run]:
    """A run to which the active view belongs."""
    rc.run = Run(rc)
    yield rc.run
    rc.run = None


def test_every_verb_is_a_magic_with_help(notebook: Notebook, run: Run):
    for name in VERBS:
        shown = notebook.run(f"%px{name} --help").out
        assert shown.startswith(f"usage: %px{name}")
    assert run.calls == []


def test_there_is_an_overview(notebook: Notebook):
    shown = notebook.run("%pxhelp").out
    assert all(f"  {name} " in shown for name in VERBS)
    assert notebook.run("%pxhelp step").out.startswith("usage: step")
    assert "There is no verb 'leap'" in notebook.mistake("%pxhelp leap")


def test_a_line_is_a_call(notebook: Notebook, run: Run):
    notebook.names["new"] = 0.02
    for line in (
        "%pxstop", "%pxstep 10", "%pxset dt={new} --at +5", "%pxsnapshot u v",
        "%pxat +50 print(f'{dt}', $x)", "%pxuntil residual<1e-6",
    ):  # fmt: skip
        assert notebook.run(line).error is None

    assert run.calls == [
        ("stop", (), {}),
        ("step", (), {"n": 10}),
        ("set", (), {"at": "+5", "dt": 0.02}),
        ("snapshot", ("u", "v"), {}),
        ("at", (), {"point": "+50", "code": "print(f'{dt}', $x)"}),
        ("until", (), {"condition": "residual<1e-6"}),
    ]


def test_a_cell_is_the_code(notebook: Notebook, run: Run):
    notebook.run("%%pxevery 100\nfor x in range(3):\n    print({x})\n")

    code = "for x in range(3):\n    print({x})\n"
    assert run.calls == [("every", (), {"n": 100, "code": code})]


def test_news_is_printed_and_values_are_values(notebook: Notebook, run: Run):
    run.answer = News("sim", "sim/step", "stopped", "stopped at point 413 (sim.py:40)")
    ran = notebook.run("%pxstop")
    assert ran.out == "stopped at point 413 (sim.py:40)\n"
    assert ran.value is None

    run.answer = [1, 2]
    assert notebook.run("%pxplans").value == [1, 2]
    assert notebook.run("%pxgo;").out == ""


def test_mistakes_are_sentences(notebook: Notebook, run: Run):
    assert "POINT is a point like 500" in notebook.mistake("%pxat soon x = 1")
    run.answer = UsageError("The run is not stopped: stop it first.")
    assert notebook.mistake("%pxstep") == "The run is not stopped: stop it first."


def test_without_a_run_one_hears_how_to_get_one(notebook: Notebook):
    assert "steer.connect" in notebook.mistake("%pxstop")


def test_without_a_view_one_hears_it_too(bare: Notebook):
    bare.run("%load_ext steer")

    assert "steer.connect" in bare.mistake("%pxgo")


def test_a_suffix_has_verbs_of_its_own(notebook: Notebook, run: Run, rc: Client):
    rc.activate([0, 1], suffix="_west")

    notebook.run("%pxgo_west")

    assert run.calls == [("go", (), {})]


def test_verbs_stay_here_when_cells_go_to_the_ranks(notebook: Notebook, run: Run):
    notebook.run("%autopx")
    notebook.run("%pxstep 3")
    notebook.run("%autopx")

    assert run.calls == [("step", (), {"n": 3})]


def test_verbs_go_with_the_extension(notebook: Notebook):
    notebook.run("%unload_ext steer")

    registered = notebook.shell.magics_manager.magics
    left = {name for kind in registered.values() for name in kind}
    assert not left & {f"px{name}" for name in VERBS}

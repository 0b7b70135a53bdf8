"""Lines for a run: what is a statement, what is said, and what ends them."""

from __future__ import annotations

from typing import Any

import pytest

from steer.client.client import Client
from steer.client.verblines import ALL
from steer.errors import UsageError
from steer.magics.session import Session, blocks, overview
from steer.wire.messages import News

mpi = [pytest.mark.mpi, pytest.mark.either_mpi]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("stop\n\nstep 3\n# go\ngo\n", ["stop", "step 3", "go"]),
        ("x = 1\nprint(x)", ["x = 1", "print(x)"]),
        ("for i in x:\n    print(i)\n\n    print(2)\ngo",
         ["for i in x:\n    print(i)\n\n    print(2)", "go"]),
        ("if x:\n    y\nelse:\n    z\nstep", ["if x:\n    y\nelse:\n    z", "step"]),
        ("f(1,\n2)\nstop", ["f(1,\n2)", "stop"]),
        ('t = """\nstop\n"""\nstop', ['t = """\nstop\n"""', "stop"]),
        ("x = )\ngo", ["x = )", "go"]),
        ("help\nhelp stop\nquit", ["help", "help stop", "quit"]),
    ],
)  # fmt: skip
def test_lines_make_statements(text: str, whole: list[str]):
    assert list(blocks(text.splitlines())) == whole


def test_the_overview_names_every_verb():
    for verb in ALL:
        assert f"  {verb} " in overview()


class Fake:
    """A run that answers to `stop`, and refuses to `step`."""

    def __init__(self, view: Any) -> None:
        self.view = view
        self.asked: list[str] = []

    def stop(self, **named: Any) -> Any:
        self.asked.append("stop")
        return News("sim", "sim/step", "stopped", "stopped at point 413")

    def step(self, **named: Any) -> Any:
        self.asked.append("step")
        raise UsageError("The run is not stopped: stop it first.")


def test_verbs_print_what_they_say_and_the_first_that_fails_is_the_last(capsys: Any):
    run = Fake(None)

    assert Session(run).all(["stop", "step", "stop"]) == 1
    said = capsys.readouterr()
    assert said.out == "stopped at point 413\n"
    assert said.err == "steer: The run is not stopped: stop it first.\n"
    assert run.asked == ["stop", "step"]


def test_leaving_ends_it(capsys: Any):
    run = Fake(None)

    assert Session(run).all(["stop", "detach", "step"]) == 0
    assert run.asked == ["stop"]


def test_help_is_said(capsys: Any):
    assert Session(Fake(None)).all(["help", "help stop", "step --help"]) == 0
    out = capsys.readouterr().out
    assert "usage: stop [--advance N]" in out
    assert "usage: step" in out
    assert "Anything else is Python" in out
    assert Session(Fake(None)).all(["help nothing"]) == 1
    assert "There is no verb 'nothing'" in capsys.readouterr().err


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_verbs_of_sight_work_on_all_ranks(rc: Client, capsys: Any):
    run = Fake(rc.direct_view(block=True))
    lines = ["x = 3", "where", "stuck", "peek --ranks 0-1 x + 1", "mpi last 2"]

    assert Session(run).all(lines) == 0
    out = capsys.readouterr().out
    assert "NOBODY WAITS" in out
    assert "[0-1] (2)  4\nracy:" in out
    assert "No call was noted" in out
    assert Session(run).all(["1 / 0"]) == 1
    capsys.readouterr()
    assert Session(run).all(["debug", "debug p x + 2"]) == 0
    out = capsys.readouterr().out
    assert "ZeroDivisionError" in out
    assert out.endswith("[0-3] (4)  5\n")
    assert Session(run).all(["peek --ranks 99 x"]) == 1


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_python_runs_on_the_ranks_and_folds(rc: Client, capsys: Any):
    run = Fake(rc.direct_view(block=True))
    lines = ["x = 3", "for i in range(2):", "    print('i', i)", "x + 1", "stop"]

    assert Session(run).all(lines) == 0
    out = capsys.readouterr().out
    assert "[0-3] (4)  i 0" in out
    assert "[0-3] (4)  4" in out
    assert out.endswith("stopped at point 413\n")


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_an_error_of_ranks_is_shown_once_and_ends_it(rc: Client, capsys: Any):
    run = Fake(rc.direct_view(block=True))

    assert Session(run).all(["1 / 0", "stop"]) == 1
    said = capsys.readouterr()
    assert "ZeroDivisionError" in said.out + said.err
    assert "/steer/magics/" not in said.out + said.err
    assert run.asked == []

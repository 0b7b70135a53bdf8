"""Recipes are read strictly: every mistake names the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from steer.errors import LaunchError
from steer.launch.recipe import Recipe, Settings, load

ROOT = Path(__file__).parents[2]
GOOD = """
description = "for tests"
launch = ["run", "{n}", "{engine}"]
"""
BATCH = """
description = "a scheduler"
kind = "batch"
launch = ["srun", "{engine}"]
directive = "#RUN"
submit = ["submit", "{script}"]
query = ["query", "{job}"]
cancel = ["cancel", "{job}"]
job = '^(\\d+)'
[states]
waiting = ["PD"]
running = ["R"]
done = ["CD"]
failed = ["F"]
"""


def read(tmp_path: Path, text: str) -> Recipe:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return load(file)


def test_a_small_recipe(tmp_path: Path) -> None:
    recipe = read(tmp_path, GOOD)
    assert recipe.name == "mine"
    assert recipe.kind == "direct"
    assert recipe.launch == ("run", "{n}", "{engine}")
    assert recipe.settings == Settings()
    assert not recipe.needs_mpi


@pytest.mark.parametrize("name", ["mpiexec", "local"])
def test_ours_are_good(name: str) -> None:
    recipe = load(str(ROOT / "launchers" / f"{name}.toml"))
    assert recipe.name == name
    assert recipe.needs_mpi == (name == "mpiexec")
    assert recipe.each == (name == "local")


def test_a_batch_recipe(tmp_path: Path) -> None:
    batch = read(tmp_path, BATCH).batch
    assert batch is not None
    assert batch.submit == ("submit", "{script}")
    assert batch.states["failed"] == ("F",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('launch = ["a"]', '"description" is missing'),
        ('description = "x"', '"launch" is missing'),
        ('description = "x"\nlaunch = []', '"launch" is empty'),
        ('description = 1\nlaunch = ["a"]', '"description" must be a string, not 1'),
        ('description = "x"\nlaunch = "a"', '"launch" must be a list of strings'),
        ('description = "x"\nlaunch = ["a", 1]', '"launch" must hold strings only'),
        (GOOD + 'kind = "odd"', '"kind" is "odd", but must be "direct" or "batch"'),
        (GOOD + 'each = "yes"', '"each" must be true or false'),
        (GOOD + 'forgt = ["A"]', '"forgt" is not known here; did you mean "forget"?'),
        (GOOD + "options = 1", '"options" must be a table'),
        (GOOD + '[options]\nx = "--x"', '"options.x" must be a list of strings'),
        (GOOD + '[options]\nx = ["{y}"]', '"options.x" has {y}, which nothing fills'),
        (GOOD + '[environment]\nA = "{b}"', '"environment.A" has {b}'),
        (GOOD + "[mpi.lam]\n", '"mpi.lam" is no MPI'),
        (GOOD + "[mpi.mpich]\nargs = []", '"mpi.mpich.args" is not known here'),
        (GOOD.replace("{n}", "{m}"), '"launch" has {m}, which nothing fills'),
        (GOOD.replace("{n}", "x{engine}"), "{engine} as an argument of its own"),
        (BATCH.replace("(", "").replace(")", ""), '"job" must hold exactly one group'),
        (BATCH.replace("(", "(("), '"job" is no regular expression'),
        (BATCH.replace("done", "dnoe"), '"states.done" is missing'),
        (BATCH.replace("submit =", "sumbit ="), '"submit" is missing'),
        ("a = ", "is not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LaunchError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert str(tmp_path / "mine.toml") in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml")

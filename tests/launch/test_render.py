"""Commands as they were written down once: tests/launchers/golden.

A golden file holds the arguments, one a line, then what changes in the environment. To
write them anew after a wanted change: STEER_WRITE_GOLDEN=1 make test; read the diff.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from steer.errors import LaunchError
from steer.launch.flavour import Flavour
from steer.launch.recipe import Recipe, Settings, load
from steer.launch.render import Command, render

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "launchers" / "golden"
MPICH = Flavour("mpich", "/venv/bin/mpiexec.hydra")
OPENMPI = Flavour("openmpi", "/venv/bin/mpiexec", major=5)
DEBIAN = Flavour("openmpi", "/usr/bin/mpiexec.openmpi", major=4)

USERS = {
    "PATH": "/usr/bin",
    "PMI_RANK": "3",
    "PMI_FD": "9",
    "PMIX_RANK": "0",
    "PMIX_MCA_gds": "hash",
    "OMPI_COMM_WORLD_RANK": "0",
}

CASES = {
    "mpiexec-mpich": ("mpiexec", MPICH, {}, False),
    "mpiexec-mpich-root": ("mpiexec", MPICH, {}, True),
    "mpiexec-mpich-hosts": ("mpiexec", MPICH, {"hosts": "a,b", "per_host": "2"}, False),
    "mpiexec-openmpi-5": ("mpiexec", OPENMPI, {}, False),
    "mpiexec-openmpi-5-root": ("mpiexec", OPENMPI, {}, True),
    "mpiexec-openmpi-5-hosts": ("mpiexec", OPENMPI, {"hosts": "a:2,b:2"}, False),
    "mpiexec-openmpi-4-root": ("mpiexec", DEBIAN, {}, True),
    "local": ("local", None, {}, False),
}


def recipe(name: str) -> Recipe:
    return load(ROOT / "launchers" / f"{name}.toml")


def rendered(
    recipe: Recipe,
    flavour: Flavour | None,
    options: Mapping[str, str] | None = None,
    environment: Mapping[str, str] = USERS,
    root: bool = False,
) -> Command:
    return render(
        recipe,
        4,
        "/venv/bin/python",
        options or {},
        flavour,
        environment,
        connection="/run/cluster/connection.json",
        job="1",
        runtime="/run/cluster/job-1",
        root=root,
    )


def written(command: Command) -> str:
    lines = list(command.argv)
    lines += [f"copies: {command.copies}"]
    lines += [f"-{name}" for name in sorted(USERS.keys() - command.env.keys())]
    lines += [
        f"+{name}={value}"
        for name, value in sorted(command.env.items())
        if USERS.get(name) != value
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    name, flavour, options, root = CASES[case]
    text = written(rendered(recipe(name), flavour, options, root=root))
    golden = GOLDEN / f"{case}.txt"
    if os.environ.get("STEER_WRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_every_golden_file_belongs_to_a_case() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(CASES)


def test_what_the_user_set_for_speed_stays() -> None:
    users = {**USERS, "OMPI_MCA_pml": "ucx"}
    env = rendered(recipe("mpiexec"), OPENMPI, environment=users).env
    assert env["OMPI_MCA_pml"] == "ucx"
    assert env["OMPI_MCA_btl"] == "self,sm,tcp"


def test_a_fast_network_is_not_switched_off() -> None:
    env = rendered(recipe("mpiexec"), replace(OPENMPI, fabric=True)).env
    assert "OMPI_MCA_pml" not in env
    assert "OMPI_MCA_btl" not in env


def test_the_rest_of_the_users_environment_is_handed_on() -> None:
    env = rendered(recipe("local"), None, environment={"TMPDIR": "/t", "X": "1"}).env
    assert env["TMPDIR"] == "/t"
    assert env["X"] == "1"


@pytest.mark.parametrize(
    ("name", "flavour", "option", "said"),
    [
        ("mpiexec", MPICH, "host", 'no option "host" here'),
        ("mpiexec", MPICH, "host", 'Did you mean "hosts"?'),
        ("mpiexec", OPENMPI, "per_host", 'no option "per_host" here'),
        ("mpiexec", OPENMPI, "zzz", "It has: hosts, survivors."),
        ("local", None, "hosts", "this recipe has no options"),
    ],
)
def test_an_unknown_option(
    name: str, flavour: Flavour | None, option: str, said: str
) -> None:
    with pytest.raises(LaunchError) as caught:
        rendered(recipe(name), flavour, {option: "x"})
    assert said in f"{caught.value} {caught.value.next_step}"


def test_recipe_for_all_and_for_one_mpi_add_up() -> None:
    both = replace(
        recipe("mpiexec"),
        settings=Settings(environment={"A": "all", "B": "all"}),
        mpi={
            "openmpi": Settings(environment={"B": "openmpi"}, arguments=("--one",)),
            "openmpi-5": Settings(environment={"C": "{job}"}, arguments=("--two",)),
            "openmpi-4": Settings(environment={"C": "no"}, arguments=("--no",)),
        },
    )
    command = rendered(both, OPENMPI)
    assert command.argv[3:5] == ("--one", "--two")
    assert [command.env[name] for name in "ABC"] == ["all", "openmpi", "1"]


def test_mpi_is_asked_for_where_it_is_needed() -> None:
    with pytest.raises(LaunchError, match="needs an MPI"):
        rendered(recipe("mpiexec"), None)


def test_a_batch_recipe_cannot_be_started_yet() -> None:
    with pytest.raises(LaunchError, match="for a scheduler"):
        rendered(replace(recipe("local"), kind="batch"), None)

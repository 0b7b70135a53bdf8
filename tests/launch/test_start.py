"""One call from a recipe's name to engines that start."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from steer.errors import LaunchError
from steer.launch.start import start_engines

if TYPE_CHECKING:
    from tests.launch.conftest import Launcher


def fake_python(tmp_path: Path) -> str:
    """An interpreter that says how it was called."""
    script = tmp_path / "bin" / "python"
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\necho "$@" $STEER_JOB $STEER_SIZE $STEER_CONNECTION $MINE; pwd\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


def test_local_engines(launcher: Launcher, tmp_path: Path) -> None:
    job = start_engines(
        "local",
        2,
        connection=tmp_path / "connection.json",
        job="7",
        folder=tmp_path / "cluster",
        python=fake_python(tmp_path),
        environment={**os.environ, "MINE": "mine"},
        cwd=tmp_path,
    )
    launcher.wait(job)
    said = f"-m steer.engines 7 2 {tmp_path}/connection.json mine"
    assert sorted(job.tail()) == sorted([said, said, str(tmp_path), str(tmp_path)])
    assert job.log == tmp_path / "cluster" / "job-7.log"
    assert job.sweep() == [str(tmp_path / "cluster" / "job-7")]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="could not be started"):
        start_engines(
            "local",
            1,
            connection=tmp_path / "c",
            job="1",
            folder=tmp_path,
            python=sys.executable,
            cwd=tmp_path / "none",
        )


def test_no_mpi_is_said_before_anything_is_started(tmp_path: Path) -> None:
    python = fake_python(tmp_path)
    environment = {"HOME": str(tmp_path), "MPI4PY_LIBMPI": str(tmp_path)}
    with pytest.raises(LaunchError, match="there is no MPI library"):
        start_engines(
            "mpiexec",
            2,
            connection=tmp_path / "c",
            job="1",
            folder=tmp_path / "cluster",
            python=python,
            environment=environment,
        )
    assert not (tmp_path / "cluster").exists()

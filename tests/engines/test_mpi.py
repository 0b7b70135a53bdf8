"""MPI under a real mpiexec, that of the environment the tests run in."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import textwrap
import time
from pathlib import Path

import pytest

from steer.engines.mpi import (
    Place,
    World,
    environment_rank,
    explain_singletons,
    library_name,
)

MPIEXEC = Path(sysconfig.get_path("scripts")) / "mpiexec"
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_pml": "ob1",
    "OMPI_MCA_btl": "self,sm,tcp",
}

PREAMBLE = "import sys\nfrom steer.engines import mpi\n"

needs_mpi = [
    pytest.mark.mpi,
    pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]


def apply(*marks):
    def mark(test):
        for each in marks:
            test = each(test)
        return test

    return mark


def ranks(n: int, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(MPIEXEC), *options, "-n", str(n), sys.executable, "-c"]
    return subprocess.run(
        [*command, PREAMBLE + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=50,
        env=os.environ | OPEN_MPI,
    )


# -- what the environment says


@pytest.mark.parametrize(
    ("env", "place"),
    [
        ({}, Place(-1, 0, "")),
        ({"PMI_RANK": "3", "PMI_SIZE": "4"}, Place(3, 4, "")),
        (
            {
                "OMPI_COMM_WORLD_RANK": "1",
                "OMPI_COMM_WORLD_SIZE": "2",
                "PMIX_RANK": "1",
                "PMIX_NAMESPACE": "prterun-host-7@1",
            },
            Place(1, 2, "prterun-host-7@1"),
        ),
        ({"PMIX_RANK": "5", "STEER_SIZE": "8"}, Place(5, 8, "")),
        (
            {"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_STEP_ID": "0"},
            Place(2, 4, "0"),
        ),
        # mpiexec inside a Slurm job: Slurm's variables are those of the batch script.
        (
            {
                "SLURM_PROCID": "0",
                "SLURM_NTASKS": "1",
                "PMI_RANK": "3",
                "PMI_SIZE": "4",
            },
            Place(3, 4, ""),
        ),
        ({"PMI_RANK": "nonsense", "PMI_SIZE": "4"}, Place(-1, 0, "")),
    ],
)
def test_rank_from_the_environment(env, place):
    assert environment_rank(env) == place


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("MPICH Version:      5.0.2\nMPICH Release date: ...", "MPICH 5.0.2"),
        ("Open MPI v5.0.11, package: Open MPI x\0", "Open MPI v5.0.11"),
        (
            "Intel(R) MPI Library 2021.11\n",
            "Intel(R) MPI 2021.11",
        ),
    ],
)
def test_the_library_has_a_short_name(text, name):
    assert library_name(text) == name


def world(size: int, path: str = "/nowhere/lib/libmpi.so.40") -> World:
    return World(0, size, "Open MPI v5.0.11", path, "3.1", "multiple", "host")


def test_a_world_as_asked_for_needs_no_words():
    assert explain_singletons(world(4), 4) == ""
    assert explain_singletons(world(1), 1) == ""
    assert explain_singletons(world(1), 0) == ""


def test_singletons_are_explained(tmp_path):
    text = explain_singletons(world(1), 4, {"PMI_RANK": "0"})
    assert text.startswith("4 ranks were asked for")
    assert "Open MPI v5.0.11 (/nowhere/lib/libmpi.so.40)" in text
    assert "Hydra" in text
    assert "MPI4PY_LIBMPI" in text
    assert "without any mpiexec" in explain_singletons(world(1), 4, {})
    (tmp_path / "bin").mkdir()
    mpiexec = tmp_path / "bin" / "mpiexec"
    mpiexec.touch(0o755)
    path = str(tmp_path / "lib" / "libmpi.so.40")
    assert str(mpiexec) in explain_singletons(world(1, path), 4, {})


# -- real worlds


@apply(*needs_mpi)
def test_a_world_of_four_comes_up_and_leaves():
    done = ranks(
        4,
        """
        place = mpi.environment_rank()
        world = mpi.init()
        assert (place.rank, place.size) == (world.rank, world.size), (place, world)
        assert mpi.explain_singletons(world, 4) == ""
        shared = [name for name in mpi.mapped_segments() if "/dev/shm/" in name]
        line = world.size, bool(shared), world.thread_level, "\\0" in world.library
        sys.stdout.write(f"{world.rank} {line}\\n")
        mpi.leave(5.0)
        """,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        f"{rank} (4, True, 'multiple', False)" for rank in range(4)
    ]
    assert "BAD TERMINATION" not in done.stdout + done.stderr


@apply(*needs_mpi)
def test_leaving_is_clean_again_and_again():
    """os._exit after Finalize fails one time in three with MPICH."""
    for _ in range(6):
        done = ranks(4, "mpi.init()\nmpi.leave(5.0)")
        assert done.returncode == 0, done.stdout + done.stderr


@apply(*needs_mpi)
def test_a_world_of_one_without_an_mpiexec_leaves_nothing():
    """Open MPI 5 does not remove its file then."""
    script = PREAMBLE + "mpi.init()\nprint(*mpi.mapped_segments())\nmpi.leave(5.0)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    mapped = [path for path in done.stdout.split() if path.startswith("/dev/shm/")]
    assert [path for path in mapped if Path(path).exists()] == []


@apply(*needs_mpi)
def test_leaving_calls_atexit_and_keeps_output():
    done = ranks(
        2,
        """
        import atexit, ctypes, threading
        mpi.init()
        def last():
            from mpi4py import MPI
            sys.stdout.write(f"atexit {MPI.COMM_WORLD.allreduce(1)}\\n")
        atexit.register(last)
        threading.Thread(target=threading.Event().wait).start()  # does not hold us up
        sys.stdout.write("python\\n")
        ctypes.CDLL(None).printf(b"C\\n")
        mpi.leave(5.0)
        """,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n")) == [
        *("", "C", "C", "atexit 2", "atexit 2", "python", "python")
    ]


@apply(*needs_mpi)
def test_a_rank_that_leaves_alone_does_not_wait_for_ever():
    began = time.monotonic()
    done = ranks(
        2,
        """
        import threading
        world = mpi.init()
        if world.rank == 0:
            print(*mpi.mapped_segments(), flush=True)
            threading.Event().wait()  # never leaves; its launcher ends it
        mpi.leave(0.5)
        """,
    )
    assert done.returncode != 0
    assert time.monotonic() - began < 20
    for path in done.stdout.split():  # a world that crashed leaves them to its node
        if path.startswith("/dev/shm/"):
            Path(path).unlink(missing_ok=True)


@apply(*needs_mpi)
def test_the_first_allreduce_is_behind_us():
    """Later ones let other threads run while they wait (mpi4py#784)."""
    done = ranks(
        2,
        """
        import threading, time
        from mpi4py import MPI
        world = mpi.init()
        if world.rank == 0:
            threading.Event().wait(0.5)
            MPI.COMM_WORLD.allreduce(0)
        else:
            ticks, over = [], threading.Event()
            def tick():
                while not over.wait(0.005):
                    ticks.append(1)
            threading.Thread(target=tick, daemon=True).start()
            MPI.COMM_WORLD.allreduce(0)
            over.set()
            print("ticks", len(ticks) > 5)
        mpi.leave(5.0)
        """,
    )
    assert "ticks True" in done.stdout, done.stderr


@apply(*needs_mpi)
def test_sigusr1_does_not_kill_a_rank():
    done = ranks(
        1,
        """
        import os, signal, subprocess, sys
        mpi.init()
        os.kill(os.getpid(), signal.SIGUSR1)
        print("alive")
        mpi.leave(5.0)
        """,
    )
    assert done.stdout.strip() == "alive", done.stderr


def test_a_missing_library_is_said_in_a_sentence(tmp_path):
    script = (
        f"{PREAMBLE}from steer.errors import LaunchError\n"
        "try: mpi.init()\nexcept LaunchError as error: print(error)"
    )
    missing = str(tmp_path / "libmpi.so.12")
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"MPI4PY_LIBMPI": missing, "MPI4PY_MPIABI": ""},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "MPI could not be started: " in done.stdout, done.stderr
    assert "pip install" in done.stdout
    assert "Traceback" not in done.stderr

"""Jobs of real processes and ranks: how they start, end, are told and adopted."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from steer.errors import LaunchError
from steer.launch.flavour import Flavour
from steer.launch.job import Job
from steer.launch.render import Command
from steer.node.watch import Exit, Watch

if TYPE_CHECKING:
    from tests.launch.conftest import Launcher

ROOT = Path(__file__).parents[2]

# A hub that starts a job, tells how to adopt it, and waits to be killed.
HUB = """
import json, os, signal, sys
from pathlib import Path
from steer.launch.job import Job
from steer.launch.render import Command
folder = Path(sys.argv[1])
env = {**os.environ, "STEER_CONNECTION": str(folder), "STEER_JOB": "1"}
env["STEER_RECIPE"] = "test"
code = f"import os; os.read(os.open({str(folder / 'fifo')!r}, os.O_RDWR), 1); exit(3)"
command = Command((sys.executable, "-c", code), env, copies=2)
job = Job.start(command, log=folder / "log", runtime=folder / "runtime")
print(json.dumps(job.to_dict()), flush=True)
signal.pause()
"""

FULL_SHM = """
import os, select, sys
from pathlib import Path
from steer.launch.flavour import detect
from steer.launch.job import Job
from steer.launch.render import Command
folder = Path(sys.argv[1])
env = {**os.environ, "STEER_CONNECTION": str(folder), "STEER_JOB": "1"}
env["STEER_RECIPE"] = "test"
program = (sys.executable, "-c", "from mpi4py import MPI")
command = Command((detect().mpiexec, "-n", "4", *program), env)
job = Job.start(command, log=folder / "log", runtime=folder / "runtime")
while job.poll() is None:
    select.select(job.pidfds(), [], [], 10)
print(job.failure().next_step)
"""


def start(tmp_path: Path, *argv: str, copies: int = 1) -> Job:
    marks = {"STEER_CONNECTION": str(tmp_path), "STEER_JOB": "1"}
    env = {**os.environ, **marks, "STEER_RECIPE": "test"}
    command = Command(argv, env, copies)
    return Job.start(command, log=tmp_path / "log", runtime=tmp_path / "runtime")


def run(launcher: Launcher, tmp_path: Path, code: str, copies: int = 1) -> Job:
    job = start(tmp_path, sys.executable, "-c", code, copies=copies)
    launcher.wait(job)
    return job


# Processes


def test_output_and_status_of_a_process(launcher: Launcher, tmp_path: Path) -> None:
    code = "import sys; print('out'); print('\x1b[1merr\x1b[0m', file=sys.stderr)"
    job = run(launcher, tmp_path, f"{code}; sys.exit(3)")
    assert job.poll() == Exit(returncode=3)
    assert sorted(job.tail()) == ["err", "out"]
    assert job.tail(1) == job.tail()[-1:]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "runtime").stat().st_mode & 0o777 == 0o700
    assert job.pidfds() == []
    assert job.signal(signal.SIGTERM) == []


def test_copies_are_told_apart_and_the_first_failure_counts(
    launcher: Launcher, tmp_path: Path
) -> None:
    code = "import os, sys; i = int(os.environ['STEER_INDEX']); print(i); sys.exit(i)"
    job = run(launcher, tmp_path, code, copies=3)
    assert sorted(job.tail()) == ["0", "1", "2"]
    assert [job.ended()[pid] for pid in job.pids] == [Exit(0), Exit(1), Exit(2)]
    assert job.poll() == Exit(returncode=1)


def test_the_descriptor_tells_the_end_and_a_signal_is_named(
    launcher: Launcher, tmp_path: Path
) -> None:
    job = start(tmp_path, "cat", "/dev/stdin")  # which is /dev/null
    launcher.wait(job)
    job = start(tmp_path, sys.executable, "-c", "import signal; signal.pause()")
    assert job.poll() is None
    assert select.select(job.pidfds(), [], [], 0)[0] == []
    assert job.signal(signal.SIGTERM) == job.pids
    assert select.select(job.pidfds(), [], [], 10)[0] == job.pidfds()
    assert job.poll() == Exit(signal=signal.SIGTERM)
    assert "was killed by SIGTERM" in job.describe_failure()


def test_kill_reaches_what_the_launcher_started(
    launcher: Launcher, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"setsid sh -c 'echo $$ > {fifo}; exec sleep 1000' & sleep 1000"
    job = start(tmp_path, "sh", "-c", script)
    grandchild = int(fifo.read_text())
    watch = Watch(grandchild)
    assert grandchild in [process.pid for process in job.processes()]
    assert grandchild in [process.pid for process in job.kill()]
    assert launcher.wait(job) == Exit(signal=signal.SIGKILL)
    assert select.select([watch], [], [], 10)[0] == [watch]
    watch.close()


def test_closing_gives_the_descriptors_back(launcher: Launcher, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    job = run(launcher, tmp_path, "pass", copies=3)
    assert len(os.listdir("/proc/self/fd")) == before + 3
    job.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert job.poll() == Exit(returncode=0)


def test_another_clusters_job_of_the_same_number_is_not_ours(
    launcher: Launcher, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    mine = start(tmp_path / "a", "sleep", "1000")
    other = start(tmp_path / "b", "sleep", "1000")
    mine.kill()
    launcher.wait(mine)
    assert other.poll() is None
    other.kill()
    launcher.wait(other)


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LaunchError) as caught:
        start(tmp_path, "/nowhere/mpiexec", "-n", "4")
    error = caught.value
    assert "could not be started (No such file or directory: /nowhere" in str(error)
    assert error.command == "/nowhere/mpiexec -n 4"
    assert "exist on every host" in (error.next_step or "")


def test_a_failure_says_command_last_words_and_next_step(
    launcher: Launcher, tmp_path: Path
) -> None:
    code = "print('before'); import steer_is_not_here"
    error = run(launcher, tmp_path, code).failure()
    assert error.exit_status == 1
    assert error.recipe == "test"
    assert "steer_is_not_here" in (error.command or "")
    assert "before" in (error.output or "")
    assert "Install Steer" in (error.next_step or "")
    assert "exited with status 1" in str(error)


def test_an_unknown_failure_points_to_the_log(
    launcher: Launcher, tmp_path: Path
) -> None:
    error = run(launcher, tmp_path, "raise SystemExit('odd')").failure()
    assert str(tmp_path / "log") in (error.next_step or "")


# A hub that was killed


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[dict[str, object]]:
    """A job whose hub was killed; each of its two processes reads a byte, and ends."""
    os.mkfifo(tmp_path / "fifo")
    hub = subprocess.Popen(
        [sys.executable, "-c", HUB, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with hub:
        assert hub.stdout is not None
        saved = json.loads(hub.stdout.readline())
        hub.kill()
    yield saved
    Job.adopt(saved).kill()


def test_an_adopted_job_is_watched_to_its_end(
    launcher: Launcher, orphan: dict[str, object], tmp_path: Path
) -> None:
    job = Job.adopt(orphan)
    assert job.poll() is None
    assert len(job.pidfds()) == 2
    assert job.to_dict() == orphan
    assert sorted(p.pid for p in job.processes()) == sorted(job.pids)
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    os.write(fifo, b"12")
    # Whoever reaps them may be quicker than us; only Linux 6.15 remembers for us.
    assert launcher.wait(job) == Exit(returncode=3)
    os.close(fifo)


def test_an_adopted_job_can_be_killed(
    launcher: Launcher, orphan: dict[str, object]
) -> None:
    job = Job.adopt(orphan)
    assert len(job.kill()) == 2
    assert launcher.wait(job) == Exit(signal=signal.SIGKILL)


def test_a_job_that_ended_meanwhile_has_ended(
    launcher: Launcher, orphan: dict[str, object]
) -> None:
    first = Job.adopt(orphan)
    first.kill()
    launcher.wait(first)
    second = Job.adopt(orphan)
    assert second.poll() is not None
    assert second.pidfds() == []


# Real ranks


@pytest.mark.mpi
def test_a_world_starts_fast_and_ends_clean(
    launcher: Launcher, flavour: Flavour
) -> None:
    world = launcher.world(flavour)
    assert [hello["rank"] for hello in world.hellos] == [0, 1, 2, 3]
    assert {hello["size"] for hello in world.hellos} == {4}
    assert {hello["env"]["STEER_SIZE"] for hello in world.hellos} == {"4"}
    assert {hello["env"].get("TMPDIR") for hello in world.hellos} == {
        os.environ.get("TMPDIR")
    }
    assert world.seconds < 5, "0.3 s on an idle machine; unused networks cost 2 s"
    assert {*world.pids, *world.job.pids} <= {p.pid for p in world.job.processes()}
    mapped = world.job.mapped()
    assert mapped
    world.finish()
    assert world.wait() == Exit(returncode=0)
    assert not any(os.path.exists(name) for name in mapped)
    assert world.job.sweep(mapped) == [str(world.job.runtime)]


@pytest.mark.mpi
@pytest.mark.parametrize("victim", [0, 2])
def test_a_killed_rank_takes_the_world_along(
    launcher: Launcher, flavour: Flavour, victim: int
) -> None:
    world = launcher.world(flavour)
    mapped = world.job.mapped()
    os.kill(world.pids[victim], signal.SIGKILL)
    end = world.wait()
    assert end in (Exit(returncode=9), Exit(returncode=128 + 9))
    world.wait_for_ranks()
    assert world.job.processes() == []
    assert "exited with status" in world.job.describe_failure()
    world.job.sweep(mapped)
    assert not any(os.path.exists(name) for name in mapped)


@pytest.mark.mpi
def test_a_killed_launcher_leaves_nothing_that_we_do_not_remove(
    launcher: Launcher, flavour: Flavour
) -> None:
    world = launcher.world(flavour)
    mapped = world.job.mapped()
    topologies = set(Path("/tmp").glob("hydra_hwloc_xmlfile_*"))
    world.job.signal(signal.SIGKILL)
    assert world.wait() == Exit(signal=signal.SIGKILL)
    if flavour.kind == "openmpi":  # its ranks live on, and their files are in use
        assert {p.pid for p in world.job.processes()} == set(world.pids)
        assert world.job.sweep(mapped) == [str(world.job.runtime)]
        assert {p.pid for p in world.job.kill()} == set(world.pids)
    world.wait_for_ranks()
    removed = world.job.sweep(mapped)
    assert set(mapped) <= set(removed)
    assert not any(os.path.exists(name) for name in mapped)
    assert not world.job.runtime.exists()
    if flavour.kind == "mpich":
        assert topologies & {Path(name) for name in removed}


@pytest.mark.mpi
def test_sigterm_ends_the_world(launcher: Launcher, flavour: Flavour) -> None:
    world = launcher.world(flavour)
    mapped = world.job.mapped()
    world.job.signal(signal.SIGTERM)
    world.wait()
    world.wait_for_ranks()
    world.job.sweep(mapped)
    assert not any(os.path.exists(name) for name in mapped)


@pytest.mark.mpi
def test_ranks_that_ignore_sigterm_are_killed(
    launcher: Launcher, flavour: Flavour
) -> None:
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    world = launcher.world(flavour, first=ignore)
    mapped = world.job.mapped()
    world.job.signal(signal.SIGTERM)
    begun = time.monotonic()
    world.job.kill()
    world.wait()
    world.wait_for_ranks()
    assert time.monotonic() - begun < 5
    world.job.sweep(mapped)
    assert not any(os.path.exists(name) for name in mapped)


@pytest.mark.mpi
def test_a_world_started_from_within_a_rank(
    launcher: Launcher, flavour: Flavour
) -> None:
    outer = launcher.world(flavour, 2)
    environ = Path(f"/proc/{outer.pids[1]}/environ").read_text().split("\0")
    inherited = dict(line.split("=", 1) for line in environ if "=" in line)
    inner = launcher.world(flavour, 3, environment=inherited)
    assert {hello["size"] for hello in inner.hellos} == {3}
    job = launcher.start(
        None,
        launcher.python(flavour),
        1,
        recipe="local",
        program=(launcher.python(flavour), "-c", "from mpi4py import MPI; print(1)"),
        environment=inherited,
    )
    assert launcher.wait(job) == Exit(returncode=0), job.tail()


@pytest.mark.mpi
def test_last_words_of_a_launcher(launcher: Launcher, flavour: Flavour) -> None:
    python = launcher.python(flavour)
    cases = {
        ("/nowhere/python",): "exist on every host",
        (python, "-m", "steer_is_not_here"): "Install Steer",
    }
    for program, advice in cases.items():
        job = launcher.start(flavour, python, 2, program=program)
        assert launcher.wait(job).returncode != 0
        assert advice in (job.failure().next_step or ""), job.tail()


@pytest.mark.mpi
def test_a_full_shm_is_recognised(launcher: Launcher) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("only with a mount namespace can /dev/shm be full for one test")
    mpich = Flavour("mpich", "")
    program = (launcher.python(mpich), "-c", FULL_SHM, str(launcher.folder))
    mount = 'mount -t tmpfs -o size=64k none /dev/shm; "$@"'
    said = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, "-", *program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stdout
    assert "/dev/shm or the disk is full" in said


@pytest.mark.mpi
def test_the_launcher_of_the_other_mpi_is_recognised(
    launcher: Launcher, flavour: Flavour
) -> None:
    if flavour.kind == "mpich":
        return  # its launcher gives Open MPI's ranks worlds of one: the hub sees those
    mpich = Flavour("mpich", "")
    program = (launcher.python(mpich), "-c", "from mpi4py import MPI")
    job = launcher.start(flavour, program[0], 2, program=program)
    assert launcher.wait(job).returncode != 0
    assert "belongs to another MPI" in (job.failure().next_step or ""), job.tail()

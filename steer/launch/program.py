"""A foreign MPI program as a task: mpiexec, started from a rank, on the ranks' places.

The task holds k ranks so that k cores are free. Its first rank starts mpiexec; the
others wait at a socket of the first one, where they cost no CPU (in MPI they would
spin) and hear the end also if the first rank dies. What an MPI leaves in its ranks'
environment is taken out: a launcher that inherits it believes that it is a rank, and
hangs or joins the wrong world.
"""

from __future__ import annotations

import collections
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from steer.hosts import host_name
from steer.launch.find import find
from steer.launch.flavour import detect
from steer.launch.render import Command, render
from steer.node.processes import find_by_environment
from steer.node.signals import send_all

__all__ = ["Program", "first_of", "program_of", "run_program", "scrubbed"]

MARK = "STEER_PROGRAM"
"""A variable that the processes of one program, and no others, have in common."""

GRACE = 2.0
"""Seconds that a program has to end when its task is interrupted."""

KEPT = 32 << 20
"""Bytes of each of its outputs that are kept, half of them from the beginning."""

LAST_LINES = 10

FOREIGN = (
    "FLUX_*", "HYDI_*", "HYDRA_*", "MPICH_INTERFACE_HOSTNAME", "MPIEXEC_*",
    "MPI_LOCAL*", "MPIR_*", "OMPI_*", "OPAL_*", "ORTE_*", "PALS_*", "PMIX_*", "PMI_*",
    "PRTE_*", "SLURM_*",
)  # fmt: skip
"""Variables of launchers and schedulers: they speak of the rank, not of the program."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Program:
    """What to run; see `Executor.mpiexec`."""

    argv: tuple[str, ...]
    ranks: int = 1
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    input: bytes | None = None
    text: bool = True
    check: bool = True

    def __post_init__(self) -> None:
        if not self.argv:
            raise ValueError("mpiexec needs a program to run.")
        if self.ranks < 1:
            raise ValueError(f"A program cannot have {self.ranks} ranks.")


Place = tuple[str, frozenset[int]]
"""A rank's host, and the cores that it may use."""


def run_program(program: Program, comm: Any = None) -> Any:
    """Run it, on the first of the ranks; the outcome is a CompletedProcess there."""
    here = (host_name(), frozenset(os.sched_getaffinity(0)))
    if comm is None or comm.size == 1:
        return _run(program, [here] * program.ranks)
    places = comm.gather(here)
    if comm.rank == 0:
        with socket.create_server(("", 0)) as door:
            comm.bcast((host_name(), door.getsockname()[1]))
            try:
                return _run(program, places)
            except Exception as error:  # noqa: BLE001  `first_of` raises it
                return error
    _wait_at(comm.bcast(None))
    return None


def first_of(values: Sequence[Any]) -> Any:
    """The outcome of a program, of what its ranks return; raises its error.

    Raised on its rank it would be one rank's error among several.
    """
    if isinstance(values[0], Exception):
        raise values[0]
    return values[0]


def _wait_at(door: tuple[str, int]) -> None:
    """Wait until the first rank closes its socket, with or without having taken us."""
    host, port = door
    try:
        with socket.create_connection((_address(host), port)) as line:
            line.recv(1)
    except ConnectionError:
        pass  # it has ended already


def _address(host: str) -> str:
    return "127.0.0.1" if host == host_name() else host


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what launchers told this rank."""
    return {
        name: value
        for name, value in environment.items()
        if not any(fnmatchcase(name, pattern) for pattern in FOREIGN)
    }


# -- the program


def _run(program: Program, places: list[Place]) -> Any:
    with tempfile.TemporaryDirectory(prefix="steer-program-") as runtime:
        command = _command(program, places, runtime)
        cores = frozenset().union(*(c for host, c in places if host == host_name()))
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = _call(program, command, cores, out, err)
            said = _read(out), _read(err)
    return _completed(program, code, *said)


def _command(program: Program, places: list[Place], runtime: str) -> Command:
    env = scrubbed(os.environ) | dict(program.env) | {MARK: uuid.uuid4().hex}
    _check_found(program, env)
    recipe = find("mpiexec")
    count = collections.Counter(host for host, _ in places)
    options = {}
    if set(count) != {host_name()}:
        options["hosts"] = ",".join(f"{host}:{n}" for host, n in count.items())
    return render(
        recipe,
        program.ranks,
        sys.executable,
        options,
        detect(sys.executable, env),
        env,
        connection=os.environ.get("STEER_CONNECTION", ""),
        job=os.environ.get("STEER_JOB", ""),
        runtime=runtime,
        root=os.geteuid() == 0,
        program=program.argv,
    )


def _check_found(program: Program, env: Mapping[str, str]) -> None:
    """Say it in one sentence; mpiexec says it in twenty, once for each rank."""
    name = program.argv[0]
    folder = program.cwd or os.getcwd()
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"There is no folder {folder} on {host_name()}.")
    path = os.path.join(folder, name) if os.sep in name else name
    if shutil.which(path, path=env.get("PATH", os.defpath)) is None:
        raise FileNotFoundError(
            f"There is no program {name} on {host_name()}: give its whole path, or "
            "name its folder in env={'PATH': ...}."
        )


def _call(
    program: Program, command: Command, cores: Iterable[int], out: Any, err: Any
) -> int:
    process = subprocess.Popen(
        command.argv,
        env=dict(command.env),
        cwd=program.cwd,
        stdin=subprocess.DEVNULL if program.input is None else subprocess.PIPE,
        stdout=out,
        stderr=err,
        start_new_session=True,
        preexec_fn=_tied_to_us(cores),
    )
    try:
        process.communicate(program.input)
    except BaseException:
        _end(process)
        raise
    finally:
        # A rank may live on without its mpiexec.
        send_all(find_by_environment({MARK: command.env[MARK]}), signal.SIGKILL)
    return process.returncode


def _tied_to_us(cores: Iterable[int]) -> Callable[[], None]:
    """What mpiexec does before it begins: it ends when this rank dies, and may use the
    cores of all ranks that it stands for."""
    prctl = ctypes.PyDLL(None).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        os.sched_setaffinity(0, cores)

    return prepare


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _read(output: Any) -> bytes:
    size = output.seek(0, os.SEEK_END)
    output.seek(0)
    if size <= KEPT:
        return bytes(output.read())
    start = output.read(KEPT // 2)
    output.seek(size - KEPT // 2)
    left_out = f"\n[steer left out {size - KEPT:,} bytes here]\n".encode()
    return bytes(start + left_out + output.read())


def _completed(program: Program, code: int, out: Any, err: Any) -> Any:
    if program.text:
        out, err = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    argv = list(program.argv)
    if not program.check or code == 0:
        return subprocess.CompletedProcess(argv, code, out, err)
    error = subprocess.CalledProcessError(code, argv, out, err)
    if program.text and err.strip():
        error.add_note("\n".join(err.strip().splitlines()[-LAST_LINES:]))
    raise error


def program_of(
    argv: str | Iterable[str],
    ranks: int,
    cwd: str | os.PathLike[str] | None,
    env: Mapping[str, str] | None,
    input: str | bytes | None,
    check: bool,
    text: bool,
) -> Program:
    """What a user wrote, as a Program."""
    words = [argv] if isinstance(argv, str) else argv
    return Program(
        tuple(map(os.fspath, words)),
        ranks,
        str(Path(cwd)) if cwd is not None else None,
        dict(env or {}),
        input.encode() if isinstance(input, str) else input,
        text,
        check,
    )

"""MPI on one rank: who we are before MPI is asked, how it starts, how to leave.

Nothing here imports mpi4py before `init`, which takes a quarter of a second or, on a
bad day, much longer; what the launcher put into the environment is known at once.

How a rank leaves (measured with MPICH 5.0.2 and Open MPI 5.0.11, 4 ranks)
    Together: MPI_Finalize, then C's exit(); mpiexec returns 0 within 0.2 s.
    MPICH says its last word to mpiexec in a handler of exit(): after os._exit mpiexec
    takes one time in three for a crash, returns 9 and leaves a file in /dev/shm. Open
    MPI is content with both, but libraries like HDF5 save files in such handlers.
    Python's own way out would wait for the user's threads; of it only the functions
    registered with atexit are called, first, while they can still use MPI.
    Alone: nothing helps. Finalize waits for the others, for ever if they died. A rank
    that ends without it takes the world along with either MPI: at once with MPICH,
    within 0.3 s with Open MPI. So a rank leaves when all do, or its world ends with it.
    Finalize holds the GIL, so no thread of ours could watch over it; an alarm signal
    that ends the process needs no thread.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

import msgspec

from steer.engines import comms
from steer.errors import LaunchError
from steer.node.sweep import mapped_by, remove

own: Any = None
"""A communicator of all ranks for our own messages, once MPI is up."""


class Place(msgspec.Struct, frozen=True):
    """What the environment says: -1 and 0 if it says nothing."""

    rank: int = -1
    size: int = 0
    world: str = ""
    """Tells worlds of one launcher apart, if the launcher names them."""


class World(msgspec.Struct, frozen=True):
    """What MPI says."""

    rank: int
    size: int
    library: str
    """Its name and version: "MPICH 5.0.2"."""
    path: str
    """The file of the library, as far as it is known."""
    standard: str
    thread_level: str
    processor: str


class _Launcher(msgspec.Struct, frozen=True):
    name: str
    rank: str
    size: str
    world: str


# The first whose rank is set speaks. srun sets PMI's or PMIx's variables beside its
# own, and mpiexec inside a Slurm job leaves Slurm's to all: so Slurm comes last.
_LAUNCHERS = (
    _Launcher(
        "Open MPI's mpiexec",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "PMIX_NAMESPACE",
    ),
    _Launcher(
        "Hydra (MPICH's or Intel's mpiexec)", "PMI_RANK", "PMI_SIZE", "PMI_JOBID"
    ),
    _Launcher("a launcher that speaks PMIx", "PMIX_RANK", "", "PMIX_NAMESPACE"),
    _Launcher("srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_ID"),
)


def environment_rank(environment: Mapping[str, str] | None = None) -> Place:
    """Rank and size as the launcher tells them, before MPI is there."""
    env = os.environ if environment is None else environment
    launcher = _launcher(env)
    if launcher is None:
        return Place()
    size = env.get(launcher.size) or env.get("STEER_SIZE") or "0"
    try:
        return Place(int(env[launcher.rank]), int(size), env.get(launcher.world, ""))
    except ValueError:
        return Place()


def _launcher(env: Mapping[str, str]) -> _Launcher | None:
    return next((known for known in _LAUNCHERS if known.rank in env), None)


def init() -> World:
    """Start MPI; collective over the world."""
    if signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:
        # MPICH sends it when another rank died (-disable-auto-cleanup). Not SIG_IGN:
        # children would inherit that.
        signal.signal(signal.SIGUSR1, lambda signum, frame: None)
    try:
        import mpi4py

        mpi4py.rc.finalize = False  # `leave` does it, and has a deadline
        from mpi4py import MPI  # noqa: F401  importing it starts it
    except (ImportError, RuntimeError) as error:
        raise LaunchError(
            f"MPI could not be started: {error}.",
            next_step="Install one with pip install 'mpi-steer[mpich]', or name the "
            "file of its library in $MPI4PY_LIBMPI.",
        ) from error
    own_anew()
    return describe()


def own_anew() -> None:
    """Make what all ranks of the world share; collective."""
    MPI = sys.modules["mpi4py.MPI"]
    # mpi4py 4.1.2 duplicates a communicator in its first lower-case reduction and holds
    # the GIL meanwhile: a rank that waits there later would not answer (mpi4py#784).
    MPI.COMM_WORLD.allreduce(0)
    global own
    own = MPI.COMM_WORLD.Dup()
    comms.name_duplicates(MPI)


def aside() -> Any:
    """A communicator for what users do where a program holds: messages of the program,
    also those that are under way, cannot get in between. Collective."""
    MPI = sys.modules.get("mpi4py.MPI")
    if MPI is None:
        return None
    comm = MPI.COMM_WORLD.Dup()
    comm.Set_name("steer.comm")
    comm.allreduce(0)  # see `own_anew`
    return comm


def describe() -> World:
    """What MPI says of this rank now."""
    MPI = sys.modules["mpi4py.MPI"]
    levels = {
        MPI.THREAD_SINGLE: "single",
        MPI.THREAD_FUNNELED: "funneled",
        MPI.THREAD_SERIALIZED: "serialized",
        MPI.THREAD_MULTIPLE: "multiple",
    }
    major, minor = MPI.Get_version()
    return World(
        rank=MPI.COMM_WORLD.Get_rank(),
        size=MPI.COMM_WORLD.Get_size(),
        library=library_name(MPI.Get_library_version()),
        path=_library_path(),
        standard=f"{major}.{minor}",
        thread_level=levels.get(MPI.Query_thread(), "unknown"),
        processor=MPI.Get_processor_name(),
    )


def library_name(text: str) -> str:
    """Name and version, out of the many lines (and a NUL) that MPI says it in."""
    line = text.replace("\0", "").strip().split("\n")[0].split(",")[0]
    for noise in ("Version:", "Library"):
        line = line.replace(noise, " ")
    return " ".join(line.split())


def _library_path() -> str:
    with suppress(OSError), open("/proc/self/maps") as maps:
        for line in maps:
            path = line.rstrip().partition("/")[2]
            if path.rpartition("/")[2].startswith(("libmpi.so", "libmpich.so")):
                return f"/{path}"
    return ""


def is_up() -> bool:
    """Whether MPI can be used: it is started, and the program has not ended it."""
    return own is not None and not sys.modules["mpi4py.MPI"].Is_finalized()


def mapped_segments() -> list[str]:
    """The files of shared memory that this world's MPI has: swept when it crashed."""
    return mapped_by(os.getpid())


def explain_singletons(
    world: World, asked: int, environment: Mapping[str, str] | None = None
) -> str:
    """Why many ranks became worlds of one, and what to do; empty if they did not."""
    if world.size != 1 or asked <= 1:
        return ""
    env = os.environ if environment is None else environment
    launcher = _launcher(env)
    started = (
        f"started by {launcher.name}" if launcher else "started without any mpiexec"
    )
    place = f" ({world.path})" if world.path else ""
    return (
        f"{asked} ranks were asked for, but each is alone in a world of its own: "
        f"mpi4py loaded {world.library}{place}, and the processes were {started}. "
        f"{_remedy(world)}"
    )


def _remedy(world: World) -> str:
    beside = os.path.join(
        os.path.dirname(os.path.dirname(world.path)), "bin", "mpiexec"
    )
    if world.path and os.access(beside, os.X_OK):
        return f"Start them with the mpiexec of that library, {beside}."
    return (
        f"Start them with the mpiexec of {world.library}, or name the library that "
        "your mpiexec belongs to in $MPI4PY_LIBMPI, or install one that brings both: "
        "pip install 'mpi-steer[mpich]'."
    )


def leave(deadline: float, status: int = 0) -> NoReturn:
    """End this process together with the other ranks, whatever happens to them."""
    _end_after(deadline)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or None
            stream.flush()
    MPI = sys.modules.get("mpi4py.MPI")
    if MPI is not None and MPI.Is_initialized() and not MPI.Is_finalized():
        _finalize(MPI)
    # PyDLL keeps the GIL: no other thread of Python runs while libraries come down.
    ctypes.PyDLL(None).exit(status)
    os._exit(status)  # not reached, but exit() is not known to be the end


def _finalize(MPI: Any) -> None:
    """End MPI; a world of one that no mpiexec started leaves files in Open MPI 5."""
    alone = MPI.COMM_WORLD.Get_size() == 1
    segments = mapped_segments() if alone else []
    MPI.Finalize()
    remove(segments)


def _end_after(seconds: float) -> None:
    """Let the kernel end this process: threads of ours may never run again."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, seconds)

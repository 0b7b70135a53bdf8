"""A world that lost ranks goes on with the others, or with new ones in their places.

Where MPI can do that (ULFM: Open MPI started by `mpiexec --with-ft ulfm`), ranks live
on when one of them dies, and keep what they have; calls that would need it raise.
`shrink` makes a communicator of those that are left, `replace` starts processes for
those that are gone and joins them in, with the ranks that these had. It stands wherever
`MPI.COMM_WORLD` stood.

    survivors                      new processes (`python -m steer.engines --replaces`)
    COMM_WORLD.Shrink()
    Spawn, Merge            <-->   Get_parent, Merge
    Split by rank           <-->   Split by rank
"""

from __future__ import annotations

import os
import sys
from typing import Any

from steer.engines import comms, here, mpi

REPLACES = "--replaces"
ENABLED = "OMPI_MCA_mpi_ft_enable"
"""Set by `mpiexec --with-ft ulfm`."""


_members = ""
"""The ranks of the world, by the numbers by which the hub knows them, since it was
shrunk; empty before."""


def members() -> str:
    """Who is in the world since it was shrunk; empty if it never was. In any thread."""
    return _members


def why_not() -> str:
    """Why this MPI cannot; empty if it can."""
    if os.environ.get(ENABLED, "0").lower() in ("1", "true", "ulfm"):
        return ""
    return (
        "This MPI ends all ranks of a world with the first that dies, and what they "
        "had is lost. Open MPI 5 can do without one if it was started with "
        'Cluster(options={"survivors": "ulfm"})'
    )


def holds() -> bool:
    """Whether this rank is in the middle of a program."""
    return here.held is not None


def shrink() -> int:
    """Go on as a world of those that are left; how many. Collective over them."""
    MPI = sys.modules["mpi4py.MPI"]
    _take_place_of_world(MPI, MPI.COMM_WORLD.Shrink())
    return int(MPI.COMM_WORLD.Get_size())


def replace(missing: list[int], size: int) -> int:
    """Have new processes in the places of these ranks. Collective over survivors."""
    MPI = sys.modules["mpi4py.MPI"]
    places = ",".join(map(str, missing))
    command = ["-P", "-m", "steer.engines", REPLACES, places, str(size)]
    rank = comms.numbering(MPI).Get_rank()
    between = MPI.COMM_WORLD.Spawn(sys.executable, command, len(missing))
    _join(MPI, between, rank, high=False)
    return int(MPI.COMM_WORLD.Get_size())


def place_of(arguments: list[str]) -> tuple[int, int] | None:
    """The rank in whose place this process was started, and the size of its world;
    None if it is an engine like others."""
    if arguments[:1] != [REPLACES]:
        return None
    places = [int(place) for place in arguments[1].split(",")]
    return places[mpi.environment_rank().rank], int(arguments[2])


def join(rank: int) -> None:
    """The new process's part of `replace`."""
    MPI = sys.modules["mpi4py.MPI"]
    _join(MPI, MPI.Comm.Get_parent(), rank, high=True)


def _join(MPI: Any, between: Any, rank: int, *, high: bool) -> None:
    merged = between.Merge(high)
    whole = merged.Split(0, rank)
    merged.Free()
    comms.number_by(whole)
    _take_place_of_world(MPI, whole)


def _take_place_of_world(MPI: Any, new: Any) -> None:
    """Whoever names the world means this one from now on."""
    global _members
    old = MPI.COMM_WORLD
    comms.number_by(comms.numbering(MPI))
    _members = comms.Members(MPI, new).describe("").ranks
    new.Set_errhandler(MPI.ERRORS_RETURN)
    runner = here.current
    assert runner is not None
    for variables in (vars(MPI), runner.namespace.variables):
        for name, value in list(variables.items()):
            if isinstance(value, MPI.Comm) and value == old:
                variables[name] = new
    mpi.own_anew()
    if here.aside is not None:
        here.aside = mpi.aside()

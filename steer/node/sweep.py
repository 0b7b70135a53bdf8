"""Removing what a dead world left behind: files that its MPI made and nobody maps.

Both MPIs remove their files when all ranks finalize, and no sooner; Open MPI 5 does not
do so in a process that no mpiexec started. After a SIGKILL of a rank or of mpiexec
there remain (seen with MPICH 5.0 and Open MPI 4.1 and 5.0):

    /dev/shm/mpich_shm_<world>_0                   MPICH, one a host
    /dev/shm/sm_segment.<host>.<uid>.<world>.<n>   Open MPI 5, one a rank
    /dev/shm/vader_segment.<host>.<world>.<n>      Open MPI 4, one a rank
    /tmp/hydra_hwloc_xmlfile_*                     MPICH, when mpiexec is killed itself
    <session directory>/ompi.<pid>                 Open MPI; launch puts it into ours

The segments of windows and of UCX (mpich_shar_tmp*, osc_sm*, ucx_shm_posix_*) lose
their names as soon as all have mapped them; they remain only if a rank dies just then.

The names have to come from the ranks, who look into their own maps once MPI is up:
another world on the same host uses the same patterns, and its files are not ours.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from steer.node.processes import find_by_name, maps, pids

__all__ = ["mapped_by", "remove", "remove_directory", "sweep", "sweep_topology"]

_SHM = Path("/dev/shm")
_PATTERNS = (
    *("mpich_shm_*", "mpich_shar_tmp*", "ucx_shm_posix_*"),
    *("sm_segment.*", "vader_segment.*", "osc_sm.*", "osc_rdma.*"),
)
_DELETED = " (deleted)"
_TOPOLOGY = "hydra_hwloc_xmlfile_*"
_HYDRA_PROXY = "hydra_pmi_proxy"
_CLOCK_SLACK = 0.1
"""File times and process start times are rounded by some milliseconds each."""

_WORLD = re.compile(
    r"mpich_shm_([0-9a-f]+)_\d+"
    r"|(?:sm|vader)_segment\..+\.([0-9a-f]+)\.\d+"
    r"|osc_(?:sm|rdma)\..+\.([0-9a-f]+)\.\d+\.\d+"
)
"""Where the number of the world stands, the same in all files of one world."""


def mapped_by(pid: int) -> list[str]:
    """The shared files of MPI that this process maps and that still have a name."""
    names = set()
    for line in maps(pid).splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and not fields[5].endswith(_DELETED):
            path = Path(fields[5].strip())
            if _is_of_mpi(path):
                names.add(str(path))
    return sorted(names)


def sweep(names: Iterable[str]) -> list[str]:
    """Remove these files and those of the same worlds that no process maps any more.

    A name that is no shared file of MPI's, or that belongs to another user, is left
    alone: names come over the wire, and this must not become a way to delete a file.
    """
    given = {Path(name) for name in names}
    ours = {path for path in given if _is_of_mpi(path)}
    worlds = {_world(path) for path in ours} - {None}
    ours.update(path for path in _files_of_mpi() if _world(path) in worlds)
    in_use = _mapped_by_anyone(ours)
    return [str(path) for path in sorted(ours - in_use) if _remove(path)]


def remove(names: Iterable[str]) -> list[str]:
    """Remove these files of MPI's, also if they are still mapped: their world is ours,
    and it is over."""
    return [name for name in names if _is_of_mpi(Path(name)) and _remove(Path(name))]


def sweep_topology(since: float, until: float) -> list[str]:
    """Remove topology files that a killed mpiexec of MPICH left in that time span.

    Their names say nothing of their owner, but a proxy makes its file after it started:
    one that is older than every living proxy of ours belongs to a dead one.
    """
    living = _proxies_started()
    removed = []
    for path in Path("/tmp").glob(_TOPOLOGY):
        with contextlib.suppress(FileNotFoundError):
            made = path.stat().st_mtime
            orphan = all(start > made + _CLOCK_SLACK for start in living)
            if orphan and since - _CLOCK_SLACK <= made <= until + _CLOCK_SLACK:
                removed += [str(path)] if _remove(path) else []
    return removed


def remove_directory(path: str | os.PathLike[str]) -> bool:
    """Remove a directory of ours with all that is in it; False if there is none."""
    folder = Path(path)
    if folder.is_symlink() or not folder.is_dir():
        return False
    if folder.stat().st_uid != os.geteuid():
        return False
    # A rank that is just dying may still remove its own files in there.
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _is_of_mpi(path: Path) -> bool:
    return path.parent == _SHM and any(fnmatchcase(path.name, p) for p in _PATTERNS)


def _world(path: Path) -> str | None:
    match = _WORLD.fullmatch(path.name)
    return match[match.lastindex or 0] if match else None


def _files_of_mpi() -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):  # a host without /dev/shm
        yield from (path for path in _SHM.iterdir() if _is_of_mpi(path))


def _mapped_by_anyone(paths: set[Path]) -> set[Path]:
    wanted = {str(path): path for path in paths}
    mapped: set[Path] = set()
    if wanted:
        for pid in pids():
            text = maps(pid)
            mapped.update(path for name, path in wanted.items() if name in text)
    return mapped


def _remove(path: Path) -> bool:
    try:
        if path.lstat().st_uid != os.geteuid():
            return False
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _proxies_started() -> list[float]:
    """When the living proxies of MPICH started, as wall clock times."""
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    ticks = os.sysconf("SC_CLK_TCK")
    return [boot + proxy.start_time / ticks for proxy in find_by_name(_HYDRA_PROXY)]

"""Which MPI the engines will load, and which mpiexec belongs to it.

An engine's mpi4py decides by files: $MPI4PY_LIBMPI, else libmpi.so, .so.12 or .so.40 in
its virtual environment, the user's base, the base prefix, the system. This file walks
the same way, because a launcher of the other MPI gives n worlds of one rank, or an
abort. It only looks at files (a millisecond or so): mpi4py is not imported, nothing is
run, so a hub may call it from its loop.
"""

from __future__ import annotations

import mmap
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from steer.errors import LaunchError

__all__ = ["Flavour", "Kind", "detect"]

Kind = Literal["mpich", "openmpi"]

_LIBRARIES = ("libmpi.so", "libmpi.so.12", "libmpi.so.40")
_LAUNCHERS: Mapping[Kind, tuple[str, ...]] = {
    "mpich": ("mpiexec.hydra", "mpiexec.mpich", "mpiexec"),
    "openmpi": ("mpiexec.openmpi", "mpiexec"),
}
_TITLES: Mapping[Kind, str] = {"mpich": "MPICH", "openmpi": "Open MPI"}
_FABRICS = ("/sys/class/infiniband", "/sys/class/cxi", "/sys/class/hfi1")
_LD_CACHE = Path("/etc/ld.so.cache")
_INSTALL = (
    "Install one beside it with \"pip install 'mpi-steer[mpich]'\", "
    'or start engines without MPI with engines="local".'
)


@dataclass(frozen=True, slots=True)
class Flavour:
    """An MPI: its kind, its library and its launcher; and the network it will find."""

    kind: Kind
    mpiexec: str
    library: str = ""
    major: int | None = None
    fabric: bool = False

    @property
    def title(self) -> str:
        """How people call it: "Open MPI 5"."""
        number = "" if self.major is None else f" {self.major}"
        return _TITLES[self.kind] + number


def detect(
    python: str | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    mpiexec: str | None = None,
) -> Flavour:
    """Find the MPI of this interpreter, and its mpiexec unless one is given.

    Raises LaunchError, with what to install, if there is none.
    """
    python = python or sys.executable
    environment = os.environ if environment is None else environment
    library = _built_for_one_mpi(python) or _find_library(python, environment)
    if library is None:
        raise LaunchError(f"No MPI library was found for {python}.", next_step=_INSTALL)
    kind = _kind_of_library(library)
    launcher = mpiexec or _find_launcher(kind, library, python, environment)
    if launcher is None:
        raise LaunchError(
            f"The engines will load {_TITLES[kind]} from {library}, "
            "but no mpiexec of it was found.",
            next_step=f"Put the mpiexec of {_TITLES[kind]} on PATH, or choose "
            "another MPI library with $MPI4PY_LIBMPI.",
        )
    return Flavour(
        kind=kind,
        mpiexec=launcher,
        library=str(library),
        major=_major_of_openmpi(Path(launcher)) if kind == "openmpi" else None,
        fabric=any(os.path.isdir(path) and os.listdir(path) for path in _FABRICS),
    )


# The library


def _built_for_one_mpi(python: str) -> Path | None:
    """An mpi4py that was built here: its extension is linked to one library."""
    packages = Path(python).absolute().parent.parent / "lib"
    for extension in packages.glob("python3*/site-packages/mpi4py/MPI.*.so"):
        # A wheel holds one extension for each MPI: MPI.mpich.cpython-311-….so
        if not extension.name.startswith(("MPI.mpich.", "MPI.openmpi.", "MPI.mpiabi.")):
            return extension
    return None


def _find_library(python: str, environment: Mapping[str, str]) -> Path | None:
    chosen = environment.get("MPI4PY_LIBMPI")
    if chosen:
        return _library_chosen(chosen)
    for folder in _folders(python, environment):
        for name in _LIBRARIES:
            if _is_library(folder / name):
                return folder / name
    return _library_cached()


def _library_chosen(chosen: str) -> Path | None:
    for entry in chosen.split(os.pathsep):
        path = Path(os.path.expandvars(entry)).expanduser()
        names = [path / name for name in _LIBRARIES] if path.is_dir() else [path]
        for file in names:
            if _is_library(file):
                return file
    raise LaunchError(
        f"MPI4PY_LIBMPI is {chosen}, but there is no MPI library.",
        next_step="Correct this variable, or unset it to let mpi4py search.",
    )


def _folders(python: str, environment: Mapping[str, str]) -> Iterator[Path]:
    prefix = Path(python).absolute().parent.parent
    base = _base_of_venv(prefix)
    yield prefix / "lib"
    if base is None:  # in a virtual environment the user's packages are not seen
        user = environment.get("PYTHONUSERBASE") or "~/.local"
        yield Path(user).expanduser() / "lib"
    if base is not None and base != Path("/usr"):
        yield base / "lib"
    for folder in environment.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if folder:
            yield Path(folder)


def _base_of_venv(prefix: Path) -> Path | None:
    """The prefix of the interpreter that a virtual environment was made from."""
    try:
        settings = (prefix / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return None
    home = re.search(r"^home\s*=\s*(.+?)\s*$", settings, re.MULTILINE)
    return Path(home[1]).parent if home else None


def _library_cached() -> Path | None:
    """Ask the dynamic linker's cache, a table of strings, in the order of mpi4py."""
    try:
        cache = _LD_CACHE.read_bytes()
    except OSError:
        cache = b""
    for name in _LIBRARIES:
        found = re.search(rb"\0(/[^\0]*/" + re.escape(name.encode()) + rb")\0", cache)
        if found and _is_library(Path(os.fsdecode(found[1]))):
            return Path(os.fsdecode(found[1]))
    return None


def _is_library(path: Path) -> bool:
    """Whether it can be loaded: a wheel's libmpi.so is a line of text for linkers."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _kind_of_library(library: Path) -> Kind:
    name = library.resolve().name
    if ".so.40" in name:
        return "openmpi"
    if ".so.12" in name:
        return "mpich"
    return "openmpi" if _contains(library, b"ompi_mpi_comm_") else "mpich"


# The launcher


def _find_launcher(
    kind: Kind, library: Path, python: str, environment: Mapping[str, str]
) -> str | None:
    real = library.resolve()
    folders = [library.parent.parent / "bin", Path(python).absolute().parent]
    # A library of a distribution: /usr/lib/x86_64-linux-gnu/libmpi.so.40 -> /usr/bin.
    folders += [parent / "bin" for parent in list(real.parents)[1:4]]
    path = environment.get("PATH", os.defpath)
    folders += [Path(folder) for folder in path.split(os.pathsep) if folder]
    for folder in dict.fromkeys(folders):
        for name in _LAUNCHERS[kind]:
            launcher = folder / name
            if os.access(launcher, os.X_OK) and _launches(launcher, kind):
                return str(launcher)
    return None


def _launches(launcher: Path, kind: Kind) -> bool:
    """Whether this mpiexec is of that MPI, by what it is and what is written in it."""
    real = launcher.resolve()
    if real.name in ("orterun", "prterun"):
        return kind == "openmpi"
    if _contains(real, b"HYDRA_"):
        return kind == "mpich"
    if _contains(real, b"prte") or _contains(real, b"orte") or _contains(real, b"ompi"):
        return kind == "openmpi"
    return True  # a site's wrapper: the site will know


def _major_of_openmpi(launcher: Path) -> int | None:
    """5 brought prterun with it, 4 and older have orterun."""
    for folder in (launcher.parent, launcher.resolve().parent):
        if (folder / "prterun").exists():
            return 5
        if (folder / "orterun").exists():
            return 4
    return None


def _contains(file: Path, text: bytes) -> bool:
    try:
        with (
            file.open("rb") as opened,
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return content.find(text) != -1
    except (OSError, ValueError):  # unreadable, or empty
        return False

"""The MPI is found as mpi4py will find it, and its own mpiexec with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steer.errors import LaunchError
from steer.launch import flavour as module
from steer.launch.flavour import Flavour, detect

ELF = b"\x7fELF"
OPENMPI, HYDRA = b"... prte ...", b"... HYDRA_IFACE ..."


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(module, "_LD_CACHE", tmp_path / "ld.so.cache")
    monkeypatch.setattr(module, "_FABRICS", (str(tmp_path / "infiniband"),))
    return Host(tmp_path)


class Host:
    """A made-up file tree with libraries and launchers that only look like them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.python = str(self.file("venv/bin/python", ELF))
        self.file("venv/pyvenv.cfg", f"home = {root}/base/bin\n".encode())
        self.environment = {"PATH": str(root / "bin"), "HOME": str(root / "home")}

    def file(self, name: str, content: bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755)
        return path

    def detect(self, **variables: str) -> Flavour:
        return detect(self.python, {**self.environment, **variables})


def test_the_real_ones(flavour: Flavour) -> None:
    version = subprocess.run(
        [flavour.mpiexec, "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert ("HYDRA" in version) == (flavour.kind == "mpich")
    assert flavour.major == (5 if flavour.kind == "openmpi" else None)
    assert flavour.title in ("MPICH", "Open MPI 5")


def test_costs_milliseconds_and_imports_nothing(flavour: Flavour) -> None:
    python = str(Path(flavour.mpiexec).parent / "python")
    already = "mpi4py" in sys.modules
    spans = []
    for _ in range(5):
        begun = time.perf_counter()
        assert detect(python) == flavour
        spans.append(time.perf_counter() - begun)
    assert min(spans) < 0.02
    assert ("mpi4py" in sys.modules) == already


def test_a_wheel_in_the_virtual_environment(host: Host) -> None:
    host.file("venv/lib/libmpi.so", b"INPUT(libmpi.so.12)\n")  # not a library
    library = host.file("venv/lib/libmpi.so.12", ELF)
    launcher = host.file("venv/bin/mpiexec", HYDRA)
    host.file("bin/mpiexec", OPENMPI)
    host.file("base/lib/libmpi.so.40", ELF)
    assert host.detect() == Flavour("mpich", str(launcher), str(library))


def test_the_base_of_the_virtual_environment(host: Host) -> None:
    library = host.file("base/lib/libmpi.so.40", ELF)
    launcher = host.file("base/bin/mpiexec", OPENMPI)
    host.file("base/bin/prterun", OPENMPI)
    assert host.detect() == Flavour("openmpi", str(launcher), str(library), 5)


def test_the_systems_library_and_the_launcher_of_the_same_mpi(host: Host) -> None:
    library = host.file("usr/lib/x86_64-linux-gnu/libmpi.so.40", ELF)
    host.file("ld.so.cache", b"\0libmpi.so.40\0" + os.fsencode(library) + b"\0")
    host.file("bin/mpiexec", HYDRA)
    host.file("bin/mpiexec.openmpi", OPENMPI)
    host.file("bin/orterun", OPENMPI)
    found = host.detect()
    assert found.mpiexec == str(host.root / "bin" / "mpiexec.openmpi")
    assert (found.kind, found.major) == ("openmpi", 4)


def test_ld_library_path(host: Host) -> None:
    library = host.file("opt/mpi/lib/libmpi.so.12", ELF)
    launcher = host.file("opt/mpi/bin/mpiexec", HYDRA)
    found = host.detect(LD_LIBRARY_PATH=str(library.parent))
    assert found == Flavour("mpich", str(launcher), str(library))


@pytest.mark.parametrize("as_folder", [True, False])
def test_the_users_choice_comes_first(host: Host, as_folder: bool) -> None:
    host.file("venv/lib/libmpi.so.12", ELF)
    host.file("venv/bin/mpiexec", HYDRA)
    library = host.file("mine/lib/libmpi.so.40", ELF)
    host.file("mine/bin/mpiexec", OPENMPI)
    chosen = library.parent if as_folder else library
    found = host.detect(MPI4PY_LIBMPI=f"/nowhere:{chosen}")
    assert (found.kind, found.library) == ("openmpi", str(library))


def test_a_wrong_choice_is_named(host: Host) -> None:
    with pytest.raises(LaunchError, match="MPI4PY_LIBMPI is /nowhere, but"):
        host.detect(MPI4PY_LIBMPI="/nowhere")


@pytest.mark.parametrize("kind", ["mpich", "openmpi"])
def test_an_mpi4py_that_was_built_here(host: Host, kind: str) -> None:
    text = b"ompi_mpi_comm_world" if kind == "openmpi" else b"MPIR_F_NeedInit"
    packages = "venv/lib/python3.11/site-packages/mpi4py"
    host.file(f"{packages}/MPI.cpython-311-x86_64-linux-gnu.so", ELF + text)
    host.file("bin/mpiexec", OPENMPI if kind == "openmpi" else HYDRA)
    assert host.detect().kind == kind


def test_a_library_without_its_launcher(host: Host) -> None:
    host.file("venv/lib/libmpi.so.12", ELF)
    host.file("bin/mpiexec", OPENMPI)
    with pytest.raises(LaunchError, match="no mpiexec of it was found") as caught:
        host.detect()
    assert "Put the mpiexec of MPICH on PATH" in (caught.value.next_step or "")


def test_no_mpi_at_all(host: Host) -> None:
    with pytest.raises(LaunchError, match="No MPI library was found for") as caught:
        host.detect()
    assert "pip install 'mpi-steer[mpich]'" in (caught.value.next_step or "")
    assert 'engines="local"' in (caught.value.next_step or "")


def test_a_given_launcher_is_not_questioned(host: Host) -> None:
    host.file("venv/lib/libmpi.so.12", ELF)
    found = detect(host.python, host.environment, mpiexec="/my/mpiexec")
    assert found.mpiexec == "/my/mpiexec"


def test_a_fast_network_is_seen(host: Host) -> None:
    host.file("venv/lib/libmpi.so.40", ELF)
    host.file("venv/bin/mpiexec", OPENMPI)
    assert not host.detect().fabric
    host.file("infiniband/mlx5_0/node", b"")
    assert host.detect().fabric


def test_a_bare_interpreter_has_none(host: Host) -> None:
    python = shutil.which("true") or "/bin/true"
    with pytest.raises(LaunchError, match="No MPI library"):
        detect(str(host.file("alone/bin/python", Path(python).read_bytes())), {})

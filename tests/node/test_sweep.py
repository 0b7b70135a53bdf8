"""Removed are only MPI's own files, of the named worlds, and unmapped ones."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steer.node import sweep

WORLD, OTHER = f"{os.getpid():08x}", f"f{os.getpid():07x}"
SHM = Path("/dev/shm")


@pytest.fixture
def make() -> Iterator[Make]:
    maker = Make()
    yield maker
    for path in maker.made:
        path.unlink(missing_ok=True)


class Make:
    """Makes files as an MPI would, and forgets none of them."""

    def __init__(self) -> None:
        self.made: list[Path] = []

    def __call__(self, name: str, folder: Path = SHM) -> str:
        path = folder / name
        path.write_bytes(bytes(4096))
        self.made.append(path)
        return str(path)


def test_one_name_stands_for_its_world(make: Make) -> None:
    mine = [make(f"sm_segment.some.host.0.{WORLD}.{n}") for n in range(3)]
    mine += [make(f"osc_sm.some.host.{WORLD}.0.3")]
    other = make(f"sm_segment.some.host.0.{OTHER}.0")
    assert sorted(sweep.sweep(mine[:1])) == sorted(mine)
    assert os.path.exists(other)
    assert sweep.sweep(mine) == []


@pytest.mark.parametrize(
    "name",
    [
        f"mpich_shm_{WORLD}_0",
        f"vader_segment.host.{WORLD}.1",
        "mpich_shar_tmpAbCdEf",
        "ucx_shm_posix_1a2b3c",
    ],
)
def test_files_of_every_mpi(make: Make, name: str) -> None:
    path = make(name)
    assert sweep.sweep([path]) == [path]
    assert not os.path.exists(path)


def test_what_is_mapped_stays(make: Make) -> None:
    before = sweep.mapped_by(os.getpid())  # other tests may have loaded MPI
    path = make(f"mpich_shm_{WORLD}_0")
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 4096):
        assert sweep.mapped_by(os.getpid()) == sorted([*before, path])
        assert sweep.sweep([path]) == []
    assert sweep.mapped_by(os.getpid()) == before
    assert sweep.sweep([path]) == [path]


def test_a_mapped_file_without_a_name_is_nothing_to_sweep(make: Make) -> None:
    before = sweep.mapped_by(os.getpid())
    path = make(f"mpich_shm_{WORLD}_0")
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 4096):
        os.unlink(path)
        assert sweep.mapped_by(os.getpid()) == before


def test_other_files_are_not_touched(make: Make, tmp_path: Path) -> None:
    names = [make(f"steer-test-{WORLD}"), make(f"mpich_shm_{WORLD}_0", tmp_path)]
    names += [f"/dev/shm/../..{tmp_path}/mpich_shm_{WORLD}_0", "mpich_shm_1_0", ""]
    assert sweep.sweep(names) == []
    assert all(os.path.exists(name) for name in names[:2])


def test_another_users_file_is_not_touched(make: Make) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = make(f"mpich_shm_{WORLD}_0")
    os.chown(path, 12345, 12345)
    assert sweep.sweep([path]) == []


def test_topology_files_of_that_time_are_removed(make: Make) -> None:
    now = time.time()
    long_ago, just_now = make("hydra_hwloc_xmlfile_1", Path("/tmp")), ""
    os.utime(long_ago, (now - 1000, now - 1000))
    just_now = make("hydra_hwloc_xmlfile_2", Path("/tmp"))
    os.utime(just_now, (now - 500, now - 500))
    assert sweep.sweep_topology(now - 501, now - 499) == [just_now]
    assert os.path.exists(long_ago)


def test_a_directory_goes_with_what_is_in_it(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    (runtime / "ompi.1" / "0").mkdir(parents=True)
    (runtime / "ompi.1" / "file").write_text("")
    assert sweep.remove_directory(runtime)
    assert not runtime.exists()
    assert not sweep.remove_directory(runtime)


def test_a_link_to_a_directory_is_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / "link").symlink_to(kept)
    assert not sweep.remove_directory(tmp_path / "link")
    assert kept.exists()

"""Files of a cluster are where they belong, and nobody else can read the keys."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from steer.config import (
    FORMAT,
    LONGEST_SOCKET,
    ClusterFiles,
    Connection,
    ipython_dir,
    list_clusters,
    new_cluster_id,
    profile_dir,
    runtime_dir,
)
from steer.errors import UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def connection(**fields: object) -> Connection:
    known = {"cluster_id": "c", "host": "node17", "ipc": "ipc:///nowhere"}
    return Connection(**(known | fields))  # type: ignore[arg-type]


# -- places


def test_ipythondir_is_honoured(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert profile_dir() == home / "ipython" / "profile_default"
    assert profile_dir("mpi") == home / "ipython" / "profile_mpi"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("IPYTHONDIR")
    assert ipython_dir() == home / ".ipython"


def test_a_cluster_has_a_folder_of_its_own(home: Path) -> None:
    files = ClusterFiles("mpi", "c1").make()
    assert files.folder == home / "ipython/profile_mpi/steer/c1"
    assert mode(files.folder) == 0o700
    assert {files.connection.parent, files.journal.parent, files.log("hub").parent} == {
        files.folder
    }
    assert ClusterFiles().folder.name == "default"
    assert ClusterFiles(profile_folder=home).folder == home / "steer" / "default"


@pytest.mark.parametrize("name", ["../c", "a/b", "..", ".", "a\0"])
def test_names_with_a_path_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="name of a cluster"):
        _ = ClusterFiles("", name).folder
    with pytest.raises(UsageError, match="name of a profile"):
        profile_dir(name)


def test_an_open_folder_is_closed() -> None:
    files = ClusterFiles().make()
    files.folder.chmod(0o755)
    files.make()
    assert mode(files.folder) == 0o700


def test_a_folder_that_cannot_be_made_is_named(home: Path) -> None:
    (home / "ipython").write_text("a file")
    with pytest.raises(UsageError, match=r"cannot be made: Not a directory\.$"):
        ClusterFiles().make()


def test_ids_differ() -> None:
    assert re.fullmatch(r"\d{10}-[a-z0-9]{4}", new_cluster_id())
    assert new_cluster_id() != new_cluster_id()


def test_lists_what_has_a_connection_file() -> None:
    for profile, cluster in (("default", ""), ("default", "b"), ("mpi", "a")):
        files = ClusterFiles(profile, cluster).make()
        connection().write(files.connection)
    ClusterFiles("mpi", "unfinished").make()

    def names(profile: str | None) -> list[tuple[str, str]]:
        return [(f.profile, f.cluster_id) for f in list_clusters(profile)]

    assert names(None) == [("default", "b"), ("default", ""), ("mpi", "a")]
    assert names("mpi") == [("mpi", "a")]
    assert names("") == [("default", "b"), ("default", "")]
    assert names("none") == []


# -- sockets


def test_sockets_lie_in_a_private_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = home / "r"
    base.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    if len(str(base)) < LONGEST_SOCKET // 2:
        assert runtime_dir() == base / "steer"
    assert mode(runtime_dir()) == 0o700


def test_a_long_runtime_dir_is_not_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = home / ("x" * LONGEST_SOCKET)
    base.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    assert runtime_dir() == Path(f"/tmp/steer-{os.getuid()}")


@pytest.mark.parametrize("name", ["", "c", "long-" * 30, "å" * 90])
def test_paths_of_sockets_are_short_enough(name: str) -> None:
    first, second = ClusterFiles("", name).new_socket(), ClusterFiles().new_socket()
    assert first != second
    assert len(os.fsencode(first.removeprefix("ipc://"))) <= LONGEST_SOCKET


def test_a_folder_of_somebody_elses_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Path(os.environ["XDG_RUNTIME_DIR"]) / "x"
    short.mkdir(exist_ok=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    (short / "steer").symlink_to(home)
    with pytest.raises(UsageError, match="not a folder of your own"):
        runtime_dir()
    (short / "steer").unlink()
    (short / "steer").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(UsageError, match="not a folder of your own"):
        runtime_dir()
    (short / "steer").rmdir()


# -- the connection file


def test_is_read_as_it_was_written(home: Path) -> None:
    path = home / "cluster.json"
    whole = connection(
        port=4711,
        ip="0.0.0.0",
        addresses=("node17", "10.0.0.17"),
        secret_key=b"s" * 40,
        jobs=[{"n": 4, "job": {"recipe": "mpiexec"}}],
    )
    whole.write(path)
    assert Connection.read(path) == whole
    assert mode(path) == 0o600
    assert [entry.name for entry in home.iterdir()] == ["cluster.json"]


def test_is_replaced_at_once(home: Path) -> None:
    path = home / "cluster.json"
    connection().write(path)
    with path.open("rb") as old:
        connection().replace(hub_pid=7).write(path)
        assert b'"hub_pid": 0' in old.read()  # whoever reads, reads a whole file
    assert Connection.read(path).hub_pid == 7


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660])
def test_keys_that_others_may_read_are_refused(home: Path, bits: int) -> None:
    path = home / "cluster.json"
    connection().write(path)
    path.chmod(bits)
    with pytest.raises(UsageError, match=f"chmod 600 {path}"):
        Connection.read(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": 3}', "\x00\x01"])
def test_says_what_is_no_connection_file(home: Path, text: str) -> None:
    path = home / "cluster.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="is not a connection file"):
        Connection.read(path)


def test_says_what_cannot_be_read_or_written(home: Path) -> None:
    with pytest.raises(UsageError, match="steer start"):
        Connection.read(home / "nothing.json")
    folder = home / "folder.json"
    folder.mkdir(mode=0o700)
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        Connection.read(folder)
    with pytest.raises(UsageError, match="cannot be written: Is a directory"):
        connection().write(folder)
    assert [entry.name for entry in home.iterdir()] == ["folder.json"]
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        connection().write(home / "nowhere" / "cluster.json")


def test_another_format_is_refused(home: Path) -> None:
    path = home / "cluster.json"
    connection(format=FORMAT + 1).write(path)
    with pytest.raises(UsageError, match="another version of Steer"):
        Connection.read(path)


def test_the_local_socket_comes_first(home: Path) -> None:
    socket = home / "socket"
    keys = {"server_key": b"S", "public_key": b"P", "secret_key": b"s"}
    both = connection(ipc=f"ipc://{socket}", port=4711, addresses=("a", "b"), **keys)
    url, found = both.endpoint()
    assert url == "tcp://a:4711"
    assert found is not None
    assert (found.server, found.public, found.secret) == (b"S", b"P", b"s")
    socket.touch()
    assert both.endpoint() == (f"ipc://{socket}", None)
    socket.unlink()
    assert both.replace(port=0).endpoint() == (f"ipc://{socket}", None)


def test_importing_it_is_light() -> None:
    command = "import steer.config, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    ).stdout.split()
    for heavy in ("traitlets", "IPython", "asyncio", "mpi4py", "numpy"):
        assert heavy not in loaded

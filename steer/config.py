"""Where a cluster's files are, and what its connection file says.

A cluster has one folder, `<profile>/steer/<cluster id>`, of mode 0700: the connection
file (what a client or engine needs), the journal and the logs. Its socket lies in a
runtime folder with a short path, for the kernel allows only 107 characters there.

What a user may configure is not here but in settings.py.
"""

from __future__ import annotations

import contextlib
import os
import random
import stat
import string
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec

from steer.errors import UsageError
from steer.sockets import Keys

LONGEST_SOCKET = 100
FORMAT = 1


def ipython_dir() -> Path:
    """Where IPython keeps its profiles."""
    return Path(os.environ.get("IPYTHONDIR") or "~/.ipython").expanduser()


def profile_dir(profile: str = "") -> Path:
    """The folder of a profile; it need not exist."""
    return ipython_dir() / f"profile_{_checked('profile', profile) or 'default'}"


def _checked(what: str, name: str) -> str:
    """The name, if it can be that of a folder beside the others."""
    if "/" in name or "\0" in name or name in (".", ".."):
        raise UsageError(
            f"{name!r} cannot be the name of a {what}; leave out the path."
        )
    return name


def runtime_dir() -> Path:
    """A folder of our own for sockets, readable by nobody else."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.access(base, os.W_OK) and len(base) < LONGEST_SOCKET // 2:
        return _private(Path(base) / "steer")
    return _private(Path("/tmp") / f"steer-{os.getuid()}")


def _private(folder: Path) -> Path:
    """Make a folder that is ours alone, or refuse one that is not."""
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700, parents=True)
        found = folder.lstat()
    except OSError as error:
        raise UsageError(
            f"The folder {folder} cannot be made: {error.strerror}."
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UsageError(
            f"{folder} is not a folder of your own; remove it, or let XDG_RUNTIME_DIR "
            "or IPYTHONDIR name another place."
        )
    if found.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def new_cluster_id() -> str:
    """A name that no other cluster has."""
    letters = string.ascii_lowercase + string.digits
    return f"{int(time.time())}-{''.join(random.choices(letters, k=4))}"


class ClusterFiles(msgspec.Struct, frozen=True):
    """The files of one cluster."""

    profile: str = ""
    cluster_id: str = ""
    profile_folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The cluster's own folder."""
        profile = self.profile_folder or profile_dir(self.profile)
        return profile / "steer" / (_checked("cluster", self.cluster_id) or "default")

    @property
    def connection(self) -> Path:
        """What a client or engine needs to know."""
        return self.folder / "cluster.json"

    @property
    def journal(self) -> Path:
        """The records of its tasks."""
        return self.folder / "journal.sqlite"

    @property
    def deeds(self) -> Path:
        """Where the journals of steering of all runs of the profile are: they outlive
        their clusters."""
        return self.folder.parent.parent / "steer-journals"

    def log(self, name: str) -> Path:
        """What one of its processes says."""
        return self.folder / f"{name}.log"

    def make(self) -> Self:
        """Make the folder."""
        _private(self.folder)
        return self

    def new_socket(self) -> str:
        """The url of a local socket that nobody uses."""
        folder = runtime_dir()
        room = LONGEST_SOCKET - len(os.fsencode(folder)) - len("/-12345678")
        name = os.fsencode(self.cluster_id or "hub")[:room].decode(errors="ignore")
        return f"ipc://{tempfile.mktemp(prefix=f'{name}-', dir=folder)}"


def list_clusters(profile: str | None = None) -> Iterator[ClusterFiles]:
    """The clusters that have a connection file; of all profiles if None."""
    if profile is None:
        profiles = [
            p.name.removeprefix("profile_") for p in ipython_dir().glob("profile_*")
        ]
    else:
        profiles = [profile or "default"]
    for name in sorted(profiles):
        for path in sorted(profile_dir(name).glob("steer/*/cluster.json")):
            cluster = path.parent.name
            yield ClusterFiles(name, "" if cluster == "default" else cluster)


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection file says; whoever may read it owns the cluster."""

    format: int = FORMAT
    cluster_id: str
    profile: str = ""
    host: str
    ipc: str
    ip: str = ""
    """The address to listen on for other hosts; empty for none."""
    port: int = 0
    addresses: tuple[str, ...] = ()
    """Where other hosts find this one, best first."""
    server_key: bytes = b""
    public_key: bytes = b""
    secret_key: bytes = b""
    hub_pid: int = 0
    hub_began: int = 0
    boot: str = ""
    started: float = 0.0
    server_secret_key: bytes = b""
    jobs: list[Any] = []
    respawn: bool = False
    """Whether an engine that is a world of its own is started again when it dies."""

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Connection:
        """Read a file that only its owner can read."""
        try:
            mode = os.stat(path).st_mode
            if mode & 0o077:
                raise UsageError(
                    f"{path} holds keys and others may read it; run `chmod 600 {path}`."
                )
            with open(path, "rb") as file:
                found = msgspec.json.decode(file.read(), type=Connection)
        except FileNotFoundError:
            raise UsageError(
                f"There is no connection file {path}. "
                "Start a cluster with `steer start`."
            ) from None
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
        except msgspec.MsgspecError as error:
            raise UsageError(f"{path} is not a connection file: {error}.") from None
        if found.format != FORMAT:
            raise UsageError(
                f"{path} was written by another version of Steer (its format is "
                f"{found.format}, not {FORMAT}); use that, or start the cluster again."
            )
        return found

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it at once or not at all, readable by the owner only."""
        path = Path(path)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        text = msgspec.json.format(msgspec.json.encode(self), indent=1)
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(text)
            os.replace(fresh, path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from None

    def replace(self, **fields: Any) -> Connection:
        """The same with other fields."""
        return msgspec.structs.replace(self, **fields)

    def endpoint(self) -> tuple[str, Keys | None]:
        """Where to connect from this process: the local socket if it is there."""
        if os.path.exists(self.ipc.removeprefix("ipc://")) or not self.port:
            return self.ipc, None
        address = (self.addresses or (self.ip,))[0]
        keys = Keys(self.server_key, self.public_key, self.secret_key)
        return f"tcp://{address}:{self.port}", keys

    def server_secret(self) -> bytes:
        """The hub's own key."""
        return self.server_secret_key

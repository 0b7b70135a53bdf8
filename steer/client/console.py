"""A kernel for one rank or some, started from a client, for other front ends.

    console = rc[3].console()
    jupyter console --existing /run/user/1000/steer/console-x/kernel.json

The kernel is a process of its own (`python -m steer.kernel`) that attaches to the
cluster as any client does. It listens on local sockets in a private folder, and ends
with this client, with this program, or by `close()`; the cluster stays.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steer.config import Connection, runtime_dir
from steer.errors import LaunchError, UsageError

__all__ = ["Console", "private_folder"]

READY_WITHIN = 20.0
END_WITHIN = 5.0
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")


class Console:
    """A kernel that runs on ranks of a cluster that is there."""

    def __init__(self, connection: Connection, ranks: str = "") -> None:
        if importlib.util.find_spec("ipykernel") is None:
            raise UsageError(
                "A console needs ipykernel. Install it with "
                "`pip install mpi-steer[kernel]`."
            )
        self.ranks = ranks
        folder = private_folder()
        try:
            self.connection_file = _write(folder)
            connection.write(folder / "cluster.json")
            process = _start(folder, self.connection_file, ranks)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._end = weakref.finalize(self, _end, process, folder)

    @property
    def command(self) -> str:
        """What opens it in a terminal."""
        return f"jupyter console --existing {self.connection_file}"

    def close(self) -> None:
        """End the kernel, not the cluster; again does nothing."""
        self._end()

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "open" if self._end.alive else "closed"
        return f"<Console of ranks {self.ranks or 'all'}, {state}: {self.command}>"


def private_folder() -> Path:
    """A new folder for sockets, readable by nobody else, with a short path."""
    return Path(tempfile.mkdtemp(prefix="console-", dir=runtime_dir()))


def _write(folder: Path) -> str:
    """A connection file as Jupyter has it; its sockets are in the folder too."""
    path = folder / "kernel.json"
    facts: dict[str, object] = {
        "transport": "ipc",
        "ip": str(folder / "k"),
        "key": secrets.token_hex(32),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "steer",
    }
    facts |= {f"{name}_port": number for number, name in enumerate(CHANNELS, 1)}
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(facts, file, indent=1)
    return str(path)


def _start(folder: Path, connection_file: str, ranks: str) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-P", "-Xfrozen_modules=off", "-m", "steer.kernel"),
        *("-f", connection_file),
        f"--connection={folder / 'cluster.json'}",
        f"--owner={os.getpid()}",
        *([f"--ranks={ranks}"] if ranks else []),
    ]
    environment = {k: v for k, v in os.environ.items() if k != "JPY_PARENT_PID"}
    log = folder / "kernel.log"
    with _pipe() as (ready, said), open(log, "wb") as output:
        process = subprocess.Popen(
            [*command, f"--ready={said}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C here is not for it
            pass_fds=(said,),
        )
        os.close(said)
        try:
            _wait_until_ready(ready, log)
        except BaseException:
            process.kill()
            process.wait()
            raise
    return process


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """A pipe whose reading end is closed afterwards."""
    ready, said = os.pipe()
    try:
        yield ready, said
    finally:
        os.close(ready)


def _wait_until_ready(ready: int, log: Path) -> None:
    poller = select.poll()
    poller.register(ready, select.POLLIN)
    if not poller.poll(READY_WITHIN * 1000):
        raise LaunchError(f"The console's kernel was not there in {READY_WITHIN:g} s.")
    if os.read(ready, 1):
        return
    words = log.read_text(errors="replace").strip()
    raise LaunchError("The console's kernel ended before it was there.", output=words)


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    """It holds nothing that would have to be put in order: killing is enough."""
    process.terminate()
    try:
        process.wait(END_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)

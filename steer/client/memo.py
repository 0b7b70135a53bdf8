"""Values of earlier calls, kept in a file of the profile: `ex.options(memo=True)`.

A call is known by its function's source, what the function brings along (closure,
defaults, globals of Python's own types and functions that it names) and its arguments.
What it reads elsewhere is not part of that: a file, the time, a module's functions.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import pickle
import sqlite3
import threading
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steer.config import profile_dir
from steer.wire import payload
from steer.wire.messages import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from steer.client.client import Client
    from steer.client.futures import TaskFuture

LIMIT = 1 << 30
"""Bytes of values; those unused for longest go first."""

_PLAIN = (int, float, complex, str, bytes, bool, type(None), tuple)
_KNOWN = (*_PLAIN, list, dict, set, frozenset)
"""What a call is known by, if it is a global."""
_SCHEMA = """
create table if not exists memo (
    key blob primary key, value blob not null, size integer not null,
    used real not null, name text not null)
"""


class Memo:
    """The values in one file, which several programs may use at once."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # values are for the user's eyes
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        self._limit = limit
        self._lock = threading.Lock()
        self._sql = sqlite3.connect(path, timeout=10, check_same_thread=False)
        self._sql.execute("pragma journal_mode=wal")
        self._sql.execute(_SCHEMA)

    def find(self, key: bytes) -> bytes | None:
        """The pickled value of a call."""
        with self._lock, self._sql:
            row = self._sql.execute(
                "update memo set used = ? where key = ? returning value",
                (time.time(), key),
            ).fetchone()
        return None if row is None else bytes(row[0])

    def keep(self, key: bytes, value: bytes, name: str) -> None:
        """Keep the pickled value of a call."""
        with self._lock, self._sql:
            self._sql.execute(
                "insert or replace into memo values (?, ?, ?, ?, ?)",
                (key, value, len(value), time.time(), name),
            )
            self._make_room()

    def _make_room(self) -> None:
        (size,) = self._sql.execute("select sum(size) from memo").fetchone()
        while size is not None and size > self._limit:
            key, less = self._sql.execute(
                "select key, size from memo order by used limit 1"
            ).fetchone()
            self._sql.execute("delete from memo where key = ?", (key,))
            size -= less

    def forget(self, name: str | None = None) -> int:
        """Forget the values of functions of this name, or all; returns how many."""
        where, values = ("where name = ?", (name,)) if name else ("", ())
        with self._lock, self._sql:
            return self._sql.execute(f"delete from memo {where}", values).rowcount

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._sql.close()


_open: dict[Path, Memo] = {}
_opening = threading.Lock()


def memo_of(client: Client) -> Memo:
    """The memory of the client's profile."""
    path = profile_dir(client.link.connection.profile) / "steer" / "memo.sqlite"
    with _opening:
        if path not in _open:
            _open[path] = Memo(path)
        return _open[path]


def recalled(
    client: Client,
    function: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    future: TaskFuture,
) -> bool:
    """Whether the call was made before; its value is then the future's. If not, the
    value will be kept."""
    memo = memo_of(client)
    key = key_of(function, args, kwargs)
    body = memo.find(key)
    if body is not None:
        future.status = TaskStatus.DONE
        future.settle((lambda _, frames: payload.loads(frames), [body]), failed=False)
        return True
    name = future.name

    def keep(done: TaskFuture) -> None:
        if done.status is TaskStatus.DONE and not done.cancelled():
            memo.keep(key, payload.dumps_whole(done.result(0)), name)

    future.add_done_callback(keep)  # type: ignore[arg-type]
    return False


def key_of(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bytes:
    """What a call is known by."""
    digest = hashlib.blake2b(digest_size=32)
    for part in _parts(function, set()):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    digest.update(payload.dumps_whole((tuple(args), sorted(kwargs.items()))))
    return digest.digest()


def _parts(function: Any, seen: set[int]) -> Iterator[bytes]:
    """The source of a function and what it brings along, of those it names too."""
    if id(function) in seen:
        return
    seen.add(id(function))
    if not isinstance(function, types.FunctionType):
        yield payload.dumps_whole(function)
        return
    yield f"{function.__module__}.{function.__qualname__}".encode()
    yield _source(function)
    yield pickle.dumps((function.__defaults__, function.__kwdefaults__), protocol=5)
    for value in _brought(function):
        if isinstance(value, types.FunctionType):
            yield from _parts(value, seen)
        elif isinstance(value, types.ModuleType):
            yield value.__name__.encode()
        elif not isinstance(value, types.BuiltinFunctionType):
            yield payload.dumps_whole(value)


def _source(function: types.FunctionType) -> bytes:
    try:
        # Of the code: the function may be another one's wrapper.
        return inspect.getsource(function.__code__).encode()
    except (OSError, TypeError):  # typed at a prompt without history
        code = function.__code__
        consts = [c for c in code.co_consts if isinstance(c, _PLAIN)]
        return code.co_code + repr(consts).encode() + repr(code.co_names).encode()


def _brought(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # an empty one
            yield cell.cell_contents
    for name in _names(function.__code__):
        value = function.__globals__.get(name)
        if isinstance(value, (*_KNOWN, types.FunctionType, types.ModuleType)):
            yield value


def _names(code: types.CodeType) -> Iterator[str]:
    """What a function's code names, and that of the functions in it."""
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _names(const)

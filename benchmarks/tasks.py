"""What workers run. Importable by them, so that no system has to ship code."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

HELD: dict[str, Any] = {}


def same(value: Any = None) -> Any:
    return value


def plus_one(value: Any) -> Any:
    return value + 1


def each(function: Callable[..., Any], values: Sequence[Any]) -> list[Any]:
    """What a system without chunks is given instead of single values."""
    return [function(value) for value in values]


def process_after(seconds: float) -> int:
    """Which process this is, so late that another task goes to another one."""
    time.sleep(seconds)
    return os.getpid()


def agreed(comm: Any) -> int:
    """Let all ranks of a communicator take part."""
    return int(comm.allreduce(1))


def run(source: str) -> None:
    exec(compile(source, "<benchmark>", "exec"), HELD)


def hold(name: str, value: Any) -> None:
    HELD[name] = value


def give(name: str) -> Any:
    return HELD[name]


def printed(lines: int) -> str:
    """Print, and say all that was printed at once."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        for i in range(lines):
            print("~line", i)
    return out.getvalue()


def parts(array: Any, n: int) -> list[Any]:
    """Cut into n pieces of about the same length."""
    size = -(-len(array) // n)
    return [array[i * size : (i + 1) * size] for i in range(n)]

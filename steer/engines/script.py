"""The user's own program on a rank: what it is, and how it is run.

It runs as `python sim.py` would run it: as `__main__`, with its own sys.argv and
sys.path, in the engine's variables, so that cells see them while it holds and when it
is over. The engine is told of it on its command line:
`python -m steer.engines --run sim -- sim.py --its-arguments`.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from steer.engines.namespace import Namespace
from steer.errors import UsageError


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A program, and how a user wants it run."""

    run: str
    """What the run is called."""
    argv: tuple[str, ...]
    """Its file, and its arguments."""
    module: bool = False
    """It is the name of a module, as with `python -m`."""
    keep: bool = False
    """Its ranks stay when it has ended."""
    post_mortem: bool = False
    """Its ranks stay when it has failed."""
    points: tuple[str, ...] = ()
    """Where to put points that its source does not have: `sim.py:40`."""

    def to_arguments(self) -> tuple[str, ...]:
        """The command line of its engines."""
        flags = {"--module": self.module, "--keep": self.keep}
        flags["--post-mortem"] = self.post_mortem
        return (
            f"--run={self.run}",
            *(flag for flag, wanted in flags.items() if wanted),
            *(f"--point={point}" for point in self.points),
            "--",
            *self.argv,
        )


class Ending(NamedTuple):
    """How a program ended."""

    status: int = 0
    error: BaseException | None = None

    def told(self) -> str:
        """The end of a sentence about its rank; empty if all went well."""
        if self.error is not None:
            name, text = type(self.error).__name__, str(self.error)
            return f"failed with {name}{f': {text}' if text else ''}"
        return f"ended with status {self.status}" if self.status else ""


def from_arguments(argv: Sequence[str]) -> Script | None:
    """The program of an engine that was started like this, if it has one."""
    if not argv:
        return None
    import argparse  # most engines have no program

    parser = argparse.ArgumentParser(prog="python -m steer.engines", add_help=False)
    parser.add_argument("--run", required=True)
    parser.add_argument("--module", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--post-mortem", action="store_true")
    parser.add_argument("--point", action="append", default=[])
    parser.add_argument("argv", nargs="+")
    told = parser.parse_args(list(argv))
    return Script(
        run=told.run, argv=tuple(told.argv), module=told.module, keep=told.keep,
        post_mortem=told.post_mortem, points=tuple(told.point),
    )  # fmt: skip


def execute(script: Script, namespace: Namespace) -> Ending:
    """Run it to its end, whatever that is."""
    try:
        _run(script, namespace)
    except SystemExit as asked:
        return Ending(_status_of(asked))
    except BaseException as error:  # noqa: BLE001  the program's, all of it
        _show(error)
        return Ending(1, error)
    return Ending()


def _run(script: Script, namespace: Namespace) -> None:
    path = script.argv[0]
    sys.argv = list(script.argv)
    sys.path[0:0] = [os.path.dirname(os.path.abspath(path))]
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    variables = namespace.module.__dict__
    variables.update(__file__=path, __name__="__main__", __spec__=None)
    exec(compile(source, path, "exec", dont_inherit=True), variables)


def _status_of(asked: SystemExit) -> int:
    """The exit status that Python would make of it."""
    code: Any = asked.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def _show(error: BaseException) -> None:
    """Print its traceback as Python would, from the program's first line on."""
    shown: TracebackType | None = error.__traceback__
    while shown is not None and shown.tb_frame.f_code.co_filename == __file__:
        shown = shown.tb_next
    traceback.print_exception(type(error), error, shown)

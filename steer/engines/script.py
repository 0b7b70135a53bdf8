"""The user's own program on a rank, from its first line to its last.

It runs as `python sim.py` would run it: as `__main__`, with its own sys.argv and
sys.path, in the engine's variables, so that cells see them while it holds and when it
is over. What Python does behind a program (wait for its threads, call what it has
registered with atexit) is done here too, unless the rank stays to be looked into.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import CodeType, FrameType
from typing import Any, NamedTuple

from steer.engines.inserted import Inserter
from steer.engines.mpi import environment_rank
from steer.engines.namespace import Namespace
from steer.engines.tracebacks import users_part
from steer.errors import UsageError
from steer.launch.script import Script

INTERRUPTED = 130
"""The status of a program that Ctrl-C has ended, as shells have it."""
STOPPED = 143
"""That of one that was ended on purpose, as by SIGTERM."""
UNREADABLE = 2
"""That of one that cannot be read, as Python has it."""
_LIBRARIES = tuple({*map(sysconfig.get_path, ("stdlib", "purelib", "platlib"))})
"""Where code is that is nobody's own."""


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


class _Unreadable(Exception):
    """There is no such program, or not as it is wanted."""


def execute(script: Script, namespace: Namespace, quits: Callable[[], bool]) -> Ending:
    """Run it to its end, whatever that is; `quits` says whether it is to end now."""
    if quits():  # it has waited for somebody, and who came has ended it
        return Ending(STOPPED)
    inserter: Inserter | None = None
    try:
        inserter = _inserter(script.points)
        code, spec = _code(script, inserter)
        ending = _run(script, code, spec, namespace, quits)
    except _Unreadable as error:
        sys.stderr.write(f"{error}\n")
        ending = Ending(UNREADABLE)
    except BaseException as error:  # noqa: BLE001  syntax errors, broken packages
        ending = _failed(error)
    if inserter is not None and environment_rank().rank <= 0:  # what all would say
        for sentence in (*inserter.problems, *inserter.missing()):
            sys.stderr.write(f"steer: {sentence}\n")
    stays = script.keep or (script.post_mortem and ending.error is not None)
    if not stays:
        _finish()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or None
            stream.flush()
    return ending


def _inserter(places: Sequence[str]) -> Inserter:
    try:
        inserter = Inserter(places)
    except UsageError as error:
        raise _Unreadable(f"steer: {error}") from None
    inserter.install()
    return inserter


def _code(script: Script, inserter: Inserter) -> tuple[CodeType, ModuleSpec | None]:
    """What is to be run; sys.path is as it will be."""
    name = script.argv[0]
    if script.module:
        sys.path.insert(0, os.getcwd())
        spec = _module(name)
        path = spec.origin or ""
    else:
        spec, path = None, os.path.abspath(name)
        sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise _Unreadable(
            f"steer: can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
        ) from None
    return inserter.compile_script(source, path), spec


def _module(name: str) -> ModuleSpec:
    """What `python -m` would run."""
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except (ImportError, ValueError) as error:
        raise _Unreadable(f"steer: module {name} cannot be run: {error}") from None
    if spec is None or not spec.has_location:
        raise _Unreadable(f"steer: No module named {name} that could be run")
    return spec


def _run(
    script: Script,
    code: CodeType,
    spec: ModuleSpec | None,
    namespace: Namespace,
    quits: Callable[[], bool],
) -> Ending:
    path = code.co_filename
    sys.argv = [path if script.module else script.argv[0], *script.argv[1:]]
    variables = namespace.module.__dict__
    variables.update(
        __file__=path,
        __name__="__main__",
        __spec__=spec,
        __package__=spec.parent if spec is not None else None,
        __cached__=None,
    )
    try:
        exec(code, variables)
    except SystemExit as asked:
        return Ending(_status_of(asked))
    except BaseException as error:  # noqa: BLE001  the program's, all of it
        if quits() and isinstance(error, KeyboardInterrupt):
            return Ending(STOPPED)  # our own way to tell it so
        return _failed(error)
    return Ending()


def _status_of(asked: SystemExit) -> int:
    """The exit status that Python would make of it."""
    code: Any = asked.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def _failed(error: BaseException) -> Ending:
    """Show its traceback as Python would, from the program's first line on."""
    shown = users_part(error.__traceback__)
    if shown is None and not isinstance(error, SyntaxError):
        shown = error.__traceback__  # a mistake of ours
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, shown
    sys.excepthook(type(error), error.with_traceback(shown), shown)
    interrupted = isinstance(error, KeyboardInterrupt)
    return Ending(INTERRUPTED if interrupted else 1, error)


def failed_in(error: BaseException) -> FrameType | None:
    """The frame of the program's own code in which it failed."""
    found: FrameType | None = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if file != __file__ and not (found and file.startswith(_LIBRARIES)):
            found = frame
    return found


def _finish() -> None:
    """What Python does when a program is over, before it takes itself apart."""
    here = threading.current_thread()
    for thread in threading.enumerate():
        if thread is not here and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()

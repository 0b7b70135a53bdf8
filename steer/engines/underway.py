"""What of a rank may still move messages while its main thread is blocked.

Requests are not asked whether they are complete: main may complete and free one in the
meantime. That they are there, and how much they carry, is enough for a verdict to be
careful.
"""

from __future__ import annotations

import gc
import sys
import threading
from typing import Any

from steer.core.rankstates import Open


def bytes_of(value: Any, deep: int = 2) -> int:
    """How many bytes an object is about, as a message; -1 if that cannot be told."""
    cls = type(value)
    if cls in (int, float, complex, bool, type(None)) or cls.__module__ == "mpi4py.MPI":
        return 0
    if cls in (str, bytes, bytearray):
        return len(value)
    if cls.__module__ == "numpy" and hasattr(value, "nbytes"):
        return -1 if getattr(value, "dtype", "") == "O" else int(value.nbytes)
    if cls is dict:
        value = [*value.keys(), *value.values()]
    if type(value) in (list, tuple) and deep and len(value) <= 1000:
        sizes = [bytes_of(item, deep - 1) for item in value]
        return -1 if -1 in sizes else sum(sizes)
    return -1


def open_operations() -> Open:
    """Requests that this process holds, and threads that may call MPI beside main.

    Walks all objects: 0.3 ms for a thousand of them, so only a verdict asks for it.
    Requests that are complete and not yet waited for count too.
    """
    MPI = sys.modules.get("mpi4py.MPI")
    if MPI is None:
        return Open(threads=_other_threads())
    count = size = 0
    requests = kinds(MPI.Request)
    for thing in [each for each in gc.get_objects() if type(each) in requests]:
        if not MPI.Request.__bool__(thing):  # null: complete, or never begun
            continue
        count += 1
        given = _bytes_held(thing, MPI)
        size = -1 if -1 in (given, size) else size + given
    return Open(count, size, _other_threads())


def kinds(cls: type) -> set[type]:
    """A class and all that are made of it: looking a type up is quicker than asking an
    object what it is, and runs no code of the program's."""
    found: set[type] = {cls}
    below: type
    for below in cls.__subclasses__():
        found |= kinds(below)
    return found


def _bytes_held(thing: Any, MPI: Any, deep: int = 3) -> int:
    """What a request keeps alive is what it sends, or what it receives into: mpi4py 4.1
    holds it in `ob_buf`, two objects deep."""
    cls = type(thing)
    if issubclass(cls, MPI.buffer):
        return int(thing.nbytes)
    if issubclass(cls, bytes):
        return bytes.__len__(thing)
    if not deep or issubclass(cls, type):
        return 0
    held = gc.get_referents(thing)
    return sum(_bytes_held(item, MPI, deep - 1) for item in held)


_POOL = "concurrent/futures/thread.py"
_QUIET_MODULES = ("IPython", "ipykernel", "steer", "tqdm", "zmq", "matplotlib")


def _other_threads() -> tuple[str, ...]:
    """Threads of the user's that may do something, by name."""
    main = threading.main_thread()
    here = threading.current_thread()
    frames = sys._current_frames()
    # With our own in it they would all be kept, until the collector comes, with all
    # that the program had in its functions.
    frames.pop(here.ident or 0, None)
    found = []
    for thread in threading.enumerate():
        ours = thread.name.startswith("steer-")
        ours |= type(thread).__module__.partition(".")[0] in _QUIET_MODULES
        if thread in (main, here) or ours:
            continue
        frame = frames.get(thread.ident or 0)
        code = None if frame is None else frame.f_code
        if code and code.co_name == "_worker" and code.co_filename.endswith(_POOL):
            continue  # it waits for work that only others can give
        found.append(thread.name)
    return tuple(found)

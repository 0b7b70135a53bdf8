"""A task's function and arguments, from their pickles.

Functions are kept loaded, since most tasks call one that others have called. One that
came from the client's `__main__` gets the engine's variables (`Namespace.bind`); a
callable that carries another one has a method `bound`, which does that inside.
"""

from __future__ import annotations

import inspect
import pickle
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from steer import shm
from steer.core.enginetasks import Job
from steer.engines.namespace import Namespace
from steer.reference import resolve
from steer.wire import payload
from steer.wire.calls import fill
from steer.wire.messages import Outcome

LOADED = 256
"""Functions that are kept loaded."""

SEARCHED = 1 << 20
"""Bytes of a pickle that is searched for References; their place is a short one."""

_REFERENCE = b"steer.reference"


class Callee:
    """A loaded function."""

    __slots__ = ("_comm", "call", "name")

    def __init__(self, function: Any) -> None:
        self.call = function
        self.name = getattr(function, "__qualname__", None) or type(function).__name__
        self._comm: tuple[str, int] | None = None

    def comm(self) -> tuple[str, int]:
        """The parameter that takes a communicator, and its place."""
        if self._comm is None:
            self._comm = find_comm(self.call)
        return self._comm


class Calls:
    """The functions that this engine has loaded."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._loaded: OrderedDict[bytes, Callee] = OrderedDict()
        self._classes: OrderedDict[bytes, tuple[type[BaseException], ...]] = (
            OrderedDict()
        )

    def function(self, job: Job) -> Callee:
        """The function that a task calls."""
        digest = job.task.function
        callee = self._loaded.get(digest)
        if callee is None:
            callee = self._loaded[digest] = Callee(self._load(job.function))
            if len(self._loaded) > LOADED:
                self._loaded.popitem(last=False)
        elif len(self._loaded) == LOADED:
            self._loaded.move_to_end(digest)
        return callee

    def _load(self, body: bytes) -> Any:
        try:
            function = pickle.loads(body)
        except Exception as error:
            error.add_note("The task's function could not be loaded on this engine.")
            raise
        bound = getattr(type(function), "bound", None)
        if bound is not None:
            return bound(function, self._namespace.bind)
        return self._namespace.bind(function)

    def arguments(self, job: Job) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What a task calls it with."""
        try:
            if job.large is None:
                body: bytes = job.task.body
                args, kwargs = pickle.loads(body)
                results = _results(job.values, ())
            else:
                frames, parts = _parts(job)
                body = frames[0]
                args, kwargs = payload.loads(frames)
                results = _results(job.values, parts)
        except Exception as error:
            error.add_note("The task's arguments could not be loaded on this engine.")
            raise
        if results:
            args, kwargs = fill(args, results), fill(kwargs, results)
        if len(body) <= SEARCHED and _REFERENCE in bytes(body):
            evaluate = self._namespace.evaluate
            args, kwargs = resolve(args, evaluate), resolve(kwargs, evaluate)
        return args, kwargs

    def may_retry(self, error: BaseException, pickled: bytes) -> bool:
        """Whether it is one of the exceptions that a task's options name."""
        if not pickled:
            return False
        classes = self._classes.get(pickled)
        if classes is None:
            try:
                loaded = pickle.loads(pickled)
                classes = loaded if isinstance(loaded, tuple) else (loaded,)
                isinstance(error, classes)
            except Exception as mistake:  # noqa: BLE001  users' modules are imported
                error.add_note(
                    "Whether to try it again could not be found out: the classes of "
                    f"retry_on could not be loaded ({type(mistake).__name__}: "
                    f"{mistake})."
                )
                return False
            self._classes[pickled] = classes
            if len(self._classes) > LOADED:
                self._classes.popitem(last=False)
        return isinstance(error, classes)


def _parts(job: Job) -> tuple[list[Any], list[list[Any]]]:
    """The frames of the arguments, and those of each value."""
    assert job.large is not None
    message, frames = job.large
    counts = message.parts or (len(frames),)
    pieces, place = [], 0
    for count in counts:
        pieces.append(list(frames[place : place + count]))
        place += count
    own = shm.take(message.store, pieces[0]) if pieces[0] else [message.task.body]
    return own, pieces[1:]


def _results(values: Any, parts: Sequence[Sequence[Any]]) -> dict[int, Any]:
    """Other tasks' results, by number."""
    if not values:
        return {}
    results = {}
    for place, (number, outcome) in enumerate(values.items()):
        frames = parts[place] if place < len(parts) else ()
        results[number] = _value(outcome, frames)
    return results


def _value(outcome: Outcome, frames: Sequence[Any]) -> Any:
    if frames:
        return payload.loads(shm.take(outcome.store, frames))
    return pickle.loads(outcome.body)


def find_comm(function: Callable[..., Any]) -> tuple[str, int]:
    """The parameter of a function that takes the communicator of its ranks, and its
    place among the positional ones: the one named `comm`, or the first that is
    annotated as one. No name: there is none; no place (-1): by its name only."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # C functions may not tell
        return "", -1
    annotated = [name for name, one in parameters.items() if _takes_comm(one)]
    name = "comm" if "comm" in parameters else "".join(annotated[:1])
    if not name or parameters[name].kind is inspect.Parameter.KEYWORD_ONLY:
        return name, -1
    return name, list(parameters).index(name)


def _takes_comm(parameter: inspect.Parameter) -> bool:
    """Whether it is annotated as a communicator."""
    note = parameter.annotation
    text = note if isinstance(note, str) else getattr(note, "__name__", "")
    return str(text).rpartition(".")[2] in ("Comm", "Intracomm")

"""While a rank holds, its cells work in the frame of the loop that came to the point.

If the loop stands at a script's top level, there is nothing to do: its variables are
those of the engine. If it stands in a function, `bound` puts a `Scope` in their place,
a dictionary in which a name means what it means in the loop:

1. a variable of the function, those of enclosing functions that it uses included;
2. a global of its module;
3. a variable of the engine: what cells and scripts have made before.

What is assigned goes where the name is; a new name becomes a variable of the engine, so
that it is there at the next stop as well. Being the *globals* of what runs, a scope is
seen by functions, comprehensions and classes of a cell too.

A function that a cell defined may outlive the hold: the program calls it, or a plan
does. It then finds the loop's frame on the stack, as long as the loop runs; no frame is
kept alive.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import inspect
import os
import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType
from typing import Any

from steer.engines.namespace import IN_USE, Namespace
from steer.errors import UsageError

_OURS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
_STDLIB = os.path.join(os.path.dirname(os.__file__), "")
_PACKAGES = f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}"
_INNER = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>")
"""Code that is part of the function around it, for people."""
_NOTHING: Any = object()
_PROXIES = sys.version_info >= (3, 13)
"""Whether `f_locals` writes through (PEP 667). Before, it is a copy, made anew at each
look; what was changed in it is put back by a call of C's."""


# -- which frame


def loops_frame() -> FrameType | None:
    """The frame that came to the point where this thread holds now."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (is_ours(frame) or _only_hands_on(frame)):
        frame = frame.f_back
    return frame


def is_ours(frame: FrameType) -> bool:
    """Whether it runs code of this package."""
    return frame.f_code.co_filename.startswith(_OURS)


def _only_hands_on(frame: FrameType) -> bool:
    """Whether it is a bar's or the like: `for step in tqdm(steer.loop(...))`."""
    code = frame.f_code
    if not code.co_flags & inspect.CO_GENERATOR:
        return False
    name = code.co_filename
    return name.startswith(_STDLIB) or any(part in name for part in _PACKAGES)


def site(frame: FrameType | None) -> str:
    """A place in the program, the same on every rank: `sim.py:40`."""
    if frame is None:
        return ""
    folder, name = os.path.split(frame.f_code.co_filename)
    if name == "__init__.py":  # there are many
        name = f"{os.path.basename(folder)}/{name}"
    return f"{name}:{frame.f_lineno}"


def _with_enclosing(frame: FrameType) -> list[FrameType]:
    """The frame, and those that it is a part of: a comprehension's function."""
    frames = [frame]
    while frame.f_code.co_name in _INNER and frame.f_back is not None:
        if frame.f_code not in frame.f_back.f_code.co_consts:
            break
        frame = frame.f_back
        frames.append(frame)
    return frames


# -- a frame's variables


def _is_function(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & inspect.CO_OPTIMIZED)


def _assign(frame: FrameType, name: str, value: Any) -> None:
    """Give a variable of a running function another value."""
    if _PROXIES or not _is_function(frame):
        frame.f_locals[name] = value
        return
    # Another thread that looks at f_locals makes the copy anew, perhaps between the
    # two steps.
    for _ in range(100):
        frame.f_locals[name] = value
        _copy_back(ctypes.py_object(frame), ctypes.c_int(0))
        if frame.f_locals.get(name) is value:
            return
    raise RuntimeError(f"The variable {name} could not be set.")


if not _PROXIES:
    _copy_back = ctypes.pythonapi.PyFrame_LocalsToFast
    _copy_back.restype = None


def _let_go(frame: FrameType) -> None:
    """Keep no values in the copy, which lives as long as the frame."""
    if _PROXIES or not _is_function(frame):
        return
    values = frame.f_locals
    if frame.f_trace is None:  # else the tracer puts the copy back
        values.clear()


def variables_of(frame: FrameType) -> dict[str, Any]:
    """What its variables are now."""
    values = dict(frame.f_locals)
    _let_go(frame)
    return values


class Scope(dict[str, Any]):
    """The variables of a loop in a function, and what is around it.

    Python does not always ask us for a name: a `global` statement's assignment and the
    body of a class go to the dictionary itself. So while it is bound it holds a copy of
    everything, for who does not ask; what was put there directly is moved to its place
    by `settle`. Who asks gets what is true now.
    """

    def __init__(self, code: CodeType, main: dict[str, Any]) -> None:
        self._code = code
        self._main = main
        self._frames: list[FrameType] = []
        self._copied: dict[str, Any] = {}
        self._plain: frozenset[str] = frozenset()
        """Variables of the function that nothing but us can change meanwhile."""
        self._copy()

    @property
    def is_bound(self) -> bool:
        """Whether the rank holds in the loop."""
        return bool(self._frames)

    # -- while the rank holds

    def bind(self, frame: FrameType) -> None:
        """The loop holds; this is its frame."""
        code = frame.f_code
        self._frames = _with_enclosing(frame)
        self._plain = frozenset(code.co_varnames) - {*code.co_cellvars}
        self.settle()

    def settle(self) -> None:
        """Put what Python put here itself where it belongs."""
        for name, value in list(super().items()):
            if self._copied.get(name, _NOTHING) is not value:
                self[name] = value
        for name in self._copied:
            if not super().__contains__(name) and name in self:
                del self[name]
        self._copy()

    def unbind(self) -> None:
        """The loop goes on."""
        self.settle()
        for frame in self._frames:
            _let_go(frame)
        self._frames, self._plain = [], frozenset()
        self._copy()

    def _copy(self) -> None:
        copied: dict[str, Any] = {}
        if self._frames:
            own = {name: self._main[name] for name in self._main if name[:2] == "__"}
            copied = {**self._main, **self._frames[0].f_globals, **own}
        for frame in reversed(self._frames):
            if _is_function(frame):
                copied.update(frame.f_locals)
        copied |= {"__builtins__": builtins, "__name__": "__main__"}
        super().clear()
        super().update(copied)
        self._copied = copied

    # -- what a name means

    def _found(self) -> list[FrameType]:
        """The loop's frames: those that are bound, or on the stack."""
        if self._frames:
            return self._frames
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code is not self._code:
            frame = frame.f_back
        return [] if frame is None else _with_enclosing(frame)

    def _owner(self, name: str) -> FrameType | None:
        """The frame that has a variable of this name, with or without a value."""
        for frame in self._found():
            code = frame.f_code
            if name in code.co_varnames or name in code.co_cellvars:
                return frame
            if name in code.co_freevars:
                return frame
        return None

    def _around(self, name: str) -> dict[str, Any]:
        """The dictionary that a name belongs to which is no variable of the loop."""
        if not name.startswith("__"):  # what cells define is of the engine's module
            for frame in self._found()[:1]:
                if name in frame.f_globals:
                    return frame.f_globals
        return self._main

    def _live(self, name: str) -> Any:
        for frame in self._found():
            if _is_function(frame) and name in (values := frame.f_locals):
                return values[name]
        return self._around(name)[name]

    def __getitem__(self, name: str) -> Any:
        value = super().get(name, _NOTHING)
        if value is not _NOTHING and (
            name in self._plain or self._copied.get(name, _NOTHING) is not value
        ):
            return value
        return self._live(name)

    def __setitem__(self, name: str, value: Any) -> None:
        frame = self._owner(name)
        if frame is None:
            self._around(name)[name] = value
        else:
            _assign(frame, name, value)
        if self._frames:
            self._copied[name] = value
        if self._frames or super().__contains__(name):
            super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        """A variable of the loop is None from then on: Python cannot take it away."""
        if self._owner(name) is not None:
            self[name] = None
            return
        del self._around(name)[name]
        self._copied.pop(name, None)
        super().pop(name, None)

    def __contains__(self, name: object) -> bool:
        try:
            self[name]  # type: ignore[index]
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        frames = self._found()
        places = [frame.f_locals for frame in frames if _is_function(frame)]
        places += [frame.f_globals for frame in frames[:1]]
        names = dict.fromkeys(name for place in places for name in place)
        return iter({**names, **dict.fromkeys(self._main)})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def copy(self) -> dict[str, Any]:
        """All of it, as a plain dictionary."""
        return {name: self[name] for name in self}

    def keys(self) -> Any:
        """All names."""
        return dict.fromkeys(self).keys()

    def values(self) -> Any:
        """All values."""
        return self.copy().values()

    def items(self) -> Any:
        """All names and values."""
        return self.copy().items()

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or something else if there is none."""
        return self[name] if name in self else default  # noqa: SIM401  this is `get`

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The value, which is assigned if there was none."""
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Assign many."""
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def pop(self, name: str, *default: Any) -> Any:
        """Delete it; the value it had."""
        if default and name not in self:
            return default[0]
        value = self[name]
        del self[name]
        return value

    def clear(self) -> None:
        """Refuse: a program works with them."""
        raise UsageError(IN_USE)

    def __repr__(self) -> str:
        return f"<the variables of {self._code.co_qualname}>"


@contextlib.contextmanager
def bound(namespace: Namespace, frame: FrameType | None) -> Iterator[None]:
    """Meanwhile the variables of the engine are those of this frame."""
    if frame is None or frame.f_locals is namespace.module.__dict__:
        yield
        return
    scope = namespace.scopes.setdefault(
        frame.f_code, Scope(frame.f_code, namespace.module.__dict__)
    )
    if scope.is_bound:
        yield
        return
    before = namespace.variables, namespace.settle
    namespace.variables, namespace.settle = scope, scope.settle
    scope.bind(frame)
    try:
        yield
    finally:
        namespace.variables, namespace.settle = before
        scope.unbind()


def look_up(
    names: Iterable[str], namespace: Namespace, frame: FrameType | None
) -> dict[str, Any]:
    """What these names mean in the loop, to be read: costs far less than `bound`."""
    found: dict[str, Any] = {}
    frames = [] if frame is None else _with_enclosing(frame)
    places = [frame.f_locals for frame in frames if _is_function(frame)]
    places += [frame.f_globals for frame in frames[:1]]
    places.append(namespace.module.__dict__)
    for name in names:
        for place in places:
            if name in place:
                found[name] = place[name]
                break
    for each in frames:
        _let_go(each)
    return found

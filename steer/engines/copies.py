"""Copies of what variables hold, that can be put back into the very same objects.

A program has several names for one thing: `u` is also `solver.field`, and `inner` a
view of it. So nothing is replaced by its copy: each object that can be changed is kept,
with what was in it, and gets that back in place. Then all that refers to it sees it,
views of arrays included.

What is walked through: containers, arrays, objects of classes written in Python,
generators of random numbers. What has a state that cannot be seen from here is left
out, and said so: files, Python's generators and iterators, objects of libraries in C.
What is shared by the whole process stays as it is: modules, classes, functions,
communicators.
"""

from __future__ import annotations

import array
import collections
import random
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from steer.core import params

Restore = Callable[[], object]
Found = tuple[Restore | None, Iterable[tuple[str, Any]], int]
"""How to put an object's content back, what is within, by name, and bytes that were
copied; None: nothing can change it."""

_CONSTANT: tuple[type, ...] = (
    type(None), bool, int, float, complex, str, bytes, range, slice, type(...),
    type(NotImplemented), type, types.FunctionType, types.BuiltinFunctionType,
    types.ModuleType, types.CodeType, property, staticmethod, classmethod,
)  # fmt: skip
_SHARED = ("mpi4py", "steer", "threading", "_thread", "logging", "concurrent", "typing")
"""Packages whose objects stay as they are."""


class Copies:
    """What some objects, and all within them, held when this was made."""

    def __init__(self, roots: Mapping[str, Any]) -> None:
        self.size = 0
        """Bytes of arrays."""
        self.left_out: dict[str, str] = {}
        """What may change and is not in it: where it was found, its type."""
        self._restores: list[Restore] = []
        self._alive: list[Any] = []
        """All that was looked at: the number of an object is its own while it lives."""
        self._seen: set[int] = set()
        things = list(roots.items())
        while things:
            things += self._keep(*things.pop())

    def restore(self) -> None:
        """Put all back. It can be done again later."""
        for restore in self._restores:
            restore()

    def _keep(self, path: str, thing: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(thing, _CONSTANT) or id(thing) in self._seen:
            return
        self._seen.add(id(thing))
        self._alive.append(thing)
        found = _look_into(thing)
        if found is None:
            self.left_out[path] = type(thing).__qualname__
            return
        restore, inner, size = found
        self.size += size
        if restore is not None:
            self._restores.append(restore)
        for name, value in inner:
            yield f"{path}{name}", value


def unseen(thing: Any) -> str:
    """The type of something that has a state which cannot be seen; empty if it can.
    Copies no data."""
    libraries = sys.modules.get("numpy"), sys.modules.get("torch")
    arrays = [
        getattr(library, name)
        for library, name in zip(libraries, ("ndarray", "Tensor"), strict=True)
        if library is not None
    ]
    if isinstance(thing, (*_CONSTANT, *_KINDS, *arrays)):
        return ""
    return "" if _look_into(thing) is not None else type(thing).__qualname__


def _look_into(thing: Any) -> Found | None:
    """None if it has a state that cannot be seen."""
    for kind, look in _KINDS.items():
        if isinstance(thing, kind):
            return look(thing) if type(thing) is kind else _both(look(thing), thing)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(thing, numpy.ndarray):
            return _array(thing)
        if isinstance(thing, numpy.generic | numpy.dtype | numpy.ufunc):
            return None, (), 0
        if isinstance(thing, numpy.random.Generator):
            return _attribute(thing.bit_generator, "state")
        if isinstance(thing, numpy.random.BitGenerator):
            return _attribute(thing, "state")
        if isinstance(thing, numpy.random.RandomState):
            state = thing.get_state()
            return lambda: thing.set_state(state), (), 0
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(thing, torch.Tensor):
        kept = thing.detach().clone()
        return lambda: thing.data.copy_(kept), (), kept.nbytes
    return _object(thing)


def _both(content: Found, thing: Any) -> Found:
    """A container or the like of a class of its own, which may have attributes too."""
    attributes = getattr(thing, "__dict__", None)
    if not attributes or isinstance(thing, params.Parameters):
        return content
    kept = dict(attributes)

    def restore() -> None:
        if content[0] is not None:
            content[0]()
        attributes.clear()
        attributes.update(kept)

    inner = [*content[1], *((f".{name}", value) for name, value in kept.items())]
    return restore, inner, content[2]


def _array(thing: Any) -> Found:
    if not thing.flags.writeable:
        return None, (), 0
    kept = thing.copy()

    def restore() -> None:
        if thing.shape != kept.shape:
            thing.resize(kept.shape, refcheck=False)
        thing[...] = kept

    inner = enumerate(thing.flat) if thing.dtype.hasobject else ()
    return restore, ((f"[{n}]", value) for n, value in inner), kept.nbytes


def _attribute(thing: Any, name: str) -> Found:
    kept = getattr(thing, name)
    return lambda: setattr(thing, name, kept), (), 0


def _list(thing: list[Any]) -> Found:
    kept = list(thing)
    inner = [(f"[{n}]", value) for n, value in enumerate(kept)]
    return lambda: thing.__setitem__(slice(None), kept), inner, 0


def _bytes(thing: Any) -> Found:
    kept = thing[:]
    return lambda: thing.__setitem__(slice(None), kept), (), len(memoryview(kept))


def _dict(thing: dict[Any, Any]) -> Found:
    kept = dict(thing)

    def restore() -> None:
        thing.clear()
        thing.update(kept)

    inner = [(f"[{key!r:.40}]", value) for key, value in kept.items()]
    return restore, inner, 0


def _set(thing: set[Any]) -> Found:
    kept = set(thing)

    def restore() -> None:
        thing.clear()
        thing.update(kept)

    return restore, (), 0


def _deque(thing: collections.deque[Any]) -> Found:
    kept = list(thing)

    def restore() -> None:
        thing.clear()
        thing.extend(kept)

    return restore, [(f"[{n}]", value) for n, value in enumerate(kept)], 0


def _tuple(thing: Iterable[Any]) -> Found:
    return None, [(f"[{n}]", value) for n, value in enumerate(thing)], 0


def _random(thing: random.Random) -> Found:
    kept = thing.getstate()
    return lambda: thing.setstate(kept), (), 0


def _parameters(thing: params.Parameters) -> Found:
    kept = params.values(thing)
    return lambda: params.change(thing, kept), (), 0


def _method(thing: types.MethodType) -> Found:
    return None, [(".__self__", thing.__self__)], 0


_KINDS: dict[type, Callable[[Any], Found]] = {
    list: _list,
    dict: _dict,
    set: _set,
    collections.deque: _deque,
    tuple: _tuple,
    frozenset: _tuple,
    bytearray: _bytes,
    array.array: _bytes,
    random.Random: _random,
    params.Parameters: _parameters,
    types.MethodType: _method,
}


def _object(thing: Any) -> Found | None:
    """An object of a class that was written in Python."""
    kind = type(thing)
    if kind.__module__.partition(".")[0] in _SHARED:
        return None, (), 0
    if any(_is_native(base) for base in kind.__mro__):
        # What is compared by its value never changes it: dates, decimals, patterns.
        hashed: Any = kind.__hash__
        by_value = hashed is not None and hashed is not object.__hash__
        return (None, (), 0) if by_value else None
    slots = [name for base in kind.__mro__ for name in _slots(base)]
    kept = {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
    attributes = getattr(thing, "__dict__", None)
    before = dict(attributes) if attributes is not None else {}

    def restore() -> None:
        for name, value in kept.items():
            setattr(thing, name, value)
        if attributes is not None:
            attributes.clear()
            attributes.update(before)

    inner = [(f".{name}", value) for name, value in {**before, **kept}.items()]
    return restore, inner, 0


_HEAP = 1 << 9
"""Py_TPFLAGS_HEAPTYPE."""


def _is_native(base: type) -> bool:
    """Whether instances hold something that only code in C sees."""
    if base is object or base.__module__ in ("abc", "typing", "enum"):
        return False
    return not base.__flags__ & _HEAP or not _has_python(base)


def _has_python(base: type) -> bool:
    """A class statement leaves a module and a docstring; types of C modules that are on
    the heap have no dictionary of instances and no functions written in Python."""
    return (
        "__dict__" in vars(base)
        or "__slots__" in vars(base)
        or any(isinstance(value, types.FunctionType) for value in vars(base).values())
    )


def _slots(base: type) -> Iterator[str]:
    slots = vars(base).get("__slots__", ())
    for name in [slots] if isinstance(slots, str) else slots:
        if name in ("__dict__", "__weakref__"):
            continue
        mangled = name.startswith("__") and not name.endswith("__")
        yield f"_{base.__name__.lstrip('_')}{name}" if mangled else name

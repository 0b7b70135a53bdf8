"""The functions that tasks call, pickled and named by a digest.

Who submits a function again and again pickles it once, if that is safe: it is named by
its module, or all that it brings along cannot change. Others are pickled each time, for
what they bring may be another thing by now.
"""

from __future__ import annotations

import builtins
import hashlib
import operator
import types
from collections import OrderedDict
from typing import Any

from steer.wire import payload
from steer.wire.wraps import Batch, Initialized

KEPT = 256
DIGEST = 16
_FIXED = (int, float, complex, str, bytes, bool, type(None), types.ModuleType)

Pickled = tuple[bytes, bytes]
"""The digest and the pickle."""


class Functions:
    """The pickles of the functions used last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[Any, tuple[Any, ...], Pickled]] = (
            OrderedDict()
        )

    def pickled(self, function: Any) -> Pickled:
        """The digest and the pickle of a callable; raises Unpicklable."""
        kept = self._kept.get(id(function))
        if kept is not None and kept[0] is function:
            if not kept[1]:  # nothing that could be another thing by now
                return kept[2]
            brings = _brings(function)
            if brings is not None and _same(brings, kept[1]):
                return kept[2]
        body = _dumps(function)
        found = hashlib.blake2b(body, digest_size=DIGEST).digest(), body
        brings = _brings(function)
        if brings is not None:
            self._kept[id(function)] = function, brings, found
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found


def _dumps(function: Any) -> bytes:
    try:
        return payload.dumps_whole(function)
    except Exception as error:
        name = getattr(function, "__qualname__", repr(function))
        why = f"{type(error).__name__}: {error}"
        raise payload.Unpicklable(f"The function {name}", why) from error


def _brings(function: Any) -> tuple[Any, ...] | None:
    """All that a function's pickle holds besides its code, if none of it can change;
    None if something can."""
    if isinstance(function, (Batch, Initialized)):
        parts = [_carried(one) for one in function.carried]
        return None if None in parts else (type(function), *parts)
    if isinstance(function, types.BuiltinFunctionType):
        return () if isinstance(function.__self__, types.ModuleType) else None
    if not isinstance(function, types.FunctionType):
        return None
    if function.__module__ != "__main__" and "<" not in function.__qualname__:
        return ()
    if function.__dict__:
        return None
    found: list[Any] = [function.__code__, *(function.__defaults__ or ())]
    found += (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            return None
    known = function.__globals__
    for name in _names(function.__code__):
        if name in known:
            found.append(known[name])
        elif not hasattr(builtins, name):
            found.append(None)  # an attribute, or something that is not there yet
    fixed = all(isinstance(one, _FIXED) for one in found[1:])
    return tuple(found) if fixed else None


def _carried(value: Any) -> Any:
    return value if isinstance(value, _FIXED) else _brings(value)


def _names(code: types.CodeType) -> list[str]:
    names = list(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names += _names(const)
    return names


def _same(new: tuple[Any, ...], old: tuple[Any, ...]) -> bool:
    if len(new) != len(old):
        return False
    return all(map(operator.is_, new, old)) or all(
        a is b or (type(a) is type(b) and a == b) for a, b in zip(new, old, strict=True)
    )

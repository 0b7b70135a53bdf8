"""What may be done with values of a program without running code of the program's, and
without more time and memory than a moment has.

Whoever evaluates beside a running program (`evaluating.py`) asks here before each step.
Allowed is what is known: exact types of Python's and numpy's, whose operators are
written in C. Everything else may have operators, iterators or a `__class__` of its own;
it can be passed on and shown, not computed with. Iterators are refused, because who
reads one takes its items away from the program.

Sizes are estimated from shapes and lengths before anything is made.
"""

from __future__ import annotations

import ast
import collections
import datetime
import functools
import math
import re
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

LONGEST = 1_000_000
"""Items of a list, characters of a text that a step may make."""
LARGEST = 100_000_000
"""Bytes of an array that are gone through: what takes longer than a moment must not be
done by a thread that others need."""
BITS = 100_000
"""Of a number."""
MULTIPLIED = 1e9
"""Products of numbers in a product of matrices."""


class CannotEvaluate(Exception):
    """The expression asks for more than can be done safely; says what."""


# A metaclass of the program's may have properties of these names.
name_of: Callable[[type], str] = vars(type)["__name__"].__get__
module_of: Callable[[type], str] = vars(type)["__module__"].__get__
mro_of: Callable[[type], tuple[type, ...]] = vars(type)["__mro__"].__get__
dict_of: Callable[[type], dict[str, Any]] = vars(type)["__dict__"].__get__

MISSING = object()


def in_classes(cls: type, name: str) -> Any:
    """What a class or one of its bases has of that name; MISSING if none has."""
    for each in mro_of(cls):
        found = dict_of(each)
        if name in found:
            return found[name]
    return MISSING


# -- kinds of values

_PLAIN = frozenset((int, float, complex, bool, type(None), type(...)))
_TEXTS = (str, bytes)
_MOMENTS = (datetime.date, datetime.timedelta)
_MAPPINGS = (dict, collections.OrderedDict, collections.defaultdict)
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_COLLECTIONS = frozenset(
    (list, tuple, set, frozenset, collections.deque, *_MAPPINGS, *_VIEWS)
)
_BUFFERS = (bytearray, memoryview)


def is_array(value: Any) -> bool:
    """Whether it is an array of numpy's own class."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray


def is_numpys(value: Any) -> bool:
    """Whether it is a number, or a text, of numpy's."""
    return type(value) in _numpys(sys.modules.get("numpy"))


@functools.lru_cache(maxsize=2)
def _numpys(numpy: Any) -> frozenset[type]:
    if numpy is None:
        return frozenset()
    found = frozenset(numpy.sctypeDict.values())
    return found - {numpy.object_, numpy.void}


def check_operand(value: Any, largest: int = LARGEST) -> None:
    """Refuse what operators and builtins might run code of the program's on, and what
    is so large that one step with it takes long."""
    cls = type(value)
    if cls is int:
        if value.bit_length() > BITS:
            raise CannotEvaluate("that number is too large")
    elif cls in _TEXTS or cls is range:
        if len(value) > LONGEST:
            what = value if cls is range else f"a text of {len(value):,}"
            raise CannotEvaluate(f"{what} is too long")
    elif cls is slice:
        for part in (value.start, value.stop, value.step):
            check_operand(part)
    elif is_array(value):
        check_array(value, largest)
    elif cls not in _PLAIN | _COLLECTIONS and cls not in (*_MOMENTS, type):
        _check_numpys(value)


def _check_numpys(value: Any) -> None:
    if not is_numpys(value):
        raise CannotEvaluate(
            f"{name_of(type(value))} may have operators of its own: they would run code"
        )


def check_array(array: Any, largest: int = LARGEST) -> None:
    """Refuse an array that is too large to be gone through, or has objects in it."""
    if array.dtype.hasobject:
        raise CannotEvaluate("the array has objects: their operators would run code")
    size = max(array.nbytes, 8 * array.size)
    if size > largest:
        raise CannotEvaluate(
            f"the array has {size / 1e6:,.0f} MB; take a part of it, as u[:1000]"
        )


def check_items(value: Any) -> None:
    """Refuse a collection whose items, however deep, would be compared, added or
    written by code of the program's, and one that is too large to look."""
    if type(value) not in _COLLECTIONS:
        return
    left, pending = LONGEST, [value]
    while pending:
        part = pending.pop()
        left -= len(part)
        for group in (part, part.values()) if type(part) in _MAPPINGS else (part,):
            if left >= 0 and not set(map(type, group)) <= _PLAIN:
                left -= _check_each(group, pending)
        if left < 0:
            raise CannotEvaluate(
                f"it has more than {LONGEST:,} items; take a part of it"
            )


def _check_each(group: Iterable[Any], pending: list[Any]) -> int:
    """How long the texts among these items are; collections become pending."""
    found = 0
    for item in group:
        if type(item) in _COLLECTIONS:
            pending.append(item)
        elif is_array(item):
            raise CannotEvaluate("there are arrays in it: take one of them, as x[0]")
        else:
            check_operand(item)
            found += len(item) if type(item) in _TEXTS else 0
    return found


def check_key(key: Any) -> Any:
    """Refuse keys that are hashed or compared by code of the program's."""
    check_operand(key)
    check_items(key)
    return key


def truth(value: Any) -> bool:
    """Whether it is true."""
    cls = type(value)
    if all(in_classes(cls, name) is MISSING for name in ("__bool__", "__len__")):
        return True
    check_operand(value)
    return bool(value)


# -- parts


def items_of(value: Any) -> Iterable[Any]:
    """What it consists of, without taking anything away."""
    cls = type(value)
    if cls in _COLLECTIONS or cls in (str, bytes, range, *_BUFFERS) or is_array(value):
        return value  # type: ignore[no-any-return]
    if in_classes(cls, "__next__") is not MISSING:
        raise CannotEvaluate(
            f"{name_of(cls)} is an iterator: looking would take its items away"
        )
    _check_native(cls, "__iter__")
    for base in (list, tuple, dict, set, frozenset):
        if issubclass(cls, base):
            return list(base.__iter__(value))
    raise CannotEvaluate(f"what is in {name_of(cls)} only it can tell")


def _check_native(cls: type, method: str) -> None:
    found = in_classes(cls, method)
    if found is MISSING:
        raise CannotEvaluate(f"{name_of(cls)} has no {method}")
    if type(found) is types.FunctionType:
        raise CannotEvaluate(
            f"{name_of(cls)}.{method} is written in Python: it would run code"
        )


def part_of(owner: Any, key: Any, largest: int = LARGEST) -> Any:
    """`owner[key]`."""
    cls = type(owner)
    if is_array(owner):
        _check_index(owner, key, largest)
        return owner[key]
    _check_native(cls, "__getitem__")
    check_key(key)
    if issubclass(cls, dict):
        return _value_of(owner, key)
    for base in (list, tuple, str, bytes, range, collections.deque, *_BUFFERS):
        if issubclass(cls, base):
            if type(key) is slice:
                check_growth(len(range(*key.indices(base.__len__(owner)))))
            return base.__getitem__(owner, key)
    raise CannotEvaluate(f"what is in {name_of(cls)} only it can tell")


def _value_of(owner: Any, key: Any) -> Any:
    """Of a dictionary; a defaultdict is given no new item."""
    if len(owner) > LONGEST:
        raise CannotEvaluate(f"it has {len(owner):,} items")
    if not set(map(type, dict.keys(owner))) <= {*_PLAIN, *_TEXTS}:
        for each in list(dict.keys(owner)):  # it may be compared with any of them
            check_key(each)
    found = dict.get(owner, key, MISSING)
    if found is MISSING:
        raise CannotEvaluate(f"it has no item {key!r:.100}")
    return found


def _check_index(array: Any, key: Any, largest: int) -> None:
    """Parts are views; only indices that are arrays or lists make new ones."""
    parts = key if type(key) is tuple else (key,)
    making = []
    for part in parts:
        check_operand(part)
        if is_array(part) or type(part) is list:
            check_items(part)
            making.append(part)
    if len(making) > 1:
        raise CannotEvaluate("several indices are arrays; take one after the other")
    for index in making:
        if is_array(index) and index.dtype.kind == "b":
            check_array(array, largest)
        else:
            count = index.size if is_array(index) else len(index)
            check_bytes(count * array.nbytes // max(1, min(array.shape, default=1)))


# -- arithmetic


def check_growth(count: int) -> None:
    """Refuse to make so many items, or characters."""
    if count > LONGEST:
        raise CannotEvaluate("that would be too long")


def check_bytes(size: int, largest: int = LARGEST) -> None:
    """Refuse to make an array that large."""
    if size > largest:
        raise CannotEvaluate(f"that would be an array of {size / 1e6:,.0f} MB")


def check_arithmetic(
    op: ast.operator, left: Any, right: Any, largest: int = LARGEST
) -> None:
    """Refuse arithmetic that would run code of the program's, take all memory, or last
    for ever."""
    check_operand(left, largest)
    check_operand(right, largest)
    if is_array(left) or is_array(right):
        return _check_arrays(op, left, right, largest)
    kinds = type(left), type(right)
    if any(kind in _COLLECTIONS or kind in _TEXTS for kind in kinds):
        return _check_collections(op, left, right)
    if isinstance(op, ast.Pow | ast.LShift) and set(kinds) <= {int, bool}:
        bits = right * (left.bit_length() if isinstance(op, ast.Pow) else 1)
        if bits > BITS:
            raise CannotEvaluate("that number would be too large")
    return None


def _check_collections(op: ast.operator, left: Any, right: Any) -> None:
    if isinstance(op, ast.Mult):
        for text, times in ((left, right), (right, left)):
            if type(times) in (int, bool):
                return check_growth(len(text) * times)
    if isinstance(op, ast.Add) and type(left) is type(right):
        return check_growth(len(left) + len(right))
    if isinstance(op, ast.BitAnd | ast.BitOr | ast.BitXor | ast.Sub):
        check_items(left)
        return check_items(right)
    raise CannotEvaluate("such arithmetic with texts and lists is not allowed here")


def _check_arrays(op: ast.operator, left: Any, right: Any, largest: int) -> None:
    if isinstance(op, ast.MatMult):
        return check_product(left, right, largest)
    return check_together((left, right), largest)


def check_together(values: Iterable[Any], largest: int = LARGEST) -> None:
    """Refuse arrays whose result would be too large: a column and a row make a
    matrix."""
    numpy = sys.modules["numpy"]
    shapes, width = [], 8
    for value in values:
        if type(value) in _COLLECTIONS or type(value) in _TEXTS:
            raise CannotEvaluate("arrays with lists and texts are not computed here")
        shapes.append(value.shape if is_array(value) else ())
        width = max(width, getattr(getattr(value, "dtype", None), "itemsize", 8))
    shape = numpy.broadcast_shapes(*shapes)
    check_bytes(math.prod(shape) * width, largest)


def check_product(left: Any, right: Any, largest: int = LARGEST) -> None:
    """Refuse a product of matrices that would take long."""
    shapes: list[tuple[int, ...]]
    shapes = [value.shape if is_array(value) else () for value in (left, right)]
    if not all(1 <= len(shape) <= 2 for shape in shapes):
        raise CannotEvaluate("only matrices and vectors are multiplied here")
    rows = left.size
    columns = shapes[1][1] if len(shapes[1]) == 2 else 1
    if rows * columns > MULTIPLIED:
        raise CannotEvaluate("that product would take too long")
    check_bytes(rows // max(1, shapes[0][-1]) * columns * 16, largest)


def check_comparison(op: ast.cmpop, left: Any, right: Any, largest: int) -> None:
    """Refuse what would be compared by code of the program's."""
    check_operand(left, largest)
    check_operand(right, largest)
    if is_array(left) or is_array(right):
        return check_together((left, right), largest)
    check_items(left)
    if isinstance(op, ast.In | ast.NotIn) and type(right) in _MAPPINGS:
        return check_items(right.keys())
    return check_items(right)


# -- texts

_COUNTS = re.compile(r"\d+")
_WIDEST = 1000


def written(value: Any, spec: str, as_repr: bool) -> str:
    """A value in a text, as in `f"{value:.3f}"`."""
    check_operand(value)
    check_items(value)
    if is_array(value) and value.size > _WIDEST:
        raise CannotEvaluate("such an array is not put into a text; show it by itself")
    if any(int(count) > _WIDEST for count in _COUNTS.findall(spec)):
        raise CannotEvaluate("that would be too long")
    return format(repr(value) if as_repr else value, spec)

"""Calls that only look, made with what they are given checked: nothing of it runs code
of the program's, is changed (`out=`), is used up (iterators), or becomes too large.

Which functions may be called at all says whoever evaluates; here is how. What is not
known here is called without arguments only.
"""

from __future__ import annotations

import builtins
import math
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from steer.engines.harmless import (
    LARGEST,
    LONGEST,
    CannotEvaluate,
    check_array,
    check_bytes,
    check_growth,
    check_items,
    check_key,
    check_operand,
    check_product,
    check_together,
    in_classes,
    is_array,
    is_numpys,
    items_of,
    mro_of,
    name_of,
    part_of,
)

_BUILTIN = frozenset(
    id(function) for function in vars(builtins).values() if callable(function)
)
_KINDS = (
    types.BuiltinFunctionType,
    types.FunctionType,
    types.MethodType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.WrapperDescriptorType,
    type,
)
_NAMES = ("cython_function_or_method", "_ArrayFunctionDispatcher", "ufunc")


def is_plain(function: Any) -> bool:
    """Whether asking it for its name and its owner runs no code of the program's."""
    cls = type(function)
    if cls is types.MethodType and function.__func__ is not function:
        return is_plain(function.__func__)
    return cls in _KINDS or name_of(cls) in _NAMES


def call(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call one of the functions that may be called."""
    instead = _INSTEAD.get(id(function))
    if instead is not None:
        return instead(*args, **kwargs)
    owner = getattr(function, "__self__", None)
    if id(function) in _BUILTIN:
        _check_builtin(function, args, kwargs)
    elif is_array(owner):
        _check_method_of_array(owner, function.__name__, args, kwargs)
    elif is_numpys(owner):
        _check_scalars([*args, *kwargs.values()])
    elif type(owner) in _OWNERS:
        return _method(owner, function, args, kwargs)
    elif getattr(function, "__module__", None) == "numpy" or is_numpy(function):
        args = _for_numpy(function, args, kwargs)
    elif args or kwargs:
        raise CannotEvaluate("with arguments it is not called here")
    return function(*args, **kwargs)


def is_numpy(function: Any) -> bool:
    """Whether it is a function or a type of numpy's own."""
    numpy = sys.modules.get("numpy")
    name = getattr(function, "__name__", "")
    return numpy is not None and any(
        vars(home).get(name) is function for home in (numpy, numpy.linalg)
    )


# -- builtins


def _type(value: Any) -> type:
    return type(value)


def _is_instance(value: Any, classes: Any) -> bool:
    return _is_subclass(type(value), classes)


def _is_subclass(cls: Any, classes: Any) -> bool:
    """As far as the classes themselves tell: an abstract one is not asked."""
    for each in classes if type(classes) is tuple else (classes,):
        if type(each) is not type:
            raise CannotEvaluate("such a class decides for itself what is of it")
        if any(base is each for base in mro_of(cls)):
            return True
    return False


def _length(value: Any) -> int:
    found = in_classes(type(value), "__len__")
    if type(found) is types.FunctionType:
        raise CannotEvaluate(
            f"{name_of(type(value))}.__len__ is written in Python: it would run code"
        )
    return len(value)


def _listed(value: Any) -> list[Any]:
    items = items_of(value)
    check_growth(len(items))  # type: ignore[arg-type]
    return list(items)


def _zip(*values: Any, strict: bool = False) -> list[Any]:
    return list(zip(*map(_listed, values), strict=strict is True))


def _enumerate(value: Any, start: int = 0) -> list[Any]:
    check_operand(start)
    return list(enumerate(_listed(value), start))


def _reversed(value: Any) -> list[Any]:
    return _listed(value)[::-1]


def _list(value: Any = ()) -> list[Any]:
    return _listed(value)


def _tuple(value: Any = ()) -> tuple[Any, ...]:
    return tuple(_listed(value))


_INSTEAD: dict[int, Callable[..., Any]] = {
    id(type): _type, id(isinstance): _is_instance, id(issubclass): _is_subclass,
    id(len): _length, id(zip): _zip, id(enumerate): _enumerate,
    id(reversed): _reversed, id(list): _list, id(tuple): _tuple, id(id): id,
}  # fmt: skip
"""They do not touch what is in what they are given."""

_KEYS = (len, abs, str, int, float)
_ONE_BY_ONE = (max, min, sum, any, all, sorted, set, frozenset)


def _check_builtin(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    for name, value in kwargs.items():
        if name == "key" and any(value is known for known in _KEYS):
            continue
        if type(value) not in (bool, int, float, type(None)):
            raise CannotEvaluate(f"nobody knows what {name}= would do")
    for value in args:
        check_operand(value)
        check_items(value)
        if is_array(value):
            _check_array_of_builtin(function, value)
    if function in (str, int, bytes) and len(args) > 1:
        raise CannotEvaluate("that takes one argument here")
    if function is bytes and args and type(args[0]) is int:
        check_growth(args[0])
    if function is round and len(args) > 1:
        _check_small(args[1:])
    if function is sum:
        _check_scalars([*args[1:], *kwargs.values()])


def _check_array_of_builtin(function: Any, array: Any) -> None:
    if function in (str, repr) and array.size > 1000:
        raise CannotEvaluate("such an array is not put into a text; show it by itself")
    if function in _ONE_BY_ONE:
        check_growth(array.size)
        if array.ndim > 1:
            raise CannotEvaluate("that goes through rows; write u.max() and its like")


def _check_small(values: Sequence[Any]) -> None:
    for value in values:
        check_operand(value)
        if type(value) is int and abs(value) > 1000:
            raise CannotEvaluate("that number is too large here")


def _check_scalars(values: Sequence[Any]) -> None:
    for value in values:
        check_operand(value)
        if type(value) not in (int, float, complex, bool, type(None)):
            raise CannotEvaluate("only a number may stand there")


# -- methods of texts, lists, dictionaries

_OWNERS = (str, bytes, list, tuple, dict, set, float, int)
_UNTOUCHED = ("items", "keys", "values", "copy")


def _method(
    owner: Any, function: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> Any:
    name = function.__name__
    if kwargs:
        raise CannotEvaluate(f"{name} takes no names here")
    for value in args:
        check_operand(value)
        check_items(value)
    if type(owner) is dict and name == "get":
        return _get(owner, *args)
    if name in _UNTOUCHED:
        check_growth(len(owner))
    else:
        check_operand(owner)
        check_items(owner)
    if name == "join":
        check_growth(sum(map(len, *args)) + len(owner) * len(*args))
    if name == "replace":
        old, new, *_ = args
        check_growth(len(owner) + (owner.count(old) if old else len(owner)) * len(new))
    if name == "decode" and args:
        raise CannotEvaluate("decode takes no arguments here")
    return function(*args)


def _get(owner: Any, key: Any, default: Any = None) -> Any:
    check_key(key)
    try:
        return part_of(owner, key)
    except CannotEvaluate:
        if len(owner) > LONGEST:
            raise
        return default


# -- numpy

_SEVERAL = {"dot": 2, "hypot": 2, "isclose": 2, "allclose": 2, "array_equal": 2}
"""What goes through more than one array."""
_NAMED = ("axis", "keepdims", "dtype", "ddof", "decimals", "n", "q", "rtol", "atol")
_MAKING = ("zeros", "ones", "empty", "full", "arange")


def _check_method_of_array(
    array: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any]
) -> None:
    check_array(array)
    if name == "tolist":
        check_growth(array.size)
    _check_names(kwargs)
    if name == "dot":
        (other,) = args
        check_operand(other)
        return check_product(array, other)
    for value in args:
        if name == "astype" or type(value) is type:
            _check_dtype(value)
        else:
            _check_settings([value])
    return None


def _check_names(kwargs: dict[str, Any]) -> None:
    for name, value in kwargs.items():
        if name not in _NAMED:
            raise CannotEvaluate(f"nobody knows what {name}= would do")
        if name == "dtype":
            _check_dtype(value)
        else:
            _check_settings([value])


def _check_dtype(value: Any) -> None:
    """Of numbers only: a text may be of any width."""
    numpy = sys.modules["numpy"]
    known = type(value) in (str, numpy.dtype) or any(
        value is cls for cls in (int, float, complex, bool, numpy.float64, numpy.int64,
                                 numpy.float32, numpy.int32)
    )  # fmt: skip
    if not known or numpy.dtype(value).kind not in "biufc":
        raise CannotEvaluate("such a dtype is not allowed here")


def _check_settings(values: Sequence[Any]) -> None:
    """Axes and their like: no arrays, which might be where results are written."""
    for value in values:
        check_operand(value)
        check_items(value)
        if is_array(value):
            raise CannotEvaluate("an array there might be changed")
        if type(value) in (list, tuple):
            check_growth(len(value) * LONGEST // 20)
        if type(value) is int:
            check_growth(abs(value))


def _for_numpy(
    function: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> Sequence[Any]:
    """The arguments, lists of numbers being arrays then."""
    numpy, name = sys.modules["numpy"], function.__name__
    _check_names(kwargs)
    if name in _MAKING:
        _check_made(args, kwargs)
        return args
    count = 3 if name == "where" else _SEVERAL.get(name, 1)
    given = [_as_array(numpy, value) for value in args[:count]]
    rest = args[count:]
    for value in rest:
        if type(value) is type:
            _check_dtype(value)
        else:
            _check_settings([value])
    if name == "dot":
        check_product(*given)
    elif count > 1:
        check_together(given)
    if name in ("diff", "norm") and (rest or {"n", "ord"} & kwargs.keys()):
        raise CannotEvaluate(f"{name} takes one array here, and perhaps axis=")
    return [*given, *rest]


def _as_array(numpy: Any, value: Any) -> Any:
    check_operand(value)
    if type(value) in (list, tuple):
        check_items(value)
        made = numpy.asarray(_numbers(value))
        check_array(made)
        return made
    if type(value) in (set, frozenset, dict, str, bytes):
        raise CannotEvaluate("numpy is given numbers and arrays only here")
    return value


def _numbers(value: Any) -> Any:
    """The same, if it has nothing but numbers: one text makes all others as wide."""
    for item in value:
        if type(item) in (list, tuple):
            _numbers(item)
        elif type(item) in (str, bytes) or type(item) is type(None):
            raise CannotEvaluate("numpy is given numbers and arrays only here")
    return value


def _check_made(args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Arrays that are made anew: `np.ones(n)`, `np.arange(a, b)`."""
    for value in args:
        if type(value) is not type:
            check_operand(value)
            check_items(value)
    sizes = [
        math.prod(value) if type(value) in (list, tuple) else abs(value)
        for value in args
        if type(value) in (int, list, tuple) or is_numpys(value)
    ]
    check_bytes(int(16 * max(sizes, default=1)), LARGEST)

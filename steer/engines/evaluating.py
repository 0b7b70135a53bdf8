"""Reads values of a running program without running any of it.

Expressions are walked, not executed: names, attributes that are plainly stored, items
of lists, tuples, dictionaries and arrays, arithmetic on numbers. Whatever would call
into code of the program's (a property, an operator of its own class, `__getitem__`) is
refused, because that code could wait for a lock that main holds, call MPI, or change
something. Calls are left to who asks: `allow` says what may be called.

Every step looks at the clock, so that a comprehension over a million items ends when
the time is up. What one step costs is bounded by what it may do: numbers and texts do
not grow beyond `LONGEST`."""

from __future__ import annotations

import ast
import operator
import types
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any

LONGEST = 1_000_000
"""Items of a list, characters of a text, bits of a number that a step may make."""

_MISSING = object()


class CannotEvaluate(Exception):
    """The expression asks for more than can be done safely; says what."""


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}


class Evaluator:
    """Evaluates expressions in the names of a frame."""

    def __init__(
        self,
        *scopes: Mapping[str, Any],
        allow: Callable[[Any, str], None],
        deadline: float,
    ) -> None:
        """Make one.

        Args:
            scopes: where names are looked up, the innermost first.
            allow: raises CannotEvaluate for a callable that must not be called.
            deadline: when to give up, by `time.monotonic`.
        """
        self._scopes = scopes
        self._allow = allow
        self._deadline = deadline

    def evaluate(self, node: ast.expr) -> Any:
        """The value of an expression."""
        if monotonic() > self._deadline:
            raise CannotEvaluate("the time is up")
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise CannotEvaluate(f"{_kind(node)} is not allowed here")
        return method(node)

    # -- names and what hangs on them

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _name(self, node: ast.Name) -> Any:
        for scope in self._scopes:
            value = scope.get(node.id, _MISSING)
            if value is not _MISSING:
                return value
        raise CannotEvaluate(f"name '{node.id}' is not defined there")

    def _attribute(self, node: ast.Attribute) -> Any:
        return stored_attribute(self.evaluate(node.value), node.attr)

    def _subscript(self, node: ast.Subscript) -> Any:
        owner = self.evaluate(node.value)
        key = self.evaluate(node.slice)
        check_native(owner, "__getitem__")
        if isinstance(owner, dict):
            check_key(key)
        return owner[key]

    def _slice(self, node: ast.Slice) -> slice:
        parts = (node.lower, node.upper, node.step)
        return slice(*(None if p is None else self.evaluate(p) for p in parts))

    # -- arithmetic

    def _binop(self, node: ast.BinOp) -> Any:
        left, right = self.evaluate(node.left), self.evaluate(node.right)
        check_operand(left)
        check_operand(right)
        _check_growth(node.op, left, right)
        return _BINARY[type(node.op)](left, right)

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        value = self.evaluate(node.operand)
        check_operand(value)
        return _UNARY[type(node.op)](value)

    def _boolop(self, node: ast.BoolOp) -> Any:
        value = None
        for part in node.values:
            value = self.evaluate(part)
            check_operand(value)
            if bool(value) is isinstance(node.op, ast.Or):
                return value
        return value

    def _compare(self, node: ast.Compare) -> Any:
        left = self.evaluate(node.left)
        result: Any = True
        for op, part in zip(node.ops, node.comparators, strict=True):
            right = self.evaluate(part)
            if not isinstance(op, ast.Is | ast.IsNot):
                for side in (left, right):
                    check_operand(side)
                    check_items(side)
            result = _COMPARE[type(op)](left, right)
            if len(node.ops) > 1 and not result:
                return result
            left = right
        return result

    def _ifexp(self, node: ast.IfExp) -> Any:
        test = self.evaluate(node.test)
        check_operand(test)
        return self.evaluate(node.body if test else node.orelse)

    # -- making things

    def _items(self, nodes: list[ast.expr]) -> Iterator[Any]:
        for node in nodes:
            if isinstance(node, ast.Starred):
                yield from self._iterate(node.value)
            else:
                yield self.evaluate(node)

    def _tuple(self, node: ast.Tuple) -> Any:
        return tuple(self._items(node.elts))

    def _list(self, node: ast.List) -> Any:
        return list(self._items(node.elts))

    def _set(self, node: ast.Set) -> Any:
        return set(map(check_key, self._items(node.elts)))

    def _dict(self, node: ast.Dict) -> Any:
        found = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise CannotEvaluate("** is not allowed here")
            found[check_key(self.evaluate(key))] = self.evaluate(value)
        return found

    def _joinedstr(self, node: ast.JoinedStr) -> str:
        return "".join(str(self.evaluate(part)) for part in node.values)

    def _formattedvalue(self, node: ast.FormattedValue) -> str:
        value = self.evaluate(node.value)
        check_operand(value)
        check_items(value)
        spec = self.evaluate(node.format_spec) if node.format_spec else ""
        shown = repr(value) if node.conversion == ord("r") else value
        return format(shown, spec)

    # -- comprehensions

    def _listcomp(self, node: ast.ListComp) -> Any:
        return list(self._comprehend(node.generators, node.elt))

    def _setcomp(self, node: ast.SetComp) -> Any:
        return set(map(check_key, self._comprehend(node.generators, node.elt)))

    def _generatorexp(self, node: ast.GeneratorExp) -> Any:
        # A list: a generator would be run by whoever it is given to, past the deadline.
        return list(self._comprehend(node.generators, node.elt))

    def _dictcomp(self, node: ast.DictComp) -> Any:
        pair = ast.Tuple([node.key, node.value], ast.Load())
        return dict(self._comprehend(node.generators, pair))

    def _comprehend(
        self, generators: list[ast.comprehension], element: ast.expr
    ) -> Iterator[Any]:
        first, *rest = generators
        if first.is_async or not isinstance(first.target, ast.Name | ast.Tuple):
            raise CannotEvaluate("such a comprehension is not allowed here")
        for value in self._iterate(first.iter):
            inner = self._with(_bound(first.target, value))
            if not all(inner.evaluate(test) for test in first.ifs):
                continue
            if rest:
                yield from inner._comprehend(rest, element)
            else:
                yield inner.evaluate(element)

    def _with(self, names: Mapping[str, Any]) -> Evaluator:
        return Evaluator(
            names, *self._scopes, allow=self._allow, deadline=self._deadline
        )

    def _iterate(self, node: ast.expr) -> Iterator[Any]:
        value = self.evaluate(node)
        check_native(value, "__iter__")
        for count, item in enumerate(value):
            if count >= LONGEST or monotonic() > self._deadline:
                raise CannotEvaluate("the time is up")
            yield item

    # -- calls

    def _call(self, node: ast.Call) -> Any:
        function = self.evaluate(node.func)
        self._allow(function, ast.unparse(node.func))
        args = list(self._items(node.args))
        kwargs = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise CannotEvaluate("** is not allowed here")
            kwargs[keyword.arg] = self.evaluate(keyword.value)
        self._check_arguments(function, [*args, *kwargs.values()])
        return function(*args, **kwargs)

    def _check_arguments(self, function: Any, values: list[Any]) -> None:
        """What is called must not call the program's code on what it is given."""
        if any(function is known for known in _ASIDE):
            return
        for value in values:
            if callable(value):
                self._allow(value, getattr(value, "__name__", "what is passed"))
            check_operand(value)
            if not any(function is known for known in _AROUND):
                check_items(value)


def _bound(target: ast.expr, value: Any) -> dict[str, Any]:
    if isinstance(target, ast.Name):
        return {target.id: value}
    assert isinstance(target, ast.Tuple)
    check_native(value, "__iter__")
    found: dict[str, Any] = {}
    for part, item in zip(target.elts, list(value), strict=True):
        found |= _bound(part, item)
    return found


def _kind(node: ast.expr) -> str:
    names = {
        "NamedExpr": "an assignment (:=)",
        "Lambda": "a lambda",
        "Await": "await",
        "Yield": "yield",
        "YieldFrom": "yield",
    }
    return names.get(type(node).__name__, type(node).__name__)


# -- what would run code of the program's


_NATIVE = (
    types.BuiltinFunctionType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.MethodWrapperType,
)
_PASSIVE = (types.MemberDescriptorType, types.GetSetDescriptorType)


def stored_attribute(owner: Any, name: str) -> Any:
    """An attribute that is stored, in the instance, in its class or in a slot."""
    if isinstance(owner, types.ModuleType):
        value = vars(owner).get(name, _MISSING)
        if value is _MISSING:
            raise CannotEvaluate(f"module {owner.__name__} has no '{name}' yet")
        return value
    if isinstance(owner, type):
        return _class_attribute(owner, name)
    cls = type(owner)
    found = _in_classes(cls.__mro__, name)
    if isinstance(found, _PASSIVE) or _is_native(found):
        return getattr(owner, name) if _plain_getattribute(cls) else _no(owner, name)
    if isinstance(found, property):
        raise CannotEvaluate(f"'{name}' is a property: it would run code")
    try:
        stored = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        stored = {}
    if isinstance(stored, dict) and name in stored:
        return stored[name]
    if found is _MISSING:
        return _no(owner, name)
    if hasattr(type(found), "__get__") and not isinstance(found, types.FunctionType):
        raise CannotEvaluate(f"'{name}' is computed: it would run code")
    return found.__get__(owner) if isinstance(found, types.FunctionType) else found


def _class_attribute(owner: type, name: str) -> Any:
    found = _in_classes(owner.__mro__, name)
    if found is _MISSING:  # its metaclass's, as `__name__`
        found = vars(type).get(name, _MISSING)
        return getattr(owner, name) if isinstance(found, _PASSIVE) else _no(owner, name)
    if isinstance(_in_classes(type(found).__mro__, "__get__"), types.FunctionType):
        raise CannotEvaluate(f"'{name}' is computed: it would run code")
    return getattr(owner, name)


def _no(owner: Any, name: str) -> Any:
    raise CannotEvaluate(f"{type(owner).__name__} has no plain attribute '{name}'")


def _plain_getattribute(cls: type) -> bool:
    return not isinstance(cls.__getattribute__, types.FunctionType)


def _in_classes(classes: tuple[type, ...], name: str) -> Any:
    for cls in classes:
        if name in cls.__dict__:
            return cls.__dict__[name]
    return _MISSING


def _is_native(found: Any) -> bool:
    """A method or attribute of a class written in C (Cython's have a type of their
    own)."""
    return isinstance(found, _NATIVE) or type(found).__name__ in (
        "cython_function_or_method",
        "method_descriptor",
        "getset_descriptor",
    )


def check_native(owner: Any, method: str) -> None:
    """Refuse if this method of the object's class is written in Python."""
    found = _in_classes(type(owner).__mro__, method)
    if found is _MISSING:
        raise CannotEvaluate(f"{type(owner).__name__} has no {method}")
    if isinstance(found, types.FunctionType):
        raise CannotEvaluate(
            f"{type(owner).__name__}.{method} is written in Python: it would run code"
        )


_SAFE = (int, float, complex, bool, str, bytes, type(None), range, slice)
_OWN = ("__add__", "__eq__", "__bool__", "__hash__", "__len__", "__format__")


LARGEST = 100_000_000
"""Bytes of an array that are gone through: what takes longer than a moment must not be
done by a thread that others need."""


def check_operand(value: Any) -> None:
    """Refuse objects whose class says in Python what operators and builtins do, and
    what is so large that one step with it would take long."""
    if isinstance(value, range) and len(value) > LONGEST:
        raise CannotEvaluate(f"{value} is too long")
    cls = type(value)
    if cls in _SAFE or cls in (list, tuple, dict, set, frozenset):
        return
    home = cls.__module__.partition(".")[0]
    if home == "numpy":
        return check_array(value)
    if home in ("builtins", "datetime", "decimal"):
        return None
    for method in _OWN:
        if isinstance(_in_classes(cls.__mro__, method), types.FunctionType):
            raise CannotEvaluate(
                f"{cls.__name__} has its own {method}: it would run code"
            )


_ASIDE = (type, id, isinstance, issubclass)
"""They do not touch what they are given."""
_AROUND = (len, list, tuple, zip, enumerate, reversed)
"""They do not touch what is in what they are given."""


def check_items(value: Any, deep: int = 3) -> None:
    """Refuse a collection whose items would be compared, added or written by code of
    the program's."""
    if not isinstance(value, list | tuple | set | frozenset | dict):
        return
    parts = [value, value.values()] if isinstance(value, dict) else [value]
    for part in parts:
        if len(part) > LONGEST:
            raise CannotEvaluate(f"it has {len(part):,} items; take a part of it")
        one_of_each = {type(item): item for item in part}
        for item in one_of_each.values():
            check_operand(item)
        if not deep or len(part) > 1000:
            continue
        for item in part:
            check_items(item, deep - 1)


def check_array(array: Any) -> None:
    """Refuse an array that is too large to be gone through."""
    size = getattr(array, "nbytes", 0)
    if isinstance(size, int) and size > LARGEST:
        raise CannotEvaluate(
            f"the array has {size / 1e6:,.0f} MB; take a part of it, as u[:1000]"
        )


def check_key(key: Any) -> Any:
    """Refuse keys that are compared by code of the program's."""
    check_operand(key)
    if isinstance(key, tuple):
        for part in key:
            check_key(part)
    return key


def _check_growth(op: ast.operator, left: Any, right: Any) -> None:
    """Refuse arithmetic that would take all memory, or for ever."""
    if isinstance(op, ast.Pow | ast.LShift) and isinstance(left, int):
        bits = right * (left.bit_length() if isinstance(op, ast.Pow) else 1)
        if isinstance(right, int) and bits > LONGEST:
            raise CannotEvaluate("that number would be too large")
    if isinstance(op, ast.Mult):
        for text, times in ((left, right), (right, left)):
            sized = isinstance(text, str | bytes | list | tuple)
            if sized and isinstance(times, int) and len(text) * times > LONGEST:
                raise CannotEvaluate("that would be too long")

"""Reads values of a running program without running any of it.

Expressions are walked, not executed: names, attributes that are plainly stored, items
of lists, tuples, dictionaries and arrays, arithmetic on numbers. Whatever would call
into code of the program's (a property, an operator of its own class, `__getitem__`) is
refused, because that code could wait for a lock that main holds, call MPI, or change
something. Calls are left to who asks: `allow` says what may be called.

Every step looks at the clock, so that a comprehension over a million items ends when
the time is up. What may be done in one step, and what it may cost, is in `harmless.py`:
what is not known to be harmless is refused."""

from __future__ import annotations

import ast
import operator
import types
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from time import monotonic
from typing import Any

from steer.engines.harmless import (
    LARGEST,
    LONGEST,
    MISSING,
    CannotEvaluate,
    check_arithmetic,
    check_comparison,
    check_key,
    check_operand,
    dict_of,
    in_classes,
    items_of,
    name_of,
    part_of,
    truth,
    written,
)
from steer.engines.harmlesscalls import call, is_plain

__all__ = ["LARGEST", "LONGEST", "CannotEvaluate", "Evaluator", "stored_attribute"]

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
        clock: Callable[[], float] = monotonic,
        largest: int = LARGEST,
    ) -> None:
        """Make one.

        Args:
            scopes: where names are looked up, the innermost first.
            allow: raises CannotEvaluate for a callable that must not be called.
            deadline: when to give up, by the clock.
            clock: `time.thread_time`, where being given no core is no reason to.
            largest: bytes of arrays that are computed with.
        """
        self._clock = clock
        self._largest = largest
        self._scopes = scopes
        self._allow = allow
        self._deadline = deadline

    def evaluate(self, node: ast.expr) -> Any:
        """The value of an expression."""
        if self._clock() > self._deadline:
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
            value = scope.get(node.id, MISSING)
            if value is not MISSING:
                return value
        raise CannotEvaluate(f"name '{node.id}' is not defined there")

    def _attribute(self, node: ast.Attribute) -> Any:
        return stored_attribute(self.evaluate(node.value), node.attr)

    def _subscript(self, node: ast.Subscript) -> Any:
        owner = self.evaluate(node.value)
        return part_of(owner, self.evaluate(node.slice), self._largest)

    def _slice(self, node: ast.Slice) -> slice:
        parts = (node.lower, node.upper, node.step)
        return slice(*(None if p is None else self.evaluate(p) for p in parts))

    # -- arithmetic

    def _binop(self, node: ast.BinOp) -> Any:
        left, right = self.evaluate(node.left), self.evaluate(node.right)
        check_arithmetic(node.op, left, right, self._largest)
        return _BINARY[type(node.op)](left, right)

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        value = self.evaluate(node.operand)
        if isinstance(node.op, ast.Not):
            return not truth(value)
        check_operand(value, self._largest)
        return _UNARY[type(node.op)](value)

    def _boolop(self, node: ast.BoolOp) -> Any:
        value = None
        for part in node.values:
            value = self.evaluate(part)
            if truth(value) is isinstance(node.op, ast.Or):
                return value
        return value

    def _compare(self, node: ast.Compare) -> Any:
        left = self.evaluate(node.left)
        result: Any = True
        for op, part in zip(node.ops, node.comparators, strict=True):
            right = self.evaluate(part)
            if not isinstance(op, ast.Is | ast.IsNot):
                check_comparison(op, left, right, self._largest)
            result = _COMPARE[type(op)](left, right)
            if len(node.ops) > 1 and not truth(result):
                return result
            left = right
        return result

    def _ifexp(self, node: ast.IfExp) -> Any:
        test = truth(self.evaluate(node.test))
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
        spec = self.evaluate(node.format_spec) if node.format_spec else ""
        return written(value, spec, node.conversion == ord("r"))

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
            if not all(truth(inner.evaluate(test)) for test in first.ifs):
                continue
            if rest:
                yield from inner._comprehend(rest, element)
            else:
                yield inner.evaluate(element)

    def _with(self, names: Mapping[str, Any]) -> Evaluator:
        return Evaluator(
            names, *self._scopes, allow=self._allow, deadline=self._deadline,
            clock=self._clock, largest=self._largest,
        )  # fmt: skip

    def _iterate(self, node: ast.expr) -> Iterator[Any]:
        for count, item in enumerate(items_of(self.evaluate(node))):
            if count >= LONGEST or self._clock() > self._deadline:
                raise CannotEvaluate("the time is up")
            yield item

    # -- calls

    def _call(self, node: ast.Call) -> Any:
        function, text = self.evaluate(node.func), ast.unparse(node.func)
        if not is_plain(function):
            raise CannotEvaluate(
                f"{text} is a call of which nobody knows that it changes nothing"
            )
        self._allow(function, text)
        args = list(self._items(node.args))
        kwargs = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise CannotEvaluate("** is not allowed here")
            kwargs[keyword.arg] = self.evaluate(keyword.value)
        return call(function, args, kwargs)


def _bound(target: ast.expr, value: Any) -> dict[str, Any]:
    if isinstance(target, ast.Name):
        return {target.id: value}
    assert isinstance(target, ast.Tuple)
    found: dict[str, Any] = {}
    items = islice(items_of(value), len(target.elts) + 1)
    for part, item in zip(target.elts, items, strict=True):
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
    cls = type(owner)  # isinstance would ask the object
    if issubclass(cls, types.ModuleType):
        value = types.ModuleType.__getattribute__(owner, "__dict__").get(name, MISSING)
        if value is MISSING:
            raise CannotEvaluate(f"that module has no '{name}' yet")
        return value
    if issubclass(cls, type):
        return _class_attribute(owner, name)
    found = in_classes(cls, name)
    if type(found) in _PASSIVE or _is_native(found):
        return getattr(owner, name) if _plain_getattribute(cls) else _no(owner, name)
    if issubclass(type(found), property):
        raise CannotEvaluate(f"'{name}' is a property: it would run code")
    computed = _computes(found, "__get__") and type(found) is not types.FunctionType
    if computed and in_classes(type(found), "__set__") is not MISSING:
        raise CannotEvaluate(f"'{name}' is computed: it would run code")
    try:
        stored = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        stored = {}
    if type(stored) is dict and name in stored:
        return stored[name]
    if found is MISSING:
        return _no(owner, name)
    if computed:
        raise CannotEvaluate(f"'{name}' is computed: it would run code")
    return found.__get__(owner) if type(found) is types.FunctionType else found


def _computes(found: Any, method: str) -> bool:
    return found is not MISSING and in_classes(type(found), method) is not MISSING


def _class_attribute(owner: type, name: str) -> Any:
    meta = type(owner)
    found = in_classes(owner, name)
    if found is MISSING:  # its metaclass's, as `__name__`
        found = dict_of(type).get(name, MISSING)
        return getattr(owner, name) if type(found) in _PASSIVE else _no(owner, name)
    its = in_classes(meta, name)
    if not _plain_getattribute(meta) or (
        its is not MISSING and type(its) not in _PASSIVE and not _is_native(its)
    ):
        return _no(owner, name)
    if type(in_classes(type(found), "__get__")) is types.FunctionType:
        raise CannotEvaluate(f"'{name}' is computed: it would run code")
    return getattr(owner, name)


def _no(owner: Any, name: str) -> Any:
    raise CannotEvaluate(f"{name_of(type(owner))} has no plain attribute '{name}'")


def _plain_getattribute(cls: type) -> bool:
    return type(in_classes(cls, "__getattribute__")) is not types.FunctionType


def _is_native(found: Any) -> bool:
    """A method or attribute of a class written in C (Cython's have a type of their
    own)."""
    cls = type(found)
    return cls in _NATIVE or name_of(cls) in (
        "cython_function_or_method",
        "method_descriptor",
        "getset_descriptor",
    )

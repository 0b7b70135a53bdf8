"""`%pxpeek`: what an expression is on a rank whose main thread goes on.

It is evaluated by another thread, in the names of the user's innermost frame, while
main may change them: the answer is racy, and says so. What could change the program is
refused as far as it can be recognised; so is what could wait, because it would wait in
the thread that everything else needs.

* calls: of builtins and of numpy that only look (`len(u)`, `u.mean()`,
  `np.abs(u).max()`), of methods of texts, lists and dictionaries that change nothing.
  Not of MPI, and not of the program's own functions: nobody knows what they do.
* assignments, imports, lambdas, properties and operators written in Python.

Text is cut to `LONGEST` characters, and arrays are summarised by numpy.
"""

from __future__ import annotations

import ast
import builtins
import collections
import datetime
import decimal
import itertools
import reprlib
import sys
import types
from collections.abc import Mapping
from time import monotonic
from types import FrameType
from typing import Any

from steer.core.sightings import Peeked as Peeked
from steer.engines.evaluating import LARGEST, CannotEvaluate, Evaluator
from steer.engines.harmless import is_array, is_numpys, module_of, name_of
from steer.engines.harmlesscalls import is_numpy, is_plain

LONGEST = 2000
"""Characters of an answer."""
PATIENCE = 1.0
"""Seconds for an expression."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BUILTINS = frozenset(
    getattr(builtins, name)
    for name in _words("""
        abs all any bin bool bytes chr complex dict divmod enumerate float frozenset
        hex id int isinstance issubclass len list max min oct ord range repr reversed
        round set sorted str sum tuple type zip
    """)
)
_METHODS: Mapping[type, frozenset[str]] = {
    str: _words("""
        count endswith find join lower lstrip partition replace rstrip split
        splitlines startswith strip title upper
    """),
    bytes: _words("count decode find hex startswith endswith"),
    list: _words("count index copy"),
    tuple: _words("count index"),
    dict: _words("get items keys values copy"),
    set: _words("issubset issuperset isdisjoint union intersection"),
    float: _words("is_integer hex"),
    int: _words("bit_length bit_count"),
}
_ARRAY = _words("""
    all any argmax argmin argsort astype copy cumsum diagonal dot flatten item max
    mean min nonzero prod ptp ravel real reshape round squeeze std sum tolist trace
    transpose var
""")
_NUMPY = _words("""
    abs absolute all allclose any argmax argmin argsort array_equal asarray average
    ceil cos count_nonzero cumsum diff dot exp flatnonzero floor
    hypot isclose isfinite isinf isnan log log10 max maximum mean median min
    minimum nanmax nanmean nanmin nansum ndim norm percentile prod ptp quantile ravel
    reshape round shape sign sin size sort sqrt square std sum tan trace transpose
    unique var where float64 float32 int64 int32
""")


def peek(
    expression: str,
    frame: FrameType | None,
    namespace: Mapping[str, Any],
    *,
    patience: float = PATIENCE,
) -> Peeked:
    """Evaluate an expression beside the running program.

    Args:
        frame: the user's innermost, whose names are seen first.
        namespace: what is seen without a frame, and behind its names: the cells'.
    """
    scopes: list[Mapping[str, Any]] = [namespace, vars(builtins)]
    if frame is not None:
        scopes = [frame.f_locals, frame.f_globals, *scopes]
    evaluator = Evaluator(*scopes, allow=check_call, deadline=monotonic() + patience)
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        value = evaluator.evaluate(tree.body)
        return _shown(value)
    except SyntaxError:
        return Peeked(refused=_not_an_expression(expression))
    except CannotEvaluate as error:
        return Peeked(refused=f"Refused: {error}.")
    except RecursionError:
        return Peeked(refused="Refused: the expression is nested too deeply.")
    except Exception as error:  # noqa: BLE001  whatever the expression raises
        said = f"{type(error).__name__}: {error}"[:LONGEST]
        return Peeked(refused=said.encode(errors="backslashreplace").decode())


def _not_an_expression(text: str) -> str:
    try:
        ast.parse(text)
    except SyntaxError:
        return f"Refused: {reprlib.repr(text)} is not an expression."
    return (
        f"Refused: {reprlib.repr(text)} is a statement, and peek changes nothing; "
        "run it with %px when the ranks are free."
    )


def check_call(function: Any, text: str) -> None:
    """Refuse what must not be called."""
    if any(function is known for known in _BUILTINS):
        return
    if not is_plain(function):
        raise CannotEvaluate(f"{text} is a call of which nobody knows what it does")
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__name__", "")
    module = (type(owner).__module__ if owner is not None else "") or ""
    if module.startswith("mpi4py"):
        raise CannotEvaluate(f"{text} is a call of MPI, which would take part in it")
    if type(owner) in _METHODS:
        if name in _METHODS[type(owner)]:
            return
        raise CannotEvaluate(f"{text} may change what it is called on")
    if is_array(owner) or is_numpys(owner):
        if name in _ARRAY:
            return
        raise CannotEvaluate(f"{text} may change the array")
    if name in _NUMPY and is_numpy(function):
        return
    raise CannotEvaluate(
        f"{text} is a call of which nobody knows that it changes nothing; "
        "builtins and numpy's that only look are allowed"
    )


_ITEMS = 20
"""Of a collection that are shown."""
_DEEP = 4


def _shown(value: Any) -> Peeked:
    text = brief(value).encode(errors="backslashreplace").decode()
    if len(text) <= LONGEST:
        return Peeked(text)
    return Peeked(text[: LONGEST - 1] + "…", cut=True)


def brief(value: Any, deep: int = _DEEP) -> str:
    """A value as Python writes it, but shorter; of what may have code for that, no more
    than what it is."""
    cls = type(value)
    if cls in (str, bytes):
        return _brief_text(value)
    if cls is int and value.bit_length() > LONGEST:
        return f"<number of {value.bit_length():,} bits>"
    if cls in _WRITTEN:
        return repr(value)
    if cls in _BRACKETS:
        return _brief_items(value, *_BRACKETS[cls], deep)
    if is_array(value):
        return _brief_array(value)
    if is_numpys(value) or module_of(cls) == "mpi4py.MPI":
        return repr(value)
    if cls is datetime.datetime and type(value.tzinfo) in _ZONES:
        return repr(value)
    if cls is type:
        return f"<class '{value.__module__}.{value.__qualname__}'>"
    return f"<{name_of(cls)} object>"


_WRITTEN = (int, float, complex, bool, type(None), type(...), range, decimal.Decimal,
            datetime.date, datetime.timedelta, types.BuiltinFunctionType,
            types.FunctionType)  # fmt: skip
_ZONES = (type(None), datetime.timezone)
_BRACKETS: Mapping[type, tuple[str, str]] = {
    list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), dict: ("{", "}"),
    frozenset: ("frozenset({", "})"), collections.deque: ("deque([", "])"),
    collections.OrderedDict: ("OrderedDict({", "})"),
    collections.defaultdict: ("defaultdict({", "})"),
    type({}.keys()): ("dict_keys([", "])"), type({}.values()): ("dict_values([", "])"),
    type({}.items()): ("dict_items([", "])"),
}  # fmt: skip


def _brief_text(value: str | bytes) -> str:
    if len(value) <= LONGEST:
        return repr(value)
    half = LONGEST // 2
    return f"{value[:half]!r}...{value[-half:]!r}"


def _brief_items(value: Any, begin: str, end: str, deep: int) -> str:
    if not value:
        empty = type(value) in (list, tuple, dict)
        return begin + end if empty else f"{name_of(type(value))}()"
    if not deep:
        return f"{begin}...{end}"
    first = list(itertools.islice(value, _ITEMS))
    if issubclass(type(value), dict):
        said = [f"{brief(k, deep - 1)}: {brief(dict.get(value, k), deep - 1)}"
                for k in first]  # fmt: skip
    else:
        said = [brief(item, deep - 1) for item in first]
    if len(value) > _ITEMS:
        said.append("...")
    one = "," if type(value) is tuple and len(value) == 1 else ""
    return f"{begin}{', '.join(said)}{one}{end}"


def _brief_array(value: Any) -> str:
    numpy = sys.modules["numpy"]
    said = f"array of {value.shape}, {value.dtype}, {value.nbytes / 1e6:,.0f} MB"
    options = numpy.get_printoptions()
    own = options["formatter"] or options.get("override_repr")
    long = min(value.size, options["threshold"]) > _PRINTED
    if value.nbytes > LARGEST or value.dtype.hasobject or own or long:
        return f"<{said}>"
    return repr(value)


_PRINTED = 10_000
"""Items of an array that numpy would write, if the program wants it to write all."""

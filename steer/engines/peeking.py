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
import reprlib
import types
from collections.abc import Mapping
from time import monotonic
from types import FrameType
from typing import Any

from steer.core.sightings import Peeked as Peeked
from steer.engines.evaluating import LARGEST, CannotEvaluate, Evaluator, check_array

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
        count endswith find format join lower lstrip partition replace rstrip split
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
    bincount ceil corrcoef cos count_nonzero cumsum diff dot exp flatnonzero floor
    histogram hypot isclose isfinite isinf isnan log log10 max maximum mean median min
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
        return Peeked(refused=f"{type(error).__name__}: {error}"[:LONGEST])


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
    try:
        if function in _BUILTINS:
            return
    except TypeError:
        pass  # not hashable: no function of Python's
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__name__", "")
    module = (type(owner).__module__ if owner is not None else "") or ""
    if module.startswith("mpi4py"):
        raise CannotEvaluate(f"{text} is a call of MPI, which would take part in it")
    if type(owner) in _METHODS:
        if name in _METHODS[type(owner)]:
            return
        raise CannotEvaluate(f"{text} may change what it is called on")
    if module == "numpy" and isinstance(function, types.BuiltinMethodType):
        if name in _ARRAY:
            return check_array(owner)
        raise CannotEvaluate(f"{text} may change the array")
    if _is_numpy(function) and name in _NUMPY:
        return
    raise CannotEvaluate(
        f"{text} is a call of which nobody knows that it changes nothing; "
        "builtins and numpy's that only look are allowed"
    )


def _is_numpy(function: Any) -> bool:
    home = getattr(function, "__module__", None) or type(function).__module__
    return isinstance(home, str) and home.partition(".")[0] == "numpy"


class _Brief(reprlib.Repr):
    """Texts of builtins, and of others only what no code of theirs is needed for."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxset = self.maxdict = 20
        self.maxstring = self.maxlong = LONGEST // 2
        self.maxlevel = 4

    def repr_instance(self, x: Any, level: int) -> str:
        cls = type(x)
        module = cls.__module__.partition(".")[0]
        if isinstance(cls.__repr__, types.FunctionType) and module != "numpy":
            return f"<{cls.__name__} object>"
        if getattr(x, "nbytes", 0) > LARGEST:
            return f"<array of {x.shape}, {x.dtype}, {x.nbytes / 1e6:,.0f} MB>"
        return repr(x)

    repr_ndarray = repr_instance


def _shown(value: Any) -> Peeked:
    text = _Brief().repr(value)
    if len(text) <= LONGEST:
        return Peeked(text)
    return Peeked(text[: LONGEST - 1] + "…", cut=True)

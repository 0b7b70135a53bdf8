"""Parameters that can be changed while a program runs: their types, ranges and checks.

    p = steer.params(dt=steer.Float(0.1, 1e-6, 1.0), out=steer.Bool(True))

In the loop `p.dt` is a plain attribute. A change is checked before it is sent to the
ranks, where the parameters were declared as well as where the user sits: so the checks
travel as plain data (`describe`, `from_description`), but for `depends`, which is a
function and stays on the ranks.

A parameter is *uniform*: it is changed on all ranks alike. Only one that says
`per_rank=True` may be given other values on some of them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from steer.errors import UsageError

Check = Callable[[Any], object]
"""Takes all parameters as they would be; returns or raises what is wrong."""

PLAIN = (type(None), bool, int, float, str)
"""What there may be to choose from: it has to travel, and to be read in a journal."""


class Parameter:
    """What a parameter may be."""

    kind = ""

    def __init__(
        self, default: Any, depends: Check | None, doc: str, per_rank: bool
    ) -> None:
        self.default = default
        self.depends = depends
        self.doc = doc
        self.per_rank = per_rank
        self.name = ""

    def take(self, value: Any) -> Any:
        """The value as the program gets it; UsageError says why it may not be."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """All but `depends`, as plain data."""
        described = {"kind": self.kind, "default": self.default, "doc": self.doc}
        return described | {"per_rank": True} if self.per_rank else described

    def limits(self) -> str:
        """What it may be, for people: "a number from 0.0 to 1.0"."""
        raise NotImplementedError

    def _no(self, value: Any, what: str) -> UsageError:
        return UsageError(f"{self.name or 'The value'} is {what}, not {_short(value)}.")


class _Number(Parameter):
    """A number in a range."""

    what = "a number"

    def __init__(
        self,
        default: Any,
        low: Any = None,
        high: Any = None,
        *,
        depends: Check | None = None,
        doc: str = "",
        per_rank: bool = False,
    ) -> None:
        super().__init__(default, depends, doc, per_rank)
        self.low = low
        self.high = high
        self.take(default)

    def describe(self) -> dict[str, Any]:
        """With its range."""
        return super().describe() | {"low": self.low, "high": self.high}

    def _in_range(self, value: Any) -> Any:
        low, high = self.low, self.high
        if (low is not None and value < low) or (high is not None and value > high):
            raise self._no(value, self._range())
        return value

    def limits(self) -> str:
        """With its range."""
        if self.low is None and self.high is None:
            return self.what
        return f"{self.what}, {self._range()}"

    def _range(self) -> str:
        if self.high is None:
            return f"{self.low!r} or more"
        if self.low is None:
            return f"{self.high!r} or less"
        return f"from {self.low!r} to {self.high!r}"


class Float(_Number):
    """A number: `Float(0.1, 1e-6, 1.0)`."""

    kind = "float"

    def take(self, value: Any) -> float:
        """A float in the range."""
        try:
            if isinstance(value, bool | str | bytes):
                raise TypeError
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise self._no(value, self.what) from None
        if math.isnan(number):
            raise self._no(value, self.what)
        return float(self._in_range(number))


class Int(_Number):
    """A whole number: `Int(10, 0, 100)`."""

    kind = "int"
    what = "a whole number"

    def take(self, value: Any) -> int:
        """An int in the range; 3.0 is 3."""
        try:
            if isinstance(value, bool):
                raise TypeError
            whole = isinstance(value, float) and value.is_integer()
            number = int(value) if whole else operator.index(value)
        except TypeError:
            raise self._no(value, self.what) from None
        if not -(1 << 63) <= number < 1 << 63:
            raise self._no(value, f"{self.what} of 64 bits")
        return int(self._in_range(number))


class Bool(Parameter):
    """Yes or no: `Bool(True)`."""

    kind = "bool"

    def __init__(
        self,
        default: bool = False,
        *,
        depends: Check | None = None,
        doc: str = "",
        per_rank: bool = False,
    ) -> None:
        super().__init__(default, depends, doc, per_rank)
        self.take(default)

    def limits(self) -> str:
        """The two that there are."""
        return "True or False"

    def take(self, value: Any) -> bool:
        """True or False; 1 and 0, and numpy's own, will do."""
        is_flag = type(value).__name__ in ("bool", "bool_") or (
            isinstance(value, int) and value in (0, 1)
        )
        if not is_flag:
            raise self._no(value, self.limits())
        return bool(value)


class Str(Parameter):
    """A text: `Str("run-1", 80)`."""

    kind = "str"

    def __init__(
        self,
        default: str = "",
        longest: int | None = None,
        *,
        depends: Check | None = None,
        doc: str = "",
        per_rank: bool = False,
    ) -> None:
        super().__init__(default, depends, doc, per_rank)
        self.longest = longest
        self.take(default)

    def limits(self) -> str:
        """With how long it may be."""
        if self.longest is None:
            return "a text"
        return f"a text of at most {self.longest} characters"

    def take(self, value: Any) -> str:
        """A text that is not too long."""
        if not isinstance(value, str):
            raise self._no(value, "a text")
        if self.longest is not None and len(value) > self.longest:
            raise self._no(value, self.limits())
        return value

    def describe(self) -> dict[str, Any]:
        """With how long it may be."""
        return super().describe() | {"longest": self.longest}


class Choice(Parameter):
    """One of some values, the first by default: `Choice("rk4", "euler")`."""

    kind = "choice"

    def __init__(
        self,
        *choices: Any,
        depends: Check | None = None,
        doc: str = "",
        per_rank: bool = False,
    ) -> None:
        if not choices:
            raise UsageError("Choice needs at least one value to choose from.")
        for choice in choices:
            if not isinstance(choice, PLAIN):
                raise UsageError(
                    "What there is to choose from are texts, numbers, True, False and "
                    f"None, not {_short(choice)}; choose by a name for it."
                )
        super().__init__(choices[0], depends, doc, per_rank)
        self.choices = choices

    def limits(self) -> str:
        """All of them."""
        among = ", ".join(repr(choice) for choice in self.choices)
        return f"one of {among}" if len(self.choices) > 1 else among

    def take(self, value: Any) -> Any:
        """The choice that equals it."""
        for choice in self.choices:
            if type(choice) is type(value) and choice == value:
                return choice
        raise self._no(value, self.limits())

    def describe(self) -> dict[str, Any]:
        """With what there is to choose from."""
        return super().describe() | {"choices": list(self.choices)}


class Parameters:
    """The parameters of a program; each is an attribute with its value."""

    _declared: dict[str, Parameter]

    if TYPE_CHECKING:  # for those who check their own programs' types

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, declared: Mapping[str, Parameter]) -> None:
        for name, parameter in declared.items():
            if not isinstance(parameter, Parameter):
                raise UsageError(
                    f"{name}={_short(parameter)} is no parameter; write for example "
                    f"{name}=steer.Float(0.1, 0.0, 1.0)."
                )
            if name.startswith("_") or hasattr(type(self), name):
                raise UsageError(f"A parameter cannot be named {name}.")
            parameter.name = name
        object.__setattr__(self, "_declared", dict(declared))
        defaults = {name: p.default for name, p in declared.items()}
        self._put(defaults)
        self._put(self._checked(defaults))

    def _put(self, values: Mapping[str, Any]) -> None:
        # What the loop reads is an attribute like any other; never by way of __dict__,
        # after whose first use CPython reads attributes at a third of the speed.
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        """Change it on this rank, checked; a program may do so on all ranks alike."""
        self._put(self._checked({name: value}))

    def __delattr__(self, name: str) -> None:
        raise UsageError(f"A parameter stays: {name} cannot be deleted.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self)
        return f"params({values})"

    def __dir__(self) -> list[str]:
        return [*self._declared, *object.__dir__(self)]

    def _checked(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The changes as they may be made, all together; UsageError if one may not."""
        declared = self._declared
        taken = check(declared, changes)
        would = values(self) | taken
        for name, parameter in declared.items():
            if parameter.depends is not None:
                _ask(name, parameter.depends, would)
        return taken


def values(parameters: Parameters) -> dict[str, Any]:
    """What they are now."""
    return {name: getattr(parameters, name) for name in parameters}


def change(parameters: Parameters, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change several at once, or none: UsageError says which may not be so.

    Returns those that are different now, as they were.
    """
    return change_all([(parameters, changes)])[0]


def change_all(
    changes: Iterable[tuple[Parameters, Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Like `change`, of several programs' parts at once."""
    checked = [(those, those._checked(wanted)) for those, wanted in changes]
    before = []
    for those, taken in checked:
        now = {name: getattr(those, name) for name in taken}
        before.append({n: was for n, was in now.items() if was != taken[n]})
        those._put(taken)
    return before


def try_change(parameters: Parameters, changes: Mapping[str, Any]) -> str:
    """Why they may not be changed like that; empty if they may. Changes nothing."""
    try:
        parameters._checked(changes)
    except UsageError as error:
        return str(error)
    return ""


def describe(parameters: Parameters) -> dict[str, dict[str, Any]]:
    """What they may be and what they are, as plain data."""
    declared = parameters._declared
    return {
        name: parameter.describe() | {"value": getattr(parameters, name)}
        for name, parameter in declared.items()
    }


def from_description(
    described: Mapping[str, Mapping[str, Any]],
) -> dict[str, Parameter]:
    """Parameters that check as the described ones do, but for `depends`."""
    made: dict[str, Parameter] = {}
    for name, what in described.items():
        parameter = _from_description(what)
        parameter.doc = what.get("doc", "")
        parameter.per_rank = what.get("per_rank", False)
        parameter.name = name
        made[name] = parameter
    return made


def _from_description(what: Mapping[str, Any]) -> Parameter:
    match what["kind"]:
        case "float":
            return Float(what["default"], what["low"], what["high"])
        case "int":
            return Int(what["default"], what["low"], what["high"])
        case "bool":
            return Bool(what["default"])
        case "str":
            return Str(what["default"], what["longest"])
        case "choice":
            return Choice(*what["choices"])
        case other:
            raise UsageError(f"There is no kind of parameter named {other}.")


def check(
    declared: Mapping[str, Parameter], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Each of the changes for itself; UsageError if a value may not be."""
    taken = {}
    for name, value in changes.items():
        if name not in declared:
            raise unknown(name, declared)
        taken[name] = declared[name].take(value)
    return taken


def unknown(name: str, known: Iterable[str]) -> UsageError:
    """There is no parameter of that name."""
    among = ", ".join(known)
    if not among:
        return UsageError(
            f"There is no parameter {name}: the program declares none, as with "
            f"p = steer.params({name}=steer.Float(0.1))."
        )
    return UsageError(f"There is no parameter {name}; there are: {among}.")


def _ask(name: str, depends: Check, would: dict[str, Any]) -> None:
    """A check that looks at several parameters: it may return False or a sentence, or
    raise."""
    try:
        said = depends(_View(would))
    except Exception as error:
        raise UsageError(f"{name} may not be so: {error}") from error
    if isinstance(said, str) and said:
        raise UsageError(f"{name} may not be so: {said}")
    if said is False:
        now = ", ".join(f"{key}={value!r}" for key, value in would.items())
        raise UsageError(f"{name} may not be so together with the others: {now}.")


class _View:
    """All parameters as they would be, for `depends`."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

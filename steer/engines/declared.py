"""The parameters that the program of this rank has declared: `steer.params`.

A program may declare some in one place and some in another, also under a group's name:
`ocean = steer.params("ocean", dt=steer.Float(60.0))` is changed as `ocean.dt`. Who
declares a name again (a cell that is run twice) means the new one.

Without a session this only makes the object. With one, the engine reads and changes
here what users ask for: main changes, at a point; the I/O thread reads, and asks
whether a change may be. The latter calls the program's own `depends`, which only looks
at what it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from steer.core import params as core
from steer.core.params import Parameter, Parameters
from steer.errors import UsageError

_where: dict[str, tuple[Parameters, str]] = {}
"""By full name: whose it is, and its name there. Replaced as a whole, never changed:
another thread may be reading it."""
on_declared: Callable[[], object] | None = None
"""Called when there are new ones."""


def params(group: str = "", /, **declared: Parameter) -> Parameters:
    """Declare what may be changed while the program runs.

    The result has an attribute for each, with its value. Those of a `group` are known
    to users as `group.name`.
    """
    global _where
    if group and not str(group).isidentifier():
        raise UsageError(
            f"The name of a group of parameters is a word, not {group!r}; parameters "
            "are named: steer.params(dt=steer.Float(0.1))."
        )
    made = Parameters(declared)
    full = {f"{group}.{name}" if group else name: (made, name) for name in declared}
    _where = _where | full
    if on_declared is not None:
        on_declared()
    return made


def forget() -> None:
    """There is another program now."""
    global _where
    _where = {}


def describe() -> dict[str, dict[str, Any]]:
    """What there is, what it may be and what it is, as plain data."""
    where = _where
    described = {id(whose): core.describe(whose) for whose, _ in where.values()}
    return {full: described[id(whose)][name] for full, (whose, name) in where.items()}


def values() -> dict[str, Any]:
    """What they are now, by full name."""
    return {full: getattr(whose, name) for full, (whose, name) in _where.items()}


def change(changes: Mapping[str, Any]) -> None:
    """Change several at once, or none: UsageError says which may not be so."""
    core.change_all(_by_owner(changes))


def try_change(changes: Mapping[str, Any]) -> str:
    """Why they may not be changed like that; empty if they may. Changes nothing."""
    try:
        found = _by_owner(changes)
    except UsageError as error:
        return str(error)
    said = (core.try_change(whose, wanted) for whose, wanted in found)
    return next(filter(None, said), "")


def has_some(names: Iterable[str]) -> bool:
    """Whether one of these is declared here."""
    return not _where.keys().isdisjoint(names)


def must_be_uniform(names: Iterable[str]) -> str:
    """Why these may not differ from rank to rank; empty if they may."""
    where = _where
    for full in names:
        whose, name = where.get(full, (None, ""))
        if whose is not None and not whose._declared[name].per_rank:
            return (
                f"{full} is the same on all ranks; the program has to declare it with "
                "per_rank=True for it to differ."
            )
    return ""


def _by_owner(changes: Mapping[str, Any]) -> list[tuple[Parameters, dict[str, Any]]]:
    where = _where
    found: dict[int, tuple[Parameters, dict[str, Any]]] = {}
    for full, value in changes.items():
        if full not in where:
            raise core.unknown(full, where)
        whose, name = where[full]
        found.setdefault(id(whose), (whose, {}))[1][name] = value
    return list(found.values())

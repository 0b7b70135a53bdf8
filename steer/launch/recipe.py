"""Recipes: the TOML files that say how engines are started, read and checked.

What the keys mean stands in launchers/__init__.py, beside the files. The reader is
strict, because a mistyped key would otherwise show only as engines that start wrongly:
an unknown key, a wrong type or a placeholder that nothing fills is a `LaunchError` that
names file and key. Nothing is started here, and no scheduler is asked.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

from steer.errors import LaunchError

__all__ = ["Batch", "Recipe", "Settings", "load"]

PLACEHOLDER = re.compile(r"\{(\w+)\}")
LISTS = frozenset({"engine", "mpi", "options"})
"""Placeholders for several arguments: each must be an argument of its own."""
WORDS = frozenset({"n", "python", "runtime", "job"})
_MPI = re.compile(r"(mpich|openmpi)(-\d+)?")
_STATES = ("waiting", "running", "done", "failed")

Kind = Literal["direct", "batch"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Arguments and variables that hold always, or with one MPI."""

    arguments: tuple[str, ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    as_root: Mapping[str, str] = field(default_factory=dict)
    without_fabric: Mapping[str, str] = field(default_factory=dict)

    def plus(self, other: Settings) -> Settings:
        """Both together; where they disagree, the other one wins."""
        return Settings(
            arguments=(*self.arguments, *other.arguments),
            options={**self.options, **other.options},
            environment={**self.environment, **other.environment},
            as_root={**self.as_root, **other.as_root},
            without_fabric={**self.without_fabric, **other.without_fabric},
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """How a scheduler is spoken to: commands, and the words of its answers."""

    directive: str
    submit: tuple[str, ...]
    query: tuple[str, ...]
    cancel: tuple[str, ...]
    job: str
    states: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to start engines."""

    name: str
    origin: str
    description: str
    kind: Kind
    launch: tuple[str, ...]
    each: bool = False
    forget: tuple[str, ...] = ()
    settings: Settings = Settings()
    mpi: Mapping[str, Settings] = field(default_factory=dict)
    batch: Batch | None = None

    @property
    def needs_mpi(self) -> bool:
        """Whether an MPI must be found before this can be rendered."""
        return bool(self.mpi) or any("{mpiexec}" in word for word in self.launch)


def load(path: str | Path | Traversable) -> Recipe:
    """Read one recipe; its name is the file's, without ``.toml``."""
    file = Path(path) if isinstance(path, str) else path
    origin = str(file)
    name = file.name.removesuffix(".toml")
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise _bad(origin, f"The recipe {origin} cannot be read: {reason}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _bad(origin, f"The recipe {origin} is not TOML: {error}.") from None
    return _read_recipe(name, _Table(origin, "", data))


def _read_recipe(name: str, table: _Table) -> Recipe:
    kind = table.text("kind", "direct")
    if kind not in ("direct", "batch"):
        table.refuse("kind", f'is "{kind}", but must be "direct" or "batch"')
    recipe = Recipe(
        name=name,
        origin=table.origin,
        description=table.text("description"),
        kind=cast(Kind, kind),
        launch=table.words("launch"),
        each=table.flag("each"),
        forget=table.words("forget", ()),
        mpi=_read_mpi(table.table("mpi")),
        batch=_read_batch(table) if kind == "batch" else None,
        settings=_read_settings(table, arguments=False),
    )
    table.finish()
    if not recipe.launch:
        table.refuse("launch", "is empty, but must name a command")
    _check_placeholders(table, "launch", recipe.launch, LISTS | WORDS | {"mpiexec"})
    return recipe


def _read_mpi(table: _Table) -> dict[str, Settings]:
    found = {}
    for name in table.names():
        if not _MPI.fullmatch(name):
            table.refuse(name, 'is no MPI: write "mpich" or "openmpi-5"')
        inner = table.table(name)
        found[name] = _read_settings(inner, arguments=True)
        inner.finish()
    return found


def _read_settings(table: _Table, *, arguments: bool) -> Settings:
    options = {}
    inner = table.table("options")
    for name in inner.names():
        options[name] = inner.words(name)
        _check_placeholders(inner, name, options[name], WORDS | {name})
    return Settings(
        arguments=table.words("arguments", ()) if arguments else (),
        options=options,
        environment=_read_variables(table, "environment"),
        as_root=_read_variables(table, "as_root"),
        without_fabric=_read_variables(table, "without_fabric"),
    )


def _read_variables(table: _Table, key: str) -> dict[str, str]:
    inner = table.table(key)
    variables = {name: inner.text(name) for name in inner.names()}
    for name, value in variables.items():
        _check_placeholders(inner, name, (value,), WORDS)
    return variables


def _read_batch(table: _Table) -> Batch:
    states = table.table("states")
    words = {state: states.words(state) for state in _STATES}
    states.finish()
    pattern = table.text("job")
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        table.refuse("job", f"is no regular expression: {error}")
    if groups != 1:
        table.refuse("job", "must hold exactly one group, which is the job's id")
    return Batch(
        directive=table.text("directive"),
        submit=table.words("submit"),
        query=table.words("query"),
        cancel=table.words("cancel"),
        job=pattern,
        states=words,
    )


def _check_placeholders(
    table: _Table, key: str, words: tuple[str, ...], known: frozenset[str]
) -> None:
    for word in words:
        for name in PLACEHOLDER.findall(word):
            if name not in known:
                table.refuse(key, f"has {{{name}}}, which nothing fills")
            if name in LISTS and word != f"{{{name}}}":
                table.refuse(key, f"must have {{{name}}} as an argument of its own")


def _bad(origin: str, message: str, next_step: str | None = None) -> LaunchError:
    return LaunchError(
        message, recipe=origin, next_step=next_step or f"Correct the file {origin}."
    )


class _Table:
    """A TOML table that knows where it stands and which of its keys were asked for."""

    def __init__(self, origin: str, prefix: str, data: Mapping[str, Any]) -> None:
        self.origin = origin
        self._prefix = prefix
        self._data = data
        self._asked: set[str] = set()

    def names(self) -> list[str]:
        return list(self._data)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._take(key, default)
        if not isinstance(value, str):
            self.refuse(key, f"must be a string, not {value!r}")
        return value

    def flag(self, key: str) -> bool:
        value = self._take(key, False)
        if not isinstance(value, bool):
            self.refuse(key, f"must be true or false, not {value!r}")
        return value

    def words(
        self, key: str, default: tuple[str, ...] | None = None
    ) -> tuple[str, ...]:
        value = self._take(key, default)
        if isinstance(value, str) or not isinstance(value, list | tuple):
            self.refuse(key, f"must be a list of strings, not {value!r}")
        if not all(isinstance(word, str) for word in value):
            self.refuse(key, f"must hold strings only, not {value!r}")
        return tuple(value)

    def table(self, key: str) -> _Table:
        value = self._take(key, {})
        if not isinstance(value, dict):
            self.refuse(key, f"must be a table, not {value!r}")
        return _Table(self.origin, f"{self._prefix}{key}.", value)

    def finish(self) -> None:
        """Refuse what nobody asked for."""
        for key in self._data:
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, n=1)
                hint = f'; did you mean "{near[0]}"?' if near else ""
                self.refuse(key, f"is not known here{hint}")

    def refuse(self, key: str, what: str) -> NoReturn:
        end = "" if what.endswith("?") else "."
        raise _bad(
            self.origin,
            f'In the recipe {self.origin}, "{self._prefix}{key}" {what}{end}',
        )

    def _take(self, key: str, default: object) -> object:
        self._asked.add(key)
        value = self._data.get(key, default)
        if value is None:
            self.refuse(key, "is missing")
        return value

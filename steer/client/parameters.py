"""The parameters of a run as its user sees them: `run.params`.

    run.params                   what there is, what it is, and what it may be
    run.params.dt                the value now; by rank, if ranks have different ones
    run.params.dt = 0.01         like run.set(dt=0.01)
    run.params["ocean.dt"]       of a group

Nothing is kept here: whoever looks asks the ranks. They answer while they compute; one
that is in native code which lets no other thread run is named as missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from steer.core import params as core
from steer.core.params import Parameter
from steer.errors import UsageError
from steer.ranks import RankSet, describe

if TYPE_CHECKING:
    from steer.client.scheduling import Scheduling

NONE = (
    "The program declares no parameters, as it does with "
    "p = steer.params(dt=steer.Float(0.1))."
)


class Known(msgspec.Struct):
    """One parameter, as the ranks have told it."""

    parameter: Parameter
    values: list[tuple[Any, RankSet]]
    """Each value, and the ranks that have it."""

    @property
    def value(self) -> Any:
        """The value; by rank if they have different ones."""
        if len(self.values) == 1:
            return self.values[0][0]
        return {rank: value for value, ranks in self.values for rank in ranks}

    @property
    def text(self) -> str:
        """The value, for people."""
        if len(self.values) == 1:
            return repr(self.values[0][0])
        return ", ".join(f"{value!r} on {describe(r)}" for value, r in self.values)


class RunParameters(Mapping[str, Any]):
    """The parameters of a run, by name; also as attributes."""

    _run: Scheduling

    def __init__(self, run: Scheduling) -> None:
        object.__setattr__(self, "_run", run)

    def __call__(self) -> RunParameters:
        """Itself: `run.params()` is `run.params`."""
        return self

    def __getitem__(self, name: str) -> Any:
        known, _ = ask(self._run)
        if name not in known:
            raise core.unknown(name, known)
        return known[name].value

    def __setitem__(self, name: str, value: Any) -> None:
        self._run.set({name: value})

    def __iter__(self) -> Iterator[str]:
        return iter(ask(self._run)[0])

    def __len__(self) -> int:
        return len(ask(self._run)[0])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of Python's and IPython's protocols
            raise AttributeError(name)
        try:
            return self[name]
        except UsageError as error:
            raise AttributeError(str(error)) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __dir__(self) -> list[str]:
        names = [name for name in self if "." not in name]
        return [*names, *object.__dir__(self)]

    def __repr__(self) -> str:
        return "\n".join(table(*ask(self._run)))

    def widgets(self) -> Any:
        """Sliders, boxes and menus that change them; needs ipywidgets."""
        from steer.client.widgets import panel

        return panel(self._run)

    def _ipython_display_(self) -> None:
        from steer.client import widgets

        if widgets.can_be_shown():
            widgets.show(self._run)
        else:
            print(repr(self))  # noqa: T201  that is what it is for


def ask(run: Scheduling) -> tuple[dict[str, Known], RankSet]:
    """What the ranks tell of their parameters, and who did not answer."""
    news = run.do("params")
    found: dict[str, Known] = {}
    for where, body in news.facts["said"]:
        described = msgspec.msgpack.decode(body)
        ranks = RankSet.parse(where)
        for name, parameter in core.from_description(described).items():
            known = found.setdefault(name, Known(parameter, []))
            _add(known.values, described[name]["value"], ranks)
    return found, RankSet.parse(news.facts["missing"])


def _add(values: list[tuple[Any, RankSet]], value: Any, ranks: RankSet) -> None:
    for place, (other, where) in enumerate(values):
        if type(other) is type(value) and other == value:
            values[place] = (other, where | ranks)
            return
    values.append((value, ranks))


def table(known: Mapping[str, Known], missing: RankSet) -> list[str]:
    """Lines for people."""
    lines = []
    if missing:
        lines.append(f"No answer yet from {describe(missing)}: in native code.")
    if not known:
        return lines or [NONE]
    rows = [(name, of.text, _about(of.parameter)) for name, of in known.items()]
    names, texts = (max(len(row[i]) for row in rows) for i in (0, 1))
    rest = [f"{name:{names}}  {text:{texts}}  {about}" for name, text, about in rows]
    return [*rest, *lines]


def _about(parameter: Parameter) -> str:
    words = parameter.limits()
    if parameter.per_rank:
        words += ", per rank"
    return f"{words}: {parameter.doc}" if parameter.doc else words

"""Changes of parameters as a user writes them, made into what ranks are sent.

dt=0.01                on all ranks
load=[1.0, 1.0, 2.0]   a value for each rank
load={0: 1.0, 3: 2.0}  for some ranks
ranks="0-3"            all of it on these ranks only
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steer.errors import UsageError
from steer.ranks import RankSet, describe
from steer.wire.plans import Change, Changes

_PLAIN = (type(None), bool, int, float, str)
_BITS = 1 << 63


def make(
    wanted: Mapping[str, Any], everybody: Sequence[int], ranks: Any = None
) -> tuple[Changes, str]:
    """What is sent, and how people are told of it."""
    if not wanted:
        raise UsageError("Say which parameters are to be changed, as in dt=0.01.")
    some = everybody if ranks is None else _chosen(ranks, everybody)
    for_all: dict[str, Any] = {}
    parts: list[Change] = []
    texts: list[str] = []
    all_differ = True
    for name, value in wanted.items():
        groups = _groups(name, value, some)
        if groups is None:
            all_differ = False
            plain = _plain(name, value)
            texts.append(f"{name}={plain!r}")
            if ranks is None:
                for_all[name] = plain
            else:
                parts.append(Change({name: plain}, str(RankSet(some))))
            continue
        parts += [Change({name: v}, str(where)) for v, where in groups]
        each = (f"{value!r} on {describe(where)}" for value, where in groups)
        texts.append(f"{name}={', '.join(each)}")
    first = [Change(for_all)] if for_all else []
    text = ", ".join(texts)
    if ranks is not None and not all_differ:
        text += f" on {describe(some)}"
    return Changes((*first, *parts)), text


def ranks_of(ranks: Any) -> list[int]:
    """Ranks as a user names them: "0-3,7", 5, [0, 2]."""
    try:
        if isinstance(ranks, str):
            return list(RankSet.parse(ranks))
        if isinstance(ranks, int) and not isinstance(ranks, bool):
            return list(RankSet([ranks]))
        return list(RankSet(ranks))
    except (ValueError, TypeError):
        raise UsageError(f"Ranks are written 0-3,7, not {ranks!r}.") from None


def _chosen(ranks: Any, everybody: Sequence[int]) -> list[int]:
    some = ranks_of(ranks)
    strangers = RankSet(some) - RankSet(everybody)
    if strangers or not some:
        here = describe(everybody)
        raise UsageError(f"The run has {here}, and not {describe(strangers)}.")
    return some


def _groups(
    name: str, value: Any, ranks: Sequence[int]
) -> list[tuple[Any, RankSet]] | None:
    """The values and who gets them, if they differ from rank to rank."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return None
    if getattr(value, "ndim", None) == 0:
        return None  # numpy's numbers look like it
    if isinstance(value, Mapping):
        pairs = [(r, v) for key, v in value.items() for r in _chosen(key, ranks)]
    else:
        values = list(value)
        if len(values) != len(ranks):
            raise UsageError(
                f"{name} has {len(values)} values, and {len(ranks)} ranks are to get "
                "one each."
            )
        pairs = list(zip(ranks, values, strict=True))
    found: dict[tuple[type, Any], RankSet] = {}
    for rank, one in pairs:
        plain = _plain(name, one)
        key = (type(plain), plain)
        found[key] = found.get(key, RankSet()) | RankSet([rank])
    return [(plain, where) for (_, plain), where in found.items()]


def _plain(name: str, value: Any) -> Any:
    """The value as plain data."""
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "ndim", None) == 0:
        value = item()
    large = isinstance(value, int) and not -_BITS <= value < _BITS
    if not isinstance(value, _PLAIN) or large:
        raise UsageError(
            f"{name} cannot be {_short(value)}: a parameter is a number, a text, True "
            "or False."
        )
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

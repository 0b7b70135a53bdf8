"""Which ranks a user means: `0-3,7`, `::2`, `-1`, `all`, `[0,2]`, or a group's name.

Text is read and never evaluated: a magic's option line may come from a notebook that
somebody else wrote. A number is one rank; with anything else a list of ranks is meant,
in the order in which they were named, each of them once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from steer.errors import UsageError
from steer.ranks import RankSet

Targets = int | Sequence[int] | str
Groups = Mapping[str, Iterable[int]]

ALLOWED = (
    "ranks like 0-3,7 or -1, a slice like ::2, a list like [0,2], all, "
    "or the name of a group"
)
_NUMBER = re.compile(r"-?\d{1,7}")
_RANGE = re.compile(r"(\d{1,7})-(\d{1,7})")
_SLICE = re.compile(r"(-?\d{1,7})?:(-?\d{1,7})?(?::(-?\d{1,7})?)?")
_NAME = re.compile(r"[A-Za-z_]\w*")


def parse(
    text: str,
    ids: Sequence[int],
    groups: Groups | None = None,
    gone: Mapping[int, str] | None = None,
) -> Targets:
    """Read targets: a rank, a list of ranks that are all there, or "all".

    `ids` are the ranks that are there; `gone` says why others are not.
    """
    words = _unwrapped(text)
    if words == "all":
        return "all"
    if _NUMBER.fullmatch(words) and words == text.strip():
        return _one(int(words), ids, gone or {})
    named: dict[int, None] = {}
    for word in words.split(","):
        named.update(dict.fromkeys(_piece(word.strip(), text, ids, groups or {})))
    found = [_one(rank, ids, gone or {}) for rank in named]
    if not found:
        raise UsageError(f"{text!r} means no rank; {_there(ids)}.")
    return list(dict.fromkeys(found))


def _unwrapped(text: str) -> str:
    """The text without the brackets of a list."""
    text = text.strip()
    for opening, closing in ("[]", "()"):
        if text.startswith(opening) and text.endswith(closing):
            return text[1:-1].strip().removesuffix(",")
    return text


def _piece(word: str, text: str, ids: Sequence[int], groups: Groups) -> Iterable[int]:
    """The ranks that one word between commas names."""
    if _NUMBER.fullmatch(word):
        return [int(word)]
    if found := _RANGE.fullmatch(word):
        low, high = int(found[1]), int(found[2])
        if low <= high:
            return RankSet.parse(word)
        raise UsageError(f"{word!r} runs backwards; write {high}-{low}.")
    if found := _SLICE.fullmatch(word):
        start, stop, step = (int(part) if part else None for part in found.groups())
        if step == 0:
            raise UsageError(f"{word!r} does not move: a slice's step is not 0.")
        return ids[slice(start, stop, step)]
    if word in groups:
        return groups[word]
    if word == "all":
        return ids
    if _NAME.fullmatch(word):
        known = f"there are {', '.join(groups)}" if groups else "there is none yet"
        raise UsageError(
            f"There is no group {word!r}; {known} (`%pxconfig --group {word}=0-3` "
            f"makes one), and targets are {ALLOWED}."
        )
    raise UsageError(f"{text!r} names no ranks; targets are {ALLOWED}.")


def _one(rank: int, ids: Sequence[int], gone: Mapping[int, str]) -> int:
    """The rank itself, or for a negative number that one from the end."""
    if rank in ids:
        return rank
    if -len(ids) <= rank < 0:
        return ids[rank]
    why = f" ({gone[rank].rstrip('.')})" if rank in gone else ""
    raise UsageError(f"Rank {rank} is not there{why}; {_there(ids)}.")


def _there(ids: Sequence[int]) -> str:
    if not ids:
        return "no rank is"
    return f"there {'is' if len(ids) == 1 else 'are'} {RankSet(ids)}"


def check(
    ranks: int | Sequence[int], ids: Sequence[int], gone: Mapping[int, str]
) -> None:
    """Raise a sentence unless all these ranks are there."""
    for rank in [ranks] if isinstance(ranks, int) else ranks:
        _one(rank, ids, gone)


def described(targets: Targets | None) -> str:
    """Targets as a sentence names them: ranks are written `0-3,7`."""
    if targets is None or isinstance(targets, str):
        return targets or "all"
    return str(RankSet([targets] if isinstance(targets, int) else targets))

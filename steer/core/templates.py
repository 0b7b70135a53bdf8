"""What texts have in common that differ in numbers: a template for each kind of them.

In this order: numbers that all ranks have alike become text again; a rank's own number
is written `<rank>` and an address `0x…`; if few different texts are left, these are
shown; else each number that still differs becomes a word, and beside or below its line
stands what ranks have there::

    step 100 residual <float> in <int> iterations
        <float>  min 3.1e-04 (r7)  med 3.2e-04  max 4.4e-04 (r2)  ▁▃█▄▅▄▃▁
        <int>    min 12 (r0)       med 14       max 19 (r5)       ▁▃▄▄▅█▃▂
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import eq

from steer.core.summary import ADDRESS, Family, Slot, read, slot

OWN = "<rank>"
ANY_ADDRESS = "0x…"
DETAILED = 3
"""So many different numbers of a line are told singly; of more, only the two ends."""
INDENT = " " * 4
_ENOUGH = 4
"""Of fewer ranks, all but one may have their own number by chance."""
_WORD = re.compile(r"[^\W\d_]")

Told = tuple[list[int], str]
"""Ascending ranks, and what is shown for them."""


def in_common(ranks: list[int], texts: list[str], few: int) -> Iterator[Told]:
    """What to show of ascending ranks and what each of them said.

    Args:
        few: so many different texts of a kind are shown as they are.
    """
    for kind in _kinds(ranks, texts, few):
        yield from _told(kind, len(ranks), few)


@dataclass(slots=True)
class _Kind:
    """Texts that differ in numbers only. `read` finds them; then numbers are taken out
    until those are left that differ for no known reason."""

    literals: list[str]
    ranks: list[int]
    columns: list[list[str]]

    def texts(self) -> Iterator[Told]:
        """The different texts."""
        found: dict[tuple[str, ...], list[int]] = {}
        for rank, row in zip(self.ranks, zip(*self.columns, strict=True), strict=True):
            found.setdefault(row, []).append(rank)
        for row, ranks in found.items():
            yield ranks, _interleaved(self.literals, row)

    def only(self, chosen: Sequence[bool]) -> _Kind:
        """The chosen ones of its texts."""
        columns = [list(itertools.compress(column, chosen)) for column in self.columns]
        return _Kind(
            self.literals, list(itertools.compress(self.ranks, chosen)), columns
        )

    def written(self, words: Mapping[int, str]) -> _Kind:
        """The same with words for the numbers at some places."""
        literals, columns = [self.literals[0]], []
        for place, column in enumerate(self.columns):
            literal = self.literals[place + 1]
            if place in words:
                literals[-1] += words[place] + literal
            else:
                literals.append(literal)
                columns.append(column)
        return _Kind(literals, self.ranks, columns)


def _interleaved(literals: Sequence[str], numbers: Sequence[str]) -> str:
    pairs = zip(literals, numbers, strict=False)
    return "".join(itertools.chain(*pairs, literals[-1:]))


def _kinds(ranks: list[int], texts: list[str], few: int) -> Iterator[_Kind]:
    different = list(dict.fromkeys(texts))
    families = read(different, few=few)
    if len(different) < len(texts):
        numbers = {text: number for number, text in enumerate(different)}
        families = _for_all(families, [numbers[text] for text in texts])
    for family in families:
        members = family.members
        who = ranks if len(members) == len(ranks) else [ranks[i] for i in members]
        kind = _Kind(list(family.literals), who, family.columns)
        yield from _own_rank(_settled(kind))


def _for_all(families: list[Family], numbers: list[int]) -> list[Family]:
    """Families of texts for those of different texts, whose numbers these are."""
    if len(families) == 1:
        (family,) = families  # whose members are all the numbers, in order
        columns = [[column[number] for number in numbers] for column in family.columns]
        return [Family(family.literals, list(range(len(numbers))), columns)]
    owner = {
        number: (family, place)
        for family in families
        for place, number in enumerate(family.members)
    }
    places: dict[int, tuple[list[int], list[int]]] = {}
    for member, number in enumerate(numbers):
        family, place = owner[number]
        members, rows = places.setdefault(id(family), ([], []))
        members.append(member)
        rows.append(place)
    found = []
    for family in families:
        members, rows = places[id(family)]
        columns = [[column[row] for row in rows] for column in family.columns]
        found.append(Family(family.literals, members, columns))
    return found


def _settled(kind: _Kind) -> _Kind:
    """Make text of the numbers that all have alike, and of addresses."""
    words = {}
    for place, column in enumerate(kind.columns):
        if column[0] == column[-1] and column.count(column[0]) == len(column):
            words[place] = column[0]
        elif all(n.startswith("0x") and len(n) >= ADDRESS for n in column):
            words[place] = ANY_ADDRESS
    return kind.written(words) if words else kind


def _own_rank(kind: _Kind) -> Iterator[_Kind]:
    """Write `<rank>` where ranks have their own number; if few have another one there,
    these say something else. Numbers without a word beside them stay what they are: a
    value that happens to be the rank's number."""
    if not any(map(_WORD.search, kind.literals)):
        yield kind
        return
    left = [kind]
    while left:
        kind = left.pop()
        own = _written(kind.ranks) if kind.columns else []
        words = {}
        for place, column in enumerate(kind.columns):
            hits = list(map(eq, column, own))
            others = len(hits) - sum(hits)
            if not others and len(own) > 1:
                words[place] = OWN
            elif len(own) >= _ENOUGH and others <= max(1, len(own) // 10):
                left.append(_settled(kind.only([not hit for hit in hits])))
                left.append(_settled(kind.only(hits)))
                break
        else:
            yield kind.written(words) if words else kind


def _written(ranks: list[int]) -> list[str]:
    if ranks[-1] > 4 * len(ranks):
        return list(map(str, ranks))
    words = _words_up_to(1 << ranks[-1].bit_length())
    return [words[rank] for rank in ranks]


@lru_cache(maxsize=1)
def _words_up_to(end: int) -> list[str]:
    """The ranks as text, which are needed again and again."""
    return list(map(str, range(end)))


def _told(kind: _Kind, total: int, few: int) -> Iterator[Told]:
    if not kind.columns:
        yield kind.ranks, kind.literals[0]
        return
    if _are_few(kind, few):
        yield from kind.texts()
        return
    if _have_majority(kind, total):
        ranks, text = max(kind.texts(), key=lambda told: len(told[0]))
        if 2 * len(ranks) > total:
            yield ranks, text
            out = set(ranks)
            yield from _told(kind.only([r not in out for r in kind.ranks]), total, few)
            return
    slots = [slot(column, kind.ranks) for column in kind.columns]
    readable = [place for place in slots if place is not None]
    if len(readable) < len(slots):
        yield from kind.texts()
    else:
        yield kind.ranks, _template(kind.literals, readable)


def _are_few(kind: _Kind, few: int) -> bool:
    seen = set()
    for row in zip(*kind.columns, strict=True):
        seen.add(row)
        if len(seen) > few:
            return False
    return True


def _have_majority(kind: _Kind, total: int) -> bool:
    """Whether one text can be that of more than half."""
    for column in kind.columns:
        most = len(column) - len(set(column)) + 1
        if 2 * most <= total or 2 * max(Counter(column).values()) <= total:
            return False
    return True


# -- writing a template

_Piece = str | Slot


def _template(literals: Sequence[str], slots: Sequence[Slot]) -> str:
    """The text with a word for each number that differs, and what is to say of them."""
    pieces: list[_Piece] = [literals[0]]
    for place, literal in zip(slots, literals[1:], strict=True):
        pieces += [place, literal]
    return "\n".join(itertools.chain.from_iterable(map(_line, _lines(pieces))))


def _lines(pieces: list[_Piece]) -> Iterator[list[_Piece]]:
    line: list[_Piece] = []
    for piece in pieces:
        if isinstance(piece, Slot):
            line.append(piece)
            continue
        first, *more = piece.split("\n")
        line.append(first)
        for text in more:
            yield line
            line = [text]
    yield line


def _line(pieces: list[_Piece]) -> list[str]:
    slots = [piece for piece in pieces if isinstance(piece, Slot)]
    if not slots:
        return ["".join(map(str, pieces))]
    if len(slots) > DETAILED:
        return ["".join(p.between() if isinstance(p, Slot) else p for p in pieces)]
    words = _words(slots)
    left = iter(words)
    text = "".join(next(left) if isinstance(p, Slot) else p for p in pieces)
    if len(slots) == 1:
        gap = " " if text.endswith(words[0]) else "  "
        return [f"{text.rstrip()}{gap}{slots[0].told()}"]
    table = [[word, *place.parts()] for word, place in zip(words, slots, strict=True)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rows = (map(str.ljust, row, widths) for row in table)
    return [text, *(INDENT + "  ".join(row).rstrip() for row in rows)]


def _words(slots: list[Slot]) -> list[str]:
    """`<int>` for each number; `<int 1>` and `<int 2>` if there are two of a kind."""
    kinds = [place.kind for place in slots]
    words = []
    for index, kind in enumerate(kinds):
        number = f" {kinds[: index + 1].count(kind)}" if kinds.count(kind) > 1 else ""
        words.append(f"<{kind}{number}>")
    return words

"""Numbers in texts: where they stand, and what is said of those of many ranks at once.

`read` finds texts that differ in nothing but numbers; `Slot` is one such place with the
numbers that all ranks have there; `Slot.told` says them in short::

    min 4031 (r17)  med 4096  max 4163 (r2)  ▁▃▄▄▅▄▃▂

A number is an integer, a float with or without exponent and sign, or hexadecimal, alone
or within a word (`node17`). `nan` and `inf` are words: no summary can hide them.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_FRACTION = r"(?:\.[0-9]+|\.(?=\ *[-+0-9\],)]))?"
"""1. is how numpy writes it; the dot that ends a sentence is none of the number."""
_EXPONENT = r"(?:[eE][-+]?[0-9]+)?"
_NUMBER = (
    # That all begin with one class of characters makes the search three times as fast.
    r"[-+.0-9](?:"
    rf"(?<=[0-9])(?:(?<=0)x[0-9a-fA-F]+|[0-9]*{_FRACTION}{_EXPONENT})"
    # A sign belongs to it unless something stands before that: 0-63 is a range.
    rf"|(?<=[-+])(?<![\w)\]][-+])(?:[0-9]+{_FRACTION}|\.[0-9]+){_EXPONENT}"
    rf"|(?<=\.)(?<![\w.]\.)[0-9]+{_EXPONENT})"
)
_FIND = re.compile(_NUMBER)
_SPLIT = re.compile(f"({_NUMBER})")
_DECIMAL = r"[-+]?[0-9]++(?:\.[0-9]++)?+(?:[eE][-+]?[0-9]++)?+"
_DECIMALS = re.compile(rf"{_DECIMAL}(?:\0{_DECIMAL})*+")  # twice as fast as the next
_NUMBERS = re.compile(rf"(?:{_NUMBER})(?:\0(?:{_NUMBER}))*+")
_INTS = re.compile(r"[-+]?[0-9]++(?:\0[-+]?[0-9]++)*+")
_PADDING = re.compile(r"  +(?=\0)|(?<=\0)  +")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_HIDDEN = {ord("0") + n: 0xF8F0 + n for n in range(10)}
_SHOWN = {code: digit for digit, code in _HIDDEN.items()}
_DIGITS = b"0123456789"
_MARKS = [chr(code) for code in range(8)]
_NO_MARKS = bytes(range(8, 256))
_WORTHWHILE = 16
"""From so many texts on their numbers are cut out together, not text by text."""
ADDRESS = 9
"""Hexadecimal numbers of so many characters are addresses: which, nobody asks."""
BARS = "▁▂▃▄▅▆▇█"
WIDEST = 32
"""Bars of a sparkline."""
_HUGE = 1e300


@dataclass(slots=True)
class Family:
    """Texts that differ in nothing but numbers, and the blanks that align these."""

    literals: tuple[str, ...]
    """What stands before, between and behind the numbers."""
    members: list[int]
    """Which of the texts."""
    columns: list[list[str]]
    """The numbers: a list for each place, in the order of `members`."""


def read(texts: Sequence[str], *, few: int = 0) -> list[Family]:
    """Find the families of some texts, in the order of their first members.

    Args:
        few: so many texts are no family if they differ in blanks too.
    """
    joined = "\0".join(texts)
    coloured = "\x1b" in joined
    if coloured:
        texts = [_COLOUR.sub(_hide, text) for text in texts]
        joined = "\0".join(texts)
    families: dict[tuple[str, ...], list[Family]] = {}
    for family in _cut(texts, joined):
        families.setdefault(_normal(family.literals), []).append(family)
    found: list[Family] = []
    for alike in families.values():
        many = sum(len(family.members) for family in alike) > few
        found += [_unite(alike)] if many else alike
    if coloured:
        for family in found:
            family.literals = tuple(s.translate(_SHOWN) for s in family.literals)
    return sorted(found, key=lambda family: family.members[0])


def skeletons(lines: Sequence[str]) -> list[str]:
    """The lines without their numbers: those of one family are equal."""
    if not lines:
        return []
    whole = "\n".join(lines)
    if "\x1b" in whole:
        whole = _COLOUR.sub("", whole)
    whole = _FIND.sub("\0", whole)
    if "  " in whole:
        whole = _PADDING.sub(" ", whole)
    return whole.split("\n")


def _hide(colour: re.Match[str]) -> str:
    """The digits of an escape sequence are no numbers of the text."""
    return colour[0].translate(_HIDDEN)


def _cut(texts: Sequence[str], joined: str) -> Iterator[Family]:
    """The families of these texts: all of one, most often; else those that are equal
    without their digits are likely of one, and only the rest is looked at singly."""
    everyone = range(len(texts))
    if len(texts) < _WORTHWHILE or _has_marks(joined, len(texts)):
        yield from _cut_singly(texts, everyone)
        return
    whole = _cut_together(texts, everyone)
    if whole is not None:
        yield whole
        return
    found: dict[bytes, list[int]] = {}
    bare = joined.encode("utf-8", "surrogatepass").translate(None, _DIGITS)
    for member, key in enumerate(bare.split(b"\0")):
        found.setdefault(key, []).append(member)
    for members in found.values():
        family = None
        if _WORTHWHILE <= len(members) < len(texts):
            family = _cut_together([texts[member] for member in members], members)
        if family is None:
            yield from _cut_singly(texts, members)
        else:
            yield family


def _has_marks(joined: str, texts: int) -> bool:
    """Whether something else than their separators looks like a mark of ours."""
    marked = any(mark in joined for mark in _MARKS[1:])
    return marked or joined.count("\0") >= texts


def _cut_singly(texts: Sequence[str], members: Sequence[int]) -> Iterator[Family]:
    found: dict[tuple[str, ...], tuple[list[int], list[list[str]]]] = {}
    for member in members:
        parts = _SPLIT.split(texts[member])
        of, rows = found.setdefault(tuple(parts[::2]), ([], []))
        of.append(member)
        rows.append(parts[1::2])
    for literals, (of, rows) in found.items():
        yield Family(literals, of, [list(column) for column in zip(*rows, strict=True)])


def _cut_together(texts: Sequence[str], members: Sequence[int]) -> Family | None:
    """Cut all texts at once at what stands between the numbers of a few of them.

    None if that does not hold for all. Several times as fast as looking for the numbers
    in each text: to search for a known text is.
    """
    samples = [texts[0], texts[len(texts) // 2], texts[-1], min(texts), max(texts)]
    literals = _FIND.split(texts[0])
    if any(_FIND.split(sample) != literals for sample in samples):
        return None
    numbers = list(zip(*map(_FIND.findall, samples), strict=True))
    merged, varying = [literals[0]], []
    for place, (number, *others) in enumerate(numbers):
        if others.count(number) == len(others):
            # The same for all: supposed here, checked by what follows.
            merged[-1] += number + literals[place + 1]
        else:
            merged.append(literals[place + 1])
            varying.append(place)
    cut = _columns(texts, merged)
    if cut is None:
        return None
    columns = [[column[0]] * len(texts) for column in numbers]
    for place, column in zip(varying, cut, strict=True):
        columns[place] = column
    return Family(tuple(literals), list(members), columns)


def _columns(texts: Sequence[str], literals: list[str]) -> list[list[str]] | None:
    """What stands between these literals in each text, if it is numbers everywhere.

    Every literal becomes a mark of its own, in all texts at once; the marks left over
    when all else is deleted show whether each text had each literal once, in order.
    """
    places = len(literals) - 1
    if not 1 <= places <= len(_MARKS) or "" in literals[1:-1]:
        return None
    first, *between, last = literals
    if not texts[0].startswith(first) or not texts[-1].endswith(last):
        return None
    joined = "\0".join(texts)
    joined = joined[len(first) : len(joined) - len(last)]
    if first or last:
        joined = joined.replace(f"{last}\0{first}", "\0")
    for literal, mark in zip(between, _MARKS[1:], strict=False):
        joined = joined.replace(literal, mark)
    marks = joined.encode("utf-8", "surrogatepass").translate(None, _NO_MARKS)
    expected = "".join(_MARKS[1:places]).encode()
    if marks != (expected + b"\0") * (len(texts) - 1) + expected:
        return None
    for mark in _MARKS[1:places]:
        joined = joined.replace(mark, "\0")
    numbers = joined.split("\0")
    columns = [numbers[place::places] for place in range(places)]
    return columns if all(map(_are_numbers, columns)) else None


def _are_numbers(column: list[str]) -> bool:
    joined = "\0".join(column)
    return bool(_DECIMALS.fullmatch(joined) or _NUMBERS.fullmatch(joined))


def _normal(literals: tuple[str, ...]) -> tuple[str, ...]:
    """The same for texts whose numbers are padded to columns: their blanks as one."""
    if not any("  " in literal for literal in literals):
        return literals
    normal = []
    for place, literal in enumerate(literals):
        if place + 1 < len(literals) and literal.endswith("  "):
            literal = literal.rstrip(" ") + " "
        if place and literal.startswith("  "):
            literal = " " + literal.lstrip(" ")
        normal.append(literal)
    return tuple(normal)


def _unite(alike: list[Family]) -> Family:
    """One of several; what the most of them have between their numbers stays."""
    if len(alike) == 1:
        return alike[0]
    literals = max(alike, key=lambda f: (len(f.members), -f.members[0])).literals
    places = len(literals) - 1
    rows = sorted(
        (member, [column[i] for column in family.columns])
        for family in alike
        for i, member in enumerate(family.members)
    )
    columns = [[row[place] for _, row in rows] for place in range(places)]
    return Family(literals, [member for member, _ in rows], columns)


@dataclass(slots=True)
class Slot:
    """A place in a text where ranks have different numbers."""

    kind: str
    """int, float or hex."""
    numbers: list[str]
    values: list[float]
    """What they are worth; integers stay integers, which have no limit."""
    ranks: Sequence[int]

    def told(self) -> str:
        """The summary of this place."""
        return "  ".join(self.parts())

    def parts(self) -> list[str]:
        """The smallest, the median, the largest, and the bars."""
        ordered = sorted(self.values)
        low, high = ordered[0], ordered[-1]
        lowest, highest = self.values.index(low), self.values.index(high)
        middle = self.values.index(ordered[(len(ordered) - 1) // 2])
        return [
            f"min {self.numbers[lowest]} (r{self.ranks[lowest]})",
            f"med {self.numbers[middle]}",
            f"max {self.numbers[highest]} (r{self.ranks[highest]})",
            sparkline(self.values),
        ]

    def between(self) -> str:
        """Only the two ends."""
        low = self.values.index(min(self.values))
        high = self.values.index(max(self.values))
        return f"{self.numbers[low]}…{self.numbers[high]}"


def slot(numbers: list[str], ranks: Sequence[int]) -> Slot | None:
    """Read numbers; None if one is beyond what can be read, and so be summarised."""
    try:
        if all(number.startswith("0x") for number in numbers):
            return Slot("hex", numbers, [int(number, 16) for number in numbers], ranks)
        if _INTS.fullmatch("\0".join(numbers)):
            return Slot("int", numbers, list(map(int, numbers)), ranks)
        values = list(map(float, numbers))
    except ValueError:  # 5,000 digits; hexadecimal among decimal
        return None
    if not math.isfinite(min(values)) or not math.isfinite(max(values)):
        return None  # 1e999
    return Slot("float", numbers, values, ranks)


def sparkline(values: Sequence[float], widest: int = WIDEST) -> str:
    """A bar for each value; if they are many, for the mean of some neighbours."""
    low, high = min(values), max(values)
    bins = min(len(values), widest)
    if low == high:
        return BARS[0] * bins
    if max(high, -low) > _HUGE:  # a sum would be beyond the floats
        values = [value / (2 * len(values)) for value in values]
        low, high = min(values), max(values)
    edges = [len(values) * i // bins for i in range(bins + 1)]
    means = [
        sum(values[start:end]) / (end - start)
        for start, end in itertools.pairwise(edges)
    ]
    heights = [(mean - low) / (high - low) for mean in means]
    top = len(BARS) - 1
    return "".join(BARS[max(0, min(int(h * len(BARS)), top))] for h in heights)

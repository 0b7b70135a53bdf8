"""Stacks of many ranks as one tree.

    [0-3] (4)  <module>  solver.py:200
               main      solver.py:180
    [0-2] (3)    step      solver.py:120    Allreduce(comm WORLD)
    [3]          rhs       solver.py:88

Equal stacks are found first, by their hash, and only different ones become branches: a
program of ten thousand ranks has few of those. A stack is a tuple of frames, the
outermost first; frames that are equal are one object in what `Frames` has read, so that
comparing stacks compares pointers.

Samples taken over time are stacks too: the same rank may be given several times, and a
branch then knows how many of the samples were in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from steer.core.folding import columns, head
from steer.core.rankstates import Spot
from steer.ranks import RankSet

Stack = tuple[Spot, ...]

DEEPEST = 200
"""Frames of a stack that are kept, from either end together: endless recursion."""


@dataclass(slots=True)
class Branch:
    """A line of the program, those who were there, and where they went from it."""

    spot: Spot
    mask: int = 0
    samples: int = 0
    leaves: int = 0
    """The mask of those whose innermost line it is."""
    children: list[Branch] = field(default_factory=list)

    @property
    def ranks(self) -> RankSet:
        """Who was there."""
        return RankSet.from_mask(self.mask)


@dataclass(frozen=True, slots=True)
class Tree:
    """All stacks; the largest branch is always the first."""

    roots: tuple[Branch, ...]
    mask: int
    samples: int

    def walk(self) -> Iterator[tuple[int, Branch]]:
        """All branches with their depth, parents first."""
        todo = [(0, branch) for branch in reversed(self.roots)]
        while todo:
            depth, branch = todo.pop()
            yield depth, branch
            todo += [(depth + 1, child) for child in reversed(branch.children)]


def merge(stacks: Iterable[tuple[int, Stack]]) -> Tree:
    """Merge stacks, each with the mask of the ranks that had it."""
    masks: dict[Stack, int] = {}
    counts: dict[Stack, int] = {}
    everyone = samples = 0
    for mask, stack in stacks:
        masks[stack] = masks.get(stack, 0) | mask
        counts[stack] = counts.get(stack, 0) + 1
        everyone |= mask
        samples += 1
    root = _Node()
    for stack, mask in masks.items():
        _grow(root, stack, mask, counts[stack])
    return Tree(tuple(_ordered(root)), everyone, samples)


def merge_ranks(ranks: Sequence[int], stacks: Sequence[Stack]) -> Tree:
    """Merge one stack of each rank; quicker than `merge` for thousands, which would
    make an integer of as many bits for each of them."""
    of = _grouped(ranks, stacks)
    width = max(ranks, default=0) + 1
    root = _Node()
    everyone = 0
    for stack, having in of.items():
        mask = _mask(having, width)
        everyone |= mask
        _grow(root, stack, mask, len(having))
    return Tree(tuple(_ordered(root)), everyone, len(ranks))


def _grouped(ranks: Sequence[int], stacks: Sequence[Stack]) -> dict[Stack, list[int]]:
    """Whose stack is which: equal stacks of ranks that answered alike are even the
    same object, and an object is told by its number alone."""
    same: dict[int, list[int]] = {}
    for rank, number in zip(ranks, map(id, stacks), strict=True):
        found = same.get(number)
        if found is None:
            same[number] = [rank]
        else:
            found.append(rank)
    if len(same) == len(ranks):  # no two are: one list each would be made in vain
        of: dict[Stack, list[int]] = {}
        for rank, stack in zip(ranks, stacks, strict=True):
            of.setdefault(stack, []).append(rank)
        return of
    by_number = dict(zip(map(id, stacks), stacks, strict=True))
    of = {}
    for number, having in same.items():
        of.setdefault(by_number[number], []).extend(having)
    return of


def _mask(ranks: Sequence[int], width: int) -> int:
    bits = bytearray((width + 7) >> 3)
    for rank in ranks:
        bits[rank >> 3] |= 1 << (rank & 7)
    return int.from_bytes(bits, "little")


@dataclass(slots=True)
class _Node:
    mask: int = 0
    samples: int = 0
    leaves: int = 0
    below: dict[Spot, _Node] = field(default_factory=dict)


def _grow(root: _Node, stack: Stack, mask: int, samples: int) -> None:
    node = root
    for spot in stack:
        following = node.below.get(spot)
        if following is None:
            following = node.below[spot] = _Node()
        following.mask |= mask
        following.samples += samples
        node = following
    node.leaves |= mask


def _ordered(root: _Node) -> list[Branch]:
    """The branches below, without recursion: stacks may be as deep as they like."""
    top: list[Branch] = []
    todo = [(root, top)]
    while todo:
        node, into = todo.pop()
        for spot, child in node.below.items():
            branch = Branch(spot, child.mask, child.samples, child.leaves)
            into.append(branch)
            todo.append((child, branch.children))
        into.sort(key=lambda branch: (-branch.samples, branch.mask & -branch.mask))
    return top


# -- reading them


class Frames:
    """Makes stacks of what travels; equal frames become one object."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, str], Spot] = {}

    def stack(self, frames: Iterable[tuple[str, int, str]]) -> Stack:
        """A stack of (file, line, function), the outermost first."""
        known = self._known
        found = []
        for frame in frames:
            spot = known.get(frame)
            if spot is None:
                spot = known[frame] = Spot(*frame)
            found.append(spot)
        return shortened(found)


def shortened(frames: Sequence[Spot]) -> Stack:
    """The stack without the middle of an endless recursion."""
    left_out = len(frames) - DEEPEST
    if left_out <= 0:
        return tuple(frames)
    half = DEEPEST // 2
    gap = Spot("", 0, f"… {left_out:,} frames more …")
    return (*frames[:half], gap, *frames[-half:])


# -- as text, and as data for a picture


def render(
    tree: Tree,
    notes: Callable[[Branch], str] = lambda branch: "",
    *,
    over_time: bool = False,
) -> str:
    """The tree in columns, a line end after each line.

    Args:
        notes: what to write behind a line: the call that its ranks wait in.
        over_time: write the share of samples instead of nothing.
    """
    rows = list(_rows(tree))
    heads = [head(branch.ranks) if shown else "" for _, branch, shown in rows]
    names = [f"{'  ' * level}{_name(branch)}" for level, branch, _ in rows]
    wide = max(map(columns, heads), default=0)
    long = max(map(columns, names), default=0)
    lines = []
    for (_, branch, _), said, name in zip(rows, heads, names, strict=True):
        share = f"{100 * branch.samples / tree.samples:4.0f} %  " if over_time else ""
        place = str(branch.spot)
        line = f"{_pad(said, wide)}  {share}{_pad(name, long)}  {place}"
        note = notes(branch)
        lines.append(f"{line}    {note}" if note else line)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _rows(tree: Tree) -> Iterator[tuple[int, Branch, bool]]:
    """Branches with their level and whether to write their ranks: a chain in which
    nobody turns off is one level, and names its ranks once."""
    todo = [(0, branch, True) for branch in reversed(tree.roots)]
    while todo:
        level, branch, shown = todo.pop()
        yield level, branch, shown
        stays = len(branch.children) == 1 and branch.children[0].mask == branch.mask
        deeper = level if stays else level + 1
        todo += [(deeper, child, not stays) for child in reversed(branch.children)]


def _name(branch: Branch) -> str:
    return branch.spot.function or "?"


def _pad(text: str, width: int) -> str:
    return text + " " * (width - columns(text))


@dataclass(frozen=True, slots=True)
class Box:
    """A branch in a picture of boxes upon each other (a flame graph)."""

    left: float
    width: float
    """As parts of the whole width."""
    depth: int
    label: str
    ranks: str
    samples: int
    path: str
    """The file, whole, for a tool tip."""


def boxes(tree: Tree) -> list[Box]:
    """What a renderer draws; a box is as wide as its part of all samples."""
    found: list[Box] = []
    todo: list[tuple[float, int, Branch]] = []
    left = 0.0
    total = tree.samples or 1
    for branch in tree.roots:
        todo.append((left, 0, branch))
        left += branch.samples / total
    while todo:
        left, depth, branch = todo.pop()
        width = branch.samples / total
        label = f"{_name(branch)} {branch.spot}".rstrip()
        ranks = str(branch.ranks)
        box = Box(left, width, depth, label, ranks, branch.samples, branch.spot.file)
        found.append(box)
        for child in branch.children:
            todo.append((left, depth + 1, child))
            left += child.samples / total
    found.sort(key=lambda box: (box.depth, box.left))
    return found

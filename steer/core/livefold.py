"""Folding what ranks print while they print it.

Every rank has a queue of whole lines. Lines leave the queues in blocks of rows: a row
is a line of every rank that has one in that place, equal or not.

* When every rank has said something, the rows whose lines are equal on all ranks, but
  for numbers, are shown at once.
* A line that has been held for HOLD seconds is shown for the ranks that have said it by
  then, and with it all that comes before it.
* Ranks that have ended are not waited for. When all have, all is shown.
* What has no line end yet stays back: the rest of a rank, which is a prompt, or a
  progress bar that carriage returns write anew. `pending` tells it. It becomes a line
  when its rank ends, or has something else shown.
* More lines than MOST_OF_ONE of a rank, or MOST of all, are not held back any longer.

So every rank's lines, of all its streams, are shown in its order, each of them once.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from steer.core.aligning import Block, align, by_position
from steer.core.folding import Group, fold, fold_lines, rank_set, silent
from steer.core.summary import skeletons
from steer.core.texts import collapse
from steer.ranks import RankSet

HOLD = 0.1
"""Seconds that a line waits for its twins."""
GRAIN = 0.02
"""What would be due so much later is shown too: lines that come one by one would each
have the queues aligned."""
MOST_OF_ONE = 20_000
MOST = 200_000
"""Lines that are held back at most."""
LONGEST = 1 << 16
"""Characters after which a line is shown although it has no end."""
REMEMBERED = 1_000
"""Lines that some ranks have not said yet, to know them when they do."""
STDOUT = "stdout"


@dataclass(frozen=True, slots=True)
class Said:
    """A rank printed something, whole lines or not."""

    rank: int
    text: str
    stream: str = STDOUT


@dataclass(frozen=True, slots=True)
class Ended:
    """These ranks will say no more; nobody waits for them, their last words count."""

    ranks: RankSet


@dataclass(frozen=True, slots=True)
class Flush:
    """Something else of these ranks is to be shown now: what they said comes first."""

    ranks: RankSet


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline has come."""


Event = Said | Ended | Flush | Tick


@dataclass(frozen=True, slots=True)
class Show:
    """Write these lines below what is there."""

    stream: str
    texts: Mapping[int, str]
    """What each rank said: equally many whole lines."""
    missing: RankSet = field(default_factory=RankSet)
    """Who has not said it while nearly all others did."""
    late: bool = False
    """Whether the same lines were shown before, for other ranks."""

    @property
    def groups(self) -> list[Group]:
        """The lines, folded."""
        return fold_lines(self.texts)


class _Queue:
    """What one rank has said and is not shown yet."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.since: deque[tuple[int, float]] = deque()
        """How many lines came at which time."""
        self.rests: dict[str, str] = {}
        """What came of a line that has no end yet, by stream."""

    def add(self, lines: list[str], now: float) -> None:
        """Some more lines."""
        self.lines += lines
        self.since.append((len(lines), now))

    def came_by(self, time: float) -> int:
        """How many lines came until then."""
        early = itertools.takewhile(lambda came: came[1] <= time, self.since)
        return sum(count for count, _ in early)

    def drop(self, count: int) -> None:
        """The first lines are shown."""
        del self.lines[:count]
        while count:
            first, time = self.since.popleft()
            if first > count:
                self.since.appendleft((first - count, time))
            count -= min(first, count)


class LiveFold:
    """Lines of many ranks; see the head of this file."""

    def __init__(self, ranks: Iterable[int]) -> None:
        self.ranks = RankSet(ranks)
        self._queues = {rank: _Queue() for rank in self.ranks}
        self._awaited = dict.fromkeys(self.ranks)
        """Who has not ended, and no line in its queue."""
        self._ended: set[int] = set()
        self._held = 0
        self._stuck = False
        """Whether the first row has waited in vain for what all ranks have said."""
        self._oldest: float | None = None
        self._streams = _Streams()
        self._missing = RankSet()
        self._recent: dict[str, int] = {}
        """Lines that were shown for some ranks only, and the mask of these."""

    def handle(self, event: Event, now: float) -> list[Show]:
        """What is to be shown now."""
        match event:
            case Said(rank, text, stream):
                return self._hear(rank, text, stream, now)
            case Flush(ranks):
                self._end_lines(ranks, now)
                held = ((r, q) for r, q in self._queues.items() if r in ranks)
                return self._release({rank: len(queue.lines) for rank, queue in held})
            case Ended(ranks):
                return self._end(ranks, now)
            case Tick():
                return self._tick(now)

    def deadline(self) -> float | None:
        """When a Tick is due."""
        return None if self._oldest is None else self._oldest + HOLD

    def pending(self, stream: str = STDOUT) -> list[Group]:
        """The lines that are not ended yet: prompts, progress bars."""
        rests = ((r, q.rests.get(stream)) for r, q in self._queues.items())
        return fold({rank: rest.rstrip("\r") for rank, rest in rests if rest})

    def check(self) -> None:
        """What always holds."""
        queues = self._queues.values()
        assert self._held == sum(len(queue.lines) for queue in queues)
        firsts = [queue.since[0][1] for queue in queues if queue.since]
        assert self._oldest == min(firsts, default=None)
        for rank, queue in self._queues.items():
            assert sum(count for count, _ in queue.since) == len(queue.lines)
            waited = not queue.lines and rank not in self._ended
            assert (rank in self._awaited) == waited
            assert len(queue.lines) <= MOST_OF_ONE
        assert self._held <= MOST

    # -- events

    def _hear(self, rank: int, text: str, stream: str, now: float) -> list[Show]:
        queue = self._queues.get(rank)
        if queue is None:
            queue = self._queues[rank] = _Queue()
            self.ranks |= RankSet([rank])
        text = queue.rests.pop(stream, "") + text
        whole, end, rest = text.rpartition("\n")
        if len(rest) > LONGEST:
            whole, end, rest = text, "\n", ""
        if rest:
            queue.rests[stream] = collapse(rest)
        if not end:
            return []
        self._add(rank, stream, collapse(whole + end)[:-1].split("\n"), now)
        if len(queue.lines) > MOST_OF_ONE or self._held > MOST:
            return self._release_all()
        return self._advance()

    def _add(self, rank: int, stream: str, lines: list[str], now: float) -> None:
        self._queues[rank].add(self._streams.marked(stream, lines), now)
        self._awaited.pop(rank, None)
        self._held += len(lines)
        if self._oldest is None:
            self._oldest = now

    def _end_lines(self, ranks: RankSet, now: float) -> None:
        for rank in ranks:
            queue = self._queues.get(rank)
            if queue is not None:
                rests, queue.rests = queue.rests, {}
                for stream, rest in rests.items():
                    self._add(rank, stream, [rest.rstrip("\r")], now)

    def _end(self, ranks: RankSet, now: float) -> list[Show]:
        self._end_lines(ranks, now)
        self._ended.update(ranks)
        for rank in ranks:
            self._awaited.pop(rank, None)
        if len(self._ended) >= len(self.ranks):
            return self._release_all()
        return self._advance()

    def _tick(self, now: float) -> list[Show]:
        if self._oldest is None or now < self._oldest + HOLD:
            return []
        time = max(now - HOLD + GRAIN, self._oldest)
        return self._release({r: q.came_by(time) for r, q in self._queues.items()})

    # -- rows

    def _advance(self) -> list[Show]:
        """Show the rows whose lines are equal on all ranks, but for numbers."""
        if self._awaited or self._stuck or not self._held:
            return []
        queues = {rank: q.lines for rank, q in self._queues.items() if q.lines}
        count = _common(list(queues.values()))
        if not count:
            self._stuck = True
            return []
        return self._show({rank: lines[:count] for rank, lines in queues.items()})

    def _release_all(self) -> list[Show]:
        return self._release({r: len(q.lines) for r, q in self._queues.items()})

    def _release(self, due: Mapping[int, int]) -> list[Show]:
        """Show so many lines of these ranks, and what comes before them."""
        if not any(due.values()):
            return []
        said = {rank: q.lines for rank, q in self._queues.items() if q.lines}
        blocks = align(said) or by_position(said)
        shows = []
        for block in _until(blocks, due):
            shows += self._show(block)
        self._stuck = False
        return shows + self._advance()

    def _show(self, block: Block) -> list[Show]:
        for rank, lines in block.items():
            queue = self._queues[rank]
            queue.drop(len(lines))
            self._held -= len(lines)
            if not queue.lines and rank not in self._ended:
                self._awaited[rank] = None
        firsts = (q.since[0][1] for q in self._queues.values() if q.since)
        self._oldest = min(firsts, default=None)
        return [
            self._shown(stream, part) for stream, part in self._streams.split(block)
        ]

    def _shown(self, stream: str, block: Block) -> Show:
        said = rank_set(list(block))
        late = said != self.ranks and self._are_late(block, said)
        missing = RankSet() if late else silent(said, self.ranks)
        news = missing if missing != self._missing else RankSet()
        if not late:
            self._missing = missing
        return Show(stream, _joined(block), news, late)

    def _are_late(self, block: Block, said: RankSet) -> bool:
        """Whether others have said all these lines before; from now on they have."""
        first, *others = block.values()
        if any(lines != first for lines in others):
            return False
        known = [self._recent.pop(line, 0) for line in first]
        for line, mask in zip(first, known, strict=True):
            if mask | said.mask != self.ranks.mask:
                self._recent[line] = mask | said.mask
        for line in list(
            itertools.islice(self._recent, max(0, len(self._recent) - REMEMBERED))
        ):
            del self._recent[line]
        return all(mask and not mask & said.mask for mask in known)


def _joined(block: Block) -> dict[int, str]:
    """The lines as text; equal ones as one object."""
    texts: dict[int, str] = {}
    first = next(iter(block.values()))
    whole = "\n".join(first) + "\n"
    for rank, lines in block.items():
        texts[rank] = whole if lines == first else "\n".join(lines) + "\n"
    return texts


def _common(queues: list[list[str]]) -> int:
    """How many first lines are of the same kind in all queues."""
    count = min(map(len, queues))
    first = queues[0][:count]
    different = {id(lines): lines[:count] for lines in queues if lines[:count] != first}
    if not different:
        return count
    kinds = skeletons(first)
    for lines in different.values():
        pairs = zip(kinds, skeletons(lines[: len(kinds)]), strict=True)
        same = sum(
            1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)
        )
        del kinds[same:]
    return len(kinds)


def _until(blocks: list[Block], due: Mapping[int, int]) -> Iterator[Block]:
    """The blocks, up to the last row that has a line which is due."""
    left = dict(due)
    rows = []
    for block in blocks:
        size = len(next(iter(block.values())))
        rows.append(min(max(left.get(rank, 0) for rank in block), size))
        for rank in block:
            left[rank] = left.get(rank, 0) - size
    while rows and rows[-1] <= 0:
        rows.pop()
    for place, block in enumerate(blocks[: len(rows)]):
        if place < len(rows) - 1:
            yield block
        else:
            yield {rank: lines[: rows[-1]] for rank, lines in block.items()}


class _Streams:
    """Lines of several streams in one queue: all but those of stdout carry a mark."""

    MARK = "\ue0ff"

    def __init__(self) -> None:
        self._names = [STDOUT]
        self._used = False

    def marked(self, stream: str, lines: list[str]) -> list[str]:
        """The lines with the mark of their stream."""
        if stream == STDOUT and not any(line.startswith(self.MARK) for line in lines):
            return lines
        self._used = True
        if stream not in self._names:
            self._names.append(stream)
        mark = self.MARK + chr(0xE100 + self._names.index(stream))
        return [mark + line for line in lines]

    def split(self, block: Block) -> Iterator[tuple[str, Block]]:
        """The parts of a block that are of one stream each, without the marks."""
        if not self._used:
            yield STDOUT, block
            return
        parts: list[tuple[int, Block]] = []
        for row in zip(*block.values(), strict=True):
            here: dict[int, Block] = {}
            for rank, line in zip(block, row, strict=True):
                index, text = self._read(line)
                here.setdefault(index, {})[rank] = [text]
            for index, part in here.items():
                if (
                    parts
                    and parts[-1][0] == index
                    and parts[-1][1].keys() == part.keys()
                ):
                    for rank, lines in part.items():
                        parts[-1][1][rank] += lines
                else:
                    parts.append((index, part))
        for index, part in parts:
            yield self._names[index], part

    def _read(self, line: str) -> tuple[int, str]:
        if not line.startswith(self.MARK):
            return 0, line
        return ord(line[1]) - 0xE100, line[2:]

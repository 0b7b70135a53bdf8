"""The telemetry page of a rank: 8 KiB that its node reads while nothing of it answers.

A page is 1024 aligned 64-bit words, and every word has one writer: the rank's main
thread, or the controller of its fences (the node, another process). So no lock is
needed, and a rank that is blocked, holds the GIL, or is dead can still be read.

::

    words    0.. 63  head: who this is, what it does, the MPI call it is in
    words   64..127  texts: the run's name, where it holds, what it says
    words  128..639  8 families of points, 64 words each
    words  640..1023 the last 64 MPI calls and points, 6 words each

What takes several words is written under a sequence number that is odd meanwhile
(`write_record`), and read until it was the same before and after.

A family: main writes `C`, the last point that it came to; `AT`, the point where it
holds; `DONE`, the last point that it has looked over; `FROZEN`, how often it held by
itself. The controller writes `FENCE`: the point from which on main has to look, at
`HOLD`: the point from which on it has to hold, and at the slots of plans. FENCE is
never above HOLD, nor above the first point of a plan behind DONE; so a point at which
nothing is to be done costs one comparison.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Protocol

from steer.core.roundevents import FREE

SIZE = 8192
WORDS = SIZE // 8
MAGIC = 0x5354454552000001
"""The last two bytes are the layout's version."""

NOWHERE = -1
"""AT of a rank that does not hold."""

ARMED = -1
"""HOLD while the controller is in the middle of something: main waits. It is no point,
as 0 is where programs say `step=` themselves."""

FAMILIES = 8
FIRST_FAMILY = 128
FAMILY_WORDS = 64
PLANS = 8
PLAN_WORDS = 5
RING = 640
RING_LENGTH = 64
RING_WORDS = 6


class Words(Protocol):
    """A page, as `memoryview(...).cast("q")`; or anything that looks like one."""

    def __getitem__(self, place: int, /) -> int:
        """Read a word."""

    def __setitem__(self, place: int, value: int, /) -> None:
        """Write a word."""


class Head(enum.IntEnum):
    """Words of the head. Main's, unless it says otherwise."""

    MAGIC = 0
    PID = 1
    BEGAN = 2
    RANK = 3
    SIZE = 4
    STATE = 5
    FIN = 6
    """1: no family has a point any more."""
    FAMILIES = 7
    """How many there are; written behind a new one's words."""
    PROBE_SEEN = 8
    """The last PROBE_SENT at which main executed bytecode."""
    RING_AT = 9
    """How many entries the ring has had."""
    TOGETHER = 10
    """1: the last hold by itself was agreed on, all ranks hold at that point."""
    OP = 16
    """A record: sequence, operation, peer, tag, communicator, number, since (ns)."""
    PROBE_SENT = 32
    """The I/O thread's."""
    CONTROLLER = 40
    """The controller's: its pid; 0 while there is none."""
    BEAT = 41
    """The controller's: when it looked last (ns)."""


class State(enum.IntEnum):
    """What main does, as far as it says so itself."""

    STARTING = 0
    RUNNING = 1
    HELD = 2
    IN_JOB = 3
    POST_MORTEM = 4
    ENDED = 5


class Text(enum.Enum):
    """Records in the texts: (first word, words with the sequence number)."""

    RUN = (64, 8)
    SITE = (72, 12)
    CAUTION = (84, 20)
    SAYS = (104, 24)


class Family(enum.IntEnum):
    """Words of a family. First main's, ..."""

    C = 0
    AT = 1
    DONE = 2
    FROZEN = 3
    LOGICAL = 4
    DID = 5
    """The last point at which a plan was done."""
    LABEL = 6
    """A record of 10 words: "label" or "label@ranks"."""
    FENCE = 16
    """... from here on the controller's."""
    HOLD = 17
    EPOCH = 18
    CALM = 19
    """1: all are held, so main may sleep; 0: it has to let MPI go on."""
    THAWED = 20
    LAST_PLAN = 21
    """The highest number that a plan has had."""
    PLANS = 24


LABEL_WORDS = 10


class Plan(enum.IntEnum):
    """Words of a plan's slot, all the controller's."""

    NUMBER = 0
    """0: the slot is free. Written last, so that a slot in use is whole."""
    POINT = 1
    """No rank passes it before SURE."""
    SURE = 2
    """The point that was agreed on; NOWHERE before."""
    EVERY = 3
    UNTIL = 4
    """From that point on, not any more."""


def family_base(number: int) -> int:
    """Where a family's words begin."""
    return FIRST_FAMILY + number * FAMILY_WORDS


def plan_bases(base: int) -> range:
    """Where the plans of the family at `base` begin."""
    first = base + Family.PLANS
    return range(first, first + PLANS * PLAN_WORDS, PLAN_WORDS)


def plan_due(words: Words, slot: int, done: int) -> int:
    """The first point behind `done` at which main has to look at this plan; FREE if
    there is none. One that is not sure yet is to be waited for."""
    if not words[slot]:
        return FREE
    sure = words[slot + Plan.SURE]
    if sure == NOWHERE:
        return words[slot + Plan.POINT]
    every, until = words[slot + Plan.EVERY], words[slot + Plan.UNTIL]
    due = sure
    if sure <= done:
        if not every:
            return FREE
        due = sure + ((done - sure) // every + 1) * every
    return due if due < until else FREE


# -- records


def write_record(words: Words, at: int, values: list[int]) -> None:
    """Write several words that belong together."""
    sequence = words[at]
    words[at] = sequence + 1
    for place, value in enumerate(values, at + 1):
        words[place] = value
    words[at] = sequence + 2


def read_record(words: Words, at: int, length: int, tries: int = 100) -> list[int]:
    """Read what `write_record` wrote; empty if it was being written all the time, as
    by one that died in the middle."""
    for _ in range(tries):
        before = words[at]
        values = [words[place] for place in range(at + 1, at + length)]
        if not before & 1 and words[at] == before:
            return values
    return []


def write_text(words: Words, at: int, length: int, text: str) -> None:
    """Write a text, cut to what there is room for, at a whole character."""
    room = 8 * (length - 1)
    data = text.encode()[:room].decode(errors="ignore").encode()
    data = data.ljust(room, b"\0")
    values = [
        int.from_bytes(data[place : place + 8], "little", signed=True)
        for place in range(0, room, 8)
    ]
    write_record(words, at, values)


def read_text(words: Words, at: int, length: int) -> str:
    """Read what `write_text` wrote."""
    values = read_record(words, at, length)
    data = b"".join(value.to_bytes(8, "little", signed=True) for value in values)
    return data.rstrip(b"\0").decode(errors="replace")


@dataclasses.dataclass(frozen=True)
class Operation:
    """An MPI call, as the page has it."""

    code: int
    """0: none."""
    peer: int
    tag: int
    comm: int
    number: int
    """How many calls of its kind the communicator has had."""
    since: int
    """Nanoseconds of the monotonic clock."""


NO_OPERATION = Operation(0, 0, 0, 0, 0, 0)


def write_operation(words: Words, operation: Operation) -> None:
    """What main is about to do; NO_OPERATION when it has done it."""
    write_record(words, Head.OP, list(dataclasses.astuple(operation)))


def read_operation(words: Words) -> Operation:
    """What main does."""
    values = read_record(words, Head.OP, 7)
    return Operation(*values) if values else NO_OPERATION


def log(words: Words, kind: int, values: tuple[int, int, int, int], now: int) -> None:
    """Add a call or a point to the ring: the black box."""
    count = words[Head.RING_AT]
    at = RING + count % RING_LENGTH * RING_WORDS
    for place, value in enumerate((kind, *values, now), at):
        words[place] = value
    words[Head.RING_AT] = count + 1


def read_log(words: Words) -> list[list[int]]:
    """The ring, oldest first. An entry that may have been overwritten meanwhile is
    left out."""
    count = words[Head.RING_AT]
    numbers = range(max(0, count - RING_LENGTH), count)
    entries = []
    for number in numbers:
        at = RING + number % RING_LENGTH * RING_WORDS
        entries.append([words[at + place] for place in range(RING_WORDS)])
    overtaken = words[Head.RING_AT] - count + 1  # the next one may be half written
    lost = max(0, overtaken - (RING_LENGTH - len(entries)))
    return entries[lost:]


# -- making and looking


def begin(words: Words, pid: int, began: int, rank: int, size: int, run: str) -> None:
    """Make a new page of zeros one of this rank."""
    for place, value in (
        (Head.PID, pid), (Head.BEGAN, began), (Head.RANK, rank), (Head.SIZE, size),
    ):  # fmt: skip
        words[place] = value
    write_text(words, *Text.RUN.value, run)
    words[Head.MAGIC] = MAGIC


def add_family(words: Words, label: str, logical: bool) -> int:
    """Main: a new family; returns where its words begin.

    It begins armed, so that main holds at its first point until the controller has
    seen that there is one. ValueError if the page is full.
    """
    number = words[Head.FAMILIES]
    if number >= FAMILIES:
        raise ValueError(f"A rank has at most {FAMILIES} families of points.")
    base = family_base(number)
    first = NOWHERE if logical else 0
    for place, value in (
        (Family.C, first), (Family.AT, NOWHERE), (Family.DONE, first),
        (Family.DID, NOWHERE), (Family.LOGICAL, int(logical)),
    ):  # fmt: skip
        words[base + place] = value
    write_text(words, base + Family.LABEL, LABEL_WORDS, label)
    words[Head.FAMILIES] = number + 1
    return base


@dataclasses.dataclass(frozen=True)
class Where:
    """A family, as its page shows it."""

    label: str
    logical: bool
    point: int
    held: bool
    frozen: bool
    hold: int
    epoch: int


@dataclasses.dataclass(frozen=True)
class Picture:
    """A page, as it was just now."""

    pid: int
    began: int
    rank: int
    size: int
    run: str
    state: State
    finished: bool
    site: str
    says: str
    operation: Operation
    families: tuple[Where, ...]


def look(words: Words) -> Picture | None:
    """Read a page; None if it is not one of this version, or not ready yet."""
    if words[Head.MAGIC] != MAGIC:
        return None
    number = min(max(words[Head.FAMILIES], 0), FAMILIES)
    state = words[Head.STATE]
    known = state in State.__members__.values()
    return Picture(
        words[Head.PID],
        words[Head.BEGAN],
        words[Head.RANK],
        words[Head.SIZE],
        read_text(words, *Text.RUN.value),
        State(state) if known else State.STARTING,
        bool(words[Head.FIN]),
        read_text(words, *Text.SITE.value),
        read_text(words, *Text.SAYS.value),
        read_operation(words),
        tuple(_where(words, family_base(n)) for n in range(number)),
    )


def _where(words: Words, base: int) -> Where:
    return Where(
        read_text(words, base + Family.LABEL, LABEL_WORDS),
        bool(words[base + Family.LOGICAL]),
        words[base + Family.C],
        words[base + Family.AT] != NOWHERE,
        words[base + Family.FROZEN] > words[base + Family.THAWED],
        words[base + Family.HOLD],
        words[base + Family.EPOCH],
    )

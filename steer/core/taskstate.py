"""What the scheduler knows about tasks, functions, clients and engines.

A million of tasks may wait, so a `Record` is small and unknown to the garbage
collector (`gc=False`: it may therefore refer to nothing that refers back to it); what
only few tasks have is in `Extra`.

    waiting --needs are there--> ready --turn--> held --outcome--> done
       held --given back, or engine lost--> ready
       held --it waits for others--> away --it goes on--> held
       limbo --the hub that was started anew knows enough--> ready
       done --the client has its outcome--> forgotten
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

import msgspec

from steer.wire.messages import Needs, Outcome, Task, TaskOptions, TaskStatus

GUESS = 0.001
"""Seconds that a function is taken to need before it was measured."""


LOWEST = -(1 << 62)
"""Below all priorities."""


class Place(enum.Enum):
    """Where a task is."""

    LIMBO = "limbo"
    WAITING = "waiting"
    READY = "ready"
    HELD = "held"
    """On an engine, running or not; the first one of an engine runs."""
    AWAY = "away"
    """On an engine, where it waits for others and has given up its turn."""
    DONE = "done"


class Function(msgspec.Struct, gc=False, eq=False):
    """What was measured about a function."""

    mean: float = 0.0
    """Seconds, recent calls weigh more; 0 if it was never measured."""
    users: int = 0
    """Tasks that call it and are not forgotten."""

    def measured(self, seconds: float) -> None:
        """Note how long a call took."""
        if not self.mean:
            self.mean = seconds or 1e-7
        else:
            self.mean += (seconds - self.mean) * 0.1


class Record(msgspec.Struct, gc=False, eq=False):
    """One task."""

    task: Task
    client: str
    options: TaskOptions
    function: Function
    number: int
    """Counted up over all clients: names it among an engine's."""
    submitted: float = 0.0
    place: Place = Place.READY
    engine: int = -1
    expected: float = 0.0
    """Seconds that it counts in its engine's load."""
    last: bool = False
    """Whether a bundle ends with it."""
    outcome: Outcome | None = None
    extra: Extra | None = None

    def more(self) -> Extra:
        """Its extra, made when first asked for."""
        if self.extra is None:
            self.extra = Extra()
        return self.extra


@dataclasses.dataclass(slots=True)
class Count:
    """How many of those that a task waits for have ended, and how."""

    total: int
    all: bool
    success: bool
    failure: bool
    good: int = 0
    bad: int = 0

    def ended(self, ok: bool) -> None:
        """One more has ended."""
        if (self.success and ok) or (self.failure and not ok):
            self.good += 1
        else:
            self.bad += 1

    @property
    def met(self) -> bool:
        """Whether enough have ended as wanted."""
        return not self.total or self.good >= (self.total if self.all else 1)

    @property
    def hopeless(self) -> bool:
        """Whether that can never be."""
        return bool(self.total) and self.bad >= (1 if self.all else self.total)


@dataclasses.dataclass(slots=True)
class Gang:
    """The engines that run a task together, and what they said."""

    engines: tuple[int, ...] = ()
    outcomes: dict[int, Outcome] = dataclasses.field(default_factory=dict)
    failed: float | None = None
    """When the first of them failed."""


@dataclasses.dataclass(slots=True)
class Extra:
    """What few tasks have."""

    needs: Needs | None = None
    after: Count | None = None
    follow: Count | None = None
    missing: int = 0
    """Values that are not there yet."""
    values: dict[int, Outcome] = dataclasses.field(default_factory=dict)
    where: list[int] = dataclasses.field(default_factory=list)
    dependents: list[int] = dataclasses.field(default_factory=list)
    targets: frozenset[int] | None = None
    avoid: frozenset[int] = frozenset()
    """Engines where it failed: others are tried first."""
    unmet: frozenset[int] = frozenset()
    """Engines that may not run it."""
    near: int = -1
    tries: int = 0
    alone: bool = False
    """An engine was lost that held it: it may be the cause, so nothing shares its
    bundle."""
    resent: bool = False
    """An engine may have it since the time of an earlier hub."""
    doom: TaskStatus | None = None
    """It has to end, as this."""
    step: int = 0
    """Rung of the ladder that ends it: 1 interrupted, 2 killed."""
    since: float | None = None
    gang: Gang | None = None
    pool: tuple[frozenset[int] | None, frozenset[int], int] | None = None


class Client:
    """A client's unfinished tasks, and those whose outcomes it has not taken."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.here = True
        self.tasks: dict[int, Record] = {}
        self.bundles: dict[int, list[tuple[int, Sequence[int]]]] = {}
        """Answers on the way, by number: whose they were."""
        self.number = 0
        self.repeated: dict[int, int] = {}
        """Tasks whose answers were sent again: the number of the latest."""
        self.size = 0
        self.allowed = 0
        self.submitted = 0
        self.ended = 0
        self.failed = 0


class Engine:
    """An engine's tasks, in the order in which it runs them."""

    def __init__(self, number: int, host: str, world: str, size: int) -> None:
        self.id = number
        self.host = host
        self.world = world
        self.size = size
        self.held: dict[int, Record] = {}
        self.away: dict[int, Record] = {}
        self.load = 0.0
        """Seconds of work that it holds, as expected."""
        self.bundles = 0
        self.heard = 0.0
        """When it last gave a sign: its first task runs since then at the latest."""
        self.reserved: int = -1
        """Number of the task of several ranks that it is kept for."""
        self.oldest = -1
        """Number of the task that it runs, if it holds any."""
        self.asked: set[int] = set()
        """Numbers of tasks that it was asked to give back."""
        self.floor = LOWEST
        """It may run only tasks of a higher priority than this."""

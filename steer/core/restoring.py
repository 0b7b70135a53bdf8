"""After the hub was started anew: who has which task.

Clients send again what was not answered, engines say what they hold, in any order. A
task that was sent again is in *limbo* until it is known that no engine has it: the
engine that claims it keeps it, its outcome may even come before the task, and when the
time for coming back is over what nobody claimed starts like a new one. The shell tells
`Scheduler` how long that time is (none for a hub that has no past), and ends it earlier
if all engines are back. What engines claim for clients that are still away is
remembered much longer: a notebook may sleep.

A task of several ranks goes on when all of them have claimed it; ranks that did not
come back count as lost.
"""

from __future__ import annotations

from steer.core.dispatch import PREFETCH
from steer.core.taskevents import Key
from steer.core.taskstate import Engine, Gang, Place, Record
from steer.wire.messages import Outcome, TaskStatus

ABSENT = 3600.0
"""Seconds that a client may be away after a restart without its tasks running twice."""

LOST = b"the rank did not come back after the hub's restart"


class Restoring:
    """What engines said about tasks that their clients have not sent again."""

    def __init__(self, until: float | None) -> None:
        self.until = until
        self.past = until is not None
        """Whether engines may have tasks that this hub never saw."""
        self.found: dict[Key, dict[int, Outcome | None]] = {}
        """Engines that have a task, with its outcome if it has ended there."""
        self.limbo: dict[int, Record] = {}
        self._complete: set[str] = set()
        """Clients that have sent again all that they want."""

    def claim(self, engine: int, key: Key, outcome: Outcome | None = None) -> bool:
        """An engine has a task that no client has sent yet; says whether that is
        remembered."""
        if not self.past or key[0] in self._complete:
            return False
        self.note(engine, key, outcome)
        return True

    def note(self, engine: int, key: Key, outcome: Outcome | None = None) -> None:
        """An engine has this task."""
        claims = self.found.setdefault(key, {})
        claims[engine] = outcome or claims.get(engine)

    def all_sent(self, client: str) -> list[tuple[int, int]]:
        """A client has sent again all that it wants; returns whose outcomes of which
        tasks it has."""
        self._complete.add(client)
        mine = [key for key in self.found if key[0] == client]
        return [
            (engine, key[1])
            for key in mine
            for engine, outcome in self.found.pop(key).items()
            if outcome is not None
        ]

    def has(self, key: Key, outcome: Outcome) -> bool:
        """Whether this outcome waits for its client."""
        return any(o is outcome for o in self.found.get(key, {}).values())

    def take(self, key: Key) -> dict[int, Outcome | None]:
        """Who has a task that is sent again."""
        return self.found.pop(key, {})

    def wait(self, record: Record) -> bool:
        """A task may start; says whether it has to wait, since an engine may have
        it."""
        if self.until is None:
            return False
        record.place = Place.LIMBO
        self.limbo[record.number] = record
        return True

    def gone(self, engine: int) -> None:
        """What this engine had and had not finished, it has no more."""
        for key, claims in list(self.found.items()):
            if engine in claims and claims[engine] is None:
                del claims[engine]
                if not claims:
                    del self.found[key]

    def over(self) -> list[Record]:
        """The time is over: returns what has to start."""
        self.until = None
        left = [r for r in self.limbo.values() if r.place is Place.LIMBO]
        self.limbo.clear()
        return left

    def forget(self) -> list[tuple[int, Key]]:
        """Clients that are not back will not come; returns whose outcomes of which
        tasks nobody wants."""
        self.past = False
        ended = [
            (engine, key)
            for key, claims in self.found.items()
            for engine, outcome in claims.items()
            if outcome is not None
        ]
        self.found.clear()
        return ended


def sift(
    record: Record, claims: dict[int, Outcome | None], engines: dict[int, Engine]
) -> tuple[int, Outcome | None]:
    """What the claims on a plain task come to: the engine that has it, and its outcome
    if it has ended; -1 if it has to start, perhaps once more.

    There are several if it was tried more than once: those that failed are no last word
    as long as another has it, or may still have it.
    """
    extra = record.more()
    failed: list[tuple[float, int, Outcome]] = []
    for number, outcome in claims.items():
        if outcome is None:
            continue
        if outcome.status == TaskStatus.UNMET:
            extra.unmet |= {number}
        elif outcome.status == TaskStatus.RETRYABLE:
            extra.avoid |= {number}
            failed.append((outcome.started, number, outcome))
        else:
            extra.avoid |= set(claims)
            return number, outcome
    extra.tries = len(failed)
    for number, outcome in claims.items():
        if outcome is None and number in engines:
            return number, None
    if extra.tries > record.options.retries:
        _, number, outcome = max(failed)
        return number, outcome
    return -1, None


def hold(record: Record, engine: Engine) -> None:
    """Book a task on the engine that says that it has it."""
    record.place = Place.HELD
    record.engine = engine.id
    record.expected = record.function.mean or PREFETCH
    record.last = True
    engine.held[record.number] = record
    engine.load += record.expected
    engine.bundles += 1


def regroup(
    record: Record, claims: dict[int, Outcome | None], engines: dict[int, Engine]
) -> None:
    """Book a task of several ranks on those that have it. They are in order of their
    ids, as when it was started."""
    hers = sorted(claims)
    gang = record.more().gang = Gang(tuple(hers))
    gang.outcomes = {e: o for e, o in claims.items() if o is not None}
    missing = record.options.ranks - len(hers)
    if missing > 0:
        gang.engines += (-1,) * missing
        gang.outcomes[-1] = Outcome(record.task.id, TaskStatus.LOST, LOST)
    record.place = Place.HELD
    record.engine = -2
    record.expected = record.function.mean or PREFETCH
    for number in hers:
        engine = engines.get(number)
        if engine is not None and number not in gang.outcomes:
            engine.held[record.number] = record
            engine.load += record.expected
            engine.bundles += 1

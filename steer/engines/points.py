"""Steering points: `steer.point()` and `steer.loop()`, on the main thread of a rank.

A point counts, then compares the count with the fence on the rank's page; that is all,
as long as nobody wants anything: some tenths of a microsecond. Without a session it
is less: one look at a global.

At a fence the rank walks slowly (`point_at`). What it has to do follows from the page
alone, in this order: hold while a controller is in the middle of something, or while a
plan may be due here and is not sure; do the plans that are due; hold while it has to.
It may only go on from a look that it began with AT cleared, because a controller that
sees AT set counts on it to stay. While it holds, the engine runs what users ask for;
then points do nothing (a held rank must not count further than others).

What the words mean is in steer/core/page.py, the controller's side in
steer/core/fences.py. Only the main thread may come to points; elsewhere they do
nothing.
"""

from __future__ import annotations

import operator
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar

from steer.core import page
from steer.core.labels import LONGEST, digest, short
from steer.core.page import ARMED, NOWHERE, Family, Head, Plan, State, Words
from steer.core.roundevents import FURTHEST
from steer.ranks import RankSet

Item = TypeVar("Item")

LABEL = "step"
"""The family of a point that names none."""

OTHER_THREAD = "Steering points are for the main thread only."


class Engine(Protocol):
    """What the rank's engine does for its points."""

    def arrive(self) -> None:
        """It is about to hold: write down where."""

    def ring(self) -> None:
        """Tell the controller that there is something new on the page."""

    def wait(self, calm: bool) -> None:
        """Rest until something may have changed, or run what a user wants; let MPI
        go on meanwhile unless all are held (`calm`)."""

    def has(self, plan: int) -> bool:
        """Whether it knows what is to be done for this plan."""

    def apply(self, plan: int, point: int) -> None:
        """Do it. Errors are its own affair."""

    def family_here(self, label: str, logical: bool, comm: Any) -> None:
        """A new family is about to hold at its first point."""


_off = True
"""Points do nothing: no session, or something is being run while the rank holds."""
_session: Session | None = None
_ident = threading.get_ident
_main = 0
"""The thread that comes to points; another one's must not count in its place."""
_watches_forks = False
_count = 0
"""The last point of the family without a name, also where the page has it."""
_NOBODY: Words = [0] * 32
_plain: Words = _NOBODY
"""That family's words; before there is one, words whose fence lets a point look."""

# Numbers, because a member of an enum costs as much as the whole point.
_C, _AT, _DONE, _FROZEN, _LOGICAL, _DID, _FENCE, _HOLD, _CALM, _THAWED = map(
    int,
    (
        Family.C, Family.AT, Family.DONE, Family.FROZEN, Family.LOGICAL, Family.DID,
        Family.FENCE, Family.HOLD, Family.CALM, Family.THAWED,
    ),
)  # fmt: skip
_POINT, _SURE = int(Plan.POINT), int(Plan.SURE)


def point(
    label: str | None = None, step: int | None = None, comm: Any = None
) -> None:
    """A place at which all ranks can be stopped together.

    Points of one `label` and communicator are a family: they are counted, or numbered
    by `step`, which must grow. Without a session this does nothing.
    """
    global _count
    if _off:
        return
    if label is None and step is None and comm is None and _ident() == _main:
        _count = count = _count + 1
        _plain[0] = count  # _C, and below _FENCE: as constants they are faster
        if count < _plain[16]:
            return
    assert _session is not None
    _session.point(label, step, comm)


assert (_C, _FENCE) == (0, 16)


def loop(
    items: Iterable[Item], label: str | None = None, *, comm: Any = None
) -> Iterator[Item]:
    """The items, with a point before each."""
    global _count
    if label is None and comm is None:
        thread = _ident()  # asked once, and not before each item
        for item in items:
            if _off or thread != _main:
                point()
            else:  # as in `point`, at two thirds of the cost
                _count = count = _count + 1
                _plain[0] = count
                if count >= _plain[16]:
                    assert _session is not None
                    _session.point(None, None, None)
            yield item
    else:
        for item in items:
            point(label, comm=comm)
            yield item


class Session:
    """The points of this process while it can be steered."""

    def __init__(self, words: Words, engine: Engine) -> None:
        self._words = words
        self._engine = engine
        self._families: dict[object, int] = {}
        """By label; with a communicator, by both."""
        self._named: dict[str, int] = {}
        """By what the page calls them: label and members."""
        self._comms: dict[int, Any] = {}
        """Communicators by id; held, so that no other can get the same."""
        self._comm_of: dict[int, Any] = {}
        """By family, for those that have one."""
        self._default = 0
        """Where the family without a name begins; 0: there is none yet."""
        self._here = 0
        """The family at whose point something is being done."""
        self._done: dict[int, set[tuple[int, int]]] = {}
        """Plans that were done at a point, by family; only of its last point."""
        self._thread = threading.get_ident()
        self._told: set[str] = set()

    def begin(self) -> None:
        """From now on points count; to be called on the main thread."""
        global _off, _plain, _session, _count, _main, _watches_forks
        if not _watches_forks:
            _watches_forks = True
            os.register_at_fork(after_in_child=_leave_off)
        _session, _plain, _count = self, _NOBODY, 0
        _main, _off = self._thread, False
        self._words[Head.STATE] = State.RUNNING

    def end(self, *, failed: bool = False) -> None:
        """The program is over: no more points.

        One that has failed has not come to its end: others may stop without it.
        """
        global _off, _session, _plain
        _off, _session, _plain = True, None, _NOBODY
        self._words[Head.FIN] = int(not failed)
        self._words[Head.STATE] = State.POST_MORTEM if failed else State.ENDED
        self._engine.ring()

    def point(self, label: str | None, step: int | None, comm: Any) -> None:
        """Come to a point that is not one of those where nothing is to be done."""
        global _count
        if threading.get_ident() != self._thread:
            self._warn(OTHER_THREAD)
            return
        if step is not None and (step := self._number(step)) is None:
            return
        name = str(label or LABEL)
        key: object = name if comm is None else (name, id(comm))
        base = self._families.get(key)
        new = base is None
        if base is None:
            base = self._make(key, name, step is not None, comm)
        if not base:
            return
        words = self._words
        if step is not None:
            if not words[base + _LOGICAL] or step <= words[base]:
                self._warn(
                    f"point(step={step}) does nothing: steps of one family all have "
                    "numbers, and these grow."
                )
                return
            count = step
        elif words[base + _LOGICAL]:
            self._warn("point() does nothing where other points say step=.")
            return
        elif base == self._default:
            if label is not None or new:
                _count = words[base] + 1
            count = _count
        else:
            count = words[base] + 1
        words[base] = count
        if count >= words[base + _FENCE]:
            self.point_at(base, count)

    def hold(self, why: str, label: str | None = None) -> bool:
        """Hold here until a user lets go, whatever the others do; says whether it could
        hold: before the first point, in a cell and on other threads it cannot."""
        base = self._families.get(label or LABEL)
        if base is None and label is None:
            base = next(iter(self._named.values()), None)
        if not base or _off or threading.get_ident() != self._thread:
            return False
        self._freeze(base, why, False)
        self.point_at(base, self._words[base])
        return True

    def freeze(self, why: str, *, together: bool = False) -> None:
        """The same for what is done at a point: hold there when it is over. `together`
        if all ranks have agreed to."""
        self._freeze(self._here, why, together)

    def communicator(self) -> Any:
        """The same: of the ranks that do it; None is the world."""
        return self._comm_of.get(self._here)

    def _freeze(self, base: int, why: str, together: bool) -> None:
        words = self._words
        page.write_text(words, *page.Text.SAYS.value, why)
        words[Head.TOGETHER] = int(together)
        words[base + _FROZEN] += 1

    # -- families

    def _make(self, key: object, label: str, logical: bool, comm: Any) -> int:
        """Make a family; 0 if there can be none. A mistake must not end a program that
        would run without us."""
        self._families[key] = 0
        if comm is not None and not comm:
            return 0  # COMM_NULL: this rank takes no part
        if comm is not None and not hasattr(comm, "Get_group"):
            self._warn(f"point() does nothing: {comm!r} is no communicator.")
            return 0
        name = short(label)
        name = name if comm is None else f"{name}@{_identity(comm)}"
        if comm is not None:
            self._comms[id(comm)] = comm
        base = self._named.get(name, 0)
        if base:  # of another communicator of the same ranks
            self._families[key] = base
            return base
        try:
            base = page.add_family(self._words, name, logical)
        except ValueError as error:
            self._warn(f"point() does nothing for {label!r}: {error}")
            return 0
        self._comm_of[base] = comm
        self._families[key] = self._named[name] = base
        self._done[base] = set()
        self._engine.family_here(name, logical, comm)
        if key == LABEL and not logical:
            global _plain
            self._default = base
            words = self._words
            _plain = (
                words[base:] if isinstance(words, memoryview) else _From(base, words)
            )
        return base

    def _number(self, step: Any) -> int | None:
        """A step as it can be counted; None if it cannot."""
        try:
            number = operator.index(step)
        except TypeError:
            self._warn(f"point(step={step!r}) does nothing: steps are whole numbers.")
            return None
        if number < 0:
            self._warn(f"point(step={number}) does nothing: steps are from 0 on.")
            return None
        if number > FURTHEST:
            self._warn(f"point(step={number}) does nothing: the last is {FURTHEST:,}.")
            return None
        return number

    def _warn(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            warnings.warn(text, stacklevel=4)

    # -- at a fence

    def point_at(self, base: int, c: int) -> None:
        """Do and wait for what there is at the point `c` of the family at `base`."""
        if threading.get_ident() != self._thread:
            self._warn(OTHER_THREAD)
            return
        words, done = self._words, self._done[base]
        while True:
            hold = words[base + _HOLD]  # before the plans: see Fences.prepare
            wait, due = self._look(base, c)
            if wait or hold == ARMED:
                self._hold(base, c)
            elif due:
                words[base + _DID] = c
                for plan in due:
                    done.add((plan, c))
                    self._here = base
                    self._apply(plan, c)
            elif c >= hold or words[base + _FROZEN] > words[base + _THAWED]:
                self._hold(base, c)
            else:
                break
        done.clear()
        words[base + _DONE] = c

    def _look(self, base: int, c: int) -> tuple[bool, list[int]]:
        """Whether it has to wait for a plan, and the plans that are due."""
        words, slots = self._words, page.plan_bases(base)
        for slot in slots:
            number = words[slot]
            unsure = number and words[slot + _SURE] == NOWHERE
            if unsure and words[slot + _POINT] <= c and words[slot] == number:
                return True, []
        # Only now: what was not sure a moment ago may have ended another plan.
        done, last = self._done[base], words[base + _DONE]
        due = []
        for slot in slots:
            number = words[slot]
            if not number or (number, c) in done or words[slot + _SURE] == NOWHERE:
                continue
            if page.plan_due(words, slot, last) > c:
                continue
            if words[slot] != number or not self._engine.has(number):
                return True, []  # given to another; or what to do is on its way
            due.append(number)
        return False, sorted(due)

    def _apply(self, plan: int, c: int) -> None:
        global _off
        was, _off = _off, True
        try:
            self._engine.apply(plan, c)
        finally:
            _off = was

    def _hold(self, base: int, c: int) -> None:
        """Hold until there is a reason to look again."""
        global _off
        words, engine = self._words, self._engine
        before, words[Head.STATE] = words[Head.STATE], State.HELD
        was, _off = _off, True  # what users run now must not count
        engine.arrive()
        words[base + _AT] = c
        try:
            engine.ring()
            while self._has_to_hold(base, c):
                engine.wait(bool(words[base + _CALM]))
        finally:
            words[base + _AT] = NOWHERE
            words[Head.STATE] = before
            _off = was

    def _has_to_hold(self, base: int, c: int) -> bool:
        words = self._words
        hold = words[base + _HOLD]
        wait, due = self._look(base, c)
        if wait or hold == ARMED:
            return True
        if due:
            return False
        return c >= hold or words[base + _FROZEN] > words[base + _THAWED]


def world_ranks(comm: Any) -> list[int]:
    """The members of a communicator, as ranks of the world."""
    from mpi4py import MPI

    group, world = comm.Get_group(), MPI.COMM_WORLD.Get_group()
    members: list[int] = MPI.Group.Translate_ranks(group, None, world)
    group.Free()
    world.Free()
    return members


def _identity(comm: Any) -> str:
    """What a communicator is known by on all its ranks: its members."""
    text = str(RankSet(world_ranks(comm)))
    if len(text) <= LONGEST:
        return text
    return digest(text)


def _leave_off() -> None:
    """In the child of a fork, which has the page too, and is not the rank."""
    global _off, _session, _plain
    _off, _session, _plain = True, None, _NOBODY


class _From:
    """Words from a place on, of what has no views."""

    def __init__(self, base: int, words: Words) -> None:
        self._base = base
        self._words = words

    def __getitem__(self, place: int) -> int:
        return self._words[self._base + place]

    def __setitem__(self, place: int, value: int) -> None:
        self._words[self._base + place] = value

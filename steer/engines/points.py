"""Steering points: `steer.point()` and `steer.loop()`, on the main thread of a rank.

A point counts, then compares the count with the fence on the rank's page; that is all,
as long as nobody wants anything: about a tenth of a microsecond. Without a session it
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

import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar

from steer.core import page
from steer.core.page import NOWHERE, Family, Head, Plan, State, Words

Item = TypeVar("Item")

LABEL = "step"
"""The family of a point that names none."""


class Engine(Protocol):
    """What the rank's engine does for its points."""

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
_plain: Words = [0] * 32
"""The words of the first family without a name, from its base on."""
_C, _FENCE = int(Family.C), int(Family.FENCE)
_session: Session | None = None


def point(
    label: str | None = None, *, step: int | None = None, comm: Any = None
) -> None:
    """A place at which all ranks can be stopped together.

    Points of one `label` and communicator are a family: they are counted, or numbered
    by `step`, which must grow. Without a session this does nothing.
    """
    if _off:
        return
    if label is None and step is None and comm is None:
        words = _plain
        count = words[_C] + 1
        words[_C] = count
        if count < words[_FENCE]:
            return
    assert _session is not None
    _session.point(label, step, comm)


def loop(
    items: Iterable[Item], label: str | None = None, *, comm: Any = None
) -> Iterator[Item]:
    """The items, with a point before each."""
    if label is None and comm is None:
        for item in items:
            point()
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
        self._families: dict[tuple[str, object], int] = {}
        self._done: dict[int, set[tuple[int, int]]] = {}
        """Plans that were done at a point, by family; only of its last point."""
        self._thread = threading.get_ident()
        self._told: set[str] = set()

    def begin(self) -> None:
        """From now on points count; to be called on the main thread."""
        global _off, _plain, _session
        _session = self
        # The fence 0 lets the first point come to us, who then make the family.
        _plain = [0] * 32
        _off = False
        self._words[Head.STATE] = State.RUNNING

    def end(self) -> None:
        """The program is over: no more points."""
        global _off, _session
        _off, _session = True, None
        self._words[Head.FIN] = 1
        self._words[Head.STATE] = State.ENDED
        self._engine.ring()

    def point(self, label: str | None, step: int | None, comm: Any) -> None:
        """Come to a point that is not one of those where nothing is to be done."""
        plain = label is None and step is None and comm is None
        if threading.get_ident() != self._thread:
            self._warn("Steering points count on the main thread only.")
            return
        key = (label or LABEL, None if comm is None else self._identity(comm))
        base = self._families.get(key)
        if base is None:
            base = self._make(key, step is not None, comm)
            plain = False
        words = self._words
        if step is not None:
            if not words[base + Family.LOGICAL] or step <= words[base + Family.C]:
                self._warn(
                    f"point(step={step}) does nothing: steps of one family all have "
                    "numbers, and these grow."
                )
                return
            words[base + Family.C] = step
        elif words[base + Family.LOGICAL]:
            self._warn("point() does nothing where other points say step=.")
            return
        elif not plain:
            words[base + Family.C] += 1
        count = words[base + Family.C]
        if count >= words[base + Family.FENCE]:
            self.point_at(base, count)

    def hold(self, why: str, label: str | None = None) -> None:
        """Hold here until a user lets go, whatever the others do."""
        base = self._families.get((label or LABEL, None))
        if base is None:
            return
        words = self._words
        page.write_text(words, *page.Text.SAYS.value, why)
        words[base + Family.FROZEN] += 1
        self.point_at(base, words[base + Family.C])

    # -- families

    def _make(self, key: tuple[str, object], logical: bool, comm: Any) -> int:
        label = key[0] if comm is None else f"{key[0]}@{key[1]}"
        base = page.add_family(self._words, label, logical)
        self._families[key] = base
        self._done[base] = set()
        self._engine.family_here(label, logical, comm)
        if key == (LABEL, None) and not logical:
            global _plain
            # A view that begins at the family: one index less at each point.
            words = self._words
            _plain = words[base:] if isinstance(words, memoryview) else _From(base, words)
        return base

    def _identity(self, comm: Any) -> object:
        """What a communicator is known by on all its ranks: its members."""
        from mpi4py import MPI

        group, world = comm.Get_group(), MPI.COMM_WORLD.Get_group()
        members = MPI.Group.Translate_ranks(group, None, world)
        group.Free()
        world.Free()
        return ",".join(map(str, members))

    def _warn(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            warnings.warn(text, stacklevel=4)

    # -- at a fence

    def point_at(self, base: int, c: int) -> None:
        """Do and wait for what there is at the point `c` of the family at `base`."""
        words = self._words
        done = self._done[base]
        while True:
            hold = words[base + Family.HOLD]  # before the plans: see Fences.prepare
            wait, due = self._look(base, c)
            if wait or hold == 0:
                self._hold(base, c)
            elif due:
                words[base + Family.DID] = c
                for plan in due:
                    done.add((plan, c))
                    self._apply(plan, c)
            elif c >= hold or words[base + Family.FROZEN] > words[base + Family.THAWED]:
                self._hold(base, c)
            else:
                break
        done.clear()
        words[base + Family.DONE] = c

    def _look(self, base: int, c: int) -> tuple[bool, list[int]]:
        """Whether it has to wait for a plan, and the plans that are due."""
        words, slots = self._words, page.plan_bases(base)
        for slot in slots:
            number = words[slot]
            unsure = number and words[slot + Plan.SURE] == NOWHERE
            if unsure and words[slot + Plan.POINT] <= c and words[slot] == number:
                return True, []
        # Only now: what was not sure a moment ago may have ended another plan.
        done, last = self._done[base], words[base + Family.DONE]
        due = []
        for slot in slots:
            number = words[slot]
            if not number or (number, c) in done or words[slot + Plan.SURE] == NOWHERE:
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
        words[base + Family.AT] = c
        try:
            engine.ring()
            while self._has_to_hold(base, c):
                engine.wait(bool(words[base + Family.CALM]))
        finally:
            words[base + Family.AT] = NOWHERE
            words[Head.STATE] = before
            _off = was

    def _has_to_hold(self, base: int, c: int) -> bool:
        words = self._words
        hold = words[base + Family.HOLD]
        wait, due = self._look(base, c)
        if wait or hold == 0:
            return True
        if due:
            return False
        return (
            c >= hold or words[base + Family.FROZEN] > words[base + Family.THAWED]
        )


class _From:
    """Words from a place on, of what has no views."""

    def __init__(self, base: int, words: Words) -> None:
        self._base = base
        self._words = words

    def __getitem__(self, place: int) -> int:
        return self._words[self._base + place]

    def __setitem__(self, place: int, value: int) -> None:
        self._words[self._base + place] = value

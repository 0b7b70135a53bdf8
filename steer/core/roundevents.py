"""What can happen to the steering of runs, and what it can want done.

Events go into `Rounds.handle`, actions come out of it. A *run* is one program on some
ranks, a *family* its points of one communicator and label. Ranks are numbered as the
hub numbers engines. What many ranks say alike is said once, with their set.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from steer.core.events import Action, Event
from steer.ranks import RankSet

FREE = (1 << 62) - 1
"""A fence at this point holds nobody."""

FURTHEST = 1 << 53
"""The highest point that can be asked for; sums of two are points still."""

NOBODY = RankSet()


class Asker(msgspec.Struct, frozen=True, gc=False):
    """Who wants something: the request that is to be answered, and the user."""

    id: str
    who: str = ""


class Place(enum.Enum):
    """Where a rank is that keeps a round waiting."""

    HELD = "held"
    RUNNING = "running"
    BLOCKED = "blocked"
    NATIVE = "native"
    """In native code that holds the GIL: nothing of the rank answers."""
    FINISHED = "finished"
    FAILED = "failed"
    DEAD = "dead"
    SILENT = "silent"
    """Its host did not answer."""


class Sight(msgspec.Struct, frozen=True):
    """What a rank's page and stack say."""

    place: Place
    point: int = 0
    """The last point that it came to."""
    age: float = 0.0
    """Seconds since then."""
    text: str = ""
    """What it does: `Recv(source=0, tag=7)`."""
    where: str = ""
    """`halo.py:61`."""
    waits_for: RankSet = NOBODY
    any_will_do: bool = False
    """One of these ranks is enough, as with ANY_SOURCE."""


# -- what ranks and nodes say


class RunHere(Event, frozen=True):
    """A program began on these ranks."""

    run: str
    ranks: RankSet


class FamilyHere(Event, frozen=True):
    """A rank came to its first point of a family; `ranks` are all its members."""

    run: str
    family: str
    ranks: RankSet
    label: str = "step"
    logical: bool = False
    """Points have the user's own numbers, which may leave some out."""
    before: dict[str, int] = msgspec.field(default_factory=dict)
    """Families that the rank has come to points of before, and the last of these."""


class Position(Event, frozen=True):
    """How far the ranks of a family are, now and then."""

    family: str
    high: int
    rate: float = 0.0
    """Points a second of the fastest."""


class Next(Event, frozen=True):
    """Answers to Arm: the first point that none of these ranks has passed."""

    family: str
    epoch: int
    ranks: RankSet
    point: int
    low: int = 0
    """The lowest that one of them answered; 0: all the same."""
    finished: RankSet = NOBODY
    """Those of them that will come to no point any more."""


class Held(Event, frozen=True):
    """These ranks wait at a point that was committed."""

    family: str
    epoch: int
    ranks: RankSet
    point: int
    site: str = ""
    """Where in the program: `sim.py:40`."""
    warning: str = ""
    """What makes communication unsafe there: "a receive from any source is open"."""


class Withdrew(Event, frozen=True):
    """These ranks went on: their holds were not committed in time."""

    family: str
    epoch: int
    ranks: RankSet


class Has(Event, frozen=True):
    """These ranks know what is to be done: answers to Hand."""

    family: str
    plan: int
    ranks: RankSet
    no: str = ""
    """Why it may not be done there: a parameter's value is out of its range."""
    strange: bool = False
    """It does not concern these ranks: they have none of these parameters."""


class Voted(Event, frozen=True):
    """Answers to Prepare: none of these ranks has passed this point."""

    family: str
    plan: int
    ranks: RankSet
    point: int
    finished: RankSet = NOBODY


class Applied(Event, frozen=True):
    """These ranks did what was planned, at this point."""

    family: str
    plan: int
    ranks: RankSet
    point: int
    error: str = ""
    seconds: float = 0.0


class Froze(Event, frozen=True):
    """These ranks hold by themselves, or (`hold` is false) ask for a stop."""

    family: str
    ranks: RankSet
    point: int
    why: str
    hold: bool = True
    together: bool = False
    """They agreed about it: all hold at this point."""


class Finished(Event, frozen=True):
    """The program ended on these ranks."""

    run: str
    ranks: RankSet


class Lost(Event, frozen=True):
    """These ranks will not go on: they died, or an error keeps them in post-mortem."""

    run: str
    ranks: RankSet
    how: str
    """Ends a sentence: "was killed by SIGKILL", "failed with ZeroDivisionError"."""


class Seen(Event, frozen=True):
    """An answer to Look."""

    family: str
    ranks: RankSet
    sight: Sight


# -- what users want


class Stop(Event, frozen=True):
    """All ranks shall hold at one point: the next that all can, or `point`."""

    asker: Asker
    family: str
    point: int = 0
    advance: int = 0
    """How often to try a point further if the ranks cannot come to it together."""


class Go(Event, frozen=True):
    """On with it; also takes back a stop that is under way."""

    asker: Asker
    family: str


class Step(Event, frozen=True):
    """Go to the n-th point from here."""

    asker: Asker
    family: str
    n: int = 1


class Advance(Event, frozen=True):
    """The ranks cannot come to this point together: try one further."""

    asker: Asker
    family: str
    n: int = 1


class Here(Event, frozen=True):
    """Be content with where the ranks are."""

    asker: Asker
    family: str


class Plan(Event, frozen=True):
    """Do something at a point, on all ranks, without stopping."""

    asker: Asker
    family: str
    verb: str
    """"set" or "run"."""
    text: str
    """For people and the journal: `dt=0.01`."""
    body: bytes = b""
    """What the ranks are to do; not looked into here."""
    point: int = 0
    """0: as soon as all can."""
    ahead: int = 0
    """So many points from now, instead."""
    every: int = 0
    """Again after so many points."""


class Unplan(Event, frozen=True):
    """Do it no more."""

    asker: Asker
    family: str
    plan: int
    point: int = 0
    """From that point on; 0: as soon as all can."""


Verb = Stop | Go | Step | Advance | Here | Plan | Unplan


class Tick(Event, frozen=True):
    """The deadline has come."""


# -- what is to be done


class Adopt(Action, frozen=True):
    """There is a family on these ranks' pages: do what was ordered for it before, or
    let them go on."""

    family: str
    ranks: RankSet


class Arm(Action, frozen=True):
    """Let these ranks hold at the next point that they can, but not before `goal`."""

    family: str
    epoch: int
    ranks: RankSet
    goal: int = 0


class Commit(Action, frozen=True):
    """Let them go on to this point, hold there, and say so."""

    family: str
    epoch: int
    ranks: RankSet
    point: int


class Rest(Action, frozen=True):
    """All are held: they need not let MPI go on any more, and may sleep."""

    family: str
    epoch: int
    ranks: RankSet


class Release(Action, frozen=True):
    """Let them go."""

    family: str
    epoch: int
    ranks: RankSet


class Hand(Action, frozen=True):
    """Let these ranks have what is to be done. It comes before Prepare, so that no rank
    has to wait for it at the point where it is due."""

    family: str
    plan: int
    ranks: RankSet
    verb: str
    body: bytes
    text: str


class Prepare(Action, frozen=True):
    """Let no rank pass `goal`, or its next point if that is later, without knowing
    whether it has to do this there; each says which point it is."""

    family: str
    plan: int
    ranks: RankSet
    goal: int
    every: int = 0
    ends: int = 0
    """From that point on, another plan is over; nothing else is done."""
    ahead: int = 0
    """So many points behind its next one, where that is later than `goal`."""


class Confirm(Action, frozen=True):
    """That is the point."""

    family: str
    plan: int
    ranks: RankSet
    point: int


class Withdraw(Action, frozen=True):
    """Nothing comes of it."""

    family: str
    plan: int
    ranks: RankSet


class Clear(Action, frozen=True):
    """All have done it: make room. A page keeps what was done where a rank still is."""

    family: str
    plan: int
    ranks: RankSet


class Thaw(Action, frozen=True):
    """Let go those that hold by themselves."""

    family: str
    ranks: RankSet


class Look(Action, frozen=True):
    """Find out what these ranks do, and answer with Seen."""

    family: str
    ranks: RankSet


class Kind(enum.Enum):
    """What news is about."""

    STOPPED = "stopped"
    WENT = "went"
    WAITING = "waiting"
    HERE = "here"
    ENDING = "ending"
    OVER = "over"
    REFUSED = "refused"
    FROZE = "froze"
    LOST = "lost"
    PLANNED = "planned"
    DONE = "done"
    DROPPED = "dropped"


class Tell(Action, frozen=True):
    """News for all who watch the run; the askers named have their answer with it."""

    family: str
    kind: Kind
    text: str
    """A sentence."""
    answers: tuple[str, ...] = ()
    """Ids of requests; only WAITING leaves one open."""
    point: int = 0
    ranks: RankSet = NOBODY
    facts: dict[str, Any] = msgspec.field(default_factory=dict)


class Note(Action, frozen=True):
    """For the journal: this was done to the run, at this point."""

    family: str
    verb: str
    point: int
    ranks: RankSet
    text: str
    who: str
    body: bytes = b""
    """What was done, as the ranks got it."""
    plan: int = 0
    every: int = 0
    ends: int = 0
    """The plan that is over from that point on."""

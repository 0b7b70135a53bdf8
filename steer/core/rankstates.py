"""What one rank is doing, told apart by what is known of it from all sides.

Facts come from four witnesses, each of which can tell what the others cannot::

    the process watch    dead, with its signal; its host does not answer
    the hub              nothing runs there; held at a point; its last cell failed
    the rank's I/O thread    the line main is at, the MPI call, since when nothing moved
    a signal to faulthandler    the line of a rank whose I/O thread is silent

`tell` weighs them in this order: the dead do not compute, whatever they said last; and
a rank whose I/O thread is silent while its process runs holds the GIL in native code.
That it runs is seen by its stack, which it writes itself; without one, or if the kernel
says that it is stopped, it does not answer, and that is all that is known.

Times are seconds on one clock, that of whoever asked. A rank says for how long nothing
has moved; `moved` is therefore the latest moment at which it can have moved (the
answer's arrival less that age), and `seen` the earliest at which it can have looked
(when it was asked). Between the two it has run no bytecode, however long the answer
travelled.
"""

from __future__ import annotations

import enum

import msgspec

ANY = -1
"""As a peer or a tag: any (MPI.ANY_SOURCE, MPI.ANY_TAG)."""
UNKNOWN = -2
"""As a peer, a tag or a root: could not be found out."""


class Doing(enum.StrEnum):
    """The states; the words are what a user reads."""

    PYTHON = "computing"
    NATIVE = "in native code"
    HOLDING = "in native code with the GIL"
    MPI = "blocked"
    HELD = "held"
    POST_MORTEM = "post-mortem"
    FINISHED = "finished"
    DEAD = "dead"
    SILENT = "not answering"
    UNREACHABLE = "unreachable"


class Spot(msgspec.Struct, frozen=True, array_like=True, gc=False, cache_hash=True):
    """A place in a program."""

    file: str = ""
    line: int = 0
    function: str = ""

    def __str__(self) -> str:
        name = self.file.rpartition("/")[2]
        return f"{name}:{self.line}" if name and self.line else name


class Comm(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A communicator, named alike on all its ranks."""

    ranks: str
    """Its members as ranks of the world, written `0-3`; the order is not kept."""
    name: str = ""
    """`WORLD`, `SELF`, or the how manyth duplicate it is; part of its identity."""
    text: str = ""
    """What the program calls it where it was seen, or has named it: `row`; for showing
    only."""
    sure: bool = False
    """Whether another communicator of the same ranks would have another name."""
    whole: bool = True
    """Whether all its members are in this world."""

    @property
    def key(self) -> tuple[str, str]:
        """What makes it one communicator on all ranks."""
        return self.ranks, self.name


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message that a call waits for: to or from a rank of the world."""

    peer: int = ANY
    tag: int = ANY


class Call(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A call of MPI that has not returned."""

    op: str
    comm: Comm | None = None
    """None if it could not be found out."""
    send: Message | None = None
    receive: Message | None = None
    root: int = UNKNOWN
    number: int = 0
    """Which collective on this communicator, from 1; 0 if nobody counted."""
    size: int = 0
    """Bytes that this rank gives to it; -1 if unknown."""
    guessed: bool = False
    """Only the text of the line says so: to be shown, never to be judged by."""


class Open(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What else of this rank may still move messages while main is blocked."""

    requests: int = 0
    """Operations begun and not complete."""
    size: int = 0
    """Their bytes; -1 if unknown."""
    threads: tuple[str, ...] = ()
    """Other threads of the user's, by name: any of them may call MPI."""


class Look(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a rank's I/O thread says of its main thread."""

    spot: Spot
    """The user's innermost line."""
    native: str = ""
    """The native function it is in, as far as that can be told: `time.sleep`."""
    call: Call | None = None
    still: float = 0.0
    """Seconds since which main has certainly run no bytecode."""
    open: Open = Open()


class Evidence(msgspec.Struct, frozen=True):
    """All that is known of a rank, gathered by whoever asks for a verdict."""

    asked: float
    """When it was asked; with nothing asked: now."""
    answered: float | None = None
    look: Look | None = None
    silent_since: float | None = None
    """Since when its I/O thread has said nothing, if that is long."""
    outside: Look | None = None
    """Its line and call, seen from outside (faulthandler, py-spy)."""
    halted: str = ""
    """Why its process cannot answer, whatever it does: `stopped by a signal`."""
    idle: bool = False
    """Nothing runs there: its part of the cell is over."""
    since: float | None = None
    """When what it does now began, as the hub knows: its cell, its end, the stop."""
    error: str = ""
    """Its part of the cell failed: `ZeroDivisionError`."""
    error_spot: Spot = Spot()
    held: str = ""
    """It is held at a point: `point 413 'step'`."""
    inside: bool = False
    """Something runs there meanwhile: a cell."""
    death: str = ""
    """Its process is gone: `signal 11`."""
    reachable: bool = True


class RankState(msgspec.Struct, frozen=True):
    """What a rank does."""

    doing: Doing
    spot: Spot = Spot()
    call: Call | None = None
    detail: str = ""
    """What belongs to the state: the error, the signal, the point, the function."""
    moved: float | None = None
    """It has certainly done nothing since; None if that is not known."""
    seen: float = 0.0
    """It was like this at that time."""
    since: float | None = None
    """Since when it is like this, for showing."""
    open: Open = Open()
    inside: str = ""
    """The point at which it is held, if it runs a cell there."""


def tell(known: Evidence) -> RankState:
    """Tell a rank's state from what is known of it."""
    if known.death:
        spot = known.look.spot if known.look else Spot()
        return _by_hub(known, Doing.DEAD, known.death, spot)
    if not known.reachable:
        return _by_hub(known, Doing.UNREACHABLE, "")
    if known.error:
        state = _by_hub(known, Doing.POST_MORTEM, known.error, known.error_spot)
        return _left_behind(known, state)
    if known.idle:
        return _left_behind(known, _by_hub(known, Doing.FINISHED, ""))
    if known.held and not known.inside:
        spot = known.look.spot if known.look else Spot()
        return _by_hub(known, Doing.HELD, known.held, spot)
    if known.look is not None and known.answered is not None:
        return _by_look(known, known.look, known.answered)
    if known.silent_since is not None:
        return _silent(known, known.silent_since)
    return _by_hub(known, Doing.SILENT, known.halted or "no answer yet")


def _by_hub(
    known: Evidence,
    doing: Doing,
    detail: str,
    spot: Spot = Spot(),  # noqa: B008
) -> RankState:
    return RankState(doing, spot, None, detail, known.since, known.asked, known.since)


def _left_behind(known: Evidence, state: RankState) -> RankState:
    """What is over may have begun messages that are still on their way."""
    if known.look is None or known.answered is None or not known.look.still:
        return state
    moved = known.answered - known.look.still
    return msgspec.structs.replace(state, moved=moved, open=known.look.open)


def _by_look(known: Evidence, look: Look, answered: float) -> RankState:
    if look.call is not None:
        doing = Doing.MPI
    elif look.native:
        doing = Doing.NATIVE
    else:
        doing = Doing.PYTHON
    moved = answered - look.still
    since = known.since if doing is Doing.PYTHON else moved
    return RankState(
        doing, look.spot, look.call, look.native, moved, known.asked, since, look.open,
        known.held,
    )  # fmt: skip


def _silent(known: Evidence, since: float) -> RankState:
    """The I/O thread cannot run: had main returned to Python for a moment, the
    interpreter would have let it (`sys.getswitchinterval`, 5 ms). So silence proves
    what a pending call proves elsewhere, if the process runs: its stack shows that."""
    look = known.outside
    if look is None:
        return _by_hub(known, Doing.SILENT, "no stack could be had")
    # Nobody could look for requests and threads in there.
    unseen = Open(requests=1, size=-1)
    return RankState(
        Doing.HOLDING, look.spot, look.call, look.native, since, known.asked, since,
        unseen,
    )  # fmt: skip

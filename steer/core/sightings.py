"""What travels about ranks that are looked at: from a rank, and to a client.

The hub gathers, tells states from what it got, and proves; a client gets the states and
draws its own diagnosis from them, with the same pure functions, so that all there is to
see can be shown where the user is.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from steer.core.rankstates import Look, Message, RankState, Spot
from steer.ranks import RankSet

Frame = tuple[str, int, str]
"""File, line, function."""
LONGEST = 60.0
"""Seconds of sampling."""
SILENT_AFTER = 10.0
"""Seconds of silence after which ranks are asked why."""
NATIVE_WITHIN = 20.0
"""Seconds for the native frames of all ranks, or of one."""
UNASKED = 0
"""The number of an answer to no question: main stands still."""
Samples = tuple[tuple[int, tuple[Frame, ...]], ...]
"""Stacks, each with how often it was seen."""


class Report(msgspec.Struct, frozen=True, array_like=True):
    """What a rank's I/O thread says of its main thread."""

    busy: str = ""
    """What it runs: a request, a task, or its program; empty if nothing."""
    age: float | None = None
    """For how many seconds it has."""
    look: Look = Look(Spot())
    held: str = ""
    error: str = ""
    """Its last request failed, and nothing came since: `ZeroDivisionError`."""
    error_spot: Spot = Spot()
    error_age: float | None = None
    stacks: Samples = ()
    inside: bool = False
    """It is held, and runs what it was asked for there."""


class World(msgspec.Struct, frozen=True):
    """The ranks of one MPI_COMM_WORLD."""

    first: int
    """The engine that is rank 0."""
    size: int
    states: dict[int, RankState]
    """By ranks of the world."""

    @property
    def by_engine(self) -> dict[int, RankState]:
        """The same with the numbers of engines, by which users know ranks: whom calls
        name too, and who is in communicators."""
        if not self.first:
            return self.states
        return {
            self.first + rank: _moved_by(self.first, state)
            for rank, state in self.states.items()
        }


def _moved_by(first: int, state: RankState) -> RankState:
    call = state.call
    if call is None:
        return state
    comm = call.comm
    if comm is not None:
        ranks = RankSet(first + rank for rank in RankSet.parse(comm.ranks))
        comm = msgspec.structs.replace(comm, ranks=str(ranks))
    call = msgspec.structs.replace(
        call,
        comm=comm,
        send=_message(first, call.send),
        receive=_message(first, call.receive),
        root=call.root if call.root < 0 else first + call.root,
    )
    return msgspec.structs.replace(state, call=call)


def _message(first: int, message: Message | None) -> Message | None:
    if message is None or message.peer < 0:
        return message
    return Message(first + message.peer, message.tag)


class Snapshot(msgspec.Struct, frozen=True):
    """What ranks do, at one time."""

    now: float
    """On the clock that all times in here are of."""
    worlds: tuple[World, ...] = ()
    stacks: tuple[tuple[str, Samples], ...] = ()
    """Engines, and what stacks they had."""
    silent: str = ""
    """Engines whose stack was seen from outside only, or not at all."""
    notes: tuple[str, ...] = ()
    """What could not be had, and why: sentences."""


class Freed(msgspec.Struct, frozen=True):
    """What `unstick` has done to a world."""

    freed: tuple[tuple[str, str], ...] = ()
    """Engines, and the call that they came back from."""
    refusals: tuple[str, ...] = ()
    left: str = ""
    """Engines that wait still, though something was done."""
    dropped: int = 0
    """Messages that nobody had received."""
    ended: tuple[tuple[str, str], ...] = ()
    """Engines that were given KeyboardInterrupt and are gone, and their calls."""
    gone: str = ""
    """Engines of those that came back, and have ended since."""
    notes: tuple[str, ...] = ()
    """What else is to be known; sentences without their full stops."""


class Peeked(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a peek."""

    text: str = ""
    refused: str = ""
    """Why there is none; a sentence."""
    cut: bool = False


class Wish(msgspec.Struct, frozen=True):
    """What a client wants to see."""

    view: Literal["states", "stacks", "peek", "trace", "revoke", "members"]
    targets: str = ""
    deep: bool = False
    world: bool = False
    """Not only of these ranks, but of all of their worlds."""
    seconds: Annotated[float, msgspec.Meta(ge=0, le=LONGEST)] = 0.0
    expression: str = ""
    native: bool = False
    """Of stacks: with frames of native code, if they can be had."""


class LookWish(msgspec.Struct, frozen=True):
    """How a rank is to be looked at."""

    deep: bool = False
    """Also for requests and threads."""
    stacks: bool = False
    seconds: float = 0.0
    """Take samples for so long; otherwise one."""

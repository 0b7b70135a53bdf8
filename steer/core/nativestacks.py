"""Stacks with the frames of native code, which only a debugger can tell: py-spy.

A client that wants them gets the stacks of the ranks' I/O threads meanwhile, and those
of py-spy in their places as far as they come in time::

    begin --Spy--> the node runs py-spy for each
          --Spied--> ... all have come, or NATIVE_WITHIN is over --> told

What cannot be had is said once, with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

import msgspec

from steer.core.events import Action, Event
from steer.core.outside import CARRIES
from steer.core.rankstates import Doing
from steer.core.registry import Registry
from steer.core.sightings import NATIVE_WITHIN, Frame, Samples, Snapshot
from steer.ranks import RankSet, describe

_RUNNING = (Doing.PYTHON, Doing.NATIVE, Doing.HOLDING, Doing.MPI, Doing.HELD)
_NAMELESS = re.compile(r"^0x[0-9a-f]+$")
_COMPILED = re.compile(r"\.(c|h|cc|cpp|cxx|hpp|f|f90|pyx|so)$|\.so\.")
DEEPEST = 200


class Spy(Action, frozen=True):
    """Have py-spy look at these processes, and feed Spied with each."""

    number: int
    pids: dict[int, int]
    """By engine."""


class Spied(Event, frozen=True):
    """What py-spy said of one."""

    number: int
    engine: int
    pid: int
    text: str
    """JSON; empty if it could not."""
    why: str = ""
    """Then: a sentence."""


class _Frame(msgspec.Struct, frozen=True):
    name: str
    filename: str = ""
    line: Annotated[int, msgspec.Meta(ge=0)] | None = 0


class _Thread(msgspec.Struct, frozen=True):
    frames: list[_Frame]
    os_thread_id: int | None = None


def read_pyspy(text: str, pid: int) -> tuple[Frame, ...]:
    """The main thread's stack, the outermost frame first; empty if it is not there."""
    try:
        threads = msgspec.json.decode(text, type=list[_Thread])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()
    for thread in threads:
        if thread.os_thread_id == pid:
            frames = [
                (frame.filename, frame.line or 0, frame.name)
                for frame in reversed(thread.frames)
                if not _NAMELESS.match(frame.name)
            ]
            return tuple(_users(frames)[-DEEPEST:])
    return ()


def _users(frames: list[Frame]) -> list[Frame]:
    """The stack from the first frame of Python's within the machinery around the user's
    code; native frames are those of the interpreter until then."""
    places = range(len(frames))
    begin = next((i for i in places if CARRIES.search(frames[i][0])), 0)
    inside = (
        i
        for i in places[begin:]
        if not CARRIES.search(frames[i][0]) and not _is_native(frames[i])
    )
    return frames[next(inside, 0) :]


def _is_native(frame: Frame) -> bool:
    return frame[1] == 0 or _COMPILED.search(frame[0]) is not None


class _Asked:
    """One client's question."""

    def __init__(
        self,
        shown: Snapshot,
        left: set[int],
        whys: dict[str, list[int]],
        tell: Callable[[Snapshot], list[Action]],
    ) -> None:
        self.shown = shown
        self.left = left
        self.whys = whys
        self.tell = tell
        self.found: dict[int, tuple[Frame, ...]] = {}


class NativeStacks:
    """Who asks for them, and what has come."""

    def __init__(
        self,
        registry: Registry,
        later: Callable[[float, Callable[[float], list[Action]]], list[Action]],
    ) -> None:
        self._registry = registry
        self._later = later
        self._count = 0
        self._asked: dict[int, _Asked] = {}

    def begin(
        self,
        shown: Snapshot,
        wanted: set[int],
        tell: Callable[[Snapshot], list[Action]],
        now: float,
    ) -> list[Action]:
        """Have those of these engines looked at that run something, and tell."""
        pids: dict[int, int] = {}
        whys: dict[str, list[int]] = {}
        for world in shown.worlds:
            for rank, state in world.states.items():
                engine = self._registry.by_id.get(world.first + rank)
                if engine is None or engine.id not in wanted:
                    continue
                if state.doing not in _RUNNING:
                    continue
                if self._registry.watchable(engine):
                    pids[engine.id] = engine.info.pid
                else:
                    whys.setdefault("on another host than the hub", []).append(
                        engine.id
                    )
        asked = _Asked(shown, set(pids), whys, tell)
        if not pids:
            return self._told(asked)
        self._count += 1
        number = self._count
        self._asked[number] = asked
        self._later(now + NATIVE_WITHIN, lambda now: self._close(number))
        return [Spy(number, pids)]

    def spied(self, event: Spied, now: float) -> list[Action]:
        """py-spy has looked at one."""
        asked = self._asked.get(event.number)
        if asked is None or event.engine not in asked.left:
            return []
        asked.left.discard(event.engine)
        frames = read_pyspy(event.text, event.pid) if event.text else ()
        if frames:
            asked.found[event.engine] = frames
        else:
            why = event.why or "py-spy did not tell the main thread's stack"
            asked.whys.setdefault(why, []).append(event.engine)
        return [] if asked.left else self._close(event.number)

    def _close(self, number: int) -> list[Action]:
        asked = self._asked.pop(number, None)
        if asked is None:
            return []
        if asked.left:
            asked.whys.setdefault("py-spy took too long", []).extend(asked.left)
        return self._told(asked)

    def _told(self, asked: _Asked) -> list[Action]:
        notes = tuple(
            f"No native frames of {describe(RankSet(ids))}: {why}."
            for why, ids in asked.whys.items()
        )
        stacks = _with_native(asked.shown.stacks, asked.found)
        return asked.tell(
            msgspec.structs.replace(asked.shown, stacks=stacks, notes=notes)
        )


def _with_native(
    stacks: tuple[tuple[str, Samples], ...], found: dict[int, tuple[Frame, ...]]
) -> tuple[tuple[str, Samples], ...]:
    """The stacks, those that were found in the places of the others."""
    kept = [
        (str(left), samples)
        for ranks, samples in stacks
        if (left := RankSet.parse(ranks) - RankSet(found))
    ]
    same: dict[tuple[Frame, ...], list[int]] = {}
    for engine, frames in found.items():
        same.setdefault(frames, []).append(engine)
    fresh = [(str(RankSet(ids)), ((1, frames),)) for frames, ids in same.items()]
    return (*kept, *fresh)

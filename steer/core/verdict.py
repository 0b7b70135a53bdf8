"""Why a program is quiet: a verdict from the wait-for graph, and its proof.

Ranks that cannot act are let act in stages, the most harmless first::

    those that compute       -> whoever can go on then waits for work:   IMBALANCE
    those nobody is sure of  -> ... nothing is proved:                   QUIET
    those held at a point    -> ... until the user lets them go:         HELD
    those that finished      -> ... and will not come any more:          FINISHED
    those that failed, died  -> ... and will not come any more:          FAILED
    nobody else              -> whoever is left waits for each other:    DEADLOCK

The stage at which a rank can go on is its reason: the worst of those that it needs all
of, the best of those that it needs any of.

    What ranks have begun whose part is over may still arrive: until it had the time
    for that, FINISHED and FAILED are not proved either.

Proof of a deadlock
    The ranks of a core wait for nobody outside it. If there was one span of time in
    which none of them ran any bytecode, none of them can have begun to send, to receive
    or to enter anything in it. What had been sent before has arrived in the meantime,
    if the span is longer than that takes: a second and the time for all bytes that they
    have under way, at a rate that every network beats. So nothing that any of them
    waits for can still happen, unless from outside MPI. The span reaches from the last
    `moved` to the first `seen` of the core's ranks (`rankstates.py`), which therefore
    need not have been asked at the same moment.

    Without that span the word deadlock is not used: the verdict is QUIET, and says what
    is suspected and why it is no more than that.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from steer.core.rankstates import Comm, Doing, RankState
from steer.core.waits import Graph, Wait, graph
from steer.ranks import RankSet, describe

SETTLED = 1.0
"""Seconds after which a small message has certainly arrived."""
RATE = 10e6
"""Bytes a second that every network reaches."""
UNMEASURED = 8.0
"""Seconds for data of unknown size, as in `comm.allreduce(f(x))`: a cell that is silent
for ten seconds shall get its verdict."""


class Kind(enum.StrEnum):
    """The verdicts, the gravest first."""

    MISMATCH = "MISMATCH"
    DEADLOCK = "DEADLOCK"
    FAILED = "WAITING ON FAILED"
    FINISHED = "WAITING ON FINISHED"
    HELD = "WAITING ON HELD"
    IMBALANCE = "IMBALANCE"
    QUIET = "QUIET"
    RUNNING = "NOBODY WAITS"


_GRAVEST = list(Kind)


@dataclass(frozen=True)
class Finding:
    """Some ranks wait, and this is why."""

    kind: Kind
    waiting: RankSet
    """Who cannot go on."""
    causes: RankSet
    """Who would have to act; of a deadlock, its core."""
    proved: bool = True
    still: float = 0.0
    """Seconds in which none of those that the proof is about ran any bytecode."""
    cycle: tuple[int, ...] = ()
    """A circle of ranks in which each waits for the next."""
    sides: tuple[tuple[str, RankSet], ...] = ()
    """Of a mismatch: which collective which ranks are in."""
    comm: Comm | None = None
    """Of a mismatch: on which communicator."""
    doubts: tuple[str, ...] = ()
    """Why it is not proved."""
    suspect: Kind | None = None
    """Of QUIET: what it would be."""

    @property
    def victims(self) -> RankSet:
        """Who waits without being part of the reason."""
        return self.waiting - self.causes


@dataclass(frozen=True)
class Diagnosis:
    """All findings about a world, the gravest first."""

    states: Mapping[int, RankState]
    findings: tuple[Finding, ...]
    graph: Graph = field(repr=False)
    now: float = 0.0

    @property
    def head(self) -> Finding:
        """The gravest."""
        return self.findings[0]

    @property
    def proved(self) -> bool:
        """Whether there is something to say unasked."""
        return self.head.proved and self.head.kind not in (Kind.RUNNING, Kind.QUIET)


_COMPUTING = (Doing.PYTHON, Doing.NATIVE, Doing.HOLDING)
_MUTE = (Doing.SILENT, Doing.UNREACHABLE)
_STAGES: tuple[tuple[Kind, tuple[Doing, ...]], ...] = (
    (Kind.HELD, (Doing.HELD,)),
    (Kind.FINISHED, (Doing.FINISHED,)),
    (Kind.FAILED, (Doing.POST_MORTEM, Doing.DEAD)),
)


def diagnose(states: Mapping[int, RankState], now: float) -> Diagnosis:
    """Find out why ranks wait."""
    found = graph(states)
    stages = _Stages(states, found)
    findings = [finding for finding in stages.run() if finding.waiting]
    findings.sort(key=lambda finding: _GRAVEST.index(finding.kind))
    if not findings:
        findings = [_nobody_waits(states, found)]
    return Diagnosis(states, tuple(findings), found, now)


def waiters(states: Mapping[int, RankState], rank: int) -> RankSet:
    """Who cannot go on unless this rank does: shown with its error, at once, and
    therefore not proved."""
    found = graph(states)
    everybody = _mask(states)
    blocked = _mask(found.waits)
    # As if everyone else who is not blocked could act.
    released = found.released(everybody & ~blocked & ~(1 << rank))
    return RankSet.from_mask(blocked & ~released)


def _nobody_waits(states: Mapping[int, RankState], found: Graph) -> Finding:
    nobody = RankSet()
    if found.moving:
        moving = RankSet(found.moving)
        doubts = _told(found.moving)
        return Finding(Kind.QUIET, moving, nobody, False, doubts=doubts)
    if any(state.doing in _MUTE for state in states.values()):
        doubts = ("some ranks do not answer",)
        return Finding(Kind.QUIET, nobody, nobody, False, doubts=doubts)
    return Finding(Kind.RUNNING, nobody, nobody, False)


def _told(doubts: Mapping[int, str]) -> tuple[str, ...]:
    """Each doubt once, with the ranks that it is about."""
    masks: dict[str, int] = {}
    for rank, doubt in doubts.items():
        masks[doubt] = masks.get(doubt, 0) | 1 << rank
    return tuple(
        f"{describe(RankSet.from_mask(mask))}: {doubt}" for doubt, mask in masks.items()
    )


def _mask(ranks: Mapping[int, object]) -> int:
    mask = 0
    for rank in ranks:
        mask |= 1 << rank
    return mask


class _Stages:
    """The stages, one after the other."""

    def __init__(self, states: Mapping[int, RankState], found: Graph) -> None:
        self._states = states
        self._graph = found
        self._blocked = _mask(found.waits)
        self._doubts: dict[int, str] = dict(found.moving)
        for rank, state in states.items():
            if state.doing in _MUTE:
                self._doubts[rank] = state.detail or "no answer"
            elif state.doing is Doing.MPI and state.call is None:
                self._doubts[rank] = "what it waits for is not known"
        for rank in self._not_asked():
            self._doubts[rank] = "not asked"

    def _not_asked(self) -> RankSet:
        """Ranks that are waited for, and of which nothing was said."""
        wanted = 0
        for wait in dict.fromkeys(self._graph.waits.values()):
            wanted |= wait.targets
        return RankSet.from_mask(wanted & ~_mask(self._states))

    def run(self) -> Iterator[Finding]:
        able = self._all(_COMPUTING)
        reached = self._graph.released(able)
        yield self._stage(Kind.IMBALANCE, able, reached & ~able, able, True)
        before = reached
        unsure = _mask(self._doubts)
        fresh = _mask(dict(self._fresh(before)))
        able |= unsure | fresh
        reached = self._graph.released(able)
        for rank in RankSet.from_mask(fresh & ~before):
            self._doubts.setdefault(rank, "there for too short a time")
        new = reached & ~before & self._blocked
        doubtful = (unsure | fresh) & ~before
        yield self._stage(Kind.QUIET, doubtful, new, doubtful, False)
        for kind, doings in _STAGES:
            before = reached
            actors = self._all(doings)
            able |= actors
            reached = self._graph.released(able)
            yield self._stage(kind, actors, reached & ~before & ~actors, able, True)
        yield from self._closed(self._blocked & ~reached)

    def _all(self, doings: tuple[Doing, ...]) -> int:
        return _mask(
            {
                rank: 0
                for rank, state in self._states.items()
                if state.doing in doings and rank not in self._graph.moving
            }
        )

    def _fresh(self, reached: int) -> Iterator[tuple[int, None]]:
        """Ranks that have not been still for long enough to say anything of them."""
        for rank in self._graph.waits:
            state = self._states[rank]
            if reached >> rank & 1:
                continue
            if state.moved is None or state.seen - state.moved < SETTLED:
                yield rank, None

    def _stage(
        self, kind: Kind, actors: int, waiting: int, able: int, proved: bool
    ) -> Finding:
        ranks = RankSet.from_mask(waiting & ~actors)
        if not proved:
            ranks = RankSet.from_mask(waiting)
        wanted = 0
        for rank in ranks:
            wanted |= self._graph.waits[rank].targets
        causes = RankSet.from_mask(wanted & actors)
        still = self._still(ranks)
        doubts: tuple[str, ...] = ()
        suspect = None
        if proved and kind in (Kind.FINISHED, Kind.FAILED):
            doubts = self._under_way(ranks, causes)
        if doubts:
            kind, suspect, proved = Kind.QUIET, kind, False
        elif not proved:
            whom = causes or RankSet.from_mask(actors)
            doubts = _told({r: d for r, d in self._doubts.items() if r in whom})
        return Finding(
            kind, ranks, causes, proved, still, doubts=doubts, suspect=suspect
        )

    def _under_way(self, waiting: RankSet, over: RankSet) -> tuple[str, ...]:
        """Why those whose part is over may still give what is waited for: they have
        begun messages, or have threads of their own."""
        helped: dict[int, str] = {}
        for rank in over:
            if names := ", ".join(self._states[rank].open.threads):
                helped[rank] = f"its thread {names} may act too"
        if helped:
            return _told(helped)
        known = (rank for rank in over if self._states[rank].moved is not None)
        still = self._still(waiting | RankSet(known))
        needed = self._patience(over)
        if still >= needed or not waiting:
            return ()
        return (
            f"{describe(over)}: what was begun there last may still arrive; that may "
            f"take {needed:.1f} s, and {still:.1f} s are over",
        )

    def _still(self, ranks: RankSet) -> float:
        """For how long at one time none of them has moved."""
        states = [self._states[rank] for rank in ranks]
        moved = [state.moved for state in states if state.moved is not None]
        if not states or len(moved) < len(states):
            return 0.0
        return max(0.0, min(state.seen for state in states) - max(moved))

    # -- those that nobody outside could free

    def _closed(self, mask: int) -> Iterator[Finding]:
        if not mask:
            return
        cores = self._graph.cores(mask)
        for core, waiting in self._with_victims(cores, mask):
            yield self._closed_finding(core, waiting)

    def _with_victims(self, cores: list[int], mask: int) -> Iterator[tuple[int, int]]:
        """Each core with those that wait for it; of several, for the first."""
        left = mask
        for core in cores[:-1]:
            freed = self._graph.released((_mask(self._states) & ~mask) | core) & left
            yield core, freed
            left &= ~freed
        yield cores[-1], left

    def _closed_finding(self, core: int, waiting: int) -> Finding:
        ranks = RankSet.from_mask(core)
        still = self._still(ranks)
        needed = self._patience(ranks)
        sides, comm = self._sides(ranks)
        kind = Kind.MISMATCH if len(sides) > 1 else Kind.DEADLOCK
        doubts: tuple[str, ...] = ()
        suspect = None
        if still < needed:
            doubts = (
                f"they have been still together for {still:.1f} s, and what they have "
                f"under way may take {needed:.1f} s",
            )
            kind, suspect = Kind.QUIET, kind
        return Finding(
            kind,
            RankSet.from_mask(waiting | core),
            ranks,
            not doubts,
            still,
            tuple(self._graph.cycle(core)),
            sides,
            comm,
            doubts,
            suspect,
        )

    def _patience(self, ranks: RankSet) -> float:
        """How long what these ranks have under way may take."""
        sizes = []
        for rank in ranks:
            state = self._states[rank]
            sizes.append(state.call.size if state.call else 0)
            sizes.append(state.open.size)
        unmeasured = UNMEASURED if -1 in sizes else 0.0
        return SETTLED + unmeasured + sum(max(size, 0) for size in sizes) / RATE

    def _sides(
        self, core: RankSet
    ) -> tuple[tuple[tuple[str, RankSet], ...], Comm | None]:
        """The collectives of one communicator that ranks of a core disagree about."""
        by_comm: dict[tuple[str, str], dict[str, int]] = {}
        comms: dict[tuple[str, str], Comm] = {}
        for rank in core:
            call = self._states[rank].call
            if call is None or call.comm is None or not call.comm.sure:
                continue
            if call.send is not None or call.receive is not None:
                continue
            name = call.op if call.root < 0 else f"{call.op}(root={call.root})"
            sides = by_comm.setdefault(call.comm.key, {})
            sides[name] = sides.get(name, 0) | 1 << rank
            comms.setdefault(call.comm.key, call.comm)
        for key, sides in by_comm.items():
            if len(sides) > 1:
                told = tuple((op, RankSet.from_mask(on)) for op, on in sides.items())
                return told, comms[key]
        return (), None


@dataclass(frozen=True)
class Arrow:
    """Ranks that wait for the same, in a picture of the graph."""

    waiting: RankSet
    targets: RankSet
    every: bool
    """All of them, or any."""


def arrows(found: Diagnosis) -> list[Arrow]:
    """The wait-for graph as a renderer draws it: an arrow for each thing waited for."""
    by_wait: dict[Wait, int] = {}
    for rank, wait in found.graph.waits.items():
        by_wait[wait] = by_wait.get(wait, 0) | 1 << rank
    return [
        Arrow(RankSet.from_mask(mask), RankSet.from_mask(wait.targets), wait.every)
        for wait, mask in by_wait.items()
    ]

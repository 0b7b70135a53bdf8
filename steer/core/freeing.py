"""How ranks that wait for each other in MPI are brought back alive: a plan, or why not.

No signal ends a blocking call of MPI. But each such call ends when what it waits for
comes, and other ranks' I/O threads can make that come::

    receive       a message of nothing, from the rank that it waits for
    send          taken by the rank that it is for, and dropped
    collective    ranks that are not in it take part in place of their main threads

Before that each blocked rank has an interrupt pending, so that its main thread raises
KeyboardInterrupt before the next bytecode, and nothing of the program sees the empty
message. So all calls must be known exactly, and must be made by a frame of the user's.

When it is refused
    Of a rank that waits it is not proved that it will wait for ever (`verdict.py`): a
    healthy program waits too, all the time. Who knows better may insist; not where a
    message is on its way, or a collective is complete.
    Somebody computes, or is held, for whom others wait: what they wait for may still
    come, and would then find nobody. Nobody is missing.
    A call is unknown, or of a kind that only who began it could end (requests, windows,
    files). A rank's host, its I/O thread or its MPI cannot help. In a rooted collective
    nobody can tell, if several are missing, which of them have already done their part:
    a part done twice would be taken for part of the next one.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from steer.core.mpiops import OPS, Need, matches_as
from steer.core.rankstates import ANY, UNKNOWN, Call, Comm, Doing, RankState
from steer.core.sightings import Report
from steer.core.verdict import Diagnosis, Kind, diagnose
from steer.core.waits import graph
from steer.ranks import RankSet, describe


class Recipe(msgspec.Struct, frozen=True, array_like=True):
    """A call, exactly enough for another rank to make its part of it."""

    op: str
    root: int = 0
    """In the communicator."""
    count: int = 0
    """Of items that a rank gives; of those that it gets, for a scatter."""
    datatype: str = ""
    """`DOUBLE`"""
    reduction: str = ""
    """`SUM`"""
    value: bytes = b""
    """The object that a rank gives to a reduction, pickled; empty if not known."""
    problem: str = ""
    """Why nobody else can make it."""
    in_place: bool = False
    """All ranks have to make it with MPI.IN_PLACE."""

    def agrees(self, other: Recipe) -> bool:
        """Whether both are parts of one call."""
        same = self.op == other.op or {self.op, other.op} == {"Barrier", "barrier"}
        return same and _SHAPE(self) == _SHAPE(other)


_SHAPE = operator.attrgetter("root", "count", "datatype", "reduction", "in_place")


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Where main was, so exactly that it cannot be taken for another time."""

    runs: int = -1
    """How often it had been seen to go on (`Stillness.runs`)."""
    instruction: int = -1
    line: int = 0
    call: Call | None = None


class Joined(msgspec.Struct, frozen=True, array_like=True):
    """A collective in which a rank takes part for others."""

    members: str
    name: str
    op: str
    root: int


class Testimony(msgspec.Struct, frozen=True, array_like=True):
    """What a rank says of the call that it waits in."""

    report: Report = Report()
    recipe: Recipe | None = None
    mark: Mark = Mark()
    pending: str = ""
    """The try (`unsticking.py`) that has an interrupt wait for main, ..."""
    raised: str = ""
    """... and that whose interrupt main raised last."""
    inside: tuple[Joined, ...] = ()
    """Collectives in which its helper still takes part."""


class Lost(msgspec.Struct, frozen=True, array_like=True):
    """A message that was sent to free a rank, and that it may not have received."""

    members: str
    name: str
    source: int
    dest: int
    """Ranks of the world."""
    tag: int


class Done(msgspec.Struct, frozen=True, array_like=True):
    """What a rank did for others, and what became of its own main thread."""

    problem: str = ""
    begun: bool = False
    """Whether anything was done that others may notice."""
    lost: tuple[Lost, ...] = ()
    raised: bool = False
    """Its own main thread has raised KeyboardInterrupt."""


class Stale(msgspec.Struct, frozen=True, array_like=True):
    """Messages that a rank is to throw away, on one communicator."""

    members: str
    name: str
    source: int
    tag: int = ANY
    once: bool = False
    """Only one; else all of them, as long as nothing runs there."""


class Drained(msgspec.Struct, frozen=True, array_like=True):
    """What a rank threw away."""

    dropped: int = 0
    problem: str = ""


class Act(msgspec.Struct, frozen=True, array_like=True):
    """What one rank's I/O thread does for another."""

    kind: str
    """send, take, join"""
    members: str
    """The ranks of the world in the communicator, ..."""
    name: str
    """... and its name: see `rankstates.Comm`."""
    peer: int = 0
    """The rank of the world that is freed by it."""
    tag: int = 0
    pickled: bool = False
    """The message has to be an object's."""
    looks: bool = False
    """The rank only looks for the message, and leaves it there."""
    recipe: Recipe | None = None

    @property
    def joins(self) -> Joined | None:
        """In which collective, if it is one."""
        if self.recipe is None:
            return None
        return Joined(self.members, self.name, self.recipe.op, self.recipe.root)


@dataclass
class Plan:
    """What is to be done, or why nothing is."""

    blocked: RankSet = field(default_factory=RankSet)
    acts: dict[int, list[Act]] = field(default_factory=dict)
    """By the rank that does them."""
    refusals: list[str] = field(default_factory=list)
    unsettled: bool = False
    """It is refused only because something is not proved, or could not be seen: on a
    crowded machine there may not have been the time."""

    def add(self, rank: int, act: Act) -> None:
        """Have a rank do something; once, if it frees several."""
        acts = self.acts.setdefault(rank, [])
        if act not in acts:
            acts.append(act)


def plan(
    states: Mapping[int, RankState],
    recipes: Mapping[int, Recipe],
    insist: bool = False,
) -> Plan:
    """How to free all blocked ranks of a world.

    Args:
        states: of all its ranks, looked at with their requests and threads.
        recipes: the calls of those that are blocked.
        insist: not only if it is proved that they will wait for ever.
    """
    made = Plan()
    blocked = [rank for rank, state in states.items() if state.doing is Doing.MPI]
    made.blocked = RankSet(blocked)
    certain = list(_cannot_help(states))
    made.refusals += certain
    found = diagnose(states, 0.0)
    made.refusals += _going_on(found, states, insist)
    unproved: list[str] = []
    if not insist and not made.refusals:
        unproved = list(_not_proved(found, made.blocked))
    made.refusals += unproved
    for rank in blocked:
        call = states[rank].call
        recipe = recipes.get(rank)
        problem = _problem(rank, states[rank], call, recipe)
        if problem:
            made.refusals.append(problem)
        elif call is not None and call.comm is not None and recipe is not None:
            made.refusals += _Freed(made, states, rank, call, call.comm, recipes).plan()
    made.refusals = list(dict.fromkeys(made.refusals))
    vague = not certain and any(_is_vague(states[rank].call) for rank in blocked)
    made.unsettled = bool(made.refusals) and (vague or made.refusals == unproved)
    return made


def _is_vague(call: Call | None) -> bool:
    """Whether something that could be known of a call is not."""
    if call is None:
        return True
    op = OPS[call.op]
    if op.need is Need.REQUEST:
        return False
    parts = [call.root] if "root" in op.parameters else []
    for message in (call.send, call.receive):
        parts += [message.peer, message.tag] if message is not None else []
    return call.comm is None or UNKNOWN in parts


_FOR_EVER = (Kind.MISMATCH, Kind.DEADLOCK, Kind.FAILED, Kind.FINISHED)


def _going_on(
    found: Diagnosis, states: Mapping[int, RankState], insist: bool
) -> Iterator[str]:
    """Ranks that go on by themselves, as far as anyone can tell."""
    reasons: dict[str, RankSet] = {}
    for rank, why in found.graph.moving.items():
        call = states[rank].call
        if call is None or call.comm is None:
            continue  # refused for that
        if insist and states[rank].open.threads:
            continue
        if not why.startswith("all its ranks"):  # told better by who plans
            reasons[why] = reasons.get(why, RankSet()) | RankSet([rank])
    for why, ranks in reasons.items():
        yield f"{_upper(describe(ranks))} may go on: {why}"


def _not_proved(found: Diagnosis, blocked: RankSet) -> Iterator[str]:
    """Ranks of which nobody can say that they will wait for ever."""
    left = blocked
    for finding in found.findings:
        if finding.proved and finding.kind in _FOR_EVER:
            left = left - finding.waiting - finding.causes
        elif finding.proved and finding.kind is Kind.HELD:
            # A cell at a hold: its own program cannot go on before it ends.
            inside = RankSet(r for r in finding.waiting if found.states[r].inside)
            left = left - inside
    left = left - RankSet(found.graph.moving)
    if not left:
        return
    waits = "waits" if len(left) == 1 else "wait"
    doubts = [d for f in found.findings if not f.proved for d in f.doubts]
    why = f" ({'; '.join(doubts)})" if doubts else ""
    yield (
        f"{_upper(describe(left))} {waits}, and it is not proved that this is for "
        f"ever{why}. Ask again in a while, or insist, with --insist"
    )


def _cannot_help(states: Mapping[int, RankState]) -> Iterator[str]:
    computing = RankSet(
        rank
        for rank, state in states.items()
        if state.doing in (Doing.PYTHON, Doing.NATIVE)
    )
    if computing:
        verb = "computes" if len(computing) == 1 else "compute"
        yield (
            f"{_upper(describe(computing))} {verb}: what the others wait for may still "
            "come. End that first, with %pxinterrupt"
        )
    holding = [rank for rank, state in states.items() if state.doing is Doing.HOLDING]
    if holding:
        yield (
            f"{_upper(describe(RankSet(holding)))}: native code holds the GIL, so "
            "nothing can be done there"
        )
    yield from _for_held(states)
    gone = [
        rank
        for rank, state in states.items()
        if state.doing in (Doing.DEAD, Doing.SILENT, Doing.UNREACHABLE)
    ]
    if gone:
        yield f"{_upper(describe(RankSet(gone)))} cannot help: {states[gone[0]].doing}"


def _for_held(states: Mapping[int, RankState]) -> Iterator[str]:
    """What ranks that are held owe comes when they go on."""
    held = RankSet(r for r, state in states.items() if state.doing is Doing.HELD)
    found = graph(states)
    reached = RankSet.from_mask(found.released(held.mask)) if held else held
    # A cell at a hold gets nothing by `%pxgo`: its own program waits for it.
    waiting = RankSet(
        rank for rank in RankSet(found.waits) & reached if not states[rank].inside
    )
    if waiting:
        wait = "waits" if len(waiting) == 1 else "wait"
        yield (
            f"{_upper(describe(waiting))} {wait} for {describe(held)}, held at a point:"
            " what it owes comes when it goes on, with %pxgo"
        )


def _problem(
    rank: int, state: RankState, call: Call | None, recipe: Recipe | None
) -> str:
    if call is None or call.guessed:
        return f"Rank {rank} waits in MPI, and nobody can tell in which call"
    if OPS[call.op].need is Need.REQUEST:
        return f"Rank {rank} waits in {call.op}: for what, the call does not say"
    if call.comm is None or not call.comm.whole:
        return f"Rank {rank} waits in {call.op} on a communicator that is not known"
    if recipe is None:
        return f"Rank {rank} did not say what its {call.op} is"
    if recipe.problem and OPS[call.op].need is Need.MESSAGE:
        return f"Rank {rank} waits in {call.op}: {recipe.problem}"
    return ""


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


_LOOKS = ("Probe", "probe", "Mprobe", "mprobe")


class _Freed:
    """One rank that is to be freed."""

    def __init__(
        self,
        made: Plan,
        states: Mapping[int, RankState],
        rank: int,
        call: Call,
        comm: Comm,
        recipes: Mapping[int, Recipe],
    ) -> None:
        self._made = made
        self._states = states
        self._rank = rank
        self._call = call
        self._comm = comm
        self._recipes = recipes
        self._members = RankSet.parse(comm.ranks)

    def plan(self) -> Iterator[str]:
        if OPS[self._call.op].need is Need.MESSAGE:
            yield from self._messages()
        else:
            yield from self._collective()

    def _act(self, kind: str, **more: object) -> Act:
        return Act(kind, self._comm.ranks, self._comm.name, self._rank, **more)  # type: ignore[arg-type]

    def _messages(self) -> Iterator[str]:
        call, op = self._call, self._call.op
        for message in (call.send, call.receive):
            if message is not None and UNKNOWN in (message.peer, message.tag):
                yield f"Rank {self._rank} waits in {op}: its peer or tag is not known"
                return
        if call.send is not None:
            act = self._act("take", tag=call.send.tag)
            self._made.add(call.send.peer, act)
        if call.receive is not None:
            peer = call.receive.peer
            if peer == ANY:
                others = self._members - RankSet([self._rank])
                peer = others.min() if others else self._rank
            tag = 0 if call.receive.tag == ANY else call.receive.tag
            pickled, looks = op[:1].islower(), op in _LOOKS
            act = self._act("send", tag=tag, pickled=pickled, looks=looks)
            self._made.add(peer, act)

    def _collective(self) -> Iterator[str]:
        same = RankSet(
            rank
            for rank in self._members
            if rank in self._states and self._is_in_it(self._states[rank])
        )
        missing = self._members - same
        if not missing:
            yield (
                f"{_upper(describe(same))}: all are in {self._call.op} of a communica"
                "tor of these ranks. It goes on, or they are in several that look alike"
            )
            return
        if OPS[self._call.op].need is not Need.ALL and len(missing) != 1:
            yield (
                f"{_upper(describe(missing))}: nobody can tell which of them have done "
                f"their part of {self._call.op}, in which rank {self._rank} waits"
            )
            return
        # What one of them cannot tell of the call another can: they make the same.
        known = [self._recipes[rank] for rank in same if rank in self._recipes]
        well = sorted((r for r in known if not r.problem), key=lambda r: not r.value)
        good = well[0] if well else None
        if good is None:
            why = self._recipes[self._rank].problem
            yield f"{_upper(describe(same))} in {self._call.op}: {why}"
            return
        if not all(good.agrees(other) for other in well):
            yield (
                f"{_upper(describe(same))}: their parts of {self._call.op} do not fit "
                "each other, so nobody can tell what another rank's has to be"
            )
            return
        act = Act("join", self._comm.ranks, self._comm.name, same.min(), recipe=good)
        for rank in missing:
            self._made.add(rank, act)

    def _is_in_it(self, state: RankState) -> bool:
        call = state.call
        return (
            call is not None
            and call.comm is not None
            and call.comm.key == self._comm.key
            and matches_as(call.op) == matches_as(self._call.op)
            and call.root == self._call.root
        )

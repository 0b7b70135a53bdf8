"""A small MPI without processes: random programs of ranks, run until nothing moves.

It knows messages (eager and synchronous), wildcards, tags, communicators, barriers and
two reductions that do not match each other, broadcasts, long computations, early ends
and failures. What it says of stuck ranks is found by trying all sets of ranks, in words
that have nothing to do with graphs.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

from steer.core.rankstates import ANY, Call, Comm, Doing, Message, RankState
from steer.ranks import RankSet

from .sightings import NOW, blocked, doing


@dataclass(frozen=True)
class Step:
    """One line of a rank's program."""

    op: str
    """send, eager, recv, Barrier, Allreduce, allreduce, Bcast, compute, fail."""
    comm: int = 0
    peer: int = ANY
    tag: int = ANY


@dataclass
class World:
    """The ranks, where they are, and the messages between them."""

    programs: list[list[Step]]
    comms: list[tuple[int, ...]]
    at: list[int] = field(default_factory=list)
    mail: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(sender, receiver, comm, tag) in the order of sending."""
    given: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """Broadcasts that a root gave and a rank has not taken: (comm, root, rank)."""

    def __post_init__(self) -> None:
        self.at = [0] * len(self.programs)

    def step(self, rank: int) -> Step | None:
        program = self.programs[rank]
        return program[self.at[rank]] if self.at[rank] < len(program) else None

    # -- running

    def run(self, chance: random.Random) -> None:
        """Go on until nothing can."""
        while moves := [m for rank in range(len(self.at)) for m in self.moves(rank)]:
            self.go(chance.choice(moves))

    def moves(self, rank: int) -> list[tuple[int, ...]]:
        """The ways in which it can go on: with which ranks, itself first."""
        step = self.step(rank)
        match step:
            case None:
                return []
            case Step("eager"):
                return [(rank,)]
            case Step("recv"):
                return self._receive(rank, step)
            case Step("send"):
                other = self.step(step.peer)
                fits = other is not None and fit(rank, step, step.peer, other)
                return [(rank, step.peer)] if fits else []
            case Step("Barrier" | "Allreduce" | "allreduce" as op, comm):
                group = self.comms[comm]
                together = all(self.step(m) == step for m in group)
                return [group] if together and op else []
            case Step("Bcast", comm, root):
                return self._bcast(rank, comm, root)
            case _:
                return []

    def _receive(self, rank: int, step: Step) -> list[tuple[int, ...]]:
        return [(rank,)] if self._letter(rank, step) is not None else []

    def _letter(self, rank: int, step: Step) -> int | None:
        for place, (sender, receiver, comm, tag) in enumerate(self.mail):
            sent = Step("eager", comm, receiver, tag)
            if receiver == rank and fit(sender, sent, rank, step):
                return place
        return None

    def _bcast(self, rank: int, comm: int, root: int) -> list[tuple[int, ...]]:
        if rank == root or self.given.get((comm, root, rank), 0):
            return [(rank,)]
        return []

    def go(self, move: tuple[int, ...]) -> None:
        """Ranks of a move go on."""
        rank = move[0]
        step = self.step(rank)
        assert step is not None
        if step.op == "eager":
            self.mail.append((rank, step.peer, step.comm, step.tag))
        elif step.op == "recv":
            place = self._letter(rank, step)
            assert place is not None
            del self.mail[place]
        elif step.op == "Bcast" and rank == step.peer:
            for other in self.comms[step.comm]:
                key = (step.comm, rank, other)
                self.given[key] = self.given.get(key, 0) + (other != rank)
        elif step.op == "Bcast":
            self.given[step.comm, step.peer, rank] -= 1
        for who in move:
            self.at[who] += 1

    # -- as Steer sees it

    def comm(self, number: int) -> Comm:
        return Comm(str(RankSet(self.comms[number])), f"c{number}", sure=True)

    def states(self) -> dict[int, RankState]:
        return {rank: self._state(self.step(rank)) for rank in range(len(self.at))}

    def states_on_the_way(self) -> dict[int, RankState]:
        """While some could go on: those that send eagerly compute for an observer."""
        found = {}
        for rank in range(len(self.at)):
            step = self.step(rank)
            gives = step is not None and (
                step.op == "eager" or (step.op == "Bcast" and step.peer == rank)
            )
            found[rank] = doing(Doing.PYTHON) if gives else self._state(step)
        return found

    def _state(self, step: Step | None) -> RankState:
        match step:
            case None:
                return doing(Doing.FINISHED)
            case Step("compute"):
                return doing(Doing.PYTHON)
            case Step("fail"):
                return doing(Doing.POST_MORTEM, "ValueError")
        comm = self.comm(step.comm)
        message = Message(step.peer, step.tag)
        match step.op:
            case "send":
                return blocked(Call("Ssend", comm, send=message))
            case "recv":
                return blocked(Call("Recv", comm, receive=message))
            case "Bcast":
                return blocked(Call("Bcast", comm, root=step.peer))
            case op:
                return blocked(Call(op, comm))

    # -- by trying everything

    def stuck(self, inert: frozenset[int]) -> frozenset[int]:
        """The ranks that could never go on, whatever all others did, those in `inert`
        doing nothing."""
        waiting = [rank for rank in range(len(self.at)) if self._waits(rank)]
        found: set[int] = set()
        for n in range(1, len(waiting) + 1):
            for some in itertools.combinations(waiting, n):
                frozen = frozenset(some)
                if not any(self._could(rank, frozen, inert) for rank in some):
                    found |= frozen
        return frozenset(found)

    def _waits(self, rank: int) -> bool:
        step = self.step(rank)
        return step is not None and step.op not in ("compute", "fail")

    def _could(self, rank: int, frozen: frozenset[int], inert: frozenset[int]) -> bool:
        """Whether its call could return while the frozen stay where they are and the
        others, but for the inert, do what is best for it."""
        step = self.step(rank)
        assert step is not None
        group = self.comms[step.comm]

        def free(other: int) -> bool:
            return other not in frozen and other not in inert

        if step.op == "recv":
            peers = group if step.peer == ANY else (step.peer,)
            return any(free(peer) for peer in peers)
        if step.op == "send":
            return free(step.peer)
        if step.op == "Bcast":
            return free(step.peer)
        return all(free(other) or self.step(other) == step for other in group)


def fit(sender: int, sent: Step, receiver: int, wanted: Step) -> bool:
    """Whether a message is the one that is waited for."""
    return (
        wanted.op == "recv"
        and sent.peer == receiver
        and wanted.comm == sent.comm
        and wanted.peer in (ANY, sender)
        and wanted.tag in (ANY, sent.tag)
    )


__all__ = ["NOW", "Step", "World"]

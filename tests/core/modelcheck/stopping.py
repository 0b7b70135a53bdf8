"""The stop protocol as a model: ranks, their controllers, a hub, and what is under way.

A rank's main thread goes from point to point; some programs make it wait for others
between two points. A controller arms, commits and releases its fence; the hub asks for
rounds, cancels them, steps. All of them move one small step at a time, in every order.

`Variant` says which protocol it is: the first proposal, the one that we use, and those
between, each with one of its rules left out. docs/design/steering.md has the protocol.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from .explore import Verdict, explore

FREE, FIN = 90, 91
"""A fence that stops nobody; the answer of a rank that has finished."""

RUN, INSIDE, CHECK, SET, HOLD, LEAVE, LOOK, LATE, DONE = range(9)
"""Where main is: between points, in a call that holds the GIL, at the check in point(),
about to write `at`, held, about to clear `at`, at the second look, about to count (only
if it checks first), finished."""

IDLE, COLLECT, WAIT, STOPPED, ENDING, OVER = range(6)
"""What the hub does."""

ARM, COMMIT, RELEASE, END = "arm", "commit", "release", "end"
NEXT, HELD, FINISHED, WITHDRAW = "next", "held", "finished", "withdraw"

_PLACES = ["run", "inside", "check", "set", "hold", "leave", "look", "late", "done"]

Rank = tuple[int, int, int, int]
"""Where main is, `c`, `at`, `fence`."""
Ctl = tuple[int, int, int, int, int, int]
"""Epoch, committed target (0: none), told (1 held, 2 finished, 4 withdrawn), step of
the arming under way, and what that has read: `k`, `n`."""
State = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One protocol, one program, and how often the user does what."""

    ranks: int = 2
    points: int = 3
    waits: str = ""
    """What a rank needs between points: nothing, its neighbour ("ring"), or the faster
    rank 0 ("rates")."""
    holds_gil: bool = False
    """Waiting ranks freeze their own threads."""
    rounds: int = 1
    steps: int = 0
    cancels: int = 0

    counts_first: bool = True
    epochs: bool = True
    end_rule: bool = True
    page: bool = True
    """The controller is another process: it works while the rank waits."""
    fine: bool = False
    """Every read and write of the page is a step of its own."""
    second_look: bool = True
    fence_first: bool = True
    lease: bool = False
    """In-process: a hold that nobody commits ends by itself."""
    firm: bool = True
    """Only holds after the commit count."""

    def check(self, only_unsafe: bool = False, most: int = 2_000_000) -> Verdict:
        """Look at all its states; those where all wait for ever may be passed over."""
        model = Model(self)
        over = (lambda _: True) if only_unsafe else model.over
        return explore(model.first(), model.moves, model.wrong, over, most)


class Model:
    """The states of one variant."""

    def __init__(self, variant: Variant) -> None:
        self.v = variant
        self.n = variant.ranks
        self.ends = [
            variant.points * (2 if variant.waits == "rates" and r == 0 else 1)
            for r in range(self.n)
        ]

    def first(self) -> State:
        v, n = self.v, self.n
        hub = (IDLE, 0, 0, (0,) * n, (0,) * n, v.rounds, v.cancels, v.steps)
        rank, ctl = (RUN, 0, 0, FREE), (0, 0, 0, 0, 0, 0)
        return ((rank,) * n, (ctl,) * n, ((),) * n, ((),) * n, hub)

    def over(self, state: State) -> bool:
        """All ranks have finished and nobody waits for a round."""
        return state[4][0] in (IDLE, OVER) and all(r[0] == DONE for r in state[0])

    def wrong(self, state: State) -> str:
        """STOPPED is only said when it is true, and as long as it is."""
        phase, _, target, *_ = state[4]
        if phase != STOPPED:
            return ""
        for r, (place, c, _, fence) in enumerate(state[0]):
            # One that was about to leave when the next round came looks again first.
            if place not in (SET, HOLD, LEAVE, LOOK) or c != target or c < fence:
                return f"stopped at {target}, but rank {r} is at {c} ({_PLACES[place]})"
        return ""

    def moves(self, state: State) -> list[tuple[str, State]]:
        """All that can happen next."""
        ranks, ctls, downs, ups, hub = state
        found: list[tuple[str, State]] = []
        for r in range(self.n):
            for label, rank in self._main(ranks, r):
                after = (_put(ranks, r, rank), ctls, downs, ups, hub)
                found.append((f"rank {r} {label}", after))
            frozen = not self.v.page and self.v.holds_gil and ranks[r][0] == INSIDE
            if not frozen:
                self._controller(state, r, found)
            if ups[r]:
                left = _put(ups, r, ups[r][1:])
                after = self._hear((ranks, ctls, downs, left, hub), r, ups[r][0])
                found.append((f"hub hears {ups[r][0]} of rank {r}", after))
        self._user(state, found)
        return found

    # -- a rank's main thread

    def _passed(self, rank: Rank) -> int:
        place, c, _, _ = rank
        return c if place in (RUN, INSIDE, LATE, DONE) else c - 1

    def _may_go_on(self, ranks: tuple[Rank, ...], r: int) -> bool:
        c = ranks[r][1]
        if self.v.waits == "ring":
            return self._passed(ranks[r - 1]) >= c
        if self.v.waits == "rates" and r:
            return self._passed(ranks[0]) >= 2 * c
        return True

    def _main(self, ranks: tuple[Rank, ...], r: int) -> list[tuple[str, Rank]]:
        v = self.v
        place, c, at, fence = ranks[r]
        if place == RUN and v.holds_gil:
            return [("waits", (INSIDE, c, at, fence))]
        if place in (RUN, INSIDE):
            if not self._may_go_on(ranks, r):
                return []
            if c == self.ends[r]:
                return [("finishes", (DONE, c, at, fence))]
            if v.counts_first:
                return [("counts", (CHECK, c + 1, at, fence))]
            if c + 1 < fence:
                return [("checks", (LATE, c, at, fence))]
            return [("holds", (HOLD, c + 1, c + 1, fence))]
        if place == LATE:
            return [("counts", (RUN, c + 1, at, fence))]
        if place in (CHECK, LOOK):
            if c < fence:
                return [("walks on", (RUN, c, at, fence))]
            if v.fine:
                return [("has to hold", (SET, c, at, fence))]
            return [("holds", (HOLD, c, c, fence))]
        if place == SET:
            return [("holds", (HOLD, c, c, fence))]
        if place == HOLD and c < fence:
            if v.fine:
                return [("sees that it may go", (LEAVE, c, at, fence))]
            return [("goes", (RUN, c, 0, fence))]
        if place == LEAVE:
            return [("clears at", (LOOK if v.second_look else RUN, c, 0, fence))]
        return []

    # -- its controller

    def _controller(self, state: State, r: int, found: list[tuple[str, State]]) -> None:
        ranks, ctls, downs, ups, hub = state
        rank, ctl = ranks[r], ctls[r]
        place, c, at, _fence = rank
        e, target, told, arming, k, n = ctl

        def add(label: str, rank: Rank, ctl: Ctl, say: Any = None, took: int = 0):
            after = (
                _put(ranks, r, rank),
                _put(ctls, r, ctl),
                _put(downs, r, downs[r][1:]) if took else downs,
                _put(ups, r, (*ups[r], say)) if say else ups,
                hub,
            )
            found.append((f"controller {r} {label}", after))

        if arming:
            self._go_on_arming(rank, ctl, add)
            return
        if downs[r]:
            self._obey(downs[r][0], rank, ctl, add)
        if not e:
            return
        wanted = target or (0 if self.v.firm else n)
        if wanted and at == wanted and not told & 5:
            ctl = (e, target, told | 1, 0, k, n)
            add(f"says held at {at}", rank, ctl, (HELD, e, at))
        if self.v.end_rule and place == DONE and not told & 2:
            ctl = (e, target, told | 2, 0, k, n)
            add("says finished", rank, ctl, (FINISHED, e, 0))
        if self.v.lease and place == HOLD and not target and not told & 4:
            # Main itself goes on: it waited for no longer than the lease.
            ctl = (e, 0, told | 4, 0, k, n)
            add("lets it go on", (RUN, c, 0, FREE), ctl, (WITHDRAW, e, 0))

    def _obey(self, message: Any, rank: Rank, ctl: Ctl, add: Any) -> None:
        kind, of, value = message
        e, _, told, _, k, n = ctl
        place, c, at, _ = rank
        if kind == ARM:
            ctl = (of, 0, 0, 1, c, 0)
            if not self.v.fine:
                self._go_on_arming(rank, ctl, add, took=1)
            elif self.v.fence_first:
                add("sets fence to 0", (place, c, at, 0), ctl, took=1)
            else:
                add("reads c", rank, ctl, took=1)
        elif self.v.epochs and (of != e or (told & 4 and kind == COMMIT)):
            add(f"drops {kind} {of}", rank, ctl, took=1)
        elif kind == COMMIT:
            moved = (place, c, at, value)
            add(f"commits {value}", moved, (e, value, told & 2, 0, k, n), took=1)
        elif kind == RELEASE:
            add("releases", (place, c, at, FREE), (0, 0, 0, 0, 0, 0), took=1)
        else:
            add("lets it end", (place, c, at, FREE), (e, 0, told, 0, k, 0), took=1)

    def _go_on_arming(self, rank: Rank, ctl: Ctl, add: Any, took: int = 0) -> None:
        place, c, at, _fence = rank
        e, target, told, arming, k, n = ctl
        if not self.v.fine:
            k = c
        elif arming == 1:
            if self.v.fence_first:
                add("reads c", rank, (e, target, told, 2, c, n))
            else:
                add("sets fence to 0", (place, c, at, 0), (e, target, told, 2, k, n))
            return
        if not self.v.fine or arming == 2:
            n = k if at == k and k else k + 1
            if not self.v.counts_first and place == LATE:
                n = c + 1  # what it has not counted yet
            if self.v.end_rule and place == DONE:
                n = FIN
            if self.v.fine:
                add("reads at and fin", rank, (e, target, told, 3, k, n))
                return
        if n == FIN:
            told |= 2
        moved = (place, c, at, FREE if n == FIN else n)
        add(f"says next {n}", moved, (e, 0, told, 0, 0, n), (NEXT, e, n), took)

    # -- the hub

    def _hear(self, state: State, r: int, message: Any) -> State:
        ranks, ctls, downs, ups, hub = state
        phase, e, target, got, held, rounds, cancels, steps = hub
        kind, of, value = message
        if self.v.epochs and of != e:
            return state

        def at(phase: int, send: Any = None, **new: Any) -> State:
            with_all = tuple((*d, send) for d in downs) if send else downs
            values = {"e": e, "target": target, "got": got, "held": held} | new
            told = (phase, values["e"], values["target"], values["got"], values["held"])
            return (ranks, ctls, with_all, ups, (*told, rounds, cancels, steps))

        if kind == FINISHED or value == FIN:
            if phase not in (COLLECT, WAIT, ENDING):
                return state
            got = _put(got, r, FIN)
            if all(n == FIN for n in got):
                return at(OVER, got=got)
            if phase == ENDING:
                return at(ENDING, got=got)
            return at(ENDING, (END, e, 0), got=tuple(n * (n == FIN) for n in got))
        if kind == WITHDRAW and phase in (COLLECT, WAIT):
            none = (0,) * self.n
            new = {"e": e + 1, "target": 0, "got": none, "held": none}
            return at(COLLECT, (ARM, e + 1, 0), **new)
        if kind == NEXT and phase == COLLECT:
            got = _put(got, r, value)
            if not all(got):
                return at(COLLECT, got=got)
            target = max(got)
            now = STOPPED if all(h == target for h in held) else WAIT
            return at(now, (COMMIT, e, target), got=got, target=target)
        early = phase == COLLECT and not self.v.firm
        if kind == HELD and (phase == WAIT or early):
            held = _put(held, r, value)
            stopped = phase == WAIT and all(h == target for h in held)
            return at(STOPPED if stopped else phase, held=held)
        return state

    def _user(self, state: State, found: list[tuple[str, State]]) -> None:
        ranks, ctls, downs, ups, hub = state
        phase, e, target, got, _, rounds, cancels, steps = hub

        def add(label: str, message: Any, *hub: Any) -> None:
            sent = tuple((*d, message) for d in downs)
            found.append((f"user {label}", (ranks, ctls, sent, ups, hub)))

        none = (0,) * self.n
        if phase == IDLE and rounds:
            new = (COLLECT, e + 1, 0, none, none, rounds - 1, cancels, steps)
            add("wants a stop", (ARM, e + 1, 0), *new)
        elif phase == STOPPED:
            new = (IDLE, e, 0, none, none, rounds, cancels, steps)
            add("lets go", (RELEASE, e, 0), *new)
            if steps:
                to = target + 1
                new = (WAIT, e, to, got, none, rounds, cancels, steps - 1)
                add("steps", (COMMIT, e, to), *new)
        elif phase in (COLLECT, WAIT) and cancels:
            new = (IDLE, e, 0, none, none, rounds, cancels - 1, steps)
            add("cancels", (RELEASE, e, 0), *new)


def _put(items: tuple[Any, ...], place: int, item: Any) -> tuple[Any, ...]:
    return (*items[:place], item, *items[place + 1 :])

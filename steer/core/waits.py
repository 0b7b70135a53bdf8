"""The wait-for graph: which ranks must act before a blocked rank can go on.

A blocked rank waits for *all* of some ranks or for *any* of them. Sets are integers, a
bit a rank, and ranks that wait for the same set share one node, so that a collective of
ten thousand ranks costs ten thousand steps and not their square.

The rule is to err to one side: what is not certain makes a wait easier to end.

* A call whose communicator is unknown may be ended by any rank.
* A call that is only guessed from the text of a line is none: nothing follows from it.
* A receive for which a fitting send is blocked at its peer is *moving*: MPI will carry
  it through, however long that takes. So is a collective in which all members are.
* A call that names nobody may be what its peers wait for.
* A rank with other threads of the user's may be helped by them.
* In a rooted collective only the root's part is certain; of a tree of messages nobody
  knows who waits for whom.

So whoever cannot go on in this graph cannot go on in the program; the reverse does not
hold, and need not.

`released` is the least set that is closed under going on: a rank that waits for all
goes on when all of them can act, one that waits for any when one of them can.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from steer.core.mpiops import OPS, Need, matches_as
from steer.core.rankstates import ANY, UNKNOWN, Call, Comm, Doing, Message, RankState
from steer.ranks import RankSet


@dataclass(frozen=True, slots=True, eq=False)
class Wait:
    """All of some ranks, or any of them, must act.

    Known by identity: powers of two have only 61 hashes (modulo 2**61 - 1).
    """

    every: bool
    targets: int
    """A mask; empty: nobody can ever end it."""


@dataclass
class Graph:
    """Who waits for whom."""

    waits: dict[int, Wait] = field(default_factory=dict)
    moving: dict[int, str] = field(default_factory=dict)
    """Blocked, but going on by itself as far as anyone can tell; with the reason."""

    def released(self, able: int) -> int:
        """All ranks that can act, now or after others did, if these can."""
        nodes: dict[Wait, list[int]] = {}
        for rank, wait in self.waits.items():
            if not able >> rank & 1:
                nodes.setdefault(wait, []).append(rank)
        watchers: dict[int, list[Wait]] = {}
        missing: dict[Wait, int] = {}
        go: collections.deque[int] = collections.deque()
        for wait, ranks in nodes.items():
            at_once = wait.targets & able
            left = wait.targets & ~able
            if (wait.every and not left) or (not wait.every and at_once):
                go.extend(ranks)
                continue
            missing[wait] = left.bit_count() if wait.every else 1
            for target in _bits(left):
                watchers.setdefault(target, []).append(wait)
        reached = able
        while go:
            rank = go.popleft()
            if reached >> rank & 1:
                continue
            reached |= 1 << rank
            for wait in watchers.pop(rank, ()):
                missing[wait] -= 1
                if missing[wait] == 0:
                    go.extend(nodes[wait])
        return reached

    def cores(self, among: int) -> list[int]:
        """The sets of ranks, out of these, that only wait for each other: each is the
        reason for whoever else waits for it."""
        return _sinks({rank: self.waits[rank] for rank in _bits(among)}, among)

    def cycle(self, core: int) -> list[int]:
        """The shortest circle through the lowest rank of a core."""
        first = _lowest(core)
        before: dict[int, int] = {}
        queue = collections.deque([first])
        left = core
        seen: set[Wait] = set()
        while queue:
            rank = queue.popleft()
            wait = self.waits[rank]
            if wait.targets >> first & 1 and (
                rank != first or wait.targets == 1 << first
            ):
                return _path(before, first, rank)
            if wait in seen:
                continue
            seen.add(wait)
            for target in _bits(wait.targets & left):
                left &= ~(1 << target)
                if target != first:
                    before[target] = rank
                    queue.append(target)
        return [first]


def _path(before: Mapping[int, int], first: int, last: int) -> list[int]:
    path = [last]
    while path[-1] != first:
        path.append(before[path[-1]])
    return path[::-1]


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _bits(mask: int) -> Iterator[int]:
    return iter(RankSet.from_mask(mask))


def _sinks(waits: Mapping[int, Wait], among: int) -> list[int]:
    """Strongly connected parts without a way out (Tarjan's, without recursion, the
    shared waits being nodes of their own, below the ranks' in number)."""
    nodes = {
        wait: -1 - place for place, wait in enumerate(dict.fromkeys(waits.values()))
    }
    by_node = {node: wait for wait, node in nodes.items()}

    def following(node: int) -> Iterator[int]:
        if node >= 0:
            wait = waits[node]  # one that nobody can end is a reason of its own
            return iter((nodes[wait],) if wait.targets & among else ())
        return _bits(by_node[node].targets & among)

    index: dict[int, int] = {}
    low: dict[int, int] = {}
    part_of: dict[int, int] = {}
    parts: list[int] = []
    leaves: list[bool] = []
    stack: list[int] = []
    for root in waits:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        work = [(root, following(root))]
        while work:
            node, ways = work[-1]
            for to in ways:
                if to not in index:
                    index[to] = low[to] = len(index)
                    stack.append(to)
                    work.append((to, following(to)))
                    break
                if to not in part_of:
                    low[node] = min(low[node], index[to])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    _close(node, stack, part_of, parts)
    leaves = [False] * len(parts)
    for node in index:
        for to in following(node):
            if part_of[to] != part_of[node]:
                leaves[part_of[node]] = True
    return [mask for mask, out in zip(parts, leaves, strict=True) if not out and mask]


def _close(
    node: int, stack: list[int], part_of: dict[int, int], parts: list[int]
) -> None:
    mask = 0
    while True:
        member = stack.pop()
        part_of[member] = len(parts)
        if member >= 0:
            mask |= 1 << member
        if member == node:
            break
    parts.append(mask)


# -- from states to the graph


def graph(states: Mapping[int, RankState]) -> Graph:
    """The graph of the ranks that are blocked in MPI."""
    builder = _Builder(states)
    found = Graph()
    for rank, state in states.items():
        if state.call is not None and state.call.guessed:
            found.moving[rank] = f"it may be in {state.call.op}, or in something else"
            continue
        if state.doing is not Doing.MPI or state.call is None:
            continue
        if state.open.threads:
            names = ", ".join(state.open.threads)
            found.moving[rank] = f"its thread {names} may act too"
            continue
        wait = builder.wait(rank, state.call)
        if isinstance(wait, str):
            found.moving[rank] = wait
        else:
            found.waits[rank] = wait
    return found


_Arrived = dict[tuple[tuple[str, str], str], dict[int, int]]


class _Builder:
    """Looks up what other ranks wait for, to tell what one waits for."""

    def __init__(self, states: Mapping[int, RankState]) -> None:
        self._calls = {
            rank: state.call
            for rank, state in states.items()
            if state.doing is Doing.MPI and state.call is not None
        }
        self._world = 0
        for rank in states:
            self._world |= 1 << rank
        self._masks: dict[str, int] = {}
        self._arrived: _Arrived = {}
        self._unplaced: dict[str, int] = {}
        """Ranks in a collective of an unknown communicator, by its operation."""
        self._senders: dict[int, list[int]] = {}
        """Ranks that send, by whom they send to; ANY where that is unknown."""
        self._waits: dict[tuple[object, ...], Wait] = {}
        self._vague = 0
        """Ranks that send or receive, nobody knows to or from whom."""
        self._messaging = 0
        for rank, call in self._calls.items():
            self._note(rank, call)

    def _note(self, rank: int, call: Call) -> None:
        op = OPS.get(call.op)
        if op is not None and op.need is Need.MESSAGE:
            self._messaging |= 1 << rank
            if call.send is None and call.receive is None:
                self._vague |= 1 << rank
        if call.send is not None:
            peer = call.send.peer if call.send.peer >= 0 else ANY
            self._senders.setdefault(peer, []).append(rank)
        if _is_collective(call):
            name = matches_as(call.op)
            if call.comm is None:
                self._unplaced[name] = self._unplaced.get(name, 0) | 1 << rank
                return
            by_root = self._arrived.setdefault((call.comm.key, name), {})
            by_root[call.root] = by_root.get(call.root, 0) | 1 << rank

    def members(self, comm: Comm) -> int:
        """The ranks of a communicator."""
        if comm.ranks not in self._masks:
            self._masks[comm.ranks] = RankSet.parse(comm.ranks).mask
        return self._masks[comm.ranks]

    def wait(self, rank: int, call: Call) -> Wait | str:
        """What a rank waits for; a text if it goes on, saying why."""
        if call.comm is not None and not call.comm.whole:
            return "its communicator has members in another world"
        op = OPS.get(call.op)
        if op is None:
            return f"what {call.op} waits for is not known"
        if call.send is not None or call.receive is not None:
            return self._for_messages(rank, call)
        if op.need is Need.MESSAGE and self._messaging & ~(1 << rank):
            return f"whom {call.op} names is not known, and others send or receive"
        if op.need in (Need.MESSAGE, Need.REQUEST):
            return self._for_any(call.comm)
        return self._for_members(rank, call, op.need)

    def _for_any(self, comm: Comm | None) -> Wait:
        """One of all, itself included: being blocked it frees nobody, and so all of
        them share the node."""
        # A request says nothing of its communicator.
        targets = self._world if comm is None else self.members(comm)
        return self._wait(False, targets, "any", None if comm is None else comm.ranks)

    def _wait(self, every: bool, targets: int, *key: object) -> Wait:
        """The node that all share who wait for the same; `key` names the targets."""
        key = (every, *key)
        if key not in self._waits:
            self._waits[key] = Wait(every, targets)
        return self._waits[key]

    # -- messages

    def _for_messages(self, rank: int, call: Call) -> Wait | str:
        wanted: list[Message] = []
        for message in (call.send, call.receive):
            if message is not None and self._vague & self._peers(call, message):
                return "what its peer sends or receives is not known"
        if call.send is not None:
            other = self._receiving(rank, call, call.send)
            if other is not None:
                return f"its message to rank {other} is on its way"
            wanted.append(call.send)
        if call.receive is not None:
            other = self._sending(rank, call, call.receive)
            if other is not None:
                return f"a message from rank {other} is on its way"
            wanted.append(call.receive)
        peers = sorted({message.peer for message in wanted})
        if peers[0] < 0:
            return self._for_any(call.comm)
        # Of a Sendrecv either half may be over already.
        targets = sum(1 << peer for peer in peers)
        return self._wait(len(peers) == 1, targets, "peers", *peers)

    def _peers(self, call: Call, message: Message) -> int:
        if message.peer >= 0:
            return 1 << message.peer
        return self._for_any(call.comm).targets

    def _receiving(self, rank: int, call: Call, message: Message) -> int | None:
        """Who is blocked in a receive that this message fits."""
        others = (message.peer,) if message.peer >= 0 else tuple(self._calls)
        for other in others:
            theirs = self._calls.get(other)
            if theirs is None or theirs.receive is None or other == rank:
                continue
            if _fits(rank, message, call.comm, other, theirs.receive, theirs.comm):
                return other
        return None

    def _sending(self, rank: int, call: Call, message: Message) -> int | None:
        """Who is blocked in a send that fits this receive."""
        nobody: list[int] = []
        for other in self._senders.get(rank, nobody) + self._senders.get(ANY, nobody):
            theirs = self._calls[other]
            assert theirs.send is not None
            if other == rank:
                continue
            if _fits(other, theirs.send, theirs.comm, rank, message, call.comm):
                return other
        return None

    # -- collectives

    def _for_members(self, rank: int, call: Call, need: Need) -> Wait | str:
        name = matches_as(call.op)
        if call.comm is None:
            return self._unplaced_wait(rank, name)
        members = self.members(call.comm)
        by_root = self._arrived[call.comm.key, name]
        arrived = self._unplaced.get(name, 0)
        for root, mask in by_root.items():
            if UNKNOWN in (root, call.root) or root == call.root:
                arrived |= mask
        missing = members & ~arrived
        if not missing:
            return f"all its ranks are in {call.op}"
        key = ("comm", call.comm.key, name, call.root)
        match need:
            case Need.ALL:
                return self._wait(True, missing, *key)
            case Need.ROOT if call.root >= 0 and missing >> call.root & 1:
                return self._wait(True, 1 << call.root, "peers", call.root)
            case Need.AT_ROOT if call.root == rank:
                return self._wait(True, missing, *key)
            case _:
                return self._wait(False, missing, *key)

    def _unplaced_wait(self, rank: int, name: str) -> Wait | str:
        others = self._unplaced[name] & ~(1 << rank)
        for (_, op), by_root in self._arrived.items():
            if op == name:
                for mask in by_root.values():
                    others |= mask
        if others:
            return "its communicator is unknown, and others are in the same call"
        return self._for_any(None)


def _is_collective(call: Call) -> bool:
    op = OPS.get(call.op)
    return op is not None and op.need not in (Need.MESSAGE, Need.REQUEST)


def _fits(
    sender: int,
    sent: Message,
    comm: Comm | None,
    receiver: int,
    wanted: Message,
    other: Comm | None,
) -> bool:
    """Whether a send and a receive may be one message; what is unknown may be so."""
    return (
        (sent.peer < 0 or sent.peer == receiver)
        and (wanted.peer < 0 or wanted.peer == sender)
        and (wanted.tag < 0 or sent.tag < 0 or wanted.tag == sent.tag)
        and (comm is None or other is None or comm.key == other.key)
    )

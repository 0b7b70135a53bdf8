"""Calls of MPI over time, of many ranks: who talked to whom, and what met what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

KEPT = 20_000
"""Calls of a rank that are kept."""
UNKNOWN, NOBODY = -1, -2
"""Of a rank: it could not be told; MPI.PROC_NULL."""

Row = tuple[str, int, int, int, int, int, str, str, int, int, int]
"""The call; when it began and ended (ns since 1970); the other rank, the tag, the bytes
(-1 if unknown); the communicator; file and line; of what receives, from which rank and
with which tag the message came, as its Status says if it took any."""

_BOTH = frozenset(("Sendrecv", "sendrecv", "Sendrecv_replace"))
SENDS = _BOTH | frozenset(
    (
        "Send", "send", "Ssend", "ssend", "Rsend", "Bsend", "bsend", "Isend", "isend",
        "Issend", "issend",
    )
)  # fmt: skip
RECEIVES = _BOTH | frozenset(("Recv", "recv", "Irecv", "irecv"))
_TAKEN_ASIDE = frozenset(("Mprobe", "mprobe"))
"""What they find is received by a call that is not noted."""


def matrix(rows: Mapping[int, Sequence[Row]]) -> dict[tuple[int, int], tuple[int, int]]:
    """For each pair of ranks how many messages went from one to the other, and bytes as
    far as they are known."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for rank, its in rows.items():
        for op, _, _, peer, _, size, *_ in its:
            if op in SENDS and peer >= 0:
                count, total = found.get((rank, peer), (0, 0))
                found[rank, peer] = count + 1, total + max(size, 0)
    return found


_Key = tuple[int, int, int, str]
"""Who sent, to whom, the tag, the communicator."""


class _Order:
    """The messages of each key in the order in which they were sent, or received: of
    one communicator, between two ranks with one tag, they do not overtake each other.

    Where it is not known that all of them are here, there is no order.
    """

    def __init__(self) -> None:
        self.rows: dict[_Key, list[Row]] = defaultdict(list)
        self._vague: dict[tuple[str, int], set[tuple[int, int]]] = defaultdict(set)
        """What is known of messages of which not all is: with whom, and the tag."""

    def add(self, mine: int, other: int, tag: int, row: Row, sends: bool) -> None:
        """Note a message of this rank's, to or from another."""
        if other == NOBODY:
            return
        comm = row[6]
        if other < 0 or tag < 0:
            self._vague[comm, mine].add((other, tag))
            return
        key = (mine, other, tag, comm) if sends else (other, mine, tag, comm)
        self.rows[key].append(row)

    def is_whole(self, key: _Key, mine: int) -> bool:
        """Whether no message that is not wholly known may be one of these."""
        sender, receiver, tag, comm = key
        other = receiver if mine == sender else sender
        return not any(
            whom in (other, UNKNOWN) and its in (tag, UNKNOWN)
            for whom, its in self._vague.get((comm, mine), ())
        )


def pairs(
    rows: Mapping[int, Sequence[Row]], *, one_clock: bool = True
) -> Iterator[tuple[tuple[int, Row], tuple[int, Row]]]:
    """Sends with the receives that they met, where that is certain: not of ranks whose
    first calls are forgotten, nor beside a receive of which the sender is not known.

    Args:
        one_clock: a message that came before it was sent shows then that others are
            missing here.
    """
    sent, got = _Order(), _Order()
    for rank, its in rows.items():
        if len(its) >= KEPT:
            continue
        for row in sorted(its, key=lambda row: row[1]):
            op, peer, tag, source, came = row[0], row[3], row[4], row[9], row[10]
            if op in SENDS:
                sent.add(rank, peer, tag, row, True)
            if op in RECEIVES:
                got.add(rank, source, came, row, False)
            elif op in _TAKEN_ASIDE:
                got.add(rank, UNKNOWN, came, row, False)
    for key, sends in sent.rows.items():
        receives = got.rows.get(key, [])
        both = list(zip(sends, receives, strict=False))
        if not (sent.is_whole(key, key[0]) and got.is_whole(key, key[1])):
            continue
        if one_clock and any(end[2] < begin[1] for begin, end in both):
            continue
        for first, second in both:
            yield (key[0], first), (key[1], second)


def forgetful(rows: Mapping[int, Sequence[Row]]) -> list[int]:
    """Ranks that made more calls than are kept."""
    return [rank for rank, its in rows.items() if len(its) >= KEPT]


def chrome(
    rows: Mapping[int, Sequence[Row]], hosts: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """What chrome://tracing and Perfetto read: a track for each rank, arrows from sends
    to their receives. Tracks of several hosts are apart: each has a clock of its own.
    """
    hosts = hosts or {}
    places = sorted({hosts.get(rank, "") for rank in rows})
    process = {rank: places.index(hosts.get(rank, "")) for rank in rows}
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "thread_name", "pid": process[rank], "tid": rank,
         "args": {"name": f"rank {rank}"}}
        for rank in rows
    ]  # fmt: skip
    if len(places) > 1:
        events += [
            {"ph": "M", "name": "process_name", "pid": pid,
             "args": {"name": f"{place} (its own clock)"}}
            for pid, place in enumerate(places)
        ]  # fmt: skip
    for rank, its in rows.items():
        events += [_event(process[rank], rank, row) for row in its]
    found = pairs(rows, one_clock=len(places) == 1)
    for number, ((sender, send), (receiver, receive)) in enumerate(found):
        common = {"name": "message", "cat": "mpi", "id": number}
        begin = {"ph": "s", "pid": process[sender], "tid": sender, "ts": send[1] / 1e3}
        end = {"ph": "f", "bp": "e", "pid": process[receiver], "tid": receiver,
               "ts": receive[2] / 1e3}  # fmt: skip
        events += [common | begin, common | end]
    return {"traceEvents": events, "displayTimeUnit": "ns"}


def _event(process: int, rank: int, row: Row) -> dict[str, Any]:
    op, began, ended, peer, tag, size, comm, file, line, source, came = row
    told = {"peer": peer, "tag": tag, "bytes": size}
    if op in RECEIVES:
        told |= {"source": source, "received tag": came}
    known = {key: value for key, value in told.items() if value >= 0}
    arguments = {**known, "comm": comm, "at": f"{file}:{line}"}
    return {
        "ph": "X", "name": op, "pid": process, "tid": rank, "ts": began / 1e3,
        "dur": (ended - began) / 1e3, "args": arguments,
    }  # fmt: skip

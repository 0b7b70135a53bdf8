"""Calls of MPI over time, of many ranks: who talked to whom, and what met what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

KEPT = 20_000
"""Calls of a rank that are kept."""

Row = tuple[str, int, int, int, int, int, str, str, int]
"""The call; when it began and ended (ns since 1970); the other rank, the tag, the bytes
(-1 if unknown); the communicator; file and line."""

SENDS = frozenset(
    (
        "Send", "send", "Ssend", "ssend", "Rsend", "Bsend", "bsend", "Isend", "isend",
        "Issend", "issend", "Sendrecv", "sendrecv",
    )
)  # fmt: skip
RECEIVES = frozenset(("Recv", "recv", "Irecv", "irecv"))


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


def pairs(
    rows: Mapping[int, Sequence[Row]],
) -> Iterator[tuple[tuple[int, Row], tuple[int, Row]]]:
    """Sends with the receives that they met: of one communicator, between two ranks
    with one tag, messages do not overtake each other."""
    sent: dict[tuple[int, int, int, str], list[Row]] = defaultdict(list)
    got: dict[tuple[int, int, int, str], list[Row]] = defaultdict(list)
    for rank, its in rows.items():
        for row in its:
            op, _, _, peer, tag, _, comm, _, _ = row
            if peer < 0:
                continue
            if op in SENDS:
                sent[rank, peer, max(tag, 0), comm].append(row)
            elif op in RECEIVES and tag >= 0:
                got[peer, rank, tag, comm].append(row)
    for key, sends in sent.items():
        for first, second in zip(sends, got.get(key, ()), strict=False):
            yield (key[0], first), (key[1], second)


def chrome(rows: Mapping[int, Sequence[Row]]) -> dict[str, Any]:
    """What chrome://tracing and Perfetto read: a track for each rank, arrows from sends
    to their receives."""
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "thread_name", "pid": 0, "tid": rank,
         "args": {"name": f"rank {rank}"}}
        for rank in rows
    ]  # fmt: skip
    for rank, its in rows.items():
        for op, began, ended, peer, tag, size, comm, file, line in its:
            told = {"peer": peer, "tag": tag, "bytes": size}
            known = {key: value for key, value in told.items() if value >= 0}
            arguments = {**known, "comm": comm, "at": f"{file}:{line}"}
            events.append(
                {"ph": "X", "name": op, "pid": 0, "tid": rank, "ts": began / 1e3,
                 "dur": (ended - began) / 1e3, "args": arguments}
            )  # fmt: skip
    for number, ((sender, send), (receiver, receive)) in enumerate(pairs(rows)):
        common = {"name": "message", "cat": "mpi", "id": number, "pid": 0}
        events.append({**common, "ph": "s", "tid": sender, "ts": send[1] / 1e3})
        end = {"ph": "f", "bp": "e", "tid": receiver, "ts": receive[2] / 1e3}
        events.append({**common, **end})
    return {"traceEvents": events, "displayTimeUnit": "ns"}

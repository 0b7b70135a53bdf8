"""Short words for the states of ranks, as tests of sight need them."""

from __future__ import annotations

from steer.core.rankstates import ANY, Call, Comm, Doing, Message, Open, RankState, Spot

NOW = 100.0
WORLD3 = Comm("0-2", "WORLD", sure=True)


def world(n: int) -> Comm:
    return Comm(f"0-{n - 1}" if n > 1 else "0", "WORLD", sure=True)


def blocked(call: Call, *, moved: float = 88.0, line: int = 1, **more) -> RankState:
    spot = Spot("/home/ann/solver.py", line, "main")
    return RankState(Doing.MPI, spot, call, "", moved, NOW, moved, **more)


def recv(source: int, tag: int = ANY, comm: Comm = WORLD3) -> Call:
    return Call("Recv", comm, receive=Message(source, tag))


def send(dest: int, tag: int = 0, comm: Comm = WORLD3, *, size: int = 0) -> Call:
    return Call("Ssend", comm, send=Message(dest, tag), size=size)


def joint(op: str, comm: Comm = WORLD3, root: int = -2) -> Call:
    return Call(op, comm, root=root)


def doing(what: Doing, detail: str = "", line: int = 2, function: str = "rhs"):
    spot = Spot("/home/ann/solver.py", line, function)
    return RankState(what, spot, None, detail, 90.0, NOW, 90.0)


def open_requests(size: int) -> Open:
    return Open(1, size)

"""What a rank's I/O thread says of its main thread when a round waits for it.

It looks twice if need be: only from a call that has not returned for a while can it be
told that it waits. If main holds the GIL, nothing is said, and that says it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from steer.core import page
from steer.core.mpiops import OPS, Need
from steer.core.page import Words
from steer.core.rankstates import ANY, UNKNOWN, Call, Look
from steer.core.rankstates import Message as Sent
from steer.engines.looking import NATIVE_AFTER, Watcher
from steer.ranks import RankSet
from steer.wire.messages import LookAt, Looked, Message

Later = Callable[[float, Callable[[], object]], object]


class Seen:
    """Answers questions about main."""

    def __init__(
        self,
        rank: int,
        watcher: Watcher,
        send: Callable[[Message], object],
        later: Later,
        words: Words,
    ) -> None:
        self._rank = rank
        self._watcher = watcher
        self._send = send
        self._later = later
        self._words = words

    def asked(self, message: LookAt) -> None:
        """Look, and answer soon; in the I/O thread."""
        self._watcher.look()  # from now on it is known whether main has moved
        self._later(NATIVE_AFTER * 1.2, lambda: self._answer(message.number))

    def _answer(self, number: int) -> None:
        told = described(number, self._rank, self._watcher.look())
        here = page.look(self._words)
        if here is None:
            self._send(told)
            return
        self._send(
            msgspec.structs.replace(
                told,
                point=max((family.point for family in here.families), default=0),
                held=any(family.held for family in here.families),
                finished=here.finished,
            )
        )


def described(number: int, rank: int, look: Look) -> Looked:
    """What was seen, as it travels."""
    where = str(look.spot)
    call = look.call
    if call is None or look.still < NATIVE_AFTER:
        return Looked(number, text=look.native, where=where)
    waits_for, any_will_do = _needs(rank, call)
    return Looked(number, True, _words(call), where, str(waits_for), any_will_do)


def _words(call: Call) -> str:
    """The call as a person would write it, as far as it is known."""
    parts = []
    if call.send is not None:
        parts += _message("dest", call.send)
    if call.receive is not None:
        parts += _message("source", call.receive)
    if call.root != UNKNOWN:
        parts.append(f"root={call.root}")
    return f"{call.op}({', '.join(parts)})"


def _message(end: str, message: Sent) -> list[str]:
    peer = "any" if message.peer == ANY else str(message.peer)
    said = [] if message.peer == UNKNOWN else [f"{end}={peer}"]
    return [*said, f"tag={message.tag}"] if message.tag >= 0 else said


def _needs(rank: int, call: Call) -> tuple[RankSet, bool]:
    """The ranks that a call waits for, and whether one of them is enough. Empty if
    that is not known: then nothing follows from it."""
    need = OPS[call.op].need
    others = RankSet.parse(call.comm.ranks) if call.comm is not None else RankSet()
    others -= RankSet([rank])
    if need is Need.ALL or (need is Need.AT_ROOT and call.root == rank):
        return others, False
    if need is Need.ROOT and call.root >= 0:
        return RankSet([call.root]), False
    if need is not Need.MESSAGE:
        return RankSet(), False
    if call.receive is not None and call.receive.peer == ANY:
        return others, True
    peers = [m.peer for m in (call.receive, call.send) if m is not None and m.peer >= 0]
    return RankSet(peers), False

"""What a client remembers: requests without all their answers, and who is here.

Answers may come twice (the hub was started anew, the request was sent again); an
engine's second answer is dropped here. A request stays until every target has answered,
and is sent again, marked as such, whenever a hub asks who we are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from steer.ranks import RankSet
from steer.wire.messages import (
    EngineInfo,
    ErrorInfo,
    Insight,
    Kind,
    Left,
    Outputs,
    Part,
    Piece,
    Replies,
    Store,
    Submit,
)


class Sink(Protocol):
    """Where a request's answers go; called in the I/O thread, must be quick."""

    def part(self, part: Part, frames: list[Any]) -> None:
        """Some engines have answered; `frames` are the payload, those in memory
        mapped."""

    def output(self, piece: Piece, frame: Any) -> None:
        """Some engines have printed or displayed something."""

    def done(self) -> None:
        """All engines have answered."""

    def refused(self, error: ErrorInfo) -> None:
        """The hub did not take the request; nothing else will come."""

    def notify(self) -> None:
        """The connection changed: wake those who wait, they look at `Link.trouble`."""

    def insight(self, message: Insight, content: Any) -> None:
        """The hub has found out why it is silent, or who waits for a failed rank."""


class Pending:
    """A request under way."""

    __slots__ = ("frames", "missing", "sink", "submit")

    def __init__(self, submit: Submit, frames: Sequence[Any], sink: Sink) -> None:
        self.submit = submit
        self.frames = frames
        self.sink = sink
        self.missing = dict.fromkeys(RankSet.parse(submit.targets))

    @property
    def begun(self) -> bool:
        """Whether some have answered."""
        return len(self.missing) < len(RankSet.parse(self.submit.targets))


class ClientCore:
    """Requests and engines of one client."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.pending: dict[str, Pending] = {}
        self.engines: dict[int, EngineInfo] = {}
        self.sent = 0
        """How many ids there have been; the number of the latest."""

    def new_id(self) -> str:
        """An id for a request or a question."""
        self.sent += 1
        return f"{self.client}-{self.sent}"

    def submit(
        self,
        kind: Kind,
        targets: Iterable[int],
        frames: Sequence[Any],
        sink: Sink,
        *,
        submitted: float,
        silent: bool = True,
        store_history: bool = False,
        label: str = "",
        name: str = "",
        store: Store | None = None,
        joint: bool = False,
    ) -> Pending:
        """Note a request; the shell sends its `submit` and `frames`."""
        submit = Submit(
            id=self.new_id(),
            kind=kind,
            targets=str(RankSet(targets)),
            silent=silent,
            store_history=store_history,
            label=label,
            name=name,
            store=store,
            submitted=submitted,
            joint=joint,
        )
        pending = Pending(submit, frames, sink)
        self.pending[submit.id] = pending
        return pending

    def replies(
        self, message: Replies, frames: Sequence[Any]
    ) -> tuple[Pending | None, list[tuple[Part, list[Any]]]]:
        """The request that this answers, and the parts that are news."""
        pending = self.pending.get(message.id)
        if pending is None:
            return None, []
        news: list[tuple[Part, list[Any]]] = []
        for part, its in split_parts(message, frames):
            fresh = self._fresh(part, pending)
            if fresh is not None:
                news.append((fresh, its))
        if not pending.missing:
            del self.pending[message.id]
        return pending, news

    def _fresh(self, part: Part, pending: Pending) -> Part | None:
        """The part without engines that have answered already."""
        engines = list(RankSet.parse(part.ranks))
        if all(engine in pending.missing for engine in engines):
            for engine in engines:
                del pending.missing[engine]
            return part
        keep = [i for i, engine in enumerate(engines) if engine in pending.missing]
        if not keep:
            return None
        for i in keep:
            del pending.missing[engines[i]]
        return msgspec.structs.replace(
            part,
            ranks=str(RankSet(engines[i] for i in keep)),
            started=tuple(part.started[i] for i in keep),
            completed=tuple(part.completed[i] for i in keep),
        )

    def outputs(
        self, message: Outputs, frames: Sequence[Any]
    ) -> list[tuple[Pending, Piece, Any]]:
        """The pieces of output, each with its request, where that is still known."""
        return [
            (self.pending[piece.id], piece, frame)
            for piece, frame in zip(message.pieces, frames, strict=True)
            if piece.id in self.pending
        ]

    def refused(self, request_id: str) -> Pending | None:
        """The hub did not take this request."""
        return self.pending.pop(request_id, None)

    def joined(self, engines: Iterable[EngineInfo]) -> None:
        """These engines are here."""
        for engine in engines:
            self.engines[engine.id] = engine
        self.engines = dict(sorted(self.engines.items()))

    def left(self, message: Left) -> None:
        """These engines are gone."""
        for engine in message.engines:
            self.engines.pop(engine, None)

    def again(self) -> list[tuple[Submit, Sequence[Any]]]:
        """All unanswered requests, to be sent to a hub that does not know us.

        Only to those who owe an answer: the others may have forgotten theirs, for us.
        Of a cell that some have answered the rest must run: it has begun.
        """
        return [
            (
                msgspec.structs.replace(
                    p.submit,
                    targets=str(RankSet(p.missing)),
                    resent=True,
                    begun=p.begun,
                ),
                p.frames,
            )
            for p in self.pending.values()
        ]


def split_parts(
    message: Replies, frames: Sequence[Any]
) -> Iterator[tuple[Part, list[Any]]]:
    """Each part of some answers with the frames that belong to it."""
    at = 0
    for part in message.parts:
        yield part, list(frames[at : at + part.frames])
        at += part.frames

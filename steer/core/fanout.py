"""One request to many engines, their answers gathered.

A request::

    open --last engine answered, died or refused--> finished --saved and released-->
    forgotten

Answers are merged on the way back: engines that gave the same bytes share a part, so
that `None` from ten thousand ranks is one part. What is merged waits for company at
most REPLY_WINDOW (answers) or OUTPUT_WINDOW (output), and never when the request is
finished or an engine failed: those go at once. What an engine printed is sent before
its answer.

A finished request is kept until each answer is safe: the journal holds it, or the
client has taken it out of shared memory. A client that is away gets nothing; it asks
the journal later.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from steer.core.events import Action, Drop, Late, Note, Send
from steer.core.registry import Engine
from steer.core.turns import Turns
from steer.ranks import RankSet
from steer.wire.frames import pack, unpack
from steer.wire.messages import (
    ErrorInfo,
    Output,
    Outputs,
    Part,
    Piece,
    Replies,
    Result,
    Status,
    Store,
    Stream,
    Submit,
)
from steer.wire.peers import peer_name

REPLY_WINDOW = 0.005
OUTPUT_WINDOW = 0.02
OUTPUT_BYTES = 256 << 10
"""Output of one request is sent at once when this much of it waits."""

ALIKE = 64 << 10
"""Bytes. Larger answers are not compared: they are seldom equal, and comparing
costs."""

KEPT_OUTPUT = 1 << 20
"""Bytes of an engine's text that the journal keeps for one request; the head, that
is."""


@dataclasses.dataclass(slots=True)
class Answered:
    """The same answer of some engines."""

    engines: list[int]
    status: Status
    frames: Sequence[Any]
    started: list[float]
    completed: list[float]
    count: int = 0
    store: Store | None = None
    taken: bool = False
    """Whether the client has taken it out of the store, which then is dropped."""

    def part(self) -> Part:
        """As it is told to the client."""
        order = sorted(range(len(self.engines)), key=self.engines.__getitem__)
        return Part(
            ranks=str(RankSet(self.engines)),
            status=self.status,
            frames=len(self.frames),
            started=tuple([self.started[i] for i in order]),
            completed=tuple([self.completed[i] for i in order]),
            count=self.count,
            store=self.store,
        )


@dataclasses.dataclass(slots=True)
class Printed:
    """The same output of some engines."""

    engines: list[int]
    stream: Stream
    frame: bytes


@dataclasses.dataclass(slots=True)
class Request:
    """A request and what came back so far."""

    submit: Submit
    client: str
    frames: Sequence[Any]
    pending: dict[int, str]
    """Engine ids that have not answered, with their uuids: ids are used again."""
    uuids: dict[int, str]
    answers: list[Answered] = dataclasses.field(default_factory=list)
    sent: int = 0
    """How many of the answers the client has been sent."""
    mergeable: dict[tuple[str, int, bytes], Answered] = dataclasses.field(
        default_factory=dict
    )
    """Unsent answers that others may join."""
    printed: list[Printed] = dataclasses.field(default_factory=list)
    printed_bytes: int = 0
    kept: dict[int, dict[str, list[bytes]]] = dataclasses.field(default_factory=dict)
    kept_bytes: dict[int, int] = dataclasses.field(default_factory=dict)
    saved: set[int] = dataclasses.field(default_factory=set)
    """Engines whose answers are safe."""
    scheduled: bool = False
    held_for: tuple[Engine, ...] = ()
    """Those it is to be sent to, as long as it waits."""
    prompts: dict[int, bytes] = dataclasses.field(default_factory=dict)
    """What engines ask and nobody has answered."""

    @property
    def surely_unsent(self) -> bool:
        """Whether no engine has it. If it came again, a hub that is gone may have sent
        it, and it lies in the queue of an engine."""
        return bool(self.held_for) and not self.submit.resent

    @property
    def lent(self) -> list[Answered]:
        """The answers that lie in shared memory and wait for the client."""
        return [a for a in self.answers if a.store is not None and not a.taken]


class Fanout:
    """The requests under way, and those finished but not yet safe."""

    def __init__(self) -> None:
        self.requests: dict[str, Request] = {}
        self.clients: dict[str, bytes] = {}
        """Clients that are there, with the name of their in-socket."""
        self.turns = Turns()
        self.open_for: Callable[[Iterable[int], int], bool] = lambda engines, n: True
        """Whether work may be sent to these engines now: it may not while a program
        runs there, which would take it on one engine earlier than on another. The
        number is that of its ticket, 0 if it has none yet."""
        self.tickets: Iterator[int] = itertools.count(1)
        self.gated: dict[str, int] = {}
        """Requests that wait for that, and their tickets: what has waited longer."""
        self._due: list[tuple[float, str]] = []
        self._early: dict[str, dict[int, bytes]] = {}
        """What engines ask for requests that this hub does not know yet: it is new,
        and the client is on its way."""

    # -- requests

    def open(
        self,
        client: str,
        submit: Submit,
        frames: Sequence[Any],
        engines: list[Engine],
        begun: bool = False,
    ) -> list[Action]:
        """Send a request to its engines, or hold it until its turn."""
        uuids = {engine.id: engine.uuid for engine in engines}
        request = Request(submit, client, frames, dict(uuids), uuids)
        self.requests[submit.id] = request
        for engine, frame in self._early.pop(submit.id, {}).items():
            request.prompts[engine] = frame
            self._join(request, engine, Stream.PROMPT, frame)
        if not self.turns.ask(submit.id, tuple(uuids), submit.joint):
            request.held_for = tuple(engines)
            return [*(self._begun(request) if begun else []), Note(submit.id)]
        request.held_for = tuple(engines)
        return [*self._let_go(request), Note(submit.id)]

    def absent(self, submit: Submit, engines: Sequence[int], error: ErrorInfo) -> None:
        """Add engines that are gone for good to an open request, as failed."""
        request = self.requests[submit.id]
        frames = (pack(error),)
        for engine in engines:
            request.uuids[engine] = ""
            self._merge(request, engine, Result(submit.id, "error", 0.0, 0.0), frames)

    def recalled(
        self, submit: Submit, parts: Sequence[tuple[Part, Sequence[Any]]]
    ) -> None:
        """Add to an open request the answers that the journal already holds."""
        request = self.requests[submit.id]
        for part, frames in parts:
            engines = list(RankSet.parse(part.ranks))
            for engine in engines:
                request.uuids.setdefault(engine, "")
                request.saved.add(engine)
            request.answers.append(
                Answered(
                    engines,
                    part.status,
                    frames,
                    list(part.started),
                    list(part.completed),
                    part.count,
                )
            )

    def early(
        self, submit: Submit, results: Sequence[tuple[Engine, Result, Sequence[Any]]]
    ) -> list[Action]:
        """Add to an open request the answers that came before it was opened."""
        request = self.requests[submit.id]
        actions: list[Action] = []
        for engine, message, frames in results:
            if engine.id in request.uuids and engine.id not in request.pending:
                if message.store is not None:
                    actions.append(Drop(message.store))
                continue
            request.pending.pop(engine.id, None)
            request.uuids[engine.id] = engine.uuid
            self._merge(request, engine.id, message, frames)
        return actions

    def settle(self, submit: Submit, now: float) -> list[Action]:
        """Go on with a request that was opened with answers."""
        request = self.requests[submit.id]
        return self._after(request, urgent=True, now=now) + self._forget(request)

    def answer(
        self, engine: Engine, message: Result, frames: Sequence[Any], now: float
    ) -> list[Action]:
        """An engine has answered. Double answers are dropped.

        What this hub did not ask this engine for was asked through one that is no more.
        """
        request = self.requests.get(message.id)
        if request is None:
            self._early.pop(message.id, None)
        if request is None or engine.id not in request.uuids:
            return [Late(engine.id, message, frames)]
        if request.pending.get(engine.id) != engine.uuid:
            return [] if message.store is None else [Drop(message.store)]
        del request.pending[engine.id]
        request.prompts.pop(engine.id, None)
        actions = self._begun(request) if request.held_for else []
        self._merge(request, engine.id, message, frames)
        if message.status == "error" and request.submit.joint:
            actions += self._stop_behind(request, _failure(engine.id, frames), now)
        return actions + self._after(request, urgent=message.status != "ok", now=now)

    def fail(self, engine: Engine, error: ErrorInfo, now: float) -> list[Action]:
        """An engine is gone: everything it owed ends with this error."""
        actions: list[Action] = []
        frames = (pack(error),)
        for request in list(self.requests.values()):
            if request.pending.get(engine.id) != engine.uuid:
                continue
            del request.pending[engine.id]
            result = Result(request.submit.id, "error", 0.0, 0.0)
            self._merge(request, engine.id, result, frames)
            if request.submit.joint:
                actions += self._fail_cell(request, engine.id, error, now)
            else:
                actions += self._after(request, urgent=True, now=now)
        return actions

    # -- cells, on all their engines or on none

    def _fail_cell(
        self, request: Request, engine: int, error: ErrorInfo, now: float
    ) -> list[Action]:
        """One of a cell's engines is gone: if nothing has begun, nothing will."""
        if request.surely_unsent:
            why = f"rank {engine}, on which it was to run too, is gone"
            return self.give_up(request, RankSet(request.pending), why, now)
        stopped = self._stop_behind(request, _failure(engine, (pack(error),)), now)
        return stopped + self._after(request, urgent=True, now=now)

    def _stop_behind(self, request: Request, why: str, now: float) -> list[Action]:
        """A cell failed: those that wait because of it do not run, on any engine.

        The last goes first: otherwise its turn would come.
        """
        actions: list[Action] = []
        for waiting in reversed(self.turns.behind(request.submit.id)):
            held = self.requests[waiting]
            if held.surely_unsent:
                actions += self.give_up(held, RankSet(held.pending), why, now)
        return actions

    def give_up(
        self, request: Request, engines: RankSet, why: str, now: float
    ) -> list[Action]:
        """Abort on these engines what waits for its turn."""
        what = "This cell" if request.submit.joint else "This request"
        word = "ranks" if len(engines) > 1 else "rank"
        text = f"{what} was not run on {word} {engines}: {why}."
        frames = (pack(ErrorInfo("TaskAborted", text)),)
        result = Result(request.submit.id, "aborted", now, now)
        for engine in engines:
            del request.pending[engine]
            self._merge(request, engine, result, frames)
        return self._after(request, urgent=True, now=now)

    def waiting(self) -> dict[int, RankSet]:
        """For each ticket of such a request, its engines."""
        return {n: RankSet(self.requests[id].pending) for id, n in self.gated.items()}

    def _begun(self, request: Request) -> list[Action]:
        """An engine has it from an earlier hub: let all others have it too."""
        id = request.submit.id
        free = self.turns.begin(id) if id in self.turns else ()
        self.gated.pop(id, None)
        return [*self._hand_out(request), *self._let_go_all(free)]

    def let_through(self) -> list[Action]:
        """Send what waited for engines that may be sent work now."""
        actions: list[Action] = []
        for id in list(self.gated):
            actions += self._let_go(self.requests[id])
        return actions

    def _let_go_all(self, requests: Sequence[str]) -> list[Action]:
        return [a for waiting in requests for a in self._let_go(self.requests[waiting])]

    def _let_go(self, request: Request) -> list[Action]:
        """Send it now, if it may be: its turn has come."""
        id = request.submit.id
        if not self.open_for(request.pending, self.gated.get(id, 0)):
            self.gated.setdefault(id, next(self.tickets))
            return []
        self.gated.pop(id, None)
        return self._hand_out(request)

    def _hand_out(self, request: Request) -> list[Action]:
        engines, request.held_for = request.held_for, ()
        peers = tuple([e.work for e in engines if e.id in request.pending])
        return [Send(peers, request.submit, request.frames)]

    def _merge(
        self, request: Request, engine: int, message: Result, frames: Sequence[Any]
    ) -> None:
        key = None
        if message.store is None and len(frames) == 1 and len(frames[0]) <= ALIKE:
            key = (message.status, message.count, bytes(frames[0]))
            other = request.mergeable.get(key)
            if other is not None:
                other.engines.append(engine)
                other.started.append(message.started)
                other.completed.append(message.completed)
                return
        answered = Answered(
            [engine], message.status, frames, [message.started],
            [message.completed], message.count, message.store,
        )  # fmt: skip
        request.answers.append(answered)
        if key is not None:
            request.mergeable[key] = answered

    def _after(self, request: Request, *, urgent: bool, now: float) -> list[Action]:
        if request.pending and not urgent:
            self._schedule(request, now + REPLY_WINDOW)
            return []
        actions = self._flush(request)
        if not request.pending:
            actions.append(Note(request.submit.id))
            if request.submit.store is not None:
                actions.append(Drop(request.submit.store))
            request.held_for = ()
            self.gated.pop(request.submit.id, None)
            actions += self._let_go_all(self.turns.over(request.submit.id))
        return actions

    # -- output

    def output(
        self, engine: Engine, message: Output, frame: bytes, now: float
    ) -> list[Action]:
        """An engine has printed or displayed something."""
        request = self.requests.get(message.id)
        if request is None:  # printed by a thread that outlived its request
            return self._stray(engine, message, frame)
        if message.stream is Stream.PROMPT:
            request.prompts[engine.id] = frame
        elif message.stream is not Stream.PROGRESS:  # of no use afterwards
            self._keep(request, engine.id, message.stream, frame)
        self._join(request, engine.id, message.stream, frame)
        if request.printed_bytes >= OUTPUT_BYTES:
            return self._flush(request)
        self._schedule(request, now + OUTPUT_WINDOW)
        return []

    def answered(self, request: Request, engines: RankSet) -> list[int]:
        """A person has answered these; returns those that may still wait for it."""
        for engine in engines:
            request.prompts.pop(engine, None)
        return [engine for engine in engines if engine in request.pending]

    def _stray(self, engine: Engine, message: Output, frame: bytes) -> list[Action]:
        peer = self.clients.get(message.id.partition("-")[0])
        if message.stream is Stream.PROMPT:
            self._early.setdefault(message.id, {})[engine.id] = frame
            return []
        if peer is None:
            return []
        piece = Piece(message.id, str(engine.id), message.stream)
        return [Send((peer,), Outputs((piece,)), (frame,))]

    def _keep(
        self, request: Request, engine: int, stream: Stream, frame: bytes
    ) -> None:
        used = request.kept_bytes.get(engine, 0)
        if used < KEPT_OUTPUT:
            request.kept_bytes[engine] = used + len(frame)
            streams = request.kept.setdefault(engine, {})
            streams.setdefault(stream.value, []).append(frame)

    def _join(
        self, request: Request, engine: int, stream: Stream, frame: bytes
    ) -> None:
        """Share an equal piece of others, if it lies behind all that this engine
        said."""
        for piece in reversed(request.printed):
            if engine in piece.engines:
                break
            if piece.stream == stream and piece.frame == frame:
                piece.engines.append(engine)
                return
        request.printed.append(Printed([engine], stream, frame))
        request.printed_bytes += len(frame)

    # -- what waits for company

    def _schedule(self, request: Request, due: float) -> None:
        if not request.scheduled:
            request.scheduled = True
            heapq.heappush(self._due, (due, request.submit.id))

    def deadline(self) -> float | None:
        """When the next of those waiting for company is to go."""
        return self._due[0][0] if self._due else None

    def tick(self, now: float) -> list[Action]:
        """Send what has waited long enough."""
        actions: list[Action] = []
        while self._due and self._due[0][0] <= now:
            request = self.requests.get(heapq.heappop(self._due)[1])
            if request is not None:
                request.scheduled = False
                actions += self._flush(request)
        return actions

    def _flush(self, request: Request) -> list[Action]:
        actions: list[Action] = []
        peer = self.clients.get(request.client)
        if request.printed:
            pieces = tuple(
                Piece(request.submit.id, str(RankSet(p.engines)), p.stream)
                for p in request.printed
            )
            if peer is not None:
                frames = tuple(p.frame for p in request.printed)
                actions.append(Send((peer,), Outputs(pieces), frames))
            request.printed = []
            request.printed_bytes = 0
        fresh = [a for a in request.answers[request.sent :] if not a.taken]
        if fresh:
            request.sent = len(request.answers)
            request.mergeable.clear()
            if peer is not None:
                parts = tuple([answered.part() for answered in fresh])
                body = [frame for answered in fresh for frame in answered.frames]
                actions.append(Send((peer,), Replies(request.submit.id, parts), body))
        return actions

    # -- clients

    def welcome(self, client: str) -> None:
        """A client is there."""
        self.clients[client] = peer_name("in", client)

    def again(self, request: Request) -> list[Action]:
        """The client asks again: send all answers so far, and what ranks ask."""
        request.sent = 0
        for engine, frame in request.prompts.items():
            self._join(request, engine, Stream.PROMPT, frame)
        return self._flush(request)

    def lend_again(self, client: str) -> list[Action]:
        """After a cut: what the client took is known only from its word, perhaps
        lost."""
        mine = [r for r in self.requests.values() if r.client == client and r.lent]
        return [action for request in mine for action in self.again(request)]

    def goodbye(self, client: str) -> list[Action]:
        """A client is gone: its work goes on, and the journal takes what it holds."""
        if self.clients.pop(client, None) is None:
            return []
        actions: list[Action] = []
        for request in list(self.requests.values()):
            if request.client != client:
                continue
            request.printed = []
            request.printed_bytes = 0
            if request.lent and not request.pending:
                actions.append(Note(request.submit.id))
        return actions

    # -- the end of a request

    def saved(self, request_id: str, engine: int) -> list[Action]:
        """The journal holds this answer. Perhaps an earlier hub asked for it."""
        request = self.requests.get(request_id)
        if request is None or engine not in request.uuids:
            return []
        request.saved.add(engine)
        return self._forget(request)

    def release(
        self, request: Request, ranks: RankSet
    ) -> tuple[list[Action], list[int]]:
        """The client has taken these answers; returns whose they were, too."""
        actions: list[Action] = []
        engines: list[int] = []
        for answered in request.lent:
            if answered.engines[0] in ranks and answered.store is not None:
                answered.taken = True
                engines += answered.engines
                actions.append(Drop(answered.store))
        request.saved.update(engines)
        return actions + self._forget(request), engines

    def _forget(self, request: Request) -> list[Action]:
        if request.pending or len(request.saved) < len(request.uuids):
            return []
        del self.requests[request.submit.id]
        return [Drop(a.store) for a in request.lent if a.store is not None]

    def unanswered(self, engine: Engine) -> list[Request]:
        """The requests that this engine owes an answer to, oldest first."""
        return [
            request
            for request in self.requests.values()
            if request.pending.get(engine.id) == engine.uuid
        ]

    def has(self, engine: Engine, request_id: str) -> bool:
        """Whether an engine was sent this request and owes the answer."""
        request = self.requests.get(request_id)
        return (
            request is not None
            and not request.held_for
            and request.pending.get(engine.id) == engine.uuid
        )

    def sent_to(self, engine: Engine) -> list[Request]:
        """Those of them that it should have got."""
        return [request for request in self.unanswered(engine) if not request.held_for]

    def check(self) -> None:
        """Assert that nothing is lost and nothing is counted twice."""
        self.turns.check()
        for request in self.requests.values():
            answered = [e for a in request.answers for e in a.engines]
            assert len(answered) == len(set(answered)), request
            assert not set(answered) & set(request.pending), request
            assert set(answered) | set(request.pending) == set(request.uuids), request
            assert request.saved <= set(answered), request
            assert request.sent <= len(request.answers)
            waits = request.submit.id in self.turns or request.submit.id in self.gated
            assert waits == bool(request.held_for), request
            if request.surely_unsent and request.submit.joint:
                assert not answered, request


def _failure(engine: int, frames: Sequence[Any]) -> str:
    """Why the cells behind are not run."""
    try:
        error = unpack(bytes(frames[0]), type=ErrorInfo)
    except (IndexError, ValueError):
        return f"the cell before it failed on rank {engine}"
    what = f"{error.ename}: {error.evalue}" if error.evalue else error.ename
    first_line = what.partition("\n")[0].rstrip(".")
    return f"the cell before it failed on rank {engine} ({first_line})"

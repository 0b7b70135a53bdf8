"""What a client remembers of its requests, within bounds.

Results that nobody has asked for yet are kept for `results`, `metadata` and
`get_result`, the latest of them, up to a number of engines' answers and of bytes.
Whatever the user holds himself is known as long as he holds it. All others have to be
asked of the hub.
"""

from __future__ import annotations

import collections
import threading
import weakref
from collections.abc import Collection, Iterator

from steer.client.asyncresult import AsyncResult
from steer.client.requests import Request

REMEMBERED = 10_000
"""Answers (a request to four engines has four) that histories go back."""

KEPT_BYTES = 64 << 20


class History:
    """The ids of the latest messages of a client or a view."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._ids: collections.deque[tuple[str, tuple[int, ...]]] = collections.deque()
        self._count = 0
        self._lock = threading.Lock()

    def add(self, request: Request) -> None:
        """Note a request that was sent."""
        with self._lock:
            self._ids.append((request.id, tuple(request.engines)))
            self._count += len(request.engines)
            while self._count > self._limit and len(self._ids) > 1:
                self._count -= len(self._ids.popleft()[1])

    def requests(self) -> list[str]:
        """The requests, the latest last."""
        with self._lock:
            return [name for name, _ in self._ids]

    def msg_ids(self) -> list[str]:
        """The messages, the latest last."""
        with self._lock:
            return [f"{name}_{e}" for name, engines in self._ids for e in engines]

    def forget(self, msg_ids: set[str] | None = None) -> None:
        """Forget these, or all."""
        with self._lock:
            kept = []
            for name, engines in self._ids if msg_ids is not None else ():
                left = tuple(e for e in engines if f"{name}_{e}" not in (msg_ids or ()))
                if left:
                    kept.append((name, left))
            self._ids = collections.deque(kept)
            self._count = sum(len(engines) for _, engines in kept)


class Memory:
    """The requests whose answers a client can find again without its hub."""

    def __init__(self, limit: int = REMEMBERED, size: int = KEPT_BYTES) -> None:
        self._limit, self._size = limit, size
        self._open: dict[str, Request] = {}
        self._kept: dict[str, tuple[Request, int]] = {}
        self._known: weakref.WeakValueDictionary[str, Request] = (
            weakref.WeakValueDictionary()
        )
        self._count = self._bytes = 0
        self._lock = threading.Lock()

    def sent(self, request: Request) -> None:
        """A request is on its way; perhaps its answers were faster."""
        with self._lock:
            self._known[request.id] = request
            if len(request.answers) < len(request.engines):
                self._open[request.id] = request

    def finished(self, request: Request) -> None:
        """Its answers are here and nobody has asked for them."""
        with self._lock:
            self._open.pop(request.id, None)
            self._drop(request.id)
            size = request.size()
            self._kept[request.id] = request, size
            self._count += len(request.engines)
            self._bytes += size
            while self._kept and (
                self._count > self._limit or self._bytes > self._size
            ):
                self._drop(next(iter(self._kept)))

    def consumed(self, request: Request) -> None:
        """Somebody has got its answers."""
        with self._lock:
            self._drop(request.id)

    def _drop(self, request_id: str) -> None:
        found = self._kept.pop(request_id, None)
        if found is not None:
            request, size = found
            self._count -= len(request.engines)
            self._bytes -= size

    def forget(self, request_id: str) -> None:
        """Do not know it any more."""
        with self._lock:
            self._drop(request_id)
            self._known.pop(request_id, None)

    def open(self) -> list[Request]:
        """What is not answered by all."""
        return list(self._open.values())

    def unfinished(self, among: Collection[str] | None = None) -> list[AsyncResult]:
        """The results that are not all here; of these requests, or of all."""
        results = [
            request.result
            for name, request in list(self._open.items())
            if among is None or name in among
        ]
        return list(dict.fromkeys(r for r in results if r is not None))

    def outstanding(self, among: Collection[str] | None = None) -> set[str]:
        """The messages that are not answered; of these requests, or of all."""
        return {
            request.msg_id(engine)
            for name, request in list(self._open.items())
            if among is None or name in among
            for engine in request.engines
            if engine not in request.answers
        }

    def find(self, msg_id: str) -> tuple[Request, int] | None:
        """The request and the engine of a message, if they are known here."""
        name, _, engine = msg_id.rpartition("_")
        request = self._known.get(name)
        if request is None or not engine.isdecimal():
            return None
        number = int(engine)
        return (request, number) if number in request.engines else None

    def answered(self) -> Iterator[tuple[Request, int]]:
        """All that is known and answered."""
        with self._lock:
            known = list(self._known.values())
        for request in known:
            for engine in list(request.answers):
                yield request, engine

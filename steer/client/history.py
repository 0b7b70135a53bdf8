"""What a client remembers of its requests and tasks, within bounds.

Results that nobody has asked for yet are kept for `results`, `metadata` and
`get_result`, the latest of them, up to a number of engines' answers and of bytes.
Whatever the user holds himself is known as long as he holds it. All others have to be
asked of the hub.
"""

from __future__ import annotations

import collections
import re
import threading
import weakref
from collections.abc import Collection, Iterator

from steer.client.asyncresult import AsyncResult
from steer.client.described import Place
from steer.client.filed import Filed

REMEMBERED = 10_000
"""Answers (a request to four engines has four) that histories go back."""

KEPT_BYTES = 64 << 20

_MSG_ID = re.compile(r"(?P<prefix>(?P<request>.+)_|.+-(?P<task>t))(?P<key>[0-9]+)")


def parsed(msg_id: str) -> tuple[str, str, int]:
    """What a message belongs to, what stands before its number, and the number: of an
    engine for a request's, of the task itself for a task's; KeyError if it is none."""
    found = _MSG_ID.fullmatch(msg_id)
    if found is None:
        raise KeyError(f"No such message: {msg_id}")
    return found["request"] or msg_id, found["prefix"], int(found["key"])


def is_task(msg_id: str) -> bool:
    """Whether a message is a task."""
    found = _MSG_ID.fullmatch(msg_id)
    return found is not None and found["task"] is not None


class History:
    """The ids of the latest messages of a client or a view."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._ids: collections.deque[tuple[str, str, tuple[int, ...]]] = (
            collections.deque()
        )
        self._count = 0
        self._lock = threading.Lock()

    def add(self, request: Filed) -> None:
        """Note what was sent."""
        with self._lock:
            self._ids.append((request.id, request.prefix, tuple(request.keys)))
            self._count += len(request.keys)
            while self._count > self._limit and len(self._ids) > 1:
                self._count -= len(self._ids.popleft()[2])

    def requests(self) -> list[str]:
        """The requests and batches, the latest last."""
        with self._lock:
            return [name for name, _, _ in self._ids]

    def msg_ids(self) -> list[str]:
        """The messages, the latest last."""
        with self._lock:
            return [f"{prefix}{key}" for _, prefix, keys in self._ids for key in keys]

    def forget(self, msg_ids: set[str] | None = None) -> None:
        """Forget these, or all."""
        with self._lock:
            kept = []
            for name, prefix, keys in self._ids if msg_ids is not None else ():
                left = tuple(k for k in keys if f"{prefix}{k}" not in (msg_ids or ()))
                if left:
                    kept.append((name, prefix, left))
            self._ids = collections.deque(kept)
            self._count = sum(len(keys) for _, _, keys in kept)


class Memory:
    """The requests and tasks whose answers a client can find without its hub."""

    def __init__(self, limit: int = REMEMBERED, size: int = KEPT_BYTES) -> None:
        self._limit, self._size = limit, size
        self._open: dict[str, Filed] = {}
        self._kept: dict[str, tuple[Filed, int]] = {}
        self._known: weakref.WeakValueDictionary[str, Filed] = (
            weakref.WeakValueDictionary()
        )
        self._count = self._bytes = 0
        self._lock = threading.Lock()

    def sent(self, request: Filed) -> None:
        """Something is on its way; perhaps its answers were faster."""
        with self._lock:
            self._known[request.id] = request
            if not all(map(request.status, request.keys)):
                self._open[request.id] = request

    def finished(self, request: Filed) -> None:
        """Its answers are here and nobody has asked for them."""
        with self._lock:
            self._open.pop(request.id, None)
            self._drop(request.id)
            size = request.size()
            self._kept[request.id] = request, size
            self._count += len(request.keys)
            self._bytes += size
            while self._kept and (
                self._count > self._limit or self._bytes > self._size
            ):
                self._drop(next(iter(self._kept)))

    def consumed(self, request: Filed) -> None:
        """Somebody has got its answers."""
        with self._lock:
            self._drop(request.id)

    def _drop(self, request_id: str) -> None:
        found = self._kept.pop(request_id, None)
        if found is not None:
            request, size = found
            self._count -= len(request.keys)
            self._bytes -= size

    def forget(self, request_id: str) -> None:
        """Do not know it any more."""
        with self._lock:
            self._drop(request_id)
            self._known.pop(request_id, None)

    def open(self) -> list[Filed]:
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

    def waiting(self, among: Collection[str] | None = None) -> list[Place]:
        """The places that have not answered; of these requests, or of all."""
        return [
            (request, key)
            for name, request in list(self._open.items())
            if among is None or name in among
            for key in request.keys
            if not request.status(key)
        ]

    def outstanding(self, among: Collection[str] | None = None) -> set[str]:
        """The messages that are not answered; of these requests, or of all."""
        return {request.msg_id(key) for request, key in self.waiting(among)}

    def find(self, msg_id: str) -> Place | None:
        """Where a message's answer is filed, if that is known here."""
        try:
            name, prefix, key = parsed(msg_id)
        except KeyError:
            return None
        request = self._known.get(name) or self._batch(prefix, key)
        return (request, key) if request is not None and key in request.keys else None

    def _batch(self, prefix: str, key: int) -> Filed | None:
        """The batch that a task is in: it is known by the name of its first."""
        if not prefix.endswith("-t"):
            return None
        with self._lock:
            known = list(self._known.values())
        return next((r for r in known if r.prefix == prefix and key in r.keys), None)

    def answered(self) -> Iterator[Place]:
        """All that is known and answered."""
        with self._lock:
            known = list(self._known.values())
        for request in known:
            for key in list(request.keys):
                if request.status(key):
                    yield request, key

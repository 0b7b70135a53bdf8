"""Large buffers that several batches have in common, once in shared memory.

The first batch with an array carries it. When the second one comes with the same array,
that is put into memory that the ranks of this host map, copy-on-write, and from then on
batches carry a name for it. An array counts as the same while it lives and lies where
it lay; changing it during a call is as wrong here as with joblib's own processes, which
map files. When the call is over, so is the memory.
"""

from __future__ import annotations

import dataclasses
import pickle
import threading
import weakref
from typing import Any

from steer import shm
from steer.hosts import host_name
from steer.wire import payload
from steer.wire.messages import Store

__all__ = ["LARGE", "Packed", "Shared"]

LARGE = 1 << 20
"""Bytes; the limit of joblib's own."""


class Packed:
    """A batch as frames, some of them in shared memory; calling it runs the batch."""

    def __init__(self, frames: list[Any], stores: dict[int, Store]) -> None:
        self.frames = frames
        self.stores = stores

    def __call__(self) -> Any:
        """Run the batch."""
        frames = list(self.frames)
        for place, store in self.stores.items():
            (frames[place],) = shm.take(store, [b""])
        return payload.loads(frames)()

    def __reduce__(self) -> Any:
        body, *buffers = self.frames
        return Packed, ([body, *map(pickle.PickleBuffer, buffers)], self.stores)


class Shared:
    """What the batches of one call have in common."""

    def __init__(self) -> None:
        self._shelf = shm.Shelf()
        self._lock = threading.Lock()
        self._known: dict[tuple[int, int], _Known] = {}
        self._stores: list[Store | None] = []
        self._users = 0
        self._over = False

    def begun(self) -> None:
        """A batch may be packed; `ended` follows."""
        with self._lock:
            self._users += 1

    def pack(self, batch: Any) -> Any:
        """The batch, in a form that finds again what it shares."""
        frames = payload.dumps(batch)
        stores: dict[int, Store] = {}
        with self._lock:
            for place, frame in enumerate(frames[1:], 1):
                store = self._store(frame) if shm.length(frame) >= LARGE else None
                if store is not None:
                    stores[place] = store
                    frames[place] = b""
        return Packed(frames, stores)

    def ended(self) -> None:
        """A batch needs its memory no more."""
        with self._lock:
            self._users -= 1
            self._drop()

    def close(self) -> None:
        """No more batches come."""
        with self._lock:
            self._over = True
            self._drop()

    def _store(self, frame: memoryview) -> Store | None:
        """Where this buffer lies for all, if it has been here before."""
        place = _place(frame)
        if place is None:
            return None
        address, owner = place
        known = self._known.get((address, frame.nbytes))
        if known is None or known.owner() is not owner:
            self._known[address, frame.nbytes] = _Known(weakref.ref(owner))
            return None
        if known.store is None:
            known.store, _ = self._shelf.put([frame])
            self._stores.append(known.store)
        return known.store

    def _drop(self) -> None:
        if self._over and not self._users:
            while self._stores:
                self._shelf.drop(self._stores.pop())


@dataclasses.dataclass
class _Known:
    owner: weakref.ref[Any]
    store: Store | None = None


def _place(frame: memoryview) -> tuple[int, Any] | None:
    """The address of an array's memory, and the object whose end is its end.

    (A pickle of a transposed array exports a view that lives no longer than the
    pickle.) None for what is no array, or belongs to who knows whom.
    """
    owner: Any = frame.obj
    interface = getattr(owner, "__array_interface__", None)
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    if interface is None or not hasattr(owner, "__array_interface__"):
        return None
    return interface["data"][0], owner


def shares_memory(executor: Any) -> bool:
    """Whether all ranks behind an executor can map this process's memory."""
    client = getattr(executor, "client", None)
    if client is None or not client.link.shares:
        return False
    link = client.link
    return all(info.host == host_name() for info in link.core.engines.values())

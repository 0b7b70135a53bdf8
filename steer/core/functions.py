"""Which functions the hub keeps, and which engines have which.

Functions are bytes here, named by digest. A program may make a new one for each task,
so they are forgotten: the hub keeps those that unfinished tasks call and the last KEPT
that each client has used. A client sends a function again unless it is one of the last
SENT that it has used, so the hub always has what a task calls. Between hub and engines
it is the same: an engine keeps what its tasks call and the last KEPT, and gets again
what is not among the last SENT that it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

KEPT = 1024
SENT = 256


class Recent:
    """The last few of some names, in order of use."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._names: dict[bytes, None] = {}

    def __contains__(self, name: bytes) -> bool:
        return name in self._names

    def use(self, names: Iterable[bytes]) -> None:
        """These were used now."""
        its = self._names
        for name in names:
            its.pop(name, None)
            its[name] = None

    def trim(self) -> list[bytes]:
        """Forget the oldest; returns them."""
        its = self._names
        old = [name for name, _ in zip(its, range(len(its) - self.most), strict=False)]
        for name in old:
            del its[name]
        return old


class Functions:
    """The functions of all clients, as far as somebody may need them."""

    def __init__(self, in_use: Callable[[bytes], bool]) -> None:
        self.bodies: dict[bytes, Any] = {}
        self._in_use = in_use
        """Whether an unfinished task calls it."""
        self._clients: dict[str, Recent] = {}
        self._engines: dict[str, Recent] = {}
        self._wanted: dict[bytes, set[str]] = {}
        """Functions that did not come, and the engines that wait for them."""

    def came(self, client: str, digest: bytes, body: Any) -> set[str]:
        """A client sent a function; returns the engines that wait for it."""
        self.bodies.setdefault(digest, body)
        self.used(client, (digest,))
        return self._wanted.pop(digest, set())

    def used(self, client: str, digests: Iterable[bytes]) -> None:
        """A client sent tasks that call these."""
        recent = self._clients.get(client)
        if recent is None:
            recent = self._clients[client] = Recent(KEPT)
        recent.use(digests)
        self.unneeded(recent.trim())

    def client_gone(self, client: str) -> None:
        """What only this client used is not needed any more."""
        recent = self._clients.pop(client, None)
        if recent is not None:
            recent.most = 0
            self.unneeded(recent.trim())

    def unneeded(self, digests: Iterable[bytes]) -> None:
        """Somebody does not need these any more: perhaps nobody does."""
        for digest in digests:
            recent = any(digest in r for r in self._clients.values())
            if not recent and not self._in_use(digest):
                self.bodies.pop(digest, None)

    # -- engines

    def lacking(self, engine: str, digests: Iterable[bytes]) -> list[bytes]:
        """Those that an engine has to be sent with tasks that call all of these."""
        has = self._engines.get(engine)
        if has is None:
            has = self._engines[engine] = Recent(SENT)
        new = [d for d in digests if d not in has]
        has.use(digests)
        has.trim()
        for digest in new:
            if digest not in self.bodies:
                self._wanted.setdefault(digest, set()).add(engine)
        return [d for d in new if d in self.bodies]

    def engine_gone(self, engine: str) -> None:
        """This engine has nothing any more, or perhaps has not."""
        self._engines.pop(engine, None)

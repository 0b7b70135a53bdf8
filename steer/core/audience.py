"""Who hears of what is done to runs."""

from __future__ import annotations

from steer.wire.messages import Watching
from steer.wire.peers import peer_name


class Audience:
    """Clients, the runs that they watch, and what their users are called."""

    def __init__(self) -> None:
        self._watched: dict[str, set[str]] = {}
        """By client; "" is all runs."""
        self._users: dict[str, str] = {}

    def watch(self, client: str, message: Watching) -> None:
        """A client wants to hear of a run, or no more."""
        watched = self._watched.setdefault(client, set())
        if message.on:
            watched.add(message.run)
        else:
            watched.discard(message.run)

    def introduce(self, client: str, user: str) -> None:
        """That is who it speaks for."""
        self._users[client] = user

    def gone(self, client: str) -> None:
        """It wants to hear nothing more."""
        self._watched.pop(client, None)
        self._users.pop(client, None)

    def user(self, client: str) -> str:
        """Whom a client speaks for, as far as it has said so."""
        return self._users.get(client, client)

    def attends(self, run: str) -> bool:
        """Whether somebody watches just this run."""
        return any(run in runs for runs in self._watched.values())

    def peers(self, run: str) -> tuple[bytes, ...]:
        """Where news of a run go."""
        return tuple(
            peer_name("in", client)
            for client, runs in self._watched.items()
            if run in runs or "" in runs
        )

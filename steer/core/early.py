"""What clients ask of runs that a new hub does not know yet: their ranks come back."""

from __future__ import annotations

from collections.abc import Callable

from steer.core.events import Action
from steer.wire.messages import Steer

Ask = Callable[[str, Steer], list[Action]]


class Early:
    """Requests that wait until their runs are known."""

    def __init__(self, until: float | None) -> None:
        self._until = until
        """When those who have not come back will not come."""
        self._waiting: list[tuple[str, Steer]] = []

    def deadline(self) -> float | None:
        """When nobody waits any longer."""
        return self._until if self._waiting else None

    def wait(self, who: str, message: Steer, known: bool, now: float) -> bool:
        """Whether a request has to wait."""
        if known or self._until is None or now >= self._until:
            return False
        if all(message.id != other.id for _, other in self._waiting):
            self._waiting.append((who, message))
        return True

    def again(self, ask: Ask) -> list[Action]:
        """Something has changed: ask once more; some may have to wait again."""
        waiting, self._waiting = self._waiting, []
        return [action for who, message in waiting for action in ask(who, message)]

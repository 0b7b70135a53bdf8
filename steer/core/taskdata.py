"""Large arguments and values of tasks on their way through the hub.

The scheduler knows tasks and outcomes without their frames; those lie here, or in
shared memory that the hub holds. Arguments are kept until the task has its outcome,
since it may have to be sent to another engine. A value is kept until its client has
taken it and no task waits for it as an argument.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from steer.core.events import Action, Drop
from steer.core.taskevents import Key
from steer.wire.messages import Needs, Store


@dataclasses.dataclass(slots=True)
class Payload:
    """What belongs to a task or an outcome and is not in its body."""

    frames: Sequence[Any]
    store: Store | None

    def drop(self) -> list[Action]:
        """Nobody needs it any more."""
        return [] if self.store is None else [Drop(self.store)]


class TaskData:
    """The payloads of all tasks that have one."""

    def __init__(self) -> None:
        self.arguments: dict[Key, Payload] = {}
        self.values: dict[Key, dict[int, Payload]] = {}
        """Of outcomes, by engine."""
        self._users: collections.Counter[Key] = collections.Counter()
        """Unfinished tasks that have this value as an argument."""
        self._uses: dict[Key, tuple[int, ...]] = {}
        self._lent: dict[str, collections.deque[tuple[int, int]]] = {}
        """Values on their way to clients: numbers of bundles and tasks."""
        self._taken: set[Key] = set()
        self._latest: dict[Key, int] = {}
        """In which bundle a value was sent last."""

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.arguments or self.values or self._uses)

    # -- arguments

    def hold_arguments(self, key: Key, payload: Payload) -> None:
        """A task came with large arguments."""
        self.arguments[key] = payload

    def needs(self, client: str, needs: Iterable[Needs]) -> None:
        """Tasks came whose arguments are values of others."""
        for need in needs:
            key = (client, need.id)
            if need.values and key not in self._uses:
                values = self._uses[key] = tuple(set(need.values))
                self._users.update((client, i) for i in values)

    def uses(self, key: Key) -> tuple[int, ...]:
        """The tasks whose values are arguments of this one."""
        return self._uses.get(key, ())

    def is_used(self, key: Key) -> bool:
        """Whether an unfinished task has this value as an argument."""
        return key in self._users

    def ended(self, key: Key) -> list[Action]:
        """A task has its outcome: its arguments are not needed any more."""
        payload = self.arguments.pop(key, None)
        actions = payload.drop() if payload is not None else []
        for number in self._uses.pop(key, ()):
            value = (key[0], number)
            self._users[value] -= 1
            if not self._users[value]:
                del self._users[value]
                if value in self._taken:
                    actions += self.drop(value)
        return actions

    # -- values

    def hold_value(self, key: Key, engine: int, payload: Payload) -> Payload | None:
        """An outcome came with a large value; returns one that came before it."""
        values = self.values.setdefault(key, {})
        old = values.get(engine)
        values[engine] = payload
        return old

    def value(self, key: Key) -> Payload | None:
        """The value of a plain task, if it is a large one."""
        values = self.values.get(key)
        return next(iter(values.values())) if values else None

    def value_of(self, key: Key, engine: int) -> Payload | None:
        """The value of this engine, if it is a large one."""
        return self.values.get(key, {}).get(engine)

    def drop_value(self, key: Key, engine: int) -> list[Action]:
        """This engine's value was not wanted."""
        values = self.values.get(key, {})
        payload = values.pop(engine, None)
        if not values:
            self.values.pop(key, None)
        return payload.drop() if payload is not None else []

    def lend(self, key: Key, bundle: int) -> None:
        """It is sent to its client in the bundle of this number."""
        self._taken.discard(key)
        self._latest[key] = bundle
        self._lent.setdefault(key[0], collections.deque()).append((bundle, key[1]))

    def taken(self, client: str, bundle: int) -> list[Action]:
        """The client has all bundles up to this one."""
        lent = self._lent.get(client)
        actions: list[Action] = []
        while lent and lent[0][0] <= bundle:
            key = (client, lent.popleft()[1])
            if key not in self.values or self._latest[key] > bundle:
                continue
            if self._users[key]:
                self._taken.add(key)
            else:
                actions += self.drop(key)
        if not lent:
            self._lent.pop(client, None)
        return actions

    def drop(self, key: Key) -> list[Action]:
        """Nobody needs this task's values any more."""
        self._taken.discard(key)
        self._latest.pop(key, None)
        payloads = self.values.pop(key, {})
        return [action for p in payloads.values() for action in p.drop()]

    def size(self, client: str) -> int:
        """Bytes of arguments that lie here for a client."""
        return sum(
            sum(map(len, p.frames)) + (p.store.size if p.store else 0)
            for key, p in self.arguments.items()
            if key[0] == client
        )

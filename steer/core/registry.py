"""Who is here: engines, from the first sign of life to the last.

An engine registers when both of its sockets are connected, the first time and after a
cut::

    unknown --Register--> joining --Ready--> here --Register--> here
       joining, here --process died, or Leaving--> gone (forgotten)
       unknown --Register, ready--> here (the hub is new)

*joining*: it has an id, MPI is starting. *here*: it may be given work; clients know it.
An engine that cannot be reached is not gone: a rank stopped in a debugger looks the
same as a dead one, so only its process's end, its own word, or (where nobody can watch
its process) a long silence makes it gone.

Ids: the ranks of one job get consecutive ids in rank order, the lowest that are free.
"""

from __future__ import annotations

import dataclasses

from steer.errors import ProtocolError
from steer.ranks import LIMIT
from steer.wire.messages import EngineInfo, Ready, Register
from steer.wire.peers import peer_name

SILENCE = 10.0
"""Seconds without an answer after which an engine nobody can watch counts as gone."""

MOST = LIMIT // 4
"""Engines of a cluster, and ranks of one job."""

ASK_EVERY = 2.0
"""Seconds between questions to an engine whose process nobody can watch."""


@dataclasses.dataclass(slots=True)
class Engine:
    """What the hub knows about one engine."""

    uuid: str
    info: Register
    id: int = -1
    world: str = ""
    here: bool = False
    left: bool = False
    """Whether it said that it goes; its process may still be there."""
    segments: tuple[str, ...] = ()
    shares: bool = False
    heard: float = 0.0
    work: bytes = b""
    control: bytes = b""

    def describe(self) -> str:
        """Name it in a sentence."""
        info = self.info
        if info.size > 1:
            return f"engine {self.id} (rank {info.rank} of {info.size} on {info.host})"
        return f"engine {self.id} (on {info.host})"

    def public(self) -> EngineInfo:
        """What clients may know."""
        info = self.info
        return EngineInfo(
            id=self.id,
            uuid=self.uuid,
            pid=info.pid,
            host=info.host,
            rank=max(info.rank, 0),
            size=info.size,
            world=self.world,
            job=info.job,
        )


class Registry:
    """The engines, by uuid and by id."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self.engines: dict[str, Engine] = {}
        self.by_id: dict[int, Engine] = {}
        self.bases: dict[str, int] = {}

    # -- changes

    def register(self, message: Register, now: float) -> Engine:
        """Note its description, and give it an id if it has none."""
        _validate(message)
        uuid = message.uuid
        engine = self.engines.get(uuid)
        if engine is None:
            engine = Engine(
                uuid,
                message,
                world=message.job if message.size > 1 else uuid,
                work=peer_name("work", uuid),
                control=peer_name("control", uuid),
            )
            self.engines[uuid] = engine
            engine.id = self._free_id(message, engine.world)
            self.by_id[engine.id] = engine
        engine.info = message
        engine.heard = now
        return engine

    def ready(self, message: Ready) -> Engine | None:
        """Note that it can work; None if nobody knows it."""
        engine = self.engines.get(message.uuid)
        if engine is None:
            return None
        engine.here = True
        engine.segments = message.segments
        engine.shares = message.shares
        return engine

    def remove(self, uuid: str) -> Engine | None:
        """Forget it; returns what was known."""
        engine = self.engines.pop(uuid, None)
        if engine is not None:
            del self.by_id[engine.id]
            if not any(e.world == engine.world for e in self.by_id.values()):
                self.bases.pop(engine.world, None)
        return engine

    def _free_id(self, message: Register, world: str) -> int:
        if message.engine >= 0 and message.engine not in self.by_id:
            base = message.engine - max(message.rank, 0)
            if base >= 0:
                self.bases.setdefault(world, base)
            return message.engine
        rank = max(message.rank, 0) if message.size > 1 else 0
        if world not in self.bases:
            self.bases[world] = self._free_base(max(message.size, 1))
        wanted = self.bases[world] + rank
        if wanted in self.by_id:  # two ranks of the same number: a launcher's mistake
            wanted = self._free_base(1)
        return wanted

    def _free_base(self, size: int) -> int:
        taken = set(self.by_id)
        for world, base in self.bases.items():
            members = [e for e in self.by_id.values() if e.world == world]
            width = max((e.info.size for e in members), default=1)
            taken.update(range(base, base + width))
        base = 0
        while any(base + i in taken for i in range(size)):
            base += 1
        return base

    # -- questions

    def here(self) -> list[Engine]:
        """Those that may be given work, by id."""
        return [self.by_id[i] for i in sorted(self.by_id) if self.by_id[i].here]

    def watchable(self, engine: Engine) -> bool:
        """Whether this host's node can watch its process."""
        return engine.info.boot == self.boot

    def unwatched(self) -> list[Engine]:
        """Those whose life only their answers prove."""
        return [e for e in self.engines.values() if not self.watchable(e)]

    def world_is_empty(self, world: str) -> bool:
        """Whether no engine of it is left."""
        return all(e.world != world for e in self.engines.values())

    def check(self) -> None:
        """Assert that the two tables agree."""
        for number, engine in self.by_id.items():
            assert engine.id == number
            assert self.engines[engine.uuid] is engine
        for engine in self.engines.values():
            assert self.by_id[engine.id] is engine


def _validate(message: Register) -> None:
    """Refuse numbers that would cost much memory, or cannot be in a set of engines."""
    rank, size, engine = message.rank, message.size, message.engine
    if not (-1 <= rank < size <= MOST and -1 <= engine < MOST):
        raise ProtocolError(f"There is no rank {rank} of {size}, engine {engine}.")

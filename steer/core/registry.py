"""Who is here: engines, from the first sign of life to the last.

An engine has two sockets and a process::

    linking --Register, both sockets linked--> joining --Ready--> here
       any of them --process died, or Leaving--> gone (forgotten)
       here --its control socket linked again--> here (network was cut, or the hub is new)

*linking*: some of its sockets are connected. *joining*: it has an id, MPI is starting.
*here*: it may be given work; clients know it. An engine that cannot be reached is not gone:
a rank stopped in a debugger looks the same as a dead one, so only its process's end, its own
word, or (where nobody can watch its process) a long silence makes it gone.

Ids: the ranks of one job get consecutive ids in rank order, the lowest that are free.
"""

from __future__ import annotations

import dataclasses

from steer.wire.messages import EngineInfo, Ready, Register
from steer.wire.peers import peer_name

SILENCE = 10.0
"""Seconds without an answer after which an engine nobody can watch counts as gone."""

ASK_EVERY = 2.0
"""Seconds between questions to an engine whose process nobody can watch."""


@dataclasses.dataclass(slots=True)
class Engine:
    """What the hub knows about one engine."""

    uuid: str
    links: set[str] = dataclasses.field(default_factory=set)
    info: Register | None = None
    id: int = -1
    world: str = ""
    here: bool = False
    segments: tuple[str, ...] = ()
    shares: bool = False
    heard: float = 0.0
    work: bytes = b""
    control: bytes = b""

    @property
    def linked(self) -> bool:
        return len(self.links) == 2

    def describe(self) -> str:
        """Name it in a sentence."""
        info = self.info
        if info is None:
            return f"engine {self.uuid}"
        if info.size > 1:
            return f"engine {self.id} (rank {info.rank} of {info.size} on {info.host})"
        return f"engine {self.id} (on {info.host})"

    def public(self) -> EngineInfo:
        """What clients may know."""
        assert self.info is not None
        info = self.info
        return EngineInfo(
            id=self.id,
            uuid=self.uuid,
            pid=info.pid,
            host=info.host,
            rank=max(info.rank, 0),
            size=info.size,
            world=self.world,
        )


class Registry:
    """The engines, by uuid and by id."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self.engines: dict[str, Engine] = {}
        self.by_id: dict[int, Engine] = {}
        self.bases: dict[str, int] = {}

    # -- changes

    def link(self, uuid: str, role: str) -> Engine:
        """Note that one of its sockets is connected."""
        engine = self.engines.get(uuid)
        if engine is None:
            engine = Engine(
                uuid, work=peer_name("work", uuid), control=peer_name("control", uuid)
            )
            self.engines[uuid] = engine
        engine.links.add(role)
        return engine

    def register(self, message: Register, now: float) -> Engine:
        """Note its description, and give it an id if it has none."""
        engine = self.link(message.uuid, "control")
        engine.info = message
        engine.heard = now
        if engine.id < 0:
            engine.world = message.job if message.size > 1 else message.uuid
            engine.id = self._free_id(message, engine.world)
            self.by_id[engine.id] = engine
        return engine

    def ready(self, message: Ready) -> Engine | None:
        """Note that it can work; None if nobody knows it."""
        engine = self.engines.get(message.uuid)
        if engine is None or engine.info is None:
            return None
        engine.here = True
        engine.segments = message.segments
        engine.shares = message.shares
        return engine

    def remove(self, uuid: str) -> Engine | None:
        """Forget it; returns what was known."""
        engine = self.engines.pop(uuid, None)
        if engine is not None and engine.id >= 0:
            del self.by_id[engine.id]
            if not any(e.world == engine.world for e in self.by_id.values()):
                self.bases.pop(engine.world, None)
        return engine

    def _free_id(self, message: Register, world: str) -> int:
        if message.engine >= 0 and message.engine not in self.by_id:
            self.bases.setdefault(world, message.engine - max(message.rank, 0))
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
            width = max((e.info.size for e in members if e.info), default=1)
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
        return engine.info is not None and engine.info.boot == self.boot

    def unwatched(self) -> list[Engine]:
        """Those whose life only their answers prove."""
        return [e for e in self.engines.values() if e.info and not self.watchable(e)]

    def world_is_empty(self, world: str) -> bool:
        """Whether no engine of it is left."""
        return all(e.world != world for e in self.engines.values())

    def check(self) -> None:
        """Assert that the two tables agree."""
        for number, engine in self.by_id.items():
            assert engine.id == number
            assert self.engines[engine.uuid] is engine
        for engine in self.engines.values():
            assert engine.here <= (engine.id >= 0), engine

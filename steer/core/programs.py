"""The programs that run on a hub's engines: on which ranks, how far, how they ended."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from steer.core.labels import is_called
from steer.core.registry import Engine
from steer.core.roundevents import NOBODY
from steer.core.rounds import Rounds
from steer.ranks import RankSet
from steer.wire.messages import FamilyBorn, RunBegan


@dataclasses.dataclass
class Program:
    """What runs on the ranks of a world."""

    name: str
    world: str
    ranks: RankSet
    first: int
    """The engine that is rank 0."""
    script: str
    arguments: tuple[str, ...]
    began: float
    here: RankSet = NOBODY
    """Ranks on which it has begun."""
    ended: RankSet = NOBODY
    lost: dict[int, str] = dataclasses.field(default_factory=dict)
    kept: bool = False
    """Its ranks stay when it has ended."""
    waits: bool = False
    """It begins when somebody has come."""
    stop_at: int = -1
    """Where it is to be stopped, as soon as it has a point."""
    stop_label: str = ""
    """In which loop; empty: the first that each rank comes to."""
    stopped: RankSet = NOBODY
    """The ranks that were told so."""
    statuses: dict[int, int] = dataclasses.field(default_factory=dict)
    """How ranks have ended, if not with 0."""
    labels: dict[str, RankSet] = dataclasses.field(default_factory=dict)
    """Its families, with their members."""
    families: int = 0
    """How many of them there are, at least."""
    replay_of: str = ""
    """The journal that is replayed on it."""

    @classmethod
    def begun(cls, engine: Engine, message: RunBegan) -> Self:
        """One that begins on the world of this engine."""
        size = max(engine.info.size, 1)
        first = engine.id - max(engine.info.rank, 0) if size > 1 else engine.id
        return cls(
            message.run, engine.world, RankSet(range(first, first + size)), first,
            message.script, message.arguments, message.began, kept=message.keep,
            waits=message.waits, stop_at=message.stop_at,
            stop_label=message.stop_label, replay_of=message.replay_of,
        )  # fmt: skip

    def members(self, message: FamilyBorn) -> RankSet:
        """The engines that come to points of a new family, and are not lost."""
        members = self.ranks
        if message.members:
            some = RankSet.parse(message.members)
            members = RankSet(self.first + rank for rank in some) & self.ranks
        return members - RankSet(self.lost)

    def is_to_stop(self, family: str, members: RankSet) -> bool:
        """Whether it was started to be stopped in this family, which is new; it is not
        asked again."""
        wanted = self.stop_at >= 0 and not members & self.stopped
        if self.stop_label:
            wanted &= is_called(family, self.stop_label)
        if wanted:
            self.stopped |= members
        return wanted

    @property
    def is_complete(self) -> bool:
        """Whether all that its ranks had to say of themselves has come."""
        missing = self.ranks - self.here - self.ended - RankSet(self.lost)
        return not missing and len(self.labels) >= self.families

    def has_left(self, ranks: RankSet) -> bool:
        """Whether it is over on these, one way or another."""
        return not (self.ranks - self.ended - RankSet(self.lost)) & ranks

    @property
    def over(self) -> bool:
        """Whether it has ended on all its ranks, one way or another."""
        return self.has_left(self.ranks)


class Programs(dict[str, Program]):
    """All of them, by name."""

    def of(self, ranks: RankSet) -> str:
        """The one that runs on all of these, and has not ended; or none."""
        found = (p.name for p in self.values() if ranks <= p.ranks and not p.over)
        return next(found, "")

    def busy(self, ranks: RankSet) -> RankSet:
        """Those of them on which one runs, and has not ended."""
        found = NOBODY
        for program in self.values():
            if not program.waits and not program.over:
                gone = program.ended | RankSet(program.lost)
                found |= ranks & program.here - gone
        return found

    def is_known(self, name: str) -> bool:
        """Whether all ranks of a run have said what there is to know; `name` may be
        that of a family of it."""
        program = self.get(name.partition("/")[0])
        return program is not None and program.is_complete

    def only(self) -> str:
        """The one that there is; or none."""
        names = self._going()
        return names[0] if len(names) == 1 else ""

    def which(self) -> str:
        """What is said to one who named none, if there is not just one."""
        names = self._going()
        if not names:
            return "No program runs here. Start one with `steer run -n 4 sim.py`."
        return f"Several programs run here: {', '.join(names)}. Name one."

    def _going(self) -> list[str]:
        return [name for name, program in self.items() if not program.over]


def told(program: Program, rounds: Rounds) -> dict[str, Any]:
    """What there is to know of a program, as plain data."""
    families = (f"{program.name}/{label}" for label in program.labels)
    return {
        "run": program.name, "ranks": str(program.ranks), "script": program.script,
        "first": program.first, "arguments": list(program.arguments),
        "began": program.began,
        "ended": str(program.ended), "over": program.over, "kept": program.kept,
        "waits": program.waits,
        "statuses": {str(rank): n for rank, n in program.statuses.items()},
        "lost": {str(rank): how for rank, how in program.lost.items()},
        "families": [_family(rounds, f) for f in families if f in rounds.families],
    }  # fmt: skip


def _family(rounds: Rounds, name: str) -> dict[str, Any]:
    family = rounds.families[name]
    round_, plans = family.round, family.plans
    return {
        "label": name.partition("/")[2], "family": name, "ranks": str(round_.ranks),
        "phase": round_.phase.value, "logical": round_.logical,
        "point": round_.target if round_.target else plans.high,
        "high": plans.high, "rate": plans.rate,
        "plans": [
            {"plan": plan.number, "verb": plan.event.verb, "text": plan.event.text,
             "point": plan.point or plan.event.point, "every": plan.event.every,
             "waits": plan.waits}
            for plan in plans.listed()
        ],
    }  # fmt: skip

"""Programs that go on no more: told unasked to whoever steers or started them.

Nobody waits for an answer of a program, so the hub cannot know that it is silent. Its
ranks say so: when main has been in one call of MPI for `SILENT_AFTER` seconds, then for
twice as long, and so on (`engines/eyes.py`). The world is asked then, and what is
proved is said, once. That ranks are held, and others wait for them, the watchdog of the
stop says.
"""

from __future__ import annotations

from steer.core.events import Action, Send
from steer.core.registry import Engine
from steer.core.sight import Round, Sight, diagnosed, worth_saying
from steer.core.sightings import LookWish, Report
from steer.core.verdict import Diagnosis, Kind
from steer.core.verdicttext import text
from steer.core.wheel import Wheel
from steer.ranks import RankSet
from steer.wire.frames import pack
from steer.wire.messages import News, Notice
from steer.wire.peers import peer_name

LULL = 5.0
"""Seconds after a question in which no other is asked: what one rank says, the others
say in the same second."""
STUCK = "stuck"
MOST = 50
"""Things that are said of one program."""


class ProgramVigil:
    """Looks after programs whose ranks stand still."""

    def __init__(self, sight: Sight, wheel: Wheel, clients: dict[str, bytes]) -> None:
        self._sight = sight
        self._wheel = wheel
        self._clients = clients
        self._asked: dict[str, float] = {}
        """When, by worlds: a program may have the name of an earlier one."""
        self._said: dict[str, set[str]] = {}
        sight.stands_still = self.stands_still

    def stands_still(self, engine: Engine, now: float) -> list[Action]:
        """A rank says that main has been in one call for long."""
        run = self._wheel.programs.of(RankSet([engine.id]))
        world = engine.world
        if not run or now - self._asked.get(world, now - LULL) < LULL:
            return []
        self._forget()
        self._asked[world] = now
        everybody = self._sight.worlds_of([engine])
        if len(everybody) < 2:
            return []

        def judge(round_: Round, now: float) -> list[Action]:
            shown = self._sight.snapshot(round_, now)
            return [
                action
                for found in diagnosed(shown)
                for action in self._say(run, world, found)
            ]

        wish = pack(LookWish(deep=True))
        return self._sight.ask(everybody, "look", wish, Report, judge, now)

    def _forget(self) -> None:
        """Worlds that are no more."""
        for kept in (self._asked, self._said):
            for world in list(kept):
                if self._sight.registry.world_is_empty(world):
                    del kept[world]

    def _say(self, run: str, world: str, found: Diagnosis) -> list[Action]:
        kind = found.head.kind
        key = worth_saying(found)
        if kind is Kind.IMBALANCE and key:  # others may wait each time
            key = f"{kind} {found.head.causes}"
        said = self._said.setdefault(world, set())
        if not key or key in said or kind is Kind.HELD or len(said) >= MOST:
            return []
        said.add(key)
        told = text(found).rstrip("\n")
        waiting = str(found.head.waiting)
        news = News(run, run, STUCK, told, ranks=waiting, facts={"verdict": kind.value})
        facts = {"run": run, "verdict": kind.value, "text": told}
        everybody = tuple(peer_name("in", who) for who in self._clients)
        actions: list[Action] = []
        if watching := self._wheel.audience.peers(run):
            actions.append(Send(watching, news))
        if everybody:  # whoever started it may not watch it
            actions.append(Send(everybody, Notice(STUCK), (pack(facts),)))
        return actions

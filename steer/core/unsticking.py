"""`unstick`: the hub brings the blocked ranks of a world back alive, step by step.

::

    asked: what does each rank do, what exactly is its call
      -> refused, with the reasons (`freeing.plan`)
    found: each helper has the communicators on which it is to act
      -> refused: nobody has been touched so far
    flagged: an interrupt is pending on every blocked rank
    acted: other ranks made what they wait for come
    asked again: some may wait in their next call, or a helper failed, and those who
    came back can help now -> from the beginning, TRIES times
    drained: messages that nobody will receive are thrown away
    told

A rank that has gone on between two steps is no harm: its interrupt ends it where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from steer.core.events import Action
from steer.core.freeing import Plan, Recipe, plan
from steer.core.rankstates import RankState
from steer.core.registry import Engine
from steer.core.sight import Round, Sight
from steer.core.sightings import Freed, Report
from steer.core.verdicttext import call_text, comm_names
from steer.ranks import RankSet, describe
from steer.wire.frames import pack

TRIES = 10
PAUSE = 0.1
"""Seconds until ranks are looked at again: time to raise an error, and describe it."""
ACTING = 8.0
"""Seconds in which helpers answer."""
FAILURES = 2
"""Times that helpers may fail."""
FINDING = 2.0
"""Seconds for looking through all objects of a program."""

_LOOKED = tuple[Report, Recipe] | None
Tell = Callable[[Freed], list[Action]]


class Unstick:
    """One world that is brought back."""

    def __init__(self, sight: Sight, engines: Iterable[Engine], tell: Tell) -> None:
        self._sight = sight
        self._engines = list(engines)
        self._tell = tell
        self._first = min(e.id - max(e.info.rank, 0) for e in self._engines)
        self._tries = 0
        self._comms: dict[tuple[str, str], None] = {}
        self._freed: dict[str, RankSet] = {}
        """Ranks, by the calls that they came back from."""
        self._recipes: dict[int, Recipe] = {}
        self._acted_at_all = False
        self._troubles: list[str] = []
        """What helpers said, the last time that they failed."""
        self._failures = 0
        sight.unfinished.append(self._cut_short)

    def begin(self, now: float) -> list[Action]:
        """Look."""
        self._tries += 1
        return self._ask("recipe", b"", _LOOKED, self._looked, now)

    def _ask(
        self,
        what: str,
        body: bytes,
        form: Any,
        judge: Callable[[Round, float], list[Action]],
        now: float,
        patience: float = 1.0,
    ) -> list[Action]:
        alive = [e for e in self._engines if e.uuid in self._sight.registry.engines]
        return self._sight.ask(alive, what, body, form, judge, now, patience)

    # -- the steps

    def _looked(self, round_: Round, now: float) -> list[Action]:
        said: dict[int, Report] = {}
        self._recipes = {}
        for id, (_, told) in round_.answers.items():
            said[id] = told[0] if told is not None else Report()
            if told is not None:
                self._recipes[id - self._first] = told[1]
        worlds = self._sight.worlds(round_, said, now)
        if not worlds:  # its ranks have come to their end meanwhile
            return self._cut_short()
        (world,) = worlds
        made = plan(world.states, self._recipes)
        if made.refusals and self._freed and self._tries <= TRIES:
            return self._sight.later(now + PAUSE, self.begin)  # on their way back
        if made.refusals:
            why = [*self._troubles, *made.refusals]
            return self._end(made.blocked, why, now)
        if not made.blocked:
            return self._drain(now)
        if self._tries > TRIES:
            return self._end(
                made.blocked, ["They came into one call after another"], now
            )
        if self._failures >= FAILURES:
            return self._end(made.blocked, self._troubles, now)
        keys = {
            rank + self._first: list(dict.fromkeys((a.members, a.name) for a in acts))
            for rank, acts in made.acts.items()
        }
        states = world.states
        return self._ask(
            "find", pack(keys), str, lambda r, now: self._found(r, made, states, now),
            now, FINDING,
        )  # fmt: skip

    def _found(
        self, round_: Round, made: Plan, states: dict[int, RankState], now: float
    ) -> list[Action]:
        problems = self._problems(round_)
        if problems:
            return self._end(made.blocked, problems, now)
        self._note(made, states)
        flags = {rank + self._first: self._recipes[rank] for rank in made.blocked}
        return self._ask(
            "flag", pack(flags), str, lambda r, now: self._flagged(r, made, now), now
        )

    def _note(self, made: Plan, states: dict[int, RankState]) -> None:
        """Remember what is given up."""
        names = comm_names(states)
        for rank in made.blocked:
            call = states[rank].call
            assert call is not None
            assert call.comm is not None
            self._comms[call.comm.ranks, call.comm.name] = None
            key = f"{call_text(call, names)}  {states[rank].spot}"
            one = RankSet([rank])
            self._freed[key] = self._freed.get(key, RankSet()) | one

    def _flagged(self, round_: Round, made: Plan, now: float) -> list[Action]:
        moved = [id - self._first for id, (_, why) in round_.answers.items() if why]
        if moved or round_.missing:  # what they wait for has come, or they are silent
            return self.begin(now) if self._tries < TRIES else self._end(
                made.blocked, ["They go on by themselves"], now
            )  # fmt: skip
        acts = {rank + self._first: acts for rank, acts in made.acts.items()}
        return self._ask("act", pack(acts), str, self._acted, now, ACTING)

    def _acted(self, round_: Round, now: float) -> list[Action]:
        self._troubles = self._problems(round_)
        self._failures += bool(self._troubles)
        self._acted_at_all = True
        return self._sight.later(now + PAUSE, self.begin)

    def _problems(self, round_: Round) -> list[str]:
        """What helpers could not do."""
        by_text: dict[str, RankSet] = {}
        for id, (_, said) in round_.answers.items():
            if said:
                one = RankSet([id - self._first])
                by_text[said] = by_text.get(said, RankSet()) | one
        if round_.missing:
            late = RankSet(id - self._first for id in round_.missing)
            by_text["it was not done in time"] = late
        return [
            f"{describe(ranks).capitalize()} cannot help: {text}"
            for text, ranks in by_text.items()
        ]

    def _drain(self, now: float) -> list[Action]:
        if not self._comms:
            return self._end(RankSet(), [], now)
        return self._ask(
            "drain", pack(list(self._comms)), int, self._drained, now, ACTING
        )

    def _drained(self, round_: Round, now: float) -> list[Action]:
        dropped = sum(count for _, count in round_.answers.values())
        return self._end(RankSet(), [], now, dropped)

    def _cut_short(self) -> list[Action]:
        """The ranks end, or the hub does: as with a program that was brought back and
        has come to its end by that."""
        if not self._acted_at_all:
            self._freed = {}
            return self._end(RankSet(), ["The ranks are gone"], 0.0)
        return self._end(RankSet(), [], 0.0)

    def _end(
        self, left: RankSet, refusals: list[str], now: float, dropped: int = 0
    ) -> list[Action]:
        if self._cut_short not in self._sight.unfinished:
            return []  # told already
        self._sight.unfinished.remove(self._cut_short)
        back = {call: ranks - left for call, ranks in self._freed.items()}
        waiting = left if self._freed else RankSet()
        if self._first and refusals:
            told = f"Reasons count ranks as their world does: 0 is engine {self._first}"
            refusals = [*refusals, told]
        return self._tell(
            Freed(
                tuple(
                    (self._ids(ranks), call) for call, ranks in back.items() if ranks
                ),
                tuple(refusals),
                self._ids(waiting),
                dropped,
            )
        )

    def _ids(self, ranks: RankSet) -> str:
        return str(RankSet(rank + self._first for rank in ranks))

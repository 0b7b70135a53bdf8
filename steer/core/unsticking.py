"""`unstick`: the hub brings the blocked ranks of a world back alive, step by step.

::

    asked: what does each rank do, what exactly is its call
      -> refused, with the reasons (`freeing.plan`)
    found: each helper has the communicators on which it is to act
      -> refused: nobody has been touched so far
    flagged: an interrupt is pending on every blocked rank
      -> somebody has gone on, or is silent: taken back, and asked again
    acted: other ranks made what they wait for come; who waited tells that it has raised
    asked again: some may wait in their next call, or a helper failed, and those who
    came back can help now -> from the beginning, TRIES times
    settled: helpers give up what they have not done, and say what they have left
    drained: messages that nobody will receive are thrown away
    told

Each time that ranks are flagged is a *try* with a name of its own. A rank drops what it
had to do for another try, so an answer that was given up cannot come to act later.

Who is said to be back has said itself that it has raised KeyboardInterrupt. An
interrupt is taken back as long as nothing was done for anybody. Later it stays, until
the rank's call ends: what ends it may be of our making, and nothing of the program may
see that. A rank that is not told to act within a while (its hub has died) takes an
interrupt back by itself (`engines/interrupting.py`).

A world is brought back by one procedure at a time; who asks meanwhile hears the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from steer.core.events import Action
from steer.core.freeing import (
    Done,
    Drained,
    Lost,
    Mark,
    Plan,
    Stale,
    Testimony,
    plan,
)
from steer.core.rankstates import Doing, RankState
from steer.core.registry import Engine
from steer.core.sight import Round, Sight
from steer.core.sightings import Freed, Report
from steer.core.verdicttext import call_text, comm_names
from steer.ranks import RankSet, describe
from steer.wire.frames import pack

TRIES = 15
PAUSE = 0.1
"""Seconds until ranks are looked at again: time to raise an error, and describe it."""
LONGEST_PAUSE = 0.5
PROVING = 2.0
"""Seconds until it is refused because nothing is proved: what nobody has watched before
is not (`verdict.SETTLED`)."""
LOOKING = 1.0
FLAGGING = 2.0
ACTING = 8.0
"""Seconds in which helpers answer; they themselves give up before (`LONGEST_ACTS`)."""
FAILURES = 2
"""Times that helpers may fail."""
MOVES = 4
"""Times that somebody may have gone on between two steps."""
FINDING = 2.0
"""Seconds for looking through all objects of a program."""
SETTLING = 2.0
BEGINS = 15.0
"""Seconds after which nothing is tried any more; what follows takes less than as long
again."""
LONGEST = 45.0
"""Seconds in which all is told."""

_RESTING = (Doing.FINISHED, Doing.POST_MORTEM)
Key = tuple[str, str]
Tell = Callable[[Freed], list[Action]]


class Unstick:
    """One world that is brought back."""

    def __init__(
        self,
        sight: Sight,
        engines: Iterable[Engine],
        name: str,
        insist: bool,
        over: Callable[[], object],
    ) -> None:
        self._sight = sight
        self._engines = list(engines)
        self._name = name
        self._insist = insist
        self._over = over
        self._tell: list[Tell] = []
        self._first = min(e.id - max(e.info.rank, 0) for e in self._engines)
        self._tries = self._looks = self._failures = self._moved = 0
        self._until = self._proved_by = 0.0
        self._flagged: dict[str, dict[int, tuple[str, set[Key]]]] = {}
        """By try: which ranks were to raise, and their calls."""
        self._pending: set[int] = set()
        """Ranks that have an interrupt pending, as far as is known."""
        self._back: dict[str, RankSet] = {}
        """Ranks that have raised, by the calls that they came back from."""
        self._comms: dict[int, set[Key]] = {}
        """On what these waited."""
        self._resting: set[int] = set()
        """Ranks on which nothing runs."""
        self._begun = False
        """Whether anything was done that ranks may notice."""
        self._acting = False
        """Whether ranks were told to do it."""
        self._lost: list[Lost] = []
        self._notes: list[str] = []
        self._troubles: list[str] = []
        """What helpers said, the last time that they failed."""
        self._marks: dict[int, Mark] = {}
        sight.unfinished.append(self._cut_short)

    def join(self, tell: Tell) -> None:
        """Somebody else wants it, too."""
        self._tell.append(tell)

    def begin(self, now: float) -> list[Action]:
        """Look."""
        if not self._looks:
            self._until, self._proved_by = now + BEGINS, now + PROVING
        self._looks += 1
        return self._ask("recipe", b"", Testimony, self._looked, now, LOOKING, True)

    def _ask(
        self,
        what: str,
        body: bytes,
        form: Any,
        judge: Callable[[Round, float], list[Action]],
        now: float,
        patience: float,
        outside: bool = False,
    ) -> list[Action]:
        alive = [e for e in self._engines if e.uuid in self._sight.registry.engines]
        return self._sight.ask(
            alive, what, body, form, judge, now, patience, outside=outside
        )

    def _order(self, by_rank: dict[int, Any]) -> bytes:
        orders = {rank + self._first: order for rank, order in by_rank.items()}
        return pack((f"{self._name}.{self._tries}", orders))

    def _again(self, now: float) -> list[Action]:
        pause = min(PAUSE * self._looks, LONGEST_PAUSE)
        return self._sight.later(now + pause, self.begin)

    def _may_try(self, now: float) -> bool:
        return self._looks <= TRIES and now < self._until

    # -- the steps

    def _looked(self, round_: Round, now: float) -> list[Action]:
        said: dict[int, Report] = {}
        told: dict[int, Testimony] = {}
        for id, (_, testimony) in round_.answers.items():
            said[id] = testimony.report
            told[id - self._first] = testimony
        for rank, testimony in told.items():
            self._heard_raised(rank, testimony.raised)
            if not testimony.pending:  # it has gone on before, by itself
                self._forget(rank)
        worlds = self._sight.worlds(round_, said, now)
        if not worlds:  # its ranks have come to their end meanwhile
            return self._cut_short()
        return self._judge(worlds[0].states, told, now)

    def _judge(
        self, states: dict[int, RankState], told: dict[int, Testimony], now: float
    ) -> list[Action]:
        recipes = {r: t.recipe for r, t in told.items() if t.recipe is not None}
        self._marks = {rank: testimony.mark for rank, testimony in told.items()}
        made = plan(states, recipes, self._insist)
        made.refusals += _inside(told, made)
        self._resting = {r for r, state in states.items() if state.doing in _RESTING}
        if self._back and not self._pending & self._there():
            self._note_what_is_left(made, told)
            return self._end([], now)
        if made.unsettled and now < self._proved_by:
            return self._again(now)
        waiting = self._pending & self._there()
        if waiting and self._may_try(now) and (made.refusals or not made.blocked):
            return self._again(now)  # on their way back
        if made.refusals:
            return self._end([*self._troubles, *made.refusals], now, made.blocked)
        if not made.blocked:
            return self._end([], now)
        if not self._may_try(now):
            why = self._troubles or ["They came into one call after another"]
            return self._end(why, now, made.blocked)
        if self._failures >= FAILURES:
            return self._end(self._troubles, now, made.blocked)
        self._tries += 1
        keys = {
            rank: list(dict.fromkeys((a.members, a.name) for a in acts))
            for rank, acts in made.acts.items()
        }
        return self._ask(
            "find", self._order(keys), str,
            lambda r, now: self._found(r, made, states, now), now, FINDING,
        )  # fmt: skip

    def _there(self) -> set[int]:
        known = self._sight.registry.engines
        return {e.id - self._first for e in self._engines if e.uuid in known}

    def _note_what_is_left(self, made: Plan, told: dict[int, Testimony]) -> None:
        self._notes += _inside(told, Plan())
        again = made.blocked & RankSet(self._comms)
        if again:
            verb = "is" if len(again) == 1 else "are"
            who = _upper(describe(again))
            self._notes.append(f"{who} went on, and {verb} in MPI again")

    def _heard_raised(self, rank: int, name: str) -> None:
        """A rank has raised the interrupt of this try."""
        noted = self._flagged.get(name, {}).pop(rank, None)
        if noted is None:
            return
        for ranks in self._flagged.values():
            ranks.pop(rank, None)
        self._pending.discard(rank)
        call, keys = noted
        self._back[call] = self._back.get(call, RankSet()) | RankSet([rank])
        self._comms.setdefault(rank, set()).update(keys)

    def _found(
        self, round_: Round, made: Plan, states: dict[int, RankState], now: float
    ) -> list[Action]:
        problems = self._problems(round_)
        if problems:
            return self._end(problems, now, made.blocked)
        flags = {rank: self._marks[rank] for rank in made.blocked}
        self._note(made, states)
        return self._ask(
            "flag", self._order(flags), str,
            lambda r, now: self._are_flagged(r, made, now), now, FLAGGING,
        )  # fmt: skip

    def _note(self, made: Plan, states: dict[int, RankState]) -> None:
        """Remember who is to raise, and where."""
        names = comm_names(states)
        noted: dict[int, tuple[str, set[Key]]] = {}
        for rank in made.blocked:
            call = states[rank].call
            assert call is not None
            assert call.comm is not None
            text = f"{call_text(call, names)}  {states[rank].spot}"
            noted[rank] = text, {call.comm.key}
        self._flagged[f"{self._name}.{self._tries}"] = noted
        self._pending |= set(noted)

    def _are_flagged(self, round_: Round, made: Plan, now: float) -> list[Action]:
        if not self._problems(round_):
            self._acting = True
            acts = {rank: made.acts.get(rank, []) for rank in made.blocked}
            return self._ask(
                "act", self._order(acts | made.acts), Done, self._acted, now, ACTING
            )
        # What they wait for has come, or they are silent: it is not the time.
        return self._settle(now, lambda now: self._taken_back(made, now))

    def _taken_back(self, made: Plan, now: float) -> list[Action]:
        self._moved += 1
        if self._may_try(now) and self._moved < MOVES:
            return self._again(now)
        return self._end(["They go on by themselves"], now, made.blocked)

    def _acted(self, round_: Round, now: float) -> list[Action]:
        for id, (_, done) in round_.answers.items():
            self._begun |= done.begun
            if done.raised:
                name = f"{self._name}.{self._tries}"
                self._heard_raised(id - self._first, name)
        # Of who is silent, or has ended by it, nobody knows.
        self._begun |= len(round_.answers) < len(self._engines)
        self._troubles = self._problems(round_)
        self._failures += bool(self._troubles)
        return self._again(now)

    def _problems(self, round_: Round) -> list[str]:
        """What helpers could not do."""
        by_text: dict[str, RankSet] = {}
        for id, (_, said) in round_.answers.items():
            problem = said if isinstance(said, str) else said.problem
            if problem:
                one = RankSet([id - self._first])
                by_text[problem] = by_text.get(problem, RankSet()) | one
        if round_.missing:
            late = RankSet(id - self._first for id in round_.missing)
            by_text["it was not done in time"] = late
        return [
            f"{_upper(describe(ranks))} cannot help: {text}"
            for text, ranks in by_text.items()
        ]

    # -- the end of it

    def _settle(
        self, now: float, then: Callable[[float], list[Action]]
    ) -> list[Action]:
        """Nothing is to be done any more for this try."""
        keep = self._begun
        ranks = [engine.id - self._first for engine in self._engines]

        def settled(round_: Round, now: float) -> list[Action]:
            for id, (_, done) in round_.answers.items():
                rank = id - self._first
                self._lost += done.lost
                if done.raised:
                    self._heard_raised(rank, f"{self._name}.{self._tries}")
                elif not keep:
                    self._forget(rank)
            silent = {id - self._first for id in round_.missing}
            if silent & self._pending or (silent and keep):
                self._notes.append(
                    f"{_upper(describe(RankSet(silent)))} did not answer: whether "
                    "an interrupt or messages of ours are left there is not known"
                )
            return then(now)

        return self._ask(
            "settle", self._order(dict.fromkeys(ranks, keep)), Done, settled, now,
            SETTLING,
        )  # fmt: skip

    def _forget(self, rank: int) -> None:
        """Its interrupt was taken back."""
        self._pending.discard(rank)
        for ranks in self._flagged.values():
            ranks.pop(rank, None)

    def _end(
        self,
        refusals: list[str],
        now: float,
        blocked: RankSet = RankSet(),  # noqa: B008
    ) -> list[Action]:
        """Leave nothing behind, and tell."""
        if not self._tries or not any((self._back, self._pending, self._begun)):
            return self._say(refusals, blocked)
        return self._settle(now, lambda now: self._drain(refusals, blocked, now))

    def _drain(self, refusals: list[str], blocked: RankSet, now: float) -> list[Action]:
        """Throw away what was sent to free ranks, and what those who raised had sent
        each other."""
        stale: dict[int, list[Stale]] = {}
        for lost in dict.fromkeys(self._lost):
            one = Stale(lost.members, lost.name, lost.source, lost.tag, True)
            stale.setdefault(lost.dest, []).append(one)
        resting = self._comms.keys() & self._resting
        for rank in resting:
            for members, name in sorted(self._comms[rank]):
                for source in sorted(RankSet.parse(members)):
                    if source in resting and source != rank:
                        stale.setdefault(rank, []).append(Stale(members, name, source))
        if awake := RankSet(self._comms.keys() - resting):
            self._notes.append(
                f"{_upper(describe(awake))} went on: messages that had been sent to "
                "and from there before are still on their way"
            )
        if not stale:
            return self._say(refusals, blocked)

        def drained(round_: Round, now: float) -> list[Action]:
            asked = [i for i in round_.missing if i - self._first in stale]
            return self._drained(round_, RankSet(asked), refusals, blocked)

        return self._ask("drain", self._order(stale), Drained, drained, now, SETTLING)

    def _drained(
        self, round_: Round, missing: RankSet, refusals: list[str], blocked: RankSet
    ) -> list[Action]:
        by_text: dict[str, RankSet] = {}
        dropped = 0
        for id, (_, said) in round_.answers.items():
            dropped += said.dropped
            if said.problem:
                one = RankSet([id - self._first])
                by_text[said.problem] = by_text.get(said.problem, RankSet()) | one
        if missing:
            late = RankSet(id - self._first for id in missing)
            by_text["did not answer"] = by_text.get("did not answer", RankSet()) | late
        for text, ranks in by_text.items():
            self._notes.append(
                f"{_upper(describe(ranks))}: messages may be left there ({text})"
            )
        return self._say(refusals, blocked, dropped)

    def _cut_short(self) -> list[Action]:
        """The ranks end, or the hub does: as with a program that was brought back and
        has come to its end by that."""
        if not self._acting and not self._back:
            self._pending = set()
            return self._say(["The ranks are gone"], RankSet(), gone=True)
        return self._say([], RankSet(), gone=True)

    def _say(
        self,
        refusals: list[str],
        blocked: RankSet,
        dropped: int = 0,
        gone: bool = False,
    ) -> list[Action]:
        if self._cut_short not in self._sight.unfinished:
            return []  # told already
        self._sight.unfinished.remove(self._cut_short)
        self._over()
        known = self._there()
        there = set() if gone else known
        ended: dict[str, RankSet] = {}
        left = RankSet(self._pending & there)
        for noted in self._flagged.values():
            for rank, (call, _) in noted.items():
                if rank in self._pending and rank not in left:
                    ended[call] = ended.get(call, RankSet()) | RankSet([rank])
        if left:
            raises = "it raises" if len(left) == 1 else "they raise"
            self._notes.append(
                f"{_upper(describe(left))}: {raises} KeyboardInterrupt when the call "
                "ends"
            )
        if self._back:  # some wait on, or again
            left = left | blocked
        if self._first and (refusals or self._notes):
            self._notes.append(
                f"Sentences count ranks as their world does: 0 is engine {self._first}"
            )
        freed = Freed(
            self._by_call(self._back), tuple(refusals), self._ids(left), dropped,
            self._by_call(ended), self._ids(RankSet(self._comms) - RankSet(known)),
            tuple(dict.fromkeys(self._notes)),
        )  # fmt: skip
        return [action for tell in self._tell for action in tell(freed)]

    def _by_call(self, calls: dict[str, RankSet]) -> tuple[tuple[str, str], ...]:
        return tuple((self._ids(ranks), call) for call, ranks in calls.items() if ranks)

    def _ids(self, ranks: RankSet) -> str:
        return str(RankSet(rank + self._first for rank in ranks))


def _inside(told: dict[int, Testimony], made: Plan) -> list[str]:
    """Helpers that are not back from what they do for others, but for what is to be
    done again."""
    by_text: dict[str, RankSet] = {}
    for rank, testimony in told.items():
        planned = {act.joins for act in made.acts.get(rank, ())}
        for join in testimony.inside:
            if join not in planned:
                text = f"{join.op} of ranks {join.members}"
                by_text[text] = by_text.get(text, RankSet()) | RankSet([rank])
    return [
        f"{_upper(describe(ranks))} took part in {text} for others, and not all of "
        "them have come: a thread there waits until they do"
        for text, ranks in by_text.items()
    ]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]

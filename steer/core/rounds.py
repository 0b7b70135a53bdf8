"""Steering: which runs there are, who stops them, and what is done to them at a point.

`handle(event, now)` says what to do; `deadline()` when to come back with a Tick. How
one family of points is brought to a stop is in `round`, what is done without stopping
in `plans`, why a round waits in `watchdog`. Here is who may ask for what, and when:

* Rounds of a family are serialised. Who asks for a stop that is under way gets the same
  answer; steps wait until the stop before them is there.
* Families that share a rank are not stopped at once: a rank that is held at a point of
  one comes to none of the other.
* What is asked of a run before its first point waits for that point. A run with several
  families that share no rank is stopped in all of them.
* All who watch a run see what is done to it, by whomever.

The promises, held by `check()` and its tests: a request has one answer for each family;
"stopped" is only said when all ranks of the family hold at that point; nobody is held
without a round that says so.
"""

from __future__ import annotations

import collections
from typing import assert_never

import msgspec

from steer.core import families
from steer.core import roundevents as ev
from steer.core.events import Action, Event
from steer.core.families import HOLDING, Family, Run
from steer.core.mistakes import mistake
from steer.core.plans import Plans
from steer.core.round import WAITING, Phase, Round
from steer.core.roundevents import NOBODY, Asker, Kind, Verb
from steer.errors import InternalError
from steer.ranks import RankSet, describe


class Rounds:
    """The steering of all runs of a hub."""

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch
        """Higher than any that an earlier hub gave out."""
        self.plan = 0
        """The last number that a plan got. People type these, so they are small."""
        self.runs: dict[str, Run] = {}
        self.families: dict[str, Family] = {}
        self.actions: list[Action] = []

    def handle(self, event: Event, now: float) -> list[Action]:
        """Something happened: what has to be done?"""
        if isinstance(event, Verb):
            self._asked(event, now)
        else:
            self._happened(event, now)
        for family in list(self.families.values()):
            self._settle(family, now)
        actions, self.actions = self.actions, []
        return actions

    def deadline(self) -> float | None:
        """When a Tick is due."""
        times = [family.round.look for family in self.families.values()]
        times += [family.plans.due for family in self.families.values()]
        return min((time for time in times if time is not None), default=None)

    def _happened(self, event: Event, now: float) -> None:
        match event:
            case ev.Next():
                self._round(event.family).next(event, now)
            case ev.Held():
                family = self._family(event.family)
                family.came = max(family.came, event.point)
                family.round.hold(event, now)
            case ev.Seen():
                self._round(event.family).seen(event, now)
            case ev.Withdrew():
                self._round(event.family).withdrew(event, now, self._new_epoch())
            case ev.Position():
                family = self._family(event.family)
                family.came = max(family.came, event.high)
                family.plans.position(event.high, event.rate)
            case ev.Has():
                self._family(event.family).plans.has(event, now)
            case ev.Voted():
                self._family(event.family).plans.voted(event, now)
            case ev.Applied():
                self._family(event.family).plans.applied(event)
            case ev.Froze():
                self._froze(self._family(event.family), event, now)
            case ev.RunHere():
                self._run_here(event)
            case ev.FamilyHere():
                self._family_here(event, now)
            case ev.Finished() | ev.Lost():
                self._ended(event, now)
            case ev.Tick():
                for family in self.families.values():
                    family.round.tick(now)
                    family.plans.tick(now)
            case _:
                raise InternalError(f"steering knows no {type(event).__name__}")

    # -- runs and families

    def _run_here(self, event: ev.RunHere) -> None:
        run = self.runs.get(event.run)
        if run is None:
            self.runs[event.run] = Run(event.run, event.ranks)
        else:
            run.ranks |= event.ranks

    def _family_here(self, event: ev.FamilyHere, now: float) -> None:
        if (known := self.families.get(event.family)) is not None:
            for name, point in event.before.items():  # each of its ranks says it
                known.before[name] = max(point, known.before.get(name, point))
            return
        run = self.runs.setdefault(event.run, Run(event.run, event.ranks))
        round_ = Round(event.family, event.label, event.ranks, event.logical)
        family = Family(event.run, round_, Plans(event.family))
        family.before = dict(event.before)
        self.families[event.family] = family
        run.families.append(event.family)
        label = event.family.partition("/")[2]
        for verb in run.waiting.born(label, event.ranks, run.ranks):
            self._do(family, verb, now)

    def _ended(self, event: ev.Finished | ev.Lost, now: float) -> None:
        run = self.runs.get(event.run)
        if run is None:
            return
        run.ranks -= event.ranks
        for name in run.families:
            family = self.families[name]
            if family.round.phase is Phase.OVER:
                continue
            if isinstance(event, ev.Finished):
                family.round.finish(event.ranks)
            else:
                family.round.lose(event.ranks, event.how, now)
                family.plans.lose(event.ranks, now)
        if run.ranks:
            return
        for verb in run.waiting.take_back():
            self._refuse(verb, "The run ended before it came to a point.")
        del self.runs[event.run]
        for name in run.families:
            self._settle(self.families[name], now)
            del self.families[name]

    def _froze(self, family: Family, event: ev.Froze, now: float) -> None:
        round_ = family.round
        ranks = event.ranks & round_.ranks
        if not ranks:
            return
        if event.hold:
            round_.frozen |= ranks
        all_agreed = event.hold and event.together
        if all_agreed and round_.frozen == round_.ranks:
            ranks = round_.ranks
        text = f"{describe(ranks)} at point {event.point}: {event.why}"
        if not all_agreed or ranks == round_.ranks:
            self._tell(round_.family, Kind.FROZE, text, (), ranks, event.point)
        if round_.phase in WAITING and not round_.goal:
            round_.thaw()  # all are about to hold
            return
        wanted = not event.hold or (event.together and round_.frozen == round_.ranks)
        free = round_.phase in (Phase.RUNNING, *WAITING)
        if not wanted or not free or self._in_the_way(family):
            return
        who = f"{describe(ranks)}: {event.why}"
        self._begin(family, ev.Stop(Asker("", who), round_.family), "stop")
        round_.stop(now, self._new_epoch(), 0, 0)

    # -- what users ask for

    def _asked(self, verb: Verb, now: float) -> None:
        run, _, label = verb.family.partition("/")
        known, found = self.runs.get(run), self.meant_by(verb)
        if wrong := mistake(verb):
            for _ in range(max(1, len(found))):
                self._refuse(verb, wrong)
        elif found:
            if isinstance(verb, ev.Go) and known is not None:
                self._take_back(known)
            for family in found:
                self._do(family, verb, now)
        elif known is None:
            self._refuse(verb, f"There is no run {run}; it may have ended.")
        else:
            self._ask_early(known, label, verb)

    def _ask_early(self, run: Run, label: str, verb: Verb) -> None:
        """There is no point yet that it could be for."""
        text = f"No rank of {run.name} has come to a point yet"
        if label:
            tails = (name.partition("/")[2] for name in run.families)
            others = ", ".join(dict.fromkeys(t.partition("@")[0] for t in tails))
            text = f"No rank of {run.name} has come to a point of {label!r} yet"
            text += f" (there are {others})" if others else ""
        if isinstance(verb, ev.Stop | ev.Plan):
            run.waiting.add(verb, label)
            text += "; waiting for one."
            self._tell(verb.family, Kind.WAITING, text, (), run.ranks)
        elif isinstance(verb, ev.Go) and run.waiting:
            self._take_back(run)
            text = "what waited for a first point was taken back"
            self._tell(verb.family, Kind.WENT, text, (verb.asker.id,), run.ranks)
        else:
            self._refuse(verb, f"{text}.")

    def _take_back(self, run: Run) -> None:
        for other in run.waiting.take_back():
            self._refuse(other, "It was taken back.")

    def plans_at(self, event: ev.Unplan) -> str:
        """The family that has this plan; one of them if none has."""
        run = self.runs.get(event.family.partition("/")[0])
        names = run.families if run is not None else []
        having = (name for name in names if self.families[name].plans.knows(event.plan))
        return next(having, names[0] if names else event.family)

    def meant(self, name: str, *, to_come: bool = False) -> list[Family]:
        """What that is: a family, or those of a run that share no rank and of which
        something is under way, or else (`to_come`) which come to points."""
        if name in self.families:
            return [self.families[name]]
        run_name, _, label = name.partition("/")
        run = self.runs.get(run_name)
        if run is None:
            return []
        return families.meant(self._of(run), label, to_come=to_come)

    def meant_by(self, verb: Verb) -> list[Family]:
        """What that is for."""
        return self.meant(verb.family, to_come=isinstance(verb, ev.Stop | ev.Plan))

    def _of(self, run: Run) -> list[Family]:
        return [self.families[name] for name in run.families]

    def holds(self, name: str) -> bool:
        """Whether a family is stopped, or about to be."""
        return self._round(name).phase in (*WAITING, *HOLDING)

    def _do(self, family: Family, verb: Verb, now: float) -> None:
        phase = family.round.phase
        verb = msgspec.structs.replace(verb, family=family.round.family)
        if phase in (Phase.ENDING, Phase.OVER):
            who = describe(family.round.finished)
            self._refuse(verb, f"The run ends: {who} will come to no more points.")
            return
        match verb:
            case ev.Stop():
                self._stop(family, verb, now)
            case ev.Go():
                self._go(family, verb)
            case ev.Step():
                self._step(family, verb, now)
            case ev.Advance() | ev.Here():
                self._help(family, verb, now)
            case ev.Plan():
                self._plan(family, verb, now)
            case ev.Unplan():
                self._unplan(family, verb)
            case _:
                assert_never(verb)

    def _stop(self, family: Family, verb: ev.Stop, now: float) -> None:
        round_ = family.round
        phase, far = round_.phase, verb.point
        others = self._in_the_way(family)
        if others and not self._overtake(family, others):
            other = others[0].round
            self._refuse(
                verb,
                f"{describe(other.ranks & round_.ranks)} cannot come to a point of "
                f"{round_.label}: {other.label} is {other.phase.value}; let it go.",
            )
        elif phase is Phase.STOPPED and far > round_.target:
            self._begin(family, verb, f"until {far}")
            round_.to(now, far)
        elif phase is Phase.STOPPED:
            past = f"point {far} is past; " if far and far < round_.target else ""
            text = f"{past}it is stopped at point {round_.target}"
            self._tell(
                round_.family, Kind.STOPPED, text, _ids(verb), round_.ranks,
                round_.target,
            )  # fmt: skip
        elif phase in WAITING and not far and round_.goal and not round_.answers_soon():
            # It waits for a point that is far, and now a user wants it at once.
            self._begin(family, verb, "stop")
            round_.stop(now, self._new_epoch(), 0, verb.advance)
        elif phase in WAITING and far:
            family.later.append(verb)
        elif phase in WAITING:
            round_.askers.append(verb.asker)
        else:
            self._begin(family, verb, f"until {far}" if far else "stop")
            round_.stop(now, self._new_epoch(), far, verb.advance)

    def _overtake(self, family: Family, others: list[Family]) -> bool:
        """Stops that wait at loops which their ranks have left are answered by one
        where the ranks are."""
        of_run = self._of(self.runs[family.run])
        for other in others:
            if other.somebody_holds or not families.is_left(other, of_run):
                return False
        for other in others:
            family.round.askers += other.round.askers
            other.round.askers = []
            other.round.go()
        return True

    def _go(self, family: Family, verb: ev.Go) -> None:
        round_ = family.round
        if round_.phase is Phase.RUNNING and not round_.frozen:
            self._tell(round_.family, Kind.WENT, "it runs", _ids(verb), round_.ranks)
            return
        text = "it runs on"
        if round_.phase in WAITING:
            text = "the stop was taken back; it runs on"
        waiting, round_.askers = round_.askers, []
        answers = (*(a.id for a in waiting if a.id), *_ids(verb))
        stopped = round_.phase is Phase.STOPPED
        at = round_.target if stopped else 0
        round_.who = verb.asker.who
        round_.go()
        self._tell(round_.family, Kind.WENT, text, answers, round_.ranks, at)
        if stopped:
            round_.note("go")
        later, family.later = family.later, collections.deque()
        for other in later:
            self._refuse(other, "It was let go before.")

    def _step(self, family: Family, verb: ev.Step, now: float) -> None:
        round_ = family.round
        if round_.phase in WAITING:
            family.later.append(verb)
        elif round_.phase is Phase.STOPPED:
            self._begin(family, verb, f"step {verb.n}")
            round_.to(now, round_.target + verb.n)
        else:
            where = "not at one point" if round_.phase is Phase.HERE else "not stopped"
            self._refuse(verb, f"The run is {where}: stop it first.")

    def _help(self, family: Family, verb: ev.Advance | ev.Here, now: float) -> None:
        round_ = family.round
        if isinstance(verb, ev.Advance):
            if round_.phase is not Phase.ALIGNING:
                self._refuse(verb, "No stop is waiting for its ranks.")
                return
            round_.askers.append(verb.asker)
            round_.advance(now, verb.n)
            return
        if round_.phase not in WAITING:
            self._refuse(verb, "No stop is under way.")
            return
        held = round_.ranks - round_.missing()
        askers, round_.askers = [*round_.askers, verb.asker], []
        round_.here()
        text = (
            f"{describe(held)} of {describe(round_.ranks)} hold; the others are where "
            "they are. Only what needs no other rank works on those that hold."
        )
        ids = tuple(asker.id for asker in askers if asker.id)
        self._tell(round_.family, Kind.HERE, text, ids, held, round_.target)

    def _plan(self, family: Family, verb: ev.Plan, now: float) -> None:
        round_ = family.round
        if round_.finished & round_.ranks:
            self._refuse(verb, "The run ends: some ranks come to no more points.")
            return
        base = round_.target if round_.phase in HOLDING else 0
        if verb.point and verb.point < base:
            self._refuse(verb, f"Point {verb.point} is past: it is at point {base}.")
            return
        family.plans.ask(self._new_plan(), verb, base)

    def _unplan(self, family: Family, verb: ev.Unplan) -> None:
        plans = family.plans
        if plans.withdraw(verb.plan, "it was taken back"):
            family_name = family.round.family
            self._tell(family_name, Kind.DROPPED, "taken back", _ids(verb), NOBODY)
        elif verb.plan in plans.plans:
            plans.end(self._new_plan(), verb.plan, verb.asker, verb.point)
        else:
            self._refuse(verb, f"There is no plan {verb.plan}; it may be done.")

    # -- helpers

    def _settle(self, family: Family, now: float) -> None:
        """What follows from what has just happened to a family."""
        round_, plans = family.round, family.plans
        while family.later and round_.phase not in WAITING:
            self._do(family, family.later.popleft(), now)
        if round_.phase is Phase.OVER:
            plans.drop_all("the run ended before")
        else:
            stopped_at = round_.target if round_.phase is Phase.STOPPED else None
            plans.serve(round_.ranks, stopped_at, now)
        if round_.target > plans.high and round_.phase is Phase.STOPPED:
            plans.position(round_.target, plans.rate)
        for part in (round_, plans):
            self.actions += part.actions
            part.actions = []

    def _begin(self, family: Family, verb: Verb, name: str) -> None:
        family.round.askers.append(verb.asker)
        family.round.verb, family.round.who = name, verb.asker.who

    def _in_the_way(self, family: Family) -> list[Family]:
        """Other families of the run that hold some of its ranks, or are about to."""
        others = self._of(self.runs[family.run])
        return [
            other
            for other in others
            if other.keeps_its_ranks and other.shares(family) and other is not family
        ]

    def _family(self, name: str) -> Family:
        return self.families.get(name) or _nobody(name)

    def _round(self, name: str) -> Round:
        return self._family(name).round

    def _new_epoch(self) -> int:
        self.epoch += 1
        return self.epoch

    def _new_plan(self) -> int:
        self.plan += 1
        return self.plan

    def _refuse(self, verb: Verb, why: str) -> None:
        self._tell(verb.family, Kind.REFUSED, why, _ids(verb), NOBODY)

    def _tell(
        self, family: str, kind: Kind, text: str, answers: tuple[str, ...],
        ranks: RankSet, point: int = 0,
    ) -> None:  # fmt: skip
        known = self.families.get(family)
        actions = self.actions if known is None else known.round.actions
        actions.append(ev.Tell(family, kind, text, answers, point, ranks))

    def check(self) -> None:
        """Assert what holds always."""
        for name, family in self.families.items():
            assert name in self.runs[family.run].families
            family.round.check()
            family.plans.check()
            assert not family.later or family.round.phase in WAITING
            if family.round.phase in HOLDING:
                assert not self._in_the_way(family), name


def _ids(verb: Verb) -> tuple[str, ...]:
    return (verb.asker.id,) if verb.asker.id else ()


def _nobody(name: str) -> Family:
    """What a message about a family that is no more is given to: it has no effect."""
    return Family("", Round(name, "", NOBODY, False), Plans(name))

"""A rank whose program can be steered: its page, its points, and what it says of them.

Main comes to points (`points.py`); here is what the engine does for it: ring the hub
when there is news on the page, wait in a hold, run there what users want, do what was
planned. While not all ranks are held, a rank that holds lets MPI go on, for one of the
others may need what it owes; then it sleeps on its sockets.

What a hub has to know of the run (`said`) is told to each hub again: a new one learns
it like that.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from steer import pages
from steer.core import page
from steer.core.labels import is_called
from steer.core.page import NOWHERE, Family, Head, Text
from steer.engines import here, inframe, mpi, points, watching
from steer.engines.breakhere import breakpoints
from steer.engines.caution import caution
from steer.engines.namespace import Namespace
from steer.engines.ownfences import OwnFences
from steer.engines.passing import Passing
from steer.engines.planned import Planned
from steer.engines.run import Runner
from steer.engines.script import STOPPED, Ending, execute, failed_in
from steer.engines.seen import Seen
from steer.launch.script import Script
from steer.node.processes import start_time
from steer.ranks import RankSet
from steer.wire.messages import (
    Begin,
    FamilyBorn,
    Inquire,
    Inquired,
    LookAt,
    Message,
    Order,
    PlanBody,
    PlanDone,
    PlanGone,
    PlanHere,
    Rang,
    RunBegan,
    RunEnded,
)

PROGRESS = 0.001, 0.016
"""Seconds between two looks at MPI while not all ranks are held: at first, and in the
end. A rank that computes for long needs the processor more than those that wait."""

BURST = 0.0002
"""Seconds of each look: a call moves a few pieces of a large message only."""

SLOWER = 1.02
"""How much longer each of these waits is than the one before."""


class Steered:
    """The steering of this process's program."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.mapped = pages.make()
        self.words = self.mapped.words
        self.can = pages.take_part() and os.environ.get("STEER_PAGES") != "off"
        """Whether the node can be the controller of this rank's fences."""
        self._own: OwnFences | None = None
        """Its own controller, if it was told to be that."""
        self.said: list[Message] = []
        self._runner: Runner | None = None
        self._passing: Passing | None = None
        self.plans: Planned | None = None
        self._may_begin = threading.Event()
        self._patience = PROGRESS[0]

    @property
    def fd(self) -> int:
        """The page's descriptor, for the node."""
        return self.mapped.fd if self.can else -1

    # -- main

    def run(self, runner: Runner, passing: Passing, rank: int, size: int) -> Ending:
        """Run the program to its end."""
        self._runner, self._passing = runner, passing
        watcher = runner.eyes.watcher  # the one that knows whether main moves
        wire = runner.wire
        self._seen = Seen(rank, watcher, wire.send, wire.loop.call_later, self.words)
        self.plans = Planned(
            self.words, runner.namespace, lambda: runner.core.engine, self._done
        )
        pid = os.getpid()
        page.begin(self.words, pid, start_time(pid) or 0, rank, size, self.script.run)
        self._say(self._beginning())
        if self.script.wait:
            self._wait_for_somebody()
        here.aside = mpi.aside()
        session = points.Session(self.words, self)
        watches = watching.attach(self.script.run, runner, session, self.plans)
        session.begin()
        failed = True
        try:
            with runner.program(), breakpoints(session):
                ending = execute(self.script, runner.namespace, runner.quits)
            failed = ending.error is not None
        finally:
            session.end(failed=failed)
        wire.loop.call_soon(watches.flush)
        kept = self.script.post_mortem and ending.error is not None
        self._say(RunEnded(self.script.run, ending.status, ending.told(), kept))
        return ending

    def _beginning(self) -> RunBegan:
        script, (name, *arguments) = self.script, self.script.argv
        return RunBegan(
            script.run, name, tuple(arguments), time.time(), script.keep, script.wait,
            script.stop_at, replay_of=script.replay_of, stop_label=script.stop_label,
        )  # fmt: skip

    def _wait_for_somebody(self) -> None:
        """Do what is asked for until there is somebody to steer the program."""
        runner = self._runner
        assert runner is not None
        with self._held():
            while not (self._may_begin.is_set() or runner.quits()):
                runner.pause()
                runner.run_asked()

    @staticmethod
    def in_ruins(
        namespace: Namespace, error: BaseException
    ) -> contextlib.AbstractContextManager[None]:
        """Let cells see the variables of the function that has failed."""
        return inframe.bound(namespace, failed_in(error))

    # -- what points want of the engine

    def arrive(self) -> None:
        """It is about to hold: write down where."""
        self._patience = PROGRESS[0]
        frame = inframe.loops_frame()
        page.write_text(self.words, *Text.SITE.value, inframe.site(frame))
        page.write_text(self.words, *Text.CAUTION.value, caution(frame))

    def ring(self) -> None:
        """Tell the controller that there is something new on the page."""
        assert self._runner is not None
        self._runner.reply(Rang())
        if self._own is not None:
            self._own.rang()

    def wait(self, calm: bool) -> None:
        """Rest until something may have changed, or run what a user wants."""
        runner = self._runner
        assert runner is not None
        if runner.quits():
            raise SystemExit(STOPPED)
        if runner.is_asked():
            # One, because what was planned before the next has to be done before it.
            frame = inframe.loops_frame()
            with self._held(), inframe.bound(runner.namespace, frame):
                here.held = frame
                try:
                    runner.run_asked(most=1)
                finally:
                    here.held = None
        elif calm or not mpi.is_up():
            runner.pause()
        else:
            _let_mpi_go_on()
            runner.pause(self._patience)
            self._patience = min(self._patience * SLOWER, PROGRESS[1])

    def _held(self) -> contextlib.AbstractContextManager[None]:
        assert self._passing is not None
        return self._passing.held()

    def has(self, plan: int) -> bool:
        """Whether it knows what is to be done for this plan."""
        assert self.plans is not None
        return self.plans.has(plan)

    def apply(self, plan: int, point: int) -> None:
        """Do it."""
        assert self.plans is not None
        self.plans.apply(plan, point)

    def _done(self, plan: int, point: int, error: str, seconds: float) -> None:
        assert self._runner is not None
        self._runner.reply(PlanDone(plan, point, error, seconds))

    def family_here(self, label: str, logical: bool, comm: Any) -> None:
        """A new family is about to hold at its first point."""
        members = ""
        if comm is not None:
            members = str(RankSet(points.world_ranks(comm)))
        others = [family for family in self._families() if family.label != label]
        before = {family.label: family.point for family in others}
        self._say(FamilyBorn(self.script.run, label, logical, members, before))

    def _families(self) -> tuple[page.Where, ...]:
        """As the page shows them, in the order of their birth."""
        picture = page.look(self.words)
        assert picture is not None
        return picture.families

    # -- the I/O thread

    def where_held(self) -> str:
        """Where it holds, for people; empty if it does not."""
        for number in range(self.words[Head.FAMILIES]):
            base = page.family_base(number)
            point = self.words[base + Family.AT]
            if point != NOWHERE:
                label = page.read_text(
                    self.words, base + Family.LABEL, page.LABEL_WORDS
                )
                return f"point {point} '{label}'"
        return ""

    def heard(self, message: Message, frames: Sequence[Any]) -> None:
        """Plans come, and go."""
        if self._runner is None or self.plans is None:
            return
        if isinstance(message, LookAt):
            self._seen.asked(message)
        elif isinstance(message, PlanBody):
            self._take(message)
            if self._holds():
                os.eventfd_write(self._runner.desk.bell, 1)
        elif isinstance(message, Begin):
            self._may_begin.set()
            os.eventfd_write(self._runner.desk.bell, 1)
        elif isinstance(message, PlanGone):
            self.plans.forget(message.plan)
        elif isinstance(message, Order):
            self._controller(self._runner).ordered(message)
        elif isinstance(message, Inquire):
            body = self.plans.answer(message.what, message.body)
            self._runner.wire.send(Inquired(message.number, body))

    def _take(self, message: PlanBody) -> None:
        assert self._runner is not None
        assert self.plans is not None
        plan, body = message.plan, message.body
        no = self.plans.take(plan, message.verb, body, message.text)
        strange = bool(no) and not self.plans.concerns(message.verb, body)
        self._runner.wire.send(PlanHere(plan, no, strange=strange))

    def _controller(self, runner: Runner) -> OwnFences:
        if self._own is None:
            wire, bell = runner.wire, runner.desk.bell
            self._own = OwnFences(
                self.mapped, self.script.run, wire.loop, wire.send,
                lambda: os.eventfd_write(bell, 1), lambda: wire.core.engine,
            )  # fmt: skip
        return self._own

    def introduce(self) -> list[Message]:
        """What a hub has to know that knows this engine now."""
        told = [self._as_it_is_now(message) for message in self.said]
        plans = self.plans.known() if self.plans is not None else []
        return told + [PlanHere(plan, "", verb, text) for plan, verb, text in plans]

    # -- helpers

    def _as_it_is_now(self, message: Message) -> Message:
        """What was wanted of the program once, and has happened, is not said again."""
        if not isinstance(message, RunBegan):
            return message
        wanted = [
            family.point >= max(message.stop_at, int(not family.logical))
            for family in self._families()
            if not message.stop_label or is_called(family.label, message.stop_label)
        ]
        passed = wanted and wanted[0]
        return msgspec.structs.replace(
            message,
            waits=message.waits and not self._may_begin.is_set(),
            stop_at=-1 if passed else message.stop_at,
            families=sum(isinstance(other, FamilyBorn) for other in self.said),
        )

    def _say(self, message: Message) -> None:
        """Tell this hub, and each that comes after it."""
        assert self._runner is not None
        wire = self._runner.wire
        self.said.append(message)
        wire.loop.call_soon(
            lambda: wire.send(message) if wire.core.engine >= 0 else None
        )

    def _holds(self) -> bool:
        return any(
            self.words[page.family_base(number) + Family.AT] != NOWHERE
            for number in range(self.words[Head.FAMILIES])
        )


def _let_mpi_go_on() -> None:
    """Give MPI some time, in which it moves whatever it can."""
    until = time.perf_counter() + BURST
    while time.perf_counter() < until:
        mpi.own.Iprobe()

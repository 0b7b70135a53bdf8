"""What a rank's I/O thread says of its main thread when the hub asks.

    look       where main is, the call of MPI it waits in, its stack or samples of it
    watch      from now on know to the second since when main is still, while it works
    peek       what an expression is, without stopping anything
    unstick    the calls that make blocked ranks come back, see `freeing.py`

Questions are answered in the I/O thread, but for `peek` and `unstick`: these have short
threads of their own, because they may take a while or wait.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from steer.core.freeing import (
    Act,
    Done,
    Drained,
    Mark,
    Recipe,
    Stale,
    Testimony,
)
from steer.core.rankstates import Look, Open, Spot
from steer.core.sightings import SILENT_AFTER, UNASKED, Frame, LookWish, Report
from steer.core.verdicttext import call_text
from steer.engines.interrupting import LASTS, Interrupt
from steer.engines.looking import NATIVE_AFTER, Watcher, users_frame
from steer.engines.underway import open_operations
from steer.wire.frames import pack, unpack
from steer.wire.messages import Glance, Glanced
from steer.witness import Witness

if TYPE_CHECKING:
    from steer.engines.freeing import Helper
    from steer.engines.run import Runner

BEAT = 1.0
"""Seconds between two times that main is seen to be still."""

SAMPLE = 0.01
"""Seconds between two samples of a stack; looking takes a hundredth of that."""

PROGRAM = "the program"
"""What runs, if no cell and no task does."""

_Stack = tuple[Frame, ...]

log = logging.getLogger("steer.engine")


class Eyes:
    """The sight of one rank."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._wire = runner.wire
        self.watcher = Watcher()
        self.witness = Witness()
        self.interrupt = Interrupt(runner.was_interrupted)
        self.held: Callable[[], str] = lambda: ""
        """Says at which point it is held, if it can be."""
        self._beating = False
        self._patience = SILENT_AFTER
        """Seconds of stillness after which a program's rank says so."""
        self._helper: Helper | None = None
        self._met: set[str] = set()
        """Kinds of errors that looking has met."""
        self._answers: dict[str, Callable[[Glance], None]] = {
            "look": self._look,
            "watch": self._watch,
            "peek": self._peek,
            "trace": self._trace,
            "recipe": self._recipe,
            "find": self._find,
            "flag": self._flag,
            "act": self._act,
            "settle": self._settle,
            "drain": self._drain,
            "revoke": self._revoke,
            "members": self._members,
        }

    def install(self) -> None:
        """Begin; in the main thread."""
        self.watcher.still.install()
        self.interrupt.install()
        self.witness.install()

    # -- the I/O thread

    def began(self) -> None:
        """Let the node know which thread it is that answers."""
        self.witness.introduce()

    def heard(self, message: Glance) -> None:
        """The hub asks."""
        answer = self._answers.get(message.what)
        if answer is not None:
            self._trying(message.number, lambda: answer(message))

    def _trying(self, number: int, job: Callable[[], None]) -> None:
        """Whatever is met among the program's objects, this thread goes on: it carries
        everything else too."""
        try:
            job()
        except Exception as error:
            kind = type(error).__name__
            level = logging.DEBUG if kind in self._met else logging.WARNING
            log.log(level, "what main does could not be seen", exc_info=True)
            self._met.add(kind)  # it may be met each second from now on
            if number:
                why = f"it could not be seen: {kind}"
                self._wire.send(Glanced(number, trouble=why))

    def _note(self, text: str) -> None:
        """For who asks when nobody can answer; not to be had when memory is full."""
        try:
            self.witness.note(text)
        except OSError as error:
            log.debug("what was seen could not be noted: %s", error)

    def _say(self, number: int, body: bytes) -> None:
        self._wire.send(Glanced(number, body))

    # -- looking

    def _look(self, message: Glance) -> None:
        wish = unpack(message.body, type=LookWish)
        if wish.seconds > 0:
            _Sampling(self, message.number, wish)
            return
        report = self.report(wish)
        look, still = report.look, self.watcher.still
        undecided = report.busy and look.call is None and look.still < NATIVE_AFTER
        if undecided and not still.runs_quickly():
            # Only after a while can native code be told from Python.
            again = NATIVE_AFTER * 1.2
            self._wire.loop.call_later(again, lambda: self._look_again(message, wish))
            return
        self._say(message.number, pack(report))

    def _look_again(self, message: Glance, wish: LookWish) -> None:
        number = message.number
        self._trying(number, lambda: self._say(number, pack(self.report(wish))))

    def report(self, wish: LookWish) -> Report:
        """What main does now."""
        runner = self._runner
        busy = self._busy()
        if not busy:
            return self._idle_report(wish)
        look = self.watcher.look(deep=wish.deep)
        self._note(_seen(look))
        age = max(0.0, time.time() - runner.started) if runner.started else None
        stacks = ((1, self.stack()),) if wish.stacks else ()
        return Report(
            busy, age, look, self.held(), stacks=stacks, inside=busy != PROGRAM
        )

    def _idle_report(self, wish: LookWish) -> Report:
        opened = open_operations() if wish.deep else Open()
        still = time.monotonic() - self._runner.ended
        look = Look(Spot(), still=still, open=opened)
        failed = self._runner.failure
        if failed is None:
            return Report(look=look)
        stacks = ((1, failed.stack),) if wish.stacks else ()
        since = time.time() - failed.when
        return Report("", None, look, "", failed.ename, failed.spot, since, stacks)

    def _busy(self) -> str:
        core, desk = self._wire.core, self._wire.desk.core
        if core.running is not None:
            return core.running
        if desk.running is not None:
            return f"task {desk.running.key[1]}"
        return PROGRAM if self._wire.occupied else ""

    def stack(self) -> _Stack:
        """Main's stack."""
        return tuple(self.watcher.stack())

    # -- watching

    def attend(self) -> None:
        """A program begins: nobody waits for its answer, so watch it by ourselves."""
        if not self._beating:
            self._beating = True
            self._beat()

    def _watch(self, message: Glance) -> None:
        self.attend()

    def _beat(self) -> None:
        busy = self._busy()
        if not busy:
            self._beating = False
            self._note("")
            return
        self._wire.loop.call_later(BEAT, self._beat)
        self._trying(0, self._see)

    def _see(self) -> None:
        look = self.watcher.look()
        self._note(_seen(look))
        if self._wire.occupied:
            self._say_if_still(look)

    def _say_if_still(self, look: Look) -> None:
        if look.call is None or look.still < BEAT:
            self._patience = SILENT_AFTER
        elif look.still >= self._patience:
            self._patience *= 2
            self._say(UNASKED, pack(look.still))

    # -- peeking

    def _peek(self, message: Glance) -> None:
        expression = message.body.decode()
        self._beside("steer-peek", lambda: self._peeked(message.number, expression))

    def _peeked(self, number: int, expression: str) -> None:
        from steer.engines.peeking import peek

        frame = users_frame(self.watcher.frame()) if self._busy() else None
        answer = peek(expression, frame, self._runner.namespace.variables)
        self._wire.post(Glanced(number, pack(answer)))

    def _trace(self, message: Glance) -> None:
        tracing = sys.modules.get("steer.engines.tracing")
        rows = tracing.rows() if tracing is not None else []
        self._say(message.number, pack(rows))

    # -- bringing blocked ranks back

    def _recipe(self, message: Glance) -> None:
        self._say(message.number, pack(self._testimony()))

    def _testimony(self) -> Testimony:
        """What main waits in; its call and its exact place belong together, or there
        is no place."""
        helper, interrupt = self._help(), self.interrupt
        pending, inside = interrupt.pending, helper.joined()
        if not self._busy():
            report, recipe, mark = self._idle_report(LookWish(deep=True)), None, Mark()
        else:
            report, recipe, mark = self._call_of_main()
        # Afterwards: who has raised is not pending any more.
        return Testimony(report, recipe, mark, pending, interrupt.raised, inside)

    def _call_of_main(self) -> tuple[Report, Recipe, Mark]:
        from steer.engines import freeing

        report = self.report(LookWish(deep=True))
        mark = freeing.mark(self.watcher)
        recipe = freeing.recipe(self.watcher)
        if freeing.mark(self.watcher) != mark:
            return report, Recipe("", problem="it goes on meanwhile"), Mark()
        return report, recipe, msgspec.structs.replace(mark, call=report.look.call)

    def _help(self) -> Helper:
        if self._helper is None:
            from steer.engines.freeing import Helper

            self._helper = Helper(self.watcher, self.interrupt)
        return self._helper

    def _find(self, message: Glance) -> None:
        name, wanted = unpack(
            message.body, type=tuple[str, dict[int, list[tuple[str, str]]]]
        )
        helper, mine = self._help(), wanted.get(self._wire.core.engine, [])
        helper.begin(name)
        if not mine:
            self._say(message.number, pack(""))
            return
        self._answer_beside(message, lambda: helper.find(name, mine), str)

    def _flag(self, message: Glance) -> None:
        name, marks = unpack(message.body, type=tuple[str, dict[int, Mark]])
        mine = marks.get(self._wire.core.engine)
        said = "" if mine is None else self._help().flag(name, mine)
        if mine is not None and not said:
            back = self.interrupt.take_back
            self._wire.loop.call_later(LASTS, lambda: back(name))
        self._say(message.number, pack(said))

    def _act(self, message: Glance) -> None:
        name, wanted = unpack(message.body, type=tuple[str, dict[int, list[Act]]])
        mine = wanted.get(self._wire.core.engine)
        if mine is None:
            self._say(message.number, pack(Done()))
            return
        helper = self._help()
        self._answer_beside(
            message, lambda: helper.act(name, mine), lambda why: Done(why, begun=True)
        )

    def _settle(self, message: Glance) -> None:
        name, keeps = unpack(message.body, type=tuple[str, dict[int, bool]])
        helper, keep = self._help(), keeps.get(self._wire.core.engine, True)
        self._answer_beside(message, lambda: helper.settle(name, keep), Done)

    def _drain(self, message: Glance) -> None:
        _, stale = unpack(message.body, type=tuple[str, dict[int, list[Stale]]])
        mine = stale.get(self._wire.core.engine, [])
        if not mine:
            self._say(message.number, pack(Drained()))
            return
        helper, failed = self._help(), lambda why: Drained(0, why)
        self._answer_beside(message, lambda: helper.drain(mine, self._busy), failed)

    def _answer_beside(
        self,
        message: Glance,
        job: Callable[[], object],
        failed: Callable[[str], object],
    ) -> None:
        """Answer in a thread; whatever happens, so that nobody waits for us."""

        def answer() -> None:
            try:
                said = job()
            except Exception as error:  # noqa: BLE001  said, to whoever asked
                said = failed(f"it failed: {error!r}")
            self._wire.post(Glanced(message.number, pack(said)))

        self._beside("steer-unstick", answer)

    def _revoke(self, message: Glance) -> None:
        from steer.engines.shrinking import why_not

        why = why_not()
        if why or not self._busy():
            self._say(message.number, pack(why))
            return
        self._answer_beside(message, self._revoked, str)

    def _revoked(self) -> str:
        from steer.engines.freeing import revoke

        revoke(self.watcher)
        return ""

    def _members(self, message: Glance) -> None:
        from steer.engines.shrinking import members

        self._say(message.number, pack(members()))

    def _beside(self, name: str, job: Callable[[], None]) -> None:
        threading.Thread(target=job, name=name, daemon=True).start()


class _Sampling:
    """Stacks of main over some time."""

    def __init__(self, eyes: Eyes, number: int, wish: LookWish) -> None:
        self._eyes = eyes
        self._number = number
        self._wish = wish
        self._counts: dict[_Stack, int] = {}
        self._until = time.monotonic() + wish.seconds
        self._take()

    def _later(self) -> None:
        self._eyes._trying(self._number, self._take)

    def _take(self) -> None:
        eyes = self._eyes
        if eyes._busy():
            stack = eyes.stack()
            self._counts[stack] = self._counts.get(stack, 0) + 1
        if time.monotonic() < self._until:
            eyes._wire.loop.call_later(SAMPLE, self._later)
            return
        report = eyes.report(LookWish())
        samples = tuple((count, stack) for stack, count in self._counts.items())
        eyes._say(self._number, pack(msgspec.structs.replace(report, stacks=samples)))


def _seen(look: Look) -> str:
    """What is told of main if nobody can ask it any more."""
    call = f", in {call_text(look.call, {})}" if look.call is not None else ""
    return f"{look.spot} in {look.spot.function}{call}"


class Failure(msgspec.Struct, frozen=True):
    """How the last request of a rank failed."""

    ename: str
    spot: Spot
    when: float
    stack: _Stack = ()


def failure_of(error: BaseException, when: float) -> Failure:
    """What is kept of an error for those who ask later."""
    from steer.engines.tracebacks import users_frames

    frames: list[Frame] = []
    for frame, line in users_frames(error):
        code = frame.f_code
        frames.append((code.co_filename, line, code.co_qualname))
    users = [frame for frame in frames if "/mpi4py/" not in frame[0]]
    spot = Spot(*users[-1]) if users else Spot()
    return Failure(type(error).__name__, spot, when, tuple(frames))

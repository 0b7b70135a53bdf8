"""The part of a view that sees what its ranks do, also while they are blocked or busy.

Nothing here waits for the ranks' main threads: their I/O threads answer, and the node
for those that cannot.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from steer.errors import UsageError
from steer.ranks import RankSet, describe

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult
    from steer.client.client import Client
    from steer.client.debugging import Debugger
    from steer.client.rungs import Interrupted, Killed, Unstuck
    from steer.client.shrinking import Shrunk
    from steer.client.sight import Peek, Status, Stuck, Where
    from steer.client.views import DirectView


BUSY_AFTER = 2.0
"""Seconds after which who waits for a variable hears of another way."""


def offer_peek(result: AsyncResult, name: str) -> None:
    """Wait for a variable for a while; if its ranks are busy, say how to see it now."""
    if result.wait(BUSY_AFTER):
        return
    ranks = [i for i, done in zip(result._engines, result._states(), strict=True)
             if not done]  # fmt: skip
    if ranks:
        who = describe(RankSet(ranks))
        are = "is" if len(ranks) == 1 else "are"
        sys.stderr.write(
            f"{who} {are} busy, and {name!r} comes when they are free; "
            f"view.peek({name!r}) or %pxpeek {name} reads it now.\n"
        )


class Seeing:
    """What can be seen of the ranks of a view."""

    client: Client

    if TYPE_CHECKING:

        def _ids(self, targets: Any = None) -> tuple[list[int], bool]: ...

    def status(self, targets: Any = None) -> Status:
        """What each rank does: computes, waits in a call of MPI, is held, has failed.

        Ranks that do the same are told together.
        """
        from steer.client import sight

        return sight.status(self.client.link, self._ids(targets)[0])

    def where(
        self, targets: Any = None, time: float = 0.0, native: bool = False
    ) -> Where:
        """The lines at which ranks are, as one tree.

        Args:
            targets: ranks; those of the view if none are named.
            time: take samples for so many seconds, to see where time goes.
            native: with frames of native code, by py-spy, if that is installed and
                permitted; it stops each rank for some milliseconds.
        """
        from steer.client import sight

        return sight.where(self.client.link, self._ids(targets)[0], time, native)

    def stuck(self, targets: Any = None) -> Stuck:
        """Why ranks wait: who waits for whom, and what is proved of it."""
        from steer.client import sight

        return sight.stuck(self.client.link, self._ids(targets)[0])

    def mpi(self, what: str = "last", argument: Any = None) -> Any:
        """Note the calls of MPI: "on", "off"; what was noted: "last" (and how many),
        "save" (and a file for Perfetto)."""
        from steer.client import mpitrace

        view, ranks = cast("DirectView", self), self._ids()[0]
        if what in ("on", "off"):
            return mpitrace.switch(view, ranks, what == "on")
        if what == "last":
            return mpitrace.trace(view, ranks, int(argument or 20))
        if what == "save" and argument:
            found = mpitrace.trace(view, ranks)
            return "".join(
                f"{line}\n" for line in (found.save(argument), *found.cautions)
            )
        raise UsageError(
            'mpi takes "on", "off", "last" and a number, "save" and a file.'
        )

    # -- the ladder

    def interrupt(self, targets: Any = None) -> Interrupted:
        """Have Python raise KeyboardInterrupt on these ranks: loses what they compute.

        Those that wait in MPI hear of it when their call ends; `unstick` ends it.
        """
        from steer.client import rungs

        return rungs.interrupt(self.client, self._ids(targets)[0])

    def unstick(self, targets: Any = None, insist: bool = False) -> Unstuck:
        """Bring all ranks of a world back that wait for each other in MPI, with a
        KeyboardInterrupt at their lines; variables and communicators stay.

        Refused, with the reason, where it would not be safe.

        Args:
            targets: ranks of the world; those of the view if none are named.
            insist: also if it is not proved that they will wait for ever.
        """
        from steer.client import rungs

        return rungs.unstick(self.client, self._ids(targets)[0], insist)

    def kill(self, targets: Any = None) -> Killed:
        """End these ranks at once: all that they have is lost, and with MPI the ranks
        of their world are lost with them."""
        from steer.client import rungs

        return rungs.kill(self.client, self._ids(targets)[0])

    def shrink(self, targets: Any = None, replace: bool = False) -> Shrunk:
        """Have a world that has lost ranks go on with the others, or with new processes
        in their places, if its MPI can."""
        from steer.client import shrinking

        view = cast("DirectView", self)
        return shrinking.shrink(view, self._ids(targets)[0], replace)

    def debug(self, targets: Any = None) -> Debugger:
        """Walk the frames of the error that ended the last request of these ranks, or
        of those of them that failed; of a program that is held at a point, its own."""
        from steer.client import debugging

        view = cast("DirectView", self)
        return debugging.debugger(view, self._ids(targets)[0], targets is not None)

    def peek(self, expression: str, targets: Any = None) -> Peek:
        """What an expression is on ranks that go on meanwhile; nothing is stopped.

        It is read beside the running program, so it may be half changed; what could
        change the program is refused.
        """
        from steer.client import sight

        return sight.peek(self.client.link, self._ids(targets)[0], expression)


class SeeingRun:
    """The same for all ranks of a run, whose `status` is its own."""

    if TYPE_CHECKING:

        @property
        def view(self) -> DirectView: ...  # noqa: D102

    def where(
        self, targets: Any = None, time: float = 0.0, native: bool = False
    ) -> Where:
        """The lines at which its ranks are, as one tree."""
        return self.view.where(targets, time, native)

    def stuck(self) -> Stuck:
        """Why its ranks wait: who waits for whom, and what is proved of it."""
        return self.view.stuck()

    def peek(self, expression: str, targets: Any = None) -> Peek:
        """What an expression is on its ranks, which go on meanwhile."""
        return self.view.peek(expression, targets)

    def interrupt(self, targets: Any = None) -> Interrupted:
        """Have Python raise KeyboardInterrupt on its ranks."""
        return self.view.interrupt(targets)

    def unstick(self, insist: bool = False) -> Unstuck:
        """Bring its ranks back that wait for each other in MPI, with KeyboardInterrupt.

        A program that does not catch that ends by it; if it was started with
        `--post-mortem`, its ranks stay.
        """
        return self.view.unstick(insist=insist)

    def kill(self, targets: Any = None) -> Killed:
        """End ranks at once."""
        return self.view.kill(targets)

    def shrink(self, replace: bool = False) -> Shrunk:
        """Have a run that has lost ranks go on with the others, or with new processes
        in their places, if its MPI can."""
        return self.view.shrink(replace=replace)

    def debug(self, targets: Any = None) -> Debugger:
        """Walk the frames of the error that ended its program, or of the program while
        it is held; after a cell that failed there, those of the cell."""
        return self.view.debug(targets)

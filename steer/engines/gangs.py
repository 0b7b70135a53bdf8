"""Tasks of several ranks: their communicator, and how it reaches the function.

Each task gets a communicator of its own, made by `Create_group` among its ranks only,
so that no message of a task that failed reaches the next one. One that was kept for the
next task of the same ranks would have to be agreed on, which costs as much as making
it.

It goes to the parameter `comm` of the function, or to the one annotated as a
communicator, and is `steer.comm` while the task runs.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steer.core.engine import EngineCore
from steer.core.enginetasks import Job
from steer.engines import here, mpi
from steer.engines.calls import Callee
from steer.engines.desk import Desk
from steer.errors import TaskAborted

if TYPE_CHECKING:
    from mpi4py import MPI

    from steer.engines.meeting import Place

WAITING = 64
"""Communicators that wait to be given back. A message that nobody received may still be
on its way, and would reach the next communicator that gets this one's place (seen with
MPICH)."""

KEPT = 256
"""Communicators of tasks that failed, or with such a message, which are kept as long as
there is room: MPICH has about 2,000."""


class Gangs:
    """This rank's part in tasks of several ranks."""

    def __init__(self, desk: Desk, core: EngineCore) -> None:
        self._core = core
        self._old: collections.deque[MPI.Intracomm] = collections.deque()
        self._spoiled: collections.deque[MPI.Intracomm] = collections.deque()
        self._group: MPI.Group | None = None
        self._running: Job | None = None
        self._stopped: Job | None = None
        self._interrupted = False
        self._meeting = False
        desk.unstick = self._stop

    def run(
        self, job: Job, callee: Callee, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Call the function with its communicator."""
        self._running = job
        try:
            return self._call(job, callee, args, kwargs)
        finally:
            here.comm = self._running = self._stopped = None

    def begin(self) -> None:
        """From now on the others count on this rank, until it declines or is there."""
        self._interrupted, self._meeting = False, True

    def decline(self, job: Job) -> None:
        """This rank will not run it: the others need not wait."""
        self._meeting = False
        self._place(job).decline()

    def interrupt(self) -> bool:
        """Note an interrupt that must not be raised now: ranks that begin together
        leave together. Says whether that is so."""
        if self._meeting:
            self._interrupted = True
        return self._meeting

    def _call(
        self, job: Job, callee: Callee, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        comm = self._make(job)
        name, place = callee.comm()
        if name and name not in kwargs:
            if 0 <= place <= len(args):
                args = (*args[:place], comm, *args[place:])
            else:
                kwargs = {**kwargs, name: comm}
        here.comm = comm
        try:
            value = callee.call(*args, **kwargs)
        except BaseException:
            self._keep(comm)
            raise
        self._free(comm)
        return value

    def _stop(self, job: Job) -> None:
        """End what this task waits for; in the loop's thread."""
        self._stopped = job

    def look(self) -> None:
        """Raise if the task that runs has been given up."""
        if self._given_up():
            raise _abandoned()

    def _given_up(self) -> bool:
        return self._stopped is not None and self._stopped is self._running

    def _make(self, job: Job) -> MPI.Intracomm:
        try:
            comm = self._meet(job)
        finally:
            self._meeting = False
        if comm is not None and not self._interrupted:
            return comm
        if comm is not None:
            self._keep(comm)
        raise KeyboardInterrupt if self._interrupted else _abandoned()

    def _meet(self, job: Job) -> MPI.Intracomm | None:
        """The communicator, as soon as all are there; None if it will not be."""
        from steer.engines.taskcomm import TaskComm

        TaskComm.look = self.look
        place = self._place(job)
        if not place.begin(lambda: self._interrupted or self._given_up()):
            return None
        world = place.comm
        if self._group is None:
            self._group = world.Get_group()
        group = self._group.Incl(place.ranks)
        try:
            return TaskComm(world.Create_group(group, job.tag))
        finally:
            group.Free()

    def _place(self, job: Job) -> Place:
        from mpi4py import MPI

        from steer.engines.meeting import Place

        world: MPI.Intracomm = mpi.own or MPI.COMM_SELF
        mine = self._core.engine - world.rank
        ranks = [engine - mine for engine in job.engines]
        client, number = job.key
        name = f"{client}/{number}/{job.tag}".encode()
        key = hashlib.blake2b(name, digest_size=8).digest()
        return Place.of(world, ranks, job.tag, key)

    def _free(self, comm: MPI.Intracomm) -> None:
        """Give a communicator back some tasks later, if nobody has sent to it what
        nobody received."""
        from mpi4py import MPI

        self._old.append(comm)
        if len(self._old) <= WAITING:
            return
        oldest = self._old.popleft()
        if oldest == MPI.COMM_NULL:  # its task has freed it
            return
        if oldest.Iprobe(MPI.ANY_SOURCE, MPI.ANY_TAG):
            self._keep(oldest)
        else:
            oldest.Free()

    def _keep(self, comm: MPI.Intracomm) -> None:
        from mpi4py import MPI

        self._spoiled.append(comm)
        if len(self._spoiled) > KEPT:
            oldest = self._spoiled.popleft()
            if oldest != MPI.COMM_NULL:
                oldest.Free()


def _abandoned() -> TaskAborted:
    return TaskAborted(
        "Another rank of this task failed, or the task was ended, while this rank was "
        "waiting for others."
    )

"""The ranks of a task begin together, or none does.

`Create_group` cannot be given up: who is in it waits for all others. So nobody enters
it before all are there, and whoever is told to end at that moment must not leave alone.
The first rank decides: the others say that they are HERE, and it says GO to all, or NO.
One that has said HERE does what it hears, whatever else happens to it; if it is to end,
it says NO, and waits for the answer. The first may be busy with something else and
answer much later; it finds the NO then, so nobody waits for that long.

Messages bear the task's key: what is left of another task, which had the same tag a
thousand tasks ago, is thrown away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mpi4py import MPI

from steer.engines.pauses import Pauses
from steer.wire.messages import TAGS

HERE, NO, GO = b"h", b"n", b"g"

PATIENCE = 1.0
"""Seconds that a NO is waited for: the first rank, if it looks, answers at once."""


class Place(NamedTuple):
    """Where a task's ranks meet."""

    comm: MPI.Intracomm
    ranks: Sequence[int]
    """Of this communicator; the first decides."""
    tag: int
    key: bytes

    @classmethod
    def of(
        cls, comm: MPI.Intracomm, ranks: Sequence[int], tag: int, key: bytes
    ) -> Place:
        """The place of a task that makes its communicator with this tag.

        Open MPI agrees about the new communicator by messages with that very tag, so
        ours have another.
        """
        return cls(comm, ranks, tag + TAGS, key)

    def begin(self, given_up: Callable[[], bool]) -> bool:
        """Whether all begin now; False: nobody does."""
        if self.comm.rank == self.ranks[0]:
            return self._lead(given_up)
        return self._follow(given_up)

    def decline(self) -> None:
        """This rank will not come."""
        self._tell(NO, self._others())

    # -- the two parts

    def _lead(self, given_up: Callable[[], bool]) -> bool:
        missing = set(self._others())
        pauses = Pauses()
        while True:
            word = self._hear()
            if word is None:
                if missing and not given_up():
                    pauses.rest()
                    continue
                # All have been heard, and nobody's second thoughts are on the way.
                all_here = not missing and not given_up()
                self._tell(GO if all_here else NO, self._others())
                return all_here
            said, source = word
            if said == NO:
                self._tell(NO, self._others())
                return False
            missing.discard(source)

    def _follow(self, given_up: Callable[[], bool]) -> bool:
        first = self.ranks[:1]
        self._tell(HERE, first)
        pauses = Pauses()
        said_no = 0.0
        while True:
            word = self._hear()
            if word is not None:
                return word[0] == GO
            if said_no:
                if time.monotonic() - said_no > PATIENCE:
                    return False
            elif given_up():
                self._tell(NO, first)
                said_no = time.monotonic()
            pauses.rest()

    # -- words

    def _others(self) -> list[int]:
        """To whom this rank speaks: the first to all, all to the first."""
        if self.comm.rank == self.ranks[0]:
            return list(self.ranks[1:])
        return list(self.ranks[:1])

    def _tell(self, word: bytes, ranks: Sequence[int]) -> None:
        for rank in ranks:
            # Some bytes leave at once, whether anybody asks for them or not.
            self.comm.Send(word + self.key, rank, self.tag)

    def _hear(self) -> tuple[bytes, int] | None:
        """The next word about this task, if there is one."""
        status = MPI.Status()
        while True:
            message = self.comm.Improbe(MPI.ANY_SOURCE, self.tag, status)
            if message is None:
                return None
            heard = bytearray(status.Get_count(MPI.BYTE))
            message.Recv(heard)
            if heard[1:] == self.key:
                return bytes(heard[:1]), status.Get_source()

"""What is seen of ranks, told unasked, and refused; on real ranks."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steer.client.client import Client
from steer.core.rankstates import Doing
from steer.errors import SteerError
from steer.ranks import RankSet
from steer.testing.waiting import wait_until
from tests.sight.programs import SETUP
from tests.sight.test_programs_mpi import works_again

pytestmark = pytest.mark.mpi

LONG = 30.0


class Door:
    """A pipe before which a rank waits, until it is opened."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.name = str(path)
        self._end = os.open(path, os.O_RDWR)  # does not wait for who reads

    def open(self) -> None:
        os.write(self._end, b"x")

    def close(self) -> None:
        os.close(self._end)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path / "door")
    yield made
    made.close()


@pytest.mark.either_mpi
def test_a_rank_that_holds_the_gil_is_seen_from_outside(
    ranks: Client, door: Door
) -> None:
    code = f"native_with_gil({door.name!r})"
    result = ranks[:].execute(code, silent=False, block=False)
    try:
        wait_until(
            lambda: ranks[:].status().doing(0) == "in native code with the GIL",
            LONG, "a rank that holds the GIL",
        )  # fmt: skip
        seen = ranks[:].stuck()
        assert seen.verdict == "IMBALANCE", seen.text
        line = seen.states[0].spot.line
        assert "PyDLL(None).read" in SETUP.split("\n")[line - 1]
        tree = ranks[:].where()
        assert "native_with_gil" in tree.text
        assert set(RankSet.from_mask(tree.tree.mask)) == {0, 1, 2}
    finally:
        door.open()
        assert result.wait(LONG)
    result.get()
    works_again(ranks)


@pytest.mark.either_mpi
def test_a_rank_that_is_stopped_is_not_said_to_compute(ranks: Client) -> None:
    pid = ranks[0].apply_sync(os.getpid)
    result = ranks[1:].execute("comm.Barrier()", silent=False, block=False)
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(
            lambda: ranks[:].stuck().states[0].detail == "stopped by a signal",
            LONG, "that it is told to be stopped",
        )  # fmt: skip
        seen = ranks[:].stuck()
        assert seen.states[0].doing is Doing.SILENT
        assert seen.verdict == "QUIET", seen.text
        assert "not answering (stopped by a signal)" in seen.text
        assert ranks[0].peek("rank").text.startswith("[0]  no answer in time")
    finally:
        os.kill(pid, signal.SIGCONT)
    ranks[0].execute("comm.Barrier()", block=True)
    result.get(LONG)
    works_again(ranks)


def test_a_collective_that_holds_the_gil(ranks: Client) -> None:
    """mpi4py 4.1.2 duplicates a communicator in its first reduction, under the GIL."""
    result = ranks[:].execute("gil_holding_collective()", silent=False, block=False)

    def hold() -> bool:
        states = ranks[:].stuck().states
        return all(
            states[rank].doing is Doing.HOLDING and states[rank].call is not None
            for rank in (1, 2)
        )

    wait_until(hold, LONG, "ranks that hold the GIL in a collective")
    seen = ranks[:].stuck()
    # Nobody can see from outside on which communicator, nor that it is MPI's.
    assert seen.verdict == "QUIET", seen.text
    assert "deadlock" not in seen.text.lower()
    assert seen.text.count("may be in allreduce(comm ?), holding the GIL") == 1
    for rank in (1, 2):
        line = SETUP.split("\n")[seen.states[rank].spot.line - 1]
        assert "mine.allreduce(1)" in line
    refused = ranks[:].unstick()
    assert not refused.freed
    assert "ranks 1-2: native code holds the gil" in refused.text.lower()
    ranks[0].execute("mine.allreduce(1)", block=True)
    result.get(LONG)
    works_again(ranks)


def test_calls_that_cannot_be_ended_are_refused_with_the_reason(ranks: Client) -> None:
    waits = (
        "end = comm.Ibarrier() if rank else MPI.REQUEST_NULL\n"
        "if rank: MPI.Request.Wait(end)"
    )
    result = ranks[:].execute(waits, silent=False, block=False)
    wait_until(lambda: set(ranks[:].stuck().blocked) == {1, 2}, LONG, "ranks that wait")
    refused = ranks[:].unstick()
    assert not refused.freed
    assert "for what, the call does not say" in refused.text
    ranks[0].execute("comm.Ibarrier().Wait()", block=True)
    result.get(LONG)
    works_again(ranks)


@pytest.mark.either_mpi
def test_an_error_is_shown_with_those_who_wait_for_it(
    ranks: Client, door: Door
) -> None:
    code = f"worker_that_dies_when_told({door.name!r})"
    result = ranks[:].execute(code, silent=False, block=False)
    try:
        wait_until(lambda: set(ranks[:].stuck().blocked) == {0, 1}, LONG, "a block")
        door.open()
        began = time.monotonic()
        wait_until(lambda: result.insights, LONG, "who waits")
        took = time.monotonic() - began
        assert "waiting for rank 2: 0 in recv(source=2, tag=0" in result.insights[0]
        assert "waiting for rank 2: 1 in recv(source=2, tag=1" in result.insights[0]
        print(f"told after {took:.2f} s")
    finally:
        door.open()
        ranks[:].unstick()
    with pytest.raises(SteerError):
        result.get(LONG)


@pytest.mark.either_mpi
def test_peek_reads_beside_a_blocked_program(ranks: Client) -> None:
    result = ranks[:].execute("head_to_head()", silent=False, block=False)
    try:
        wait_until(lambda: set(ranks[:].stuck().blocked) == {0, 1, 2}, LONG, "a block")
        peeked = ranks[:].peek("left")
        assert peeked.values == {0: "2", 1: "0", 2: "1"}
        assert "racy" in peeked.text
        assert ranks[:].peek("ghost.sum()").values[1].endswith("0.0)")
        refused = ranks[:].peek("comm.Barrier()")
        assert not refused.values
        assert "take part" in refused.text
    finally:
        ranks[:].unstick()
        result.wait(LONG)


SPY = Path(sys.executable).with_name("py-spy")


@pytest.mark.slow
@pytest.mark.either_mpi
@pytest.mark.skipif(
    not SPY.exists() and shutil.which("py-spy") is None, reason="needs py-spy"
)
def test_native_frames_of_a_rank_that_waits(ranks: Client) -> None:
    result = ranks[:].execute("head_to_head()", silent=False, block=False)
    try:
        wait_until(lambda: set(ranks[:].stuck().blocked) == {0, 1, 2}, LONG, "a block")
        seen = ranks[:].where(native=True).text
        assert "head_to_head" in seen
        assert "MPI_Recv" in seen or "does not permit py-spy" in seen
    finally:
        ranks[:].unstick()
        assert result.wait(LONG)
    works_again(ranks)

"""Tasks of several ranks, on real ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import steer
from steer import Client, Cluster
from steer.wire.messages import TaskOptions

pytestmark = pytest.mark.mpi

SECONDS = 30


@pytest.fixture(scope="module")
def rc(private_home: Path) -> Iterator[Client]:
    """A world of three ranks."""
    with Cluster(n=3, engines="mpi", shutdown_atexit=False) as rc:
        yield rc


def submit(rc: Client, ranks: int, function: Any, *args: Any) -> Any:
    """Have so many ranks run it."""
    options = TaskOptions(ranks=ranks)
    return rc.link.tasks.submit(function, args, {}, options)


def result(rc: Client, ranks: int, function: Any, *args: Any) -> Any:
    """What all of them returned."""
    return submit(rc, ranks, function, *args).result(SECONDS)


def failure(future: Any) -> BaseException:
    """What a task raised."""
    error = future.exception(SECONDS)
    assert error is not None
    return error


def test_the_calls_of_a_tasks_communicator() -> None:
    """Each does what mpi4py's own does, and can be given up."""
    program = Path(__file__).with_name("taskcomm_program.py")
    folder = Path(sys.executable).parent
    command = [str(folder / "mpiexec"), "-n", "3", sys.executable, str(program)]
    environment = {
        **os.environ,
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.stdout == "good\n", done.stdout + done.stderr


def test_each_rank_has_the_communicator_of_its_task(rc: Client) -> None:
    """As the argument `comm`, as one annotated so, and as steer.comm."""

    def named(comm: Any) -> Any:
        return comm.rank, comm.size, comm.allreduce(1)

    def by_module() -> Any:
        import steer

        return steer.comm.rank, steer.comm.allgather("x")

    class Comm: ...

    def annotated(ranks: Comm) -> Any:
        return ranks.size  # type: ignore[attr-defined]

    for k in (1, 2, 3):
        assert result(rc, k, named) == [(r, k, k) for r in range(k)]
    assert result(rc, 2, by_module) == [(0, ["x", "x"]), (1, ["x", "x"])]
    assert result(rc, 2, annotated) == [2, 2]


def test_the_communicator_may_stand_anywhere_among_the_arguments(rc: Client) -> None:
    """The task's own arguments go to the other parameters."""

    def first(comm: Any, x: int, y: int) -> Any:
        return comm.size, x, y

    def between(x: int, comm: Any, y: int = 0) -> Any:
        return comm.size, x, y

    def by_name(x: int, *more: int, comm: Any) -> Any:
        return comm.size, x, *more

    def by_place(x: int, comm: Any, /) -> Any:
        return comm.size, x

    assert result(rc, 2, by_place, 3) == [(2, 3)] * 2
    assert result(rc, 2, first, 3, 4) == [(2, 3, 4)] * 2
    assert result(rc, 2, between, 3) == [(2, 3, 0)] * 2
    assert result(rc, 2, between, 3, 4) == [(2, 3, 4)] * 2
    assert result(rc, 2, by_name, 3, 4) == [(2, 3, 4)] * 2


def test_steer_comm_is_there_only_in_such_tasks(monkeypatch) -> None:
    """Elsewhere it says what to do."""
    # In a process with MPI, as other tests make this one, it is COMM_WORLD.
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    with pytest.raises(steer.UsageError, match="ranks=k"):
        _ = steer.comm


def test_many_one_after_the_other(rc: Client) -> None:
    """Each has its own communicator; all of them are given back."""

    def work(number: int, comm: Any) -> Any:
        comm.send(number, (comm.rank + 1) % comm.size)
        return comm.recv()

    futures = [submit(rc, 2 + i % 2, work, i) for i in range(150)]
    for number, future in enumerate(futures):
        assert future.result(SECONDS) == [number] * (2 + number % 2)


def test_messages_of_a_task_never_reach_the_next(rc: Client) -> None:
    """Nobody received them."""

    def careless(comm: Any) -> None:
        comm.isend("stale", (comm.rank + 1) % comm.size)

    def careful(comm: Any) -> bool:
        comm.Barrier()
        return bool(comm.iprobe())

    for _ in range(5):
        result(rc, 2, careless)
        assert result(rc, 2, careful) == [False, False]


@pytest.mark.parametrize("call", ["recv", "Barrier", "allgather"])
def test_the_failure_of_one_rank_frees_the_others(rc: Client, call: str) -> None:
    """Who waits for it says so; who does not goes on."""

    def work(call: str, comm: Any) -> Any:
        if comm.rank == 1:
            raise LookupError("no mesh")
        if comm.rank == 0:
            args = {"recv": (None, 1), "Barrier": (), "allgather": (1,)}[call]
            return getattr(comm, call)(*args)
        return "well"

    began = time.monotonic()
    error = failure(submit(rc, 3, work, call))
    assert time.monotonic() - began < 5
    text = "".join(map(str, getattr(error, "exceptions", [error])))
    assert "no mesh" in text
    assert result(rc, 3, lambda comm: comm.allreduce(1)) == [3, 3, 3]


def test_a_rank_that_computes_on_is_interrupted(rc: Client) -> None:
    """Its task has failed already."""

    def work(comm: Any) -> None:
        import time

        if comm.rank == 0:
            raise LookupError("no mesh")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            time.sleep(0.01)

    began = time.monotonic()
    failure(submit(rc, 2, work))
    assert time.monotonic() - began < 10
    assert len(rc.ids) == 3


def test_cancel_ends_ranks_that_wait_for_each_other(rc: Client) -> None:
    """For ever, if nobody ended them."""

    def work(comm: Any) -> None:
        comm.recv(source=(comm.rank + 1) % comm.size)

    future = submit(rc, 3, work)
    future.cancel(running=True)
    with pytest.raises(BaseException):  # noqa: B017  CancelledError is one
        future.result(SECONDS)
    assert result(rc, 3, lambda comm: comm.allreduce(1)) == [3, 3, 3]
    assert len(rc.ids) == 3


def test_cancel_at_any_moment_of_its_start(rc: Client) -> None:
    """Ranks begin together or not at all: none is left alone where nothing ends it."""

    def work(comm: Any) -> None:
        comm.recv(source=(comm.rank + 1) % comm.size)

    pids = rc[:].apply_sync(os.getpid)
    for moment in range(40):
        future = submit(rc, 3, work)
        begins = time.perf_counter() + moment * 1e-4
        while time.perf_counter() < begins:
            pass
        future.cancel(running=True)
        assert result(rc, 3, lambda comm: comm.allreduce(1)) == [3, 3, 3]
    assert rc[:].apply_sync(os.getpid) == pids


def test_a_rank_that_cannot_begin_does_not_keep_the_others(rc: Client) -> None:
    """They are told at once, and none has to be killed."""

    class OnlyOnFirst:
        def __reduce__(self) -> Any:
            return named_on_first, ()

    def named_on_first() -> str:
        from mpi4py import MPI

        if MPI.COMM_WORLD.rank:
            raise ValueError("not here")
        return "here"

    began = time.monotonic()
    error = failure(submit(rc, 3, lambda comm, x: comm.rank, OnlyOnFirst()))
    assert time.monotonic() - began < 4
    assert "failed on ranks 1-2 of 3, for which rank 0 waited" in str(error)
    assert result(rc, 3, lambda comm: comm.allreduce(1)) == [3, 3, 3]


def test_cancel_of_a_task_whose_rank_is_busy(rc: Client) -> None:
    """The others wait for it before there is a communicator: they can be freed."""
    busy = rc[0].apply_async(lambda: __import__("time").sleep(1.5))
    future = submit(rc, 3, lambda comm: comm.rank)
    future.cancel(running=True)
    busy.get(SECONDS)
    assert result(rc, 3, lambda comm: comm.allreduce(1)) == [3, 3, 3]
    assert len(rc.ids) == 3

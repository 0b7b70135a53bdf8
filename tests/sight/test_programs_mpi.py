"""Programs that hang on real ranks: the right verdict, ranks and line; then they are
brought back, and the same ranks and communicators work again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest

from steer.client.asyncresult import AsyncResult
from steer.client.client import Client
from steer.client.sight import Stuck
from steer.ranks import RankSet
from steer.testing.waiting import wait_until
from tests.sight.programs import SETUP

pytestmark = pytest.mark.mpi

LONG = 30.0
SIZES = [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (8, 32))]


@dataclass
class Expected:
    """What is to be seen of a program."""

    verdict: str
    causes: str
    line: str
    """What is in the lines that wait: any of these, between bars."""
    first: str = ""
    """What has to be done before it can be brought back: "interrupt", "wait"."""
    refused: str = ""
    said: list[str] = field(default_factory=list)


PROGRAMS = {
    "head_to_head": Expected(
        "DEADLOCK", "0-LAST", "comm.Recv([ghost", said=["receive before they send"]
    ),
    "large_sends": Expected("DEADLOCK", "0-LAST", "comm.Send(data"),
    "missing_participant": Expected("WAITING ON FINISHED", "1", "comm.Barrier()"),
    "missing_reduction": Expected("WAITING ON FINISHED", "1", "comm.Allreduce(np."),
    "mismatch": Expected("MISMATCH", "0-LAST", "comm.Barrier()|comm.allreduce("),
    "mismatch_of_buffers": Expected(
        "MISMATCH", "0-LAST", "comm.Barrier()|comm.Allreduce(given"
    ),
    "wildcard": Expected("DEADLOCK", "", "comm.recv(source=MPI.ANY|comm.bcast(None"),
    "early_return": Expected("WAITING ON FINISHED", "2", "comm.allreduce(step)"),
    "wrong_tag": Expected(
        "DEADLOCK",
        "0-1",
        "comm.ssend(|comm.recv(|comm.Barrier()",
        said=["sends with tag 7", "receives with tag 9"],
    ),
    "dead_worker": Expected("WAITING ON FAILED", "LAST", "comm.recv(source=size"),
    "slow_rank": Expected("IMBALANCE", "1", "comm.Barrier()", "interrupt"),
    "python_loop": Expected("IMBALANCE", "0", "comm.Bcast", "interrupt"),
    "sleeper": Expected("IMBALANCE", "0", "comm.allgather", "interrupt"),
    "c_loop": Expected("IMBALANCE", "0", "comm.Barrier()", "interrupt"),
    "duplicates": Expected("DEADLOCK", "", ".Barrier()", said=["comm "]),
    "duplicates_after_a_group": Expected("DEADLOCK", "", ".Barrier()"),
    "nested": Expected("DEADLOCK", "0-1", "pair.Barrier()|rows.Barrier()|rows.Allr"),
}

ALIKE = ("missing_participant", "slow_rank", "python_loop", "wildcard", "sleeper")
"""What these show of MPI others show too."""
RARELY = ("early_return", "mismatch_of_buffers", "c_loop", "duplicates_after_a_group")
"""These show little that others do not."""
MARKS = dict.fromkeys(ALIKE, pytest.mark.either_mpi)
MARKS |= dict.fromkeys(RARELY, pytest.mark.slow)
CASES = [
    pytest.param(name, marks=MARKS[name]) if name in MARKS else name
    for name in PROGRAMS
]


def stuck(rc: Client, expected: Expected) -> Stuck:
    """What is seen when the verdict is the expected one, and all ranks are where they
    end up: on a crowded machine some take a while."""
    seen: list[Stuck] = []
    causes = RankSet.parse(expected.causes.replace("LAST", str(len(rc.ids) - 1)))

    def there() -> bool:
        seen.append(last := rc[:].stuck())
        right = not causes or last.causes == causes
        return last.verdict == expected.verdict and bool(last.blocked) and right

    wait_until(there, LONG, f"the verdict {expected.verdict}")
    return seen[-1]


def works_again(rc: Client) -> None:
    n = len(rc.ids)
    again = rc[:].execute(
        "total = comm.allreduce(1)\n"
        "left = comm.sendrecv(rank, (rank + 1) % size, source=(rank - 1) % size)\n"
        "word = comm.bcast('x' if rank == 0 else None)\n"
        "comm.Barrier(); array = np.zeros(2); comm.Allreduce(np.ones(2), array)",
        block=False,
    )
    assert again.wait(LONG), str(rc[:].stuck())
    again.get()
    assert rc[:].pull("total", block=True) == [n] * n
    assert rc[:].pull("left", block=True) == [(i - 1) % n for i in range(n)]
    assert rc[:].pull("array[1]", block=True) == [n] * n
    assert rc[:].pull("kept['rank']", block=True) == list(range(n))


def bring_back(rc: Client, result: AsyncResult, expected: Expected) -> None:
    if expected.first == "interrupt":
        refused = rc[:].unstick()
        assert not refused.freed
        assert "computes" in refused.text
        rc[:].interrupt()
        busy = RankSet.parse(expected.causes)
        wait_until(
            lambda: {rc[:].status().doing(i) for i in busy} == {"post-mortem"},
            LONG, "the interrupt",
        )  # fmt: skip
    before = {i for i in rc.ids if rc[:].status().doing(i) == "blocked"}
    started = time.perf_counter()
    back = rc[:].unstick()
    took = time.perf_counter() - started
    assert not back.refusals, back.text
    assert set(back.ranks) == before, back.text
    assert result.wait(LONG), str(rc[:].stuck())
    for rank in before:
        assert "KeyboardInterrupt" in repr(error_of(result, rank))
    print(f"unstick: {took:.2f} s")


def error_of(result: AsyncResult, rank: int) -> object:
    return result._requests[0].value(rank)


@pytest.mark.parametrize("size", SIZES, scope="module")
@pytest.mark.parametrize("program", CASES)
def test_a_program_that_hangs_is_explained_and_revived(
    ranks: Client, program: str, size: int
) -> None:
    expected = PROGRAMS[program]
    result = ranks[:].execute(f"{program}()", silent=False, block=False)
    try:
        seen = stuck(ranks, expected)
        for rank in seen.blocked:
            spot = seen.states[rank].spot
            line = SETUP.split("\n")[spot.line - 1]
            assert any(part in line for part in expected.line.split("|")), seen.text
        for words in expected.said:
            assert words in seen.text
        bring_back(ranks, result, expected)
        works_again(ranks)
    finally:
        end(ranks, result)


def end(rc: Client, result: AsyncResult) -> None:
    """Whatever was seen, the next test finds ranks that are free; if that fails it gets
    others."""
    if result.done():
        return
    rc[:].interrupt()
    if not result.wait(2):
        rc[:].unstick(insist=True)
    assert result.wait(10), str(rc[:].stuck())


def in_barrier(rc: Client, ranks: set[int]) -> None:
    """Wait until they are, and the others are in nothing."""

    def there() -> bool:
        states = rc[:].stuck().states
        calls = {i: state.call.op for i, state in states.items() if state.call}
        return calls == dict.fromkeys(ranks, "Barrier")

    wait_until(there, LONG, "ranks that wait in Barrier")


def test_nobody_is_interrupted_if_a_rank_lacks_the_communicator(ranks: Client) -> None:
    result = ranks[:].execute("forgotten()", silent=False, block=False)
    try:
        in_barrier(ranks, {0, 2})
        refused = ranks[:].unstick()
        assert "Refused, nothing was lost" in refused.text
        assert "Rank 1 cannot help: nothing in Python has the comm" in refused.text
        ranks[1].execute("MPI.Comm.fromhandle(handle).Barrier()", block=True)
        result.get(LONG)  # none of them raises KeyboardInterrupt
        works_again(ranks)
    finally:
        end(ranks, result)


def test_nobody_takes_part_in_one_of_two_that_look_alike(ranks: Client) -> None:
    result = ranks[:].execute("rows_alike()", silent=False, block=False)
    try:
        in_barrier(ranks, {0, 2})
        refused = ranks[:].unstick()
        assert "of ranks 0-2 is not told from others" in refused.text
        assert "nothing was lost" in refused.text
        ranks[1].execute("row.Barrier()", block=True)
        result.get(LONG)  # none of them raises KeyboardInterrupt
        works_again(ranks)
    finally:
        end(ranks, result)


FAILING = """
from steer.engines import freeing
def no(*_):
    raise TimeoutError("no")
real, freeing._join = freeing._join, no
"""


@pytest.mark.slow
def test_who_came_back_helps_the_others_at_the_second_time(ranks: Client) -> None:
    """A helper that fails leaves others in the middle; they take part only once."""
    ranks[1].execute(FAILING, block=True)
    result = ranks[:].execute("duplicates()", silent=False, block=False)
    try:
        in_barrier(ranks, {0, 1, 2})
        partly = ranks[:].unstick()
        assert set(partly.ranks) == {1, 2}, partly.text
        assert set(partly.left) == {0}
        assert "Ranks 1-2: back" in partly.text
        assert "Rank 0 waits still:\n  Rank 1 cannot help: join: no" in partly.text
        ranks[1].execute("freeing._join = real", block=True)
        rest = ranks[:].unstick()
        assert set(rest.ranks) == {0}, rest.text
        assert result.wait(LONG)
        works_again(ranks)
    finally:
        end(ranks, result)

"""Ranks that are brought back: what their programs notice of it, and what stays."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from steer.client.asyncresult import AsyncResult
from steer.client.client import Client
from steer.client.rungs import Unstuck
from steer.testing.waiting import wait_until
from tests.sight.test_programs_mpi import LONG, end, error_of, in_barrier, works_again

pytestmark = pytest.mark.mpi


def hang(rc: Client, code: str, waiting: set[int]) -> AsyncResult:
    """Run it until these ranks wait, and it is proved that they do for ever."""
    result = rc[:].execute(code, silent=False, block=False)

    def proved() -> bool:
        seen = rc[:].stuck()
        return set(seen.blocked) == waiting and seen.proved

    try:
        wait_until(proved, LONG, f"ranks {waiting} that wait for ever")
    except BaseException:
        end(rc, result)
        raise
    return result


@pytest.mark.either_mpi
def test_a_programs_own_handler_for_sigint_hears_of_nothing(ranks: Client) -> None:
    """It would raise nothing, and the program go on with an empty message."""
    own = "import signal; heard = []; before = signal.getsignal(2)"
    ranks[:].execute(own, block=True)
    code = "got = 'nothing'; signal.signal(2, lambda *_: heard.append(1))\n"
    code += "got = comm.recv(source=(rank + 1) % size, tag=3)"
    result = hang(ranks, code, {0, 1, 2})
    try:
        back = ranks[:].unstick()
        assert set(back.ranks) == {0, 1, 2}, back.text
        assert result.wait(LONG)
        for rank in ranks.ids:
            assert "KeyboardInterrupt" in repr(error_of(result, rank))
        assert ranks[:].pull("heard", block=True) == [[]] * 3
        assert ranks[:].pull("got", block=True) == ["nothing"] * 3
        works_again(ranks)
    finally:
        end(ranks, result)
        ranks[:].execute("signal.signal(2, before)", block=True)


IN_PLACE = {
    "allgather": ("comm.Allgather(MPI.IN_PLACE, np.zeros(2 * size))", {0, 2}),
    "gather": (
        "pair.Gather(MPI.IN_PLACE if rank == 0 else np.ones(2),"
        " np.zeros(4) if rank == 0 else None, root=0)", {0},
    ),
    "scatter": (
        "comm.Scatter(np.zeros(2 * size) if rank == 0 else None,"
        " MPI.IN_PLACE if rank == 0 else np.zeros(2), root=0)", {1, 2},
    ),
    "alltoall": ("comm.Alltoall(MPI.IN_PLACE, np.zeros(2 * size))", {0, 2}),
    "counted": (
        "comm.Alltoall([np.ones(9 * size), 3, MPI.DOUBLE],"
        " [np.zeros(9 * size), 3, MPI.DOUBLE])", {0, 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", IN_PLACE)
def test_counts_of_buffers_that_have_a_part_for_each_rank(
    ranks: Client, call: str
) -> None:
    code, waiting = IN_PLACE[call]
    pair = "pair = comm.Split(rank // 2)\n" if "pair" in code else ""
    waits = ", ".join(map(str, waiting))
    result = hang(ranks, f"{pair}if rank in ({waits},): {code}", waiting)
    try:
        back = ranks[:].unstick()
        assert set(back.ranks) == waiting, back.text
        assert not back.notes
        assert result.wait(LONG)
        works_again(ranks)
    finally:
        end(ranks, result)


@pytest.mark.either_mpi
def test_two_who_ask_at_once_hear_the_same(ranks: Client) -> None:
    result = hang(ranks, "head_to_head()", {0, 1, 2})
    told: list[Unstuck] = []
    try:
        threads = [
            threading.Thread(target=lambda: told.append(ranks[:].unstick()))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
        back = [set(each.ranks) for each in told]
        # The second may have come when all was over.
        assert back in ([{0, 1, 2}] * 2, [{0, 1, 2}, set()], [set(), {0, 1, 2}])
        assert result.wait(LONG)
        works_again(ranks)
    finally:
        end(ranks, result)


MOVED = """
from steer.engines import freeing
real, freeing._is_still = freeing._is_still, lambda *_: False
"""


def test_nobody_is_interrupted_if_one_of_them_has_gone_on(ranks: Client) -> None:
    """Rank 0 is flagged before it is known that rank 2 cannot be."""
    ranks[2].execute(MOVED, block=True)
    result = hang(ranks, "missing_participant()", {0, 2})
    try:
        refused = ranks[:].unstick()
        assert not refused.freed
        assert not refused.left, refused.text
        assert "They go on by themselves" in refused.text
        assert "nothing was lost" in refused.text
        ranks[1].execute("comm.Barrier()", block=True)
        result.get(LONG)  # none of them raises KeyboardInterrupt
        ranks[2].execute("freeing._is_still = real", block=True)
        works_again(ranks)
    finally:
        end(ranks, result)


def test_messages_that_somebody_will_receive_stay(ranks: Client) -> None:
    """Rank 1 was sent one before; it is not interrupted, and receives it later."""
    ranks[0].execute("comm.send('for later', 1, tag=77)", block=True)
    ranks[1].execute("comm.send('for rank 0', 0, tag=78)", block=True)
    result = ranks[:].execute("missing_participant()", silent=False, block=False)
    try:
        in_barrier(ranks, {0, 2})
        back = ranks[:].unstick()
        assert set(back.ranks) == {0, 2}, back.text
        assert back.dropped == 0
        assert result.wait(LONG)
        ranks[1].execute("got = comm.recv(source=0, tag=77)", block=True)
        assert ranks[1]["got"] == "for later"
        ranks[0].execute("got = comm.recv(source=1, tag=78)", block=True)
        assert ranks[0]["got"] == "for rank 0"
        works_again(ranks)
    finally:
        end(ranks, result)


LEFT = """
if rank < 2:
    comm.send(rank, 1 - rank, tag=5)
    comm.recv(source=1 - rank, tag=9)
"""


@pytest.mark.either_mpi
def test_what_interrupted_ranks_have_sent_each_other_is_thrown_away(
    ranks: Client,
) -> None:
    result = hang(ranks, LEFT, {0, 1})
    try:
        back = ranks[:].unstick()
        assert set(back.ranks) == {0, 1}, back.text
        assert back.dropped == 2
        assert "2 messages that nobody had received" in back.text
        assert result.wait(LONG)
        ranks[:].execute("there = comm.iprobe()", block=True)
        assert ranks[:].pull("there", block=True) == [False] * 3
        works_again(ranks)
    finally:
        end(ranks, result)


PROBES = """
if rank == 0:
    comm.Probe(source=1, tag=4)
"""


@pytest.mark.either_mpi
def test_a_message_that_was_only_looked_for_is_thrown_away(ranks: Client) -> None:
    result = hang(ranks, PROBES, {0})
    try:
        back = ranks[:].unstick()
        assert set(back.ranks) == {0}, back.text
        assert back.dropped == 1
        assert result.wait(LONG)
        ranks[0].execute("there = comm.iprobe()", block=True)
        assert ranks[0]["there"] is False
        works_again(ranks)
    finally:
        end(ranks, result)


@pytest.mark.either_mpi
def test_a_healthy_program_is_left_alone(ranks: Client, tmp_path: Path) -> None:
    """It waits in MPI nearly always, and is asked in the middle."""
    over = f"os.path.exists({str(tmp_path / 'end')!r})"
    code = (
        f"while not comm.bcast(rank == 0 and {over}):\n"
        "    comm.sendrecv(rank, (rank + 1) % size, source=(rank - 1) % size)"
    )
    result = ranks[:].execute(code, silent=False, block=False)
    try:
        wait_until(lambda: ranks[:].status().doing(0) != "idle", LONG, "it to run")
        refused = ranks[:].unstick()
        assert not refused.freed, refused.text
        assert not refused.left
        assert not result.done()
        (tmp_path / "end").touch()
        result.get(LONG)
        works_again(ranks)
    finally:
        end(ranks, result)

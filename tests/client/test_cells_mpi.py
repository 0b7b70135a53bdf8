"""Cells on real ranks: all of them run one or none does, and the next waits for it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steer.client.asyncresult import AsyncResult
from steer.client.client import Client
from steer.client.cluster import Cluster
from steer.errors import CompositeError, TaskAborted
from steer.ranks import RankSet
from steer.testing.waiting import wait_until

pytestmark = pytest.mark.mpi

LONG = 20.0


@pytest.fixture(scope="module")
def rc(private_home: Path) -> Iterator[Client]:
    """Four ranks for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", tempfile.mkdtemp(dir=private_home))
        cluster = Cluster(n=4, engines="mpi", shutdown_atexit=False)
        client = cluster.start_and_connect_sync()
        client[:].execute(
            "from mpi4py import MPI; import os, time; ran = []\n"
            "rank = MPI.COMM_WORLD.rank\n"
            "def wait_for(path):\n"
            "    while not os.path.exists(path):\n        time.sleep(0.002)",
            block=True,
        )
        yield client
        cluster.close_sync()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A file that ranks wait for; in the end they do not."""
    yield tmp_path / "gate"
    (tmp_path / "gate").touch()
    (tmp_path / "alone").touch()


@pytest.fixture(autouse=True)
def fresh(rc: Client) -> None:
    rc[:].push({"ran": []}).get(LONG)


def cell(rc: Client, code: str, targets: str | list[int] = "all") -> AsyncResult:
    return rc[:].execute(code, silent=False, block=False, targets=targets)


def behind(rc: Client, gate: Path, code: str) -> tuple[AsyncResult, ...]:
    """A cell in which rank 3 does this, when it is let, while the others wait at the
    gate; and one that is queued behind it."""
    alone = gate.with_name("alone")
    held = cell(
        rc,
        f"wait_for({str(alone)!r} if rank == 3 else {str(gate)!r})\n"
        f"if rank == 3:\n    {code}",
    )
    return held, cell(rc, "ran.append(2)")


def let(rc: Client, gate: Path) -> None:
    """Let rank 3 go on, when the hub has all that was asked so far."""
    assert max(queued(rc)) > 1
    gate.with_name("alone").touch()


def text(result: AsyncResult) -> str:
    with pytest.raises(TaskAborted) as caught:
        result.get(LONG)
    return str(caught.value)


def queued(rc: Client) -> list[int]:
    return [rc.queue_status()[engine]["queue"] for engine in rc.ids]


def test_a_cell_waits_for_all_ranks_of_the_one_before(rc: Client, gate: Path) -> None:
    first, second = behind(rc, gate, "pass")
    third = rc[3].execute("ran.append(3)", block=False)
    let(rc, gate)
    assert queued(rc)[0] == 2
    wait_until(lambda: queued(rc)[3] == 2, LONG, "rank 3 to end the first cell")
    gate.touch()
    for result in (first, second, third):
        result.get(LONG)
    assert rc[:]["ran"] == [[2], [2], [2], [2, 3]]


def test_cells_behind_a_failed_one_run_nowhere_and_say_so_at_once(
    rc: Client, gate: Path
) -> None:
    first, second = behind(rc, gate, "1 / 0")
    let(rc, gate)
    assert text(second).endswith(
        "This cell was not run on ranks 0-3: the cell before it failed on rank 3 "
        "(ZeroDivisionError: division by zero)."
    )
    assert not first.ready()
    after = cell(rc, "ran.append(4)")
    gate.touch()
    after.get(LONG)
    assert rc[:]["ran"] == [[4]] * 4


def test_what_need_not_run_on_all_goes_on(rc: Client, gate: Path) -> None:
    first, second = behind(rc, gate, "1 / 0")
    others = [
        rc[:].execute("ran.append(5)", silent=False, block=False, on_error="continue"),
        rc[:].execute("ran.append(6)", silent=True, block=False),
    ]
    let(rc, gate)
    text(second)
    gate.touch()
    for result in others:
        result.get(LONG)
    assert first.wait(LONG)
    assert rc[:]["ran"] == [[5, 6]] * 4


def test_cells_on_other_ranks_do_not_wait(rc: Client, gate: Path) -> None:
    held = cell(rc, f"wait_for({str(gate)!r})", [0, 1])
    cell(rc, "ran.append(1)", [2, 3]).get(LONG)
    across = cell(rc, "ran.append(2)", [1, 2])
    assert not held.ready()
    assert rc[3]["ran"] == [1]
    gate.touch()
    across.get(LONG)
    assert rc[:]["ran"] == [[], [2], [1, 2], [1]]


def test_abort_of_a_waiting_cell(rc: Client, gate: Path) -> None:
    first, second = behind(rc, gate, "pass")
    second.abort()
    assert "This cell was not run on ranks 0-3" in text(second)
    assert not first.ready()
    gate.touch()
    gate.with_name("alone").touch()
    first.get(LONG)
    cell(rc, "ran.append(7)").get(LONG)
    assert rc[:]["ran"] == [[7]] * 4


def test_to_interrupt_a_waiting_cell_does_no_harm_to_the_one_that_runs(
    rc: Client, gate: Path
) -> None:
    held, waiting = behind(rc, gate, "ran.append(1)")
    assert not waiting.interrupt()
    with pytest.raises(TaskAborted, match=r"not run on ranks 0-3: it was aborted\.$"):
        waiting.get(LONG)
    gate.touch()
    gate.with_name("alone").touch()
    held.get(LONG)
    assert rc[:]["ran"] == [[], [], [], [1]]


def test_to_interrupt_a_cell_is_for_the_ranks_that_run_it(
    rc: Client, gate: Path
) -> None:
    begun = [gate.with_name(f"begun-{rank}") for rank in range(4)]
    held = cell(
        rc,
        f"open({str(gate.with_name('begun-'))!r} + str(rank), 'w').close()\n"
        f"wait_for({str(gate)!r}) if rank else ran.append(1)",
    )
    wait_until(lambda: all(map(Path.exists, begun)), LONG, "all to begin")
    wait_until(lambda: held.progress == 1, LONG, "rank 0")
    assert held.interrupt() == RankSet([1, 2, 3])
    with pytest.raises(CompositeError) as raised:
        held.get(LONG)
    assert {error.ename for error in raised.value.exceptions} == {"KeyboardInterrupt"}


def test_many_cells_each_cost_the_same(rc: Client) -> None:
    """The thousandth in the line is no dearer than the first."""

    def per_cell(n: int) -> float:
        began = time.perf_counter()
        results = [cell(rc, "a = 1") for _ in range(n)]
        results[-1].get(60)
        return (time.perf_counter() - began) / n

    per_cell(50)
    few, many = min(per_cell(50) for _ in range(3)), per_cell(600)
    assert many < 5 * few, (few, many)

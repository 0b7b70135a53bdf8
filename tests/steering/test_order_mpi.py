"""What is asked for at a stop is done in one order, the same on all ranks."""

from __future__ import annotations

import signal

import pytest

from steer.testing.waiting import wait_until

from .runs import running

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

SIMULATION = """
    import time
    from mpi4py import MPI
    import steer

    comm = MPI.COMM_WORLD
    p = steer.params(n=steer.Int(0))
    seen = []
    for step in steer.loop(range(10**9)):
        time.sleep(0.001)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with running(tmp_path_factory.mktemp("order"), SIMULATION, n=3) as run:
        yield run


def test_cells_plans_and_steps_that_are_sent_at_once(run):
    """Ranks are in cells for different times, and nobody waits for an answer."""
    for turn in range(20):
        here = run.stop(timeout=20).point
        run.execute("seen = []")
        cell = "seen.append((step, p.n)); time.sleep(0.004 * ((comm.rank + {}) % 3))"
        answers = []
        for number in range(3):
            run.view.execute(cell.format(turn + number), block=False)
            run.view.apply_async(len, [])
            answers.append(run.ask("step", n=2))
            run.view.execute(cell.format(turn), block=False)
            run.set(n=100 * turn + number)
            run.view.execute(cell.format(turn), block=False)
        for answer in answers:
            assert answer.result(20).kind == "stopped"
        run.go()  # behind the cells, too
        run.client.wait()
        run.stop(timeout=20)
        first, *others = run["seen"]
        assert all(other == first for other in others), (first, others)
        assert len(first) == 9
        numbers = [n for _, n in first]
        assert numbers == sorted(numbers)
        assert first[-1][0] == here + 6 - 2


def test_what_waits_for_cells_says_so_and_comes_when_they_are_interrupted(run):
    told = []
    run.client.link.steering.listeners.append(told.append)
    run.stop(timeout=20)
    busy = run.view.execute("time.sleep(60)", block=False)
    answer = run.ask("go")
    wait_until(lambda: told and told[-1].kind == "waiting", 20, "news of it")
    assert "Cells run on ranks 0-2" in told[-1].text
    link, cell = run.client.link, busy.msg_ids[0].rpartition("_")[0]

    def interrupted():
        link.wait(link.signal(signal.SIGINT, "0-2", cell))  # it may not have begun
        return answer.done()

    wait_until(interrupted, 20, "the run to go on")
    assert answer.result().kind == "went"

"""A program that is steered and hangs: seen, held, brought back, and looked into."""

from __future__ import annotations

import pytest

from steer.testing.waiting import wait_until
from tests.steering.runs import running

pytestmark = pytest.mark.mpi

HANGS = """
    import time
    from mpi4py import MPI
    import steer

    comm = MPI.COMM_WORLD

    def exchange(step):
        if step == 12 and comm.rank == 1:
            comm.recv(source=0, tag=99)
        comm.Barrier()

    for step in steer.loop(range(100_000)):
        exchange(step)
        time.sleep(0.002)
"""


def test_a_program_that_hangs_is_seen_and_comes_back_to_be_looked_into(tmp_path):
    with running(tmp_path, HANGS, n=3, points=5, post_mortem=True, keep=True) as run:
        wait_until(lambda: run.stuck().verdict == "DEADLOCK", 40, "a verdict")
        seen = run.stuck()
        assert set(seen.causes) == {0, 1} or set(seen.causes) == {0, 1, 2}
        assert "recv(source=0, tag=99, comm WORLD)" in seen.text
        assert "exchange" in run.where().text
        assert set(run.peek("step").values.values()) == {"12"}
        back = run.unstick()
        assert set(back.ranks) == {0, 1, 2}, back.text
        wait_until(
            lambda: {run.view.status().doing(i) for i in range(3)} == {"post-mortem"},
            20, "the program to end",
        )  # fmt: skip
        shown = run.debug().where().text
        assert "comm.recv(source=0, tag=99)" in shown
        assert "KeyboardInterrupt" in shown
        assert run.debug().p("step").said == {0: "12", 1: "12", 2: "12"}
        run.execute("total = comm.allreduce(1)")
        assert run["total"] == [3] * 3


LOOPS = """
    import time
    import steer
    for step in steer.loop(range(100_000)):
        time.sleep(0.002)
"""


def test_a_rank_that_is_held_is_told_with_its_point(tmp_path):
    with running(tmp_path, LOOPS, n=2) as run:
        news = run.stop(timeout=30)
        shown = run.view.status().text
        assert "2 held" in shown
        assert f"held (point {news.point} 'step')" in shown
        run.go()

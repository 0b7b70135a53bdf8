"""A program that is steered and hangs: seen, held, brought back, and looked into."""

from __future__ import annotations

import pytest

from steer.errors import SteerError, UsageError
from steer.testing.waiting import wait_until
from steer.wire.messages import News
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
        assert run.peek("step").values == {0: "12", 1: "12", 2: "12"}
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


@pytest.mark.either_mpi
def test_a_program_that_ends_by_it_is_not_said_to_be_as_it_was(tmp_path):
    with running(tmp_path, HANGS, n=3, points=5) as run:
        wait_until(lambda: run.stuck().verdict == "DEADLOCK", 40, "a verdict")
        told = run.unstick().text
        assert "--post-mortem its ranks stay" in told
        assert "as they were" not in told


@pytest.mark.slow
@pytest.mark.either_mpi
def test_it_is_told_unasked_why_a_program_does_not_go_on(tmp_path):
    with running(tmp_path, HANGS, n=3, points=5) as run:
        news: list[News] = []
        notices: list[str] = []
        run.client.link.steering.listeners.append(news.append)
        run.client.link.listeners.append(lambda what, told: notices.append(what))

        def why() -> list[News]:
            stuck = [n for n in news if n.kind == "stuck"]
            return [n for n in stuck if n.facts == {"verdict": "DEADLOCK"}]

        wait_until(why, 40, "what is wrong")
        told = why()[0]
        assert "recv(source=0, tag=99, comm WORLD)" in told.text
        wait_until(lambda: "stuck" in notices, 10, "whoever started it to hear of it")


UNEQUAL = """
    from mpi4py import MPI
    import steer

    comm = MPI.COMM_WORLD
    while True:
        steer.point()
        if comm.rank == 0:
            comm.ssend(1, 1)
        else:
            comm.recv(source=0)
            comm.recv(source=0)
"""


@pytest.mark.either_mpi
def test_ranks_that_wait_for_one_that_is_held(tmp_path):
    """The program does not let its ranks come to a point together."""
    with running(tmp_path, UNEQUAL, n=2) as run:
        run.ask("stop")
        wait_until(lambda: run.stuck().verdict == "WAITING ON HELD", 30, "the verdict")
        seen = run.stuck()
        assert set(seen.causes) == {0}
        assert "recv(source=0, comm WORLD)" in seen.text
        assert "%pxgo" in seen.text
        refused = run.unstick()
        assert not refused.freed
        assert "held" in refused.text
        run.go()
        wait_until(lambda: run.stuck().verdict != "WAITING ON HELD", 20, "it to go on")


LOOPS = """
    import time
    import steer

    def advance(n):
        for step in steer.loop(range(100_000)):
            time.sleep(0.002)

    advance(100_000)
"""


@pytest.mark.either_mpi
def test_a_rank_that_is_held_is_told_with_its_point_and_looked_into(tmp_path):
    with running(tmp_path, LOOPS, n=2) as run:
        with pytest.raises(UsageError, match="no program is held there"):
            run.debug()
        news = run.stop(timeout=30)
        shown = run.view.status().text
        assert "2 held" in shown
        assert f"held (point {news.point} 'step')" in shown
        assert "in advance" in shown
        assert run.peek("step").values.keys() == {0, 1}
        assert "advance" in run.where().text.splitlines()[-1]

        frames = run.debug().where().text
        assert frames.startswith("[0-1] (2)    sim"), frames
        assert "for step in steer.loop(range(100_000)):" in frames
        assert "held at a point" in frames
        assert run.debug().p("n").said == {0: "100000", 1: "100000"}
        assert "advance(100_000)" in run.debug().up().text

        with pytest.raises(SteerError):
            run.execute("kept = 3\nkept / 0")
        failed = run.debug().where().text
        assert "ZeroDivisionError" in failed
        assert "advance" not in failed
        assert run.debug().where().text == failed  # looking changes nothing
        run.execute("1")
        assert run.debug().p("n").said == {0: "100000", 1: "100000"}
        run.go()


def test_a_cell_that_hangs_at_a_hold_is_told_and_brought_back(tmp_path):
    with running(tmp_path, LOOPS, n=2, keep=True) as run:
        run.stop(timeout=30)
        rc = run.client
        code = "from mpi4py import MPI\nMPI.COMM_WORLD.Barrier()"
        result = rc[0].execute(code, silent=False, block=False)
        wait_until(lambda: run.stuck().verdict == "WAITING ON HELD", 30, "the verdict")
        seen = run.stuck()
        assert seen.states[0].doing.value == "blocked", seen.text
        assert "Barrier(comm WORLD)" in seen.text
        assert "its cell cannot end unless the same is run there too" in seen.text
        assert "%pxgo" not in seen.text
        back = run.unstick()
        assert set(back.ranks) == {0}, back.text
        assert result.wait(20)
        run.go()

"""Variables of a run are kept at a stop, and put back at another."""

from __future__ import annotations

import pytest

from steer.errors import UsageError

from .runs import running

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

SIMULATION = """
    import numpy as np
    import time
    from mpi4py import MPI
    import steer

    comm = MPI.COMM_WORLD
    p = steer.params(dt=steer.Float(0.5, 0.0, 1.0))

    class Solver:
        def __init__(self):
            self.u = np.full(8, float(comm.rank))
            self.inner = self.u[1:-1]
            self.rng = np.random.default_rng(comm.rank)
            self.requests = []

        def step(self):
            self.u += p.dt * comm.allreduce(1.0) + self.rng.random()

    def simulate():
        solver, history, lines = Solver(), [], (n for n in range(10**9))
        for step in steer.loop(range(10**9)):
            time.sleep(0.001)
            solver.step()
            history.append(solver.u.sum())
            if len(history) > 50:
                history.clear()

    simulate()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with running(tmp_path_factory.mktemp("snapshots"), SIMULATION, n=3) as run:
        run.stop(timeout=20)
        yield run


def state(run):
    return [
        (u.tobytes(), inner.tobytes(), history, dt)
        for u, inner, history, dt in zip(
            run["solver.u"], run["solver.inner"], run["history"], run["p.dt"],
            strict=True,
        )
    ]  # fmt: skip


def test_what_followed_follows_again(run):
    said = run.snapshot("solver", "history", "p")
    assert "history, p, solver" in said
    assert "on 3 ranks" in said
    before = state(run)
    run.step(5, timeout=20)
    after = state(run)
    assert after != before
    run.set(dt=0.25)
    said = run.rewind()
    assert "as at point" in said
    assert state(run) == before
    assert all(run["solver.inner.base is solver.u"])
    run.step(5, timeout=20)
    assert state(run) == after
    run.rewind()
    assert state(run) == before


def test_without_names_all_that_can_be_kept_is(run):
    said = run.snapshot()
    assert "history, solver, step" in said
    assert "lines (generator)" in said
    step = run["step"]
    run.step(3, timeout=20)
    run.rewind()
    assert run["step"] == step


def test_on_all_ranks_or_on_none(run):
    kept = run.snapshot("history")
    run.execute("extra = 1 if comm.rank else None")
    run.execute("if comm.rank == 2: del extra")
    with pytest.raises(UsageError, match="on rank 2 the loop has no variable extra"):
        run.snapshot("extra")
    assert "history: as at point" in run.rewind()  # the one before is there still
    assert "snapshot at point" in kept


def test_refused_while_requests_are_open(run):
    run.snapshot("history")
    run.execute("solver.requests.append(comm.irecv(source=0, tag=99))")
    try:
        for act in (run.snapshot, run.rewind):
            with pytest.raises(UsageError, match="requests of MPI are open"):
                act()
    finally:
        run.execute("solver.requests.pop().cancel()")
        run.execute("import gc; gc.collect()")


def test_mistakes_are_said(run):
    for name in ("solver.u", 3, "lines"):
        with pytest.raises(UsageError):
            run.snapshot(name)
    run.go()
    try:
        for act in (run.snapshot, run.rewind):
            with pytest.raises(UsageError, match="not stopped"):
                act()
    finally:
        run.stop(timeout=20)


def test_the_journal_tells_of_them(run):
    run.snapshot("history")
    run.rewind()
    what = [deed.what for deed in run.journal(2).deeds]
    assert what == ["snapshot history", "rewind"]

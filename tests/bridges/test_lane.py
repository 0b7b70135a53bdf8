"""A lane keeps its width, and its batches keep to their rank's share of the cores."""

from concurrent.futures import Future

import pytest

from steer.bridges.lane import Lane, run_batch


def test_batches_limit_the_threads_of_libraries(monkeypatch):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pytest.importorskip("numpy").ones((2, 2)) @ [1, 1]

    def threads():
        return [lib["num_threads"] for lib in threadpoolctl.threadpool_info()]

    before = threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MPI_LOCALNRANKS", "1000")

    assert set(run_batch(threads, 1)) == {1}
    assert set(run_batch(threads, None)) == {1}
    assert threads() == before


class ByHand:
    """An executor whose futures the test ends."""

    _max_workers = 4

    def __init__(self):
        self.futures = []

    def submit(self, function, *args):
        self.futures.append(Future())
        return self.futures[-1]


def test_a_lane_keeps_its_width_and_gives_up_what_waits():
    executor, ended = ByHand(), []
    lane = Lane(executor, 2)
    jobs = [lane.submit(ended.append, "call", print, i) for i in range(4)]

    assert len(executor.futures) == 2
    executor.futures[0].set_result("a")
    assert jobs[0].result() == "a"
    assert len(executor.futures) == 3
    lane.cancel()

    assert [job.cancelled() for job in jobs] == [False, True, True, True]
    assert len(ended) == 4

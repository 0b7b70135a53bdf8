"""joblib's backend: what joblib promises its users, on an executor that is not ours."""

import multiprocessing
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import pytest
from joblib import Parallel, delayed

from steer.bridges.joblib import SteerBackend, register
from steer.errors import UsageError


@pytest.fixture(scope="module")
def executor():
    with ThreadPoolExecutor(3) as pool:
        yield pool


@pytest.fixture
def steer(executor):
    with joblib.parallel_config("steer", executor=executor):
        yield


def fail_at_three(x):
    if x == 3:
        raise KeyError(x)
    return x


def test_results_are_in_order_and_every_call_is_made(steer):
    assert Parallel()(delayed(pow)(i, 2) for i in range(50)) == [
        i * i for i in range(50)
    ]
    assert Parallel(batch_size=7)(delayed(abs)(-i) for i in range(20)) == [*range(20)]
    assert Parallel()([]) == []


def test_all_ranks_are_the_default_and_n_jobs_counts_as_in_joblib(steer, executor):
    backend = SteerBackend(executor=executor)

    assert Parallel().n_jobs == -1
    assert [joblib.effective_n_jobs(n) for n in (-1, -2, -9, 2, 9)] == [3, 2, 1, 2, 3]
    assert backend.effective_n_jobs(None) == 1
    with pytest.raises(ValueError, match="n_jobs == 0"):
        Parallel(n_jobs=0)(delayed(abs)(i) for i in range(3))


def test_one_job_runs_here(steer):
    here = Parallel(n_jobs=1)(delayed(threading.get_ident)() for _ in range(3))

    assert set(here) == {threading.get_ident()}


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_no_more_run_at_a_time_than_were_asked_for(steer, n_jobs):
    lock, now, most = threading.Lock(), [0], [0]
    together = threading.Barrier(n_jobs)

    def watch(_):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait(10)
        with lock:
            now[0] -= 1

    Parallel(n_jobs=n_jobs, pre_dispatch="all", batch_size=1)(
        delayed(watch)(i) for i in range(12)
    )

    assert most[0] == n_jobs


def test_an_error_comes_out_and_the_backend_can_be_used_again(steer):
    with Parallel(batch_size=1) as parallel:
        with pytest.raises(KeyError):
            parallel(delayed(fail_at_three)(i) for i in range(20))
        assert parallel(delayed(fail_at_three)(i) for i in range(3)) == [0, 1, 2]


def test_generators_give_what_is_there(steer):
    ordered = Parallel(return_as="generator")(delayed(abs)(-i) for i in range(9))
    unordered = Parallel(return_as="generator_unordered", batch_size=1)(
        delayed(abs)(-i) for i in range(9)
    )

    assert list(ordered) == [*range(9)]
    assert sorted(unordered) == [*range(9)]


def test_a_generator_that_is_dropped_gives_up_what_has_not_begun(steer):
    go, calls = threading.Event(), []

    def call(i):
        calls.append(i)
        if i:
            go.wait(10)
        return i

    results = Parallel(return_as="generator", batch_size=1, pre_dispatch="all")(
        delayed(call)(i) for i in range(100)
    )
    assert next(results) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib says that results are thrown away
        results.close()
    go.set()

    assert len(calls) < 20


def test_a_timeout_is_kept(steer):
    go = threading.Event()

    try:
        with pytest.raises(multiprocessing.TimeoutError):
            Parallel(timeout=0.05)(delayed(go.wait)(10) for _ in range(3))
    finally:
        go.set()


def test_an_executor_that_refuses_is_an_error_and_no_hang(executor):
    broken = ThreadPoolExecutor(2)
    broken.shutdown()

    with (
        joblib.parallel_config("steer", executor=broken),
        pytest.raises(RuntimeError, match="after shutdown"),
    ):
        Parallel()(delayed(abs)(i) for i in range(5))


def test_loops_in_loops_run_in_place_unless_they_ask(steer):
    def inner(n_jobs):
        backend, jobs = joblib.parallel.get_active_backend()
        return type(backend).__name__, joblib.effective_n_jobs(n_jobs), jobs

    assert (
        Parallel()(delayed(inner)(None) for _ in range(2))
        == [("SteerBackend", 1, 1)] * 2
    )
    assert SteerBackend(1).get_nested_backend()[0].__class__.__name__ == (
        "SequentialBackend"
    )


def test_shared_memory_is_refused_and_threads_take_its_place(steer):
    seen = []
    Parallel(n_jobs=2, require="sharedmem")(delayed(seen.append)(i) for i in range(4))

    assert sorted(seen) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="shared memory"):
        Parallel(n_jobs=2, backend="steer", require="sharedmem")


def test_where_to_run_must_be_known():
    with (
        joblib.parallel_config("steer"),
        pytest.raises(UsageError, match=r"executor=rc\.executor"),
    ):
        Parallel()(delayed(abs)(i) for i in range(5))
    with pytest.raises(UsageError, match="does not know colour"):
        joblib.parallel_config("steer", colour="red")


def test_a_name_of_ones_own_brings_its_executor(executor):
    register("mine", executor)
    try:
        with joblib.parallel_config("mine"):
            assert Parallel()(delayed(abs)(-i) for i in range(5)) == [*range(5)]
    finally:
        joblib.parallel.BACKENDS.pop("mine")

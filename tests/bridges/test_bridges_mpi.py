"""The bridges on real ranks: joblib and scikit-learn, Pool, dask, foreign programs."""

import multiprocessing
import os
import subprocess
import sys
import time

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed

import steer
import steer.bridges.joblib
from steer.bridges.pool import Pool
from steer.node.processes import find_by_environment
from steer.testing.waiting import wait_until

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]


@pytest.fixture
def ranks(ex):
    with joblib.parallel_config("steer", executor=ex):
        yield


@pytest.fixture(scope="module")
def pids(rc):
    return set(rc[:].apply_sync(os.getpid))


# -- joblib


def pid_and(x):
    time.sleep(0.005)
    return os.getpid(), x


def test_joblib_uses_all_ranks_and_keeps_the_order(ranks, pids):
    values = Parallel()(delayed(pid_and)(i) for i in range(40))

    assert [x for _, x in values] == [*range(40)]
    assert {pid for pid, _ in values} == pids


def test_functions_of_the_moment_travel(ranks):
    offset = 7

    assert Parallel()(delayed(lambda x: x + offset)(i) for i in range(5)) == [
        7, 8, 9, 10, 11,
    ]  # fmt: skip


def raise_at(i):
    if i == 5:
        raise LookupError(f"at {i}")
    return i


def test_errors_keep_their_class_and_show_the_ranks_traceback(ranks):
    with pytest.raises(LookupError, match="at 5") as caught:
        Parallel()(delayed(raise_at)(i) for i in range(20))

    assert "raise_at" in str(caught.value.__cause__)
    assert Parallel()(delayed(abs)(-i) for i in range(5)) == [*range(5)]


def send_pid_and_sum(array, i):
    return os.getpid(), array[i:].sum()


def test_an_array_that_calls_share_is_one_in_memory(ranks, monkeypatch):
    import steer.bridges.sharing as sharing

    sizes, plain = [], sharing.Packed.__reduce__

    def note(packed):
        sizes.append(sum(len(frame) for frame in packed.frames))
        return plain(packed)

    monkeypatch.setattr(sharing.Packed, "__reduce__", note)
    array = np.arange(500_000.0)

    values = Parallel(batch_size=1)(
        delayed(send_pid_and_sum)(array, i) for i in range(20)
    )

    assert [v for _, v in values] == [array[i:].sum() for i in range(20)]
    assert len({pid for pid, _ in values}) == 2
    assert sum(size > array.nbytes for size in sizes) == 1


def inner(i):
    values = Parallel(n_jobs=-1, batch_size=1)(delayed(pid_and)(j) for j in range(8))
    return {pid for pid, _ in values}, sum(j for _, j in values)


def test_loops_in_loops_make_tasks_if_they_ask(ranks, pids):
    found = Parallel(batch_size=1)(delayed(inner)(i) for i in range(4))

    assert [total for _, total in found] == [28] * 4
    assert set.union(*(where for where, _ in found)) == pids


def test_timeouts_and_generators(ranks):
    with pytest.raises(multiprocessing.TimeoutError):
        Parallel(timeout=0.1)(delayed(time.sleep)(0.5) for _ in range(2))
    assert list(
        Parallel(return_as="generator")(delayed(abs)(-i) for i in range(30))
    ) == [*range(30)]


# -- scikit-learn


@pytest.fixture(scope="module")
def iris():
    from sklearn.datasets import make_classification

    return make_classification(300, 10, random_state=1)


@pytest.mark.slow
def test_scikit_learn_runs_on_ranks_with_the_same_outcome(ex, iris):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV

    forest = RandomForestClassifier(4, random_state=1, n_jobs=-1)
    search = GridSearchCV(forest, {"max_depth": [2, 4]}, cv=2)

    alone = search.fit(*iris).cv_results_["mean_test_score"]
    with joblib.parallel_config("steer", executor=ex):
        there = search.fit(*iris).cv_results_["mean_test_score"]

    assert (alone == there).all()


# -- Pool


def test_the_pool_maps_on_ranks(ex, pids):
    with Pool(executor=ex) as pool:
        assert pool.map(abs, range(-9, 0)) == [*range(9, 0, -1)]
        assert sorted(pool.imap_unordered(abs, range(-9, 0), 2)) == [*range(1, 10)]
        assert set(pool.starmap(os.getpid, [()] * 20)) <= pids
        with pytest.raises(LookupError):
            pool.map(raise_at, range(10))


def remember(value):
    os.environ["STEER_TEST_POOL"] = value


def recall(_):
    return os.environ.get("STEER_TEST_POOL")


def test_a_pool_of_its_own_starts_and_stops_a_cluster():
    with Pool(2, remember, ("x",)) as pool:
        assert pool.map(recall, range(4)) == ["x"] * 4
    pool.join()


# -- dask


def test_dask_takes_the_executor_as_its_scheduler(ex, pids):
    import dask

    square = dask.delayed(lambda x: (os.getpid(), x * x))
    total = dask.delayed(lambda pairs: sum(v for _, v in pairs))

    graph = total([square(i) for i in range(10)])
    assert graph.compute(scheduler=ex) == 285
    with dask.config.set(scheduler=ex):
        assert {p for p, _ in dask.compute(*[square(i) for i in range(10)])} <= pids
        with pytest.raises(ZeroDivisionError):
            dask.delayed(divmod)(1, 0).compute()


# -- foreign programs


HELLO = "from mpi4py import MPI; import os; os.write(1, b'%d ' % MPI.COMM_WORLD.size)"


def test_a_program_runs_in_a_world_of_its_own(ex):
    done = ex.mpiexec([sys.executable, "-c", HELLO], ranks=2).result(40)

    assert done.stdout.split() == ["2", "2"]
    assert done.returncode == 0
    assert ex.mpiexec("true").result(20).returncode == 0


def test_a_program_that_fails_is_an_error_here(ex):
    failing = [sys.executable, "-c", "import sys; sys.exit('no input deck')"]

    with pytest.raises(subprocess.CalledProcessError) as caught:
        ex.mpiexec(failing, ranks=2).result(40)
    assert "no input deck" in "".join(caught.value.__notes__)
    with pytest.raises(FileNotFoundError, match="no program no-such-thing"):
        ex.mpiexec("no-such-thing", ranks=2).result(20)
    assert ex.mpiexec(failing, check=False).result(20).returncode == 1


def test_more_ranks_than_there_are_is_refused_at_once(ex):
    with pytest.raises(steer.UsageError, match="ranks=9 is more than the 2"):
        ex.mpiexec("true", ranks=9)


def test_a_cancelled_program_ends_and_its_ranks_are_free_again(rc, ex, tmp_path):
    begun = tmp_path / "begun"
    code = f"import time; open({str(begun)!r}, 'a').close(); time.sleep(60)"
    future = ex.mpiexec([sys.executable, "-c", code], ranks=2, env={"SEEN": str(begun)})
    wait_until(begun.exists, 30, "the program to begin")

    future.cancel(running=True)

    gone = lambda: not find_by_environment({"SEEN": str(begun)})  # noqa: E731
    wait_until(gone, 10, "the program to end")
    assert ex.options(ranks=2).submit(pow, 2, 3).result(20) == [8, 8]
    assert len(rc.ids) == 2

"""The executor, by the letter of PEP 3148 and rule by rule."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import gc
import itertools
import operator
import os
import threading
import time
import weakref
from pathlib import Path

import pytest

import steer
from steer.client.cluster import Cluster
from steer.errors import (
    DependencyError,
    EngineError,
    ImpossibleDependency,
    RemoteTraceback,
    TaskOverrun,
    UsageError,
)
from steer.testing import wait_until
from steer.wire.payload import Unpicklable

N = 3


@pytest.fixture(scope="module")
def rc(private_home):
    with Cluster(n=N, engines="local", cluster_id="executor") as client:
        yield client


@pytest.fixture
def ex(rc):
    with rc.executor() as executor:
        yield executor


# Engines cannot import this file: what they call is defined in tests, and so goes by
# value.


@pytest.fixture
def until(tmp_path):
    """A function that says that it began, and returns when it is let go."""
    began, go = tmp_path / "began", tmp_path / "go"

    def wait(x=None):
        import time

        began.with_name(f"began-{x}").touch()
        while not go.exists():
            time.sleep(0.005)
        return x

    wait.go = go.touch  # type: ignore[attr-defined]
    wait.begun = lambda x: (tmp_path / f"began-{x}").exists()  # type: ignore[attr-defined]
    yield wait
    go.touch()


# -- submit


def test_a_call_gives_a_future(ex):
    future = ex.submit(pow, 2, 8)
    assert isinstance(future, cf.Future)
    assert future.result(10) == 256
    assert future.done()
    assert not future.running()
    assert future.exception() is None
    assert future.engine in range(N)


def test_every_keyword_is_the_functions(ex):
    def f(self, fn, timeout, priority, *, options):
        return self, fn, timeout, priority, options

    future = ex.submit(f, 1, fn=2, timeout=3, priority=4, options=5)
    assert future.result(10) == (1, 2, 3, 4, 5)
    assert ex.submit(dict, self=1, ex=2).result(10) == {"self": 1, "ex": 2}


def test_lambdas_closures_and_what_they_name_now(ex):
    n = 1
    add = lambda x: x + n  # noqa: E731
    assert ex.submit(add, 1).result(10) == 2
    n = 10
    assert ex.submit(add, 1).result(10) == 11
    seen = [1]
    show = lambda: list(seen)  # noqa: E731
    assert ex.submit(show).result(10) == [1]
    seen.append(2)
    assert ex.submit(show).result(10) == [1, 2]


def test_what_a_task_raises_is_raised_with_where(ex):
    def divide(x):
        return 1 / x

    with pytest.raises(ZeroDivisionError) as caught:
        ex.submit(divide, 0).result(10)
    assert type(caught.value) is ZeroDivisionError
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "return 1 / x" in str(caught.value.__cause__)
    assert isinstance(ex.submit(divide, 0).exception(10), ZeroDivisionError)


def test_what_cannot_be_pickled_fails_that_future_only(ex):
    lock = threading.Lock()
    before = ex.submit(pow, 2, 2)
    bad = ex.submit(pow, lock, 2)
    with pytest.raises(Unpicklable, match=r"Argument 0 of pow cannot be sent"):
        bad.result(10)
    assert ex.submit(pow, 2, 3).result(10) == 8
    assert before.result(10) == 4
    worse = ex.submit(lambda: threading.Lock())
    with pytest.raises(TypeError, match=r"result of .* cannot be sent"):
        worse.result(10)


def test_an_exception_that_does_not_unpickle_is_still_told(ex):
    def fail():
        class Odd(Exception):
            def __init__(self, a, b):
                super().__init__(a)

        raise Odd("one", "two")

    with pytest.raises(steer.RemoteError, match="Odd: one"):
        ex.submit(fail).result(10)


def test_endless_recursion_and_a_flood_of_output_end(ex):
    def deep(n):
        return deep(n + 1)

    def flood():
        for _ in range(2000):
            print("x" * 1000)
        return "done"

    with pytest.raises(RecursionError):
        ex.submit(deep, 0).result(20)
    future = ex.submit(flood)
    assert future.result(20) == "done"
    assert future.printed.endswith("x\n")


def test_large_arguments_and_values(ex):
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(400_000.0)
    doubled = ex.submit(operator.mul, array, 2).result(20)
    assert (doubled == 2 * array).all()
    assert doubled.flags.writeable
    text = os.urandom(3 << 20)
    assert ex.submit(bytes.__add__, text, b"!").result(20) == text + b"!"


# -- running, cancelling


def test_running_tells_the_truth(ex, until):
    futures = [ex.submit(until, i) for i in range(N + 2)]
    wait_until(lambda: sum(f.running() for f in futures) == N, 10, "ranks to be busy")
    assert not any(f.done() for f in futures)
    until.go()
    assert [f.result(10) for f in futures] == list(range(N + 2))


def test_what_waits_can_be_cancelled_and_what_runs_not(ex, until):
    running = [ex.submit(until, i) for i in range(N)]
    wait_until(lambda: all(map(until.begun, range(N))), 10, "ranks to be busy")
    waiting = [ex.submit(until, "never") for _ in range(4)]
    assert not any(future.cancel() for future in running)
    assert all(future.cancel() for future in waiting)
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(cf.CancelledError):
        waiting[0].result()
    until.go()
    assert [f.result(10) for f in running] == [0, 1, 2]
    assert not until.begun("never")


def test_what_runs_is_ended_if_that_is_wanted(ex, until):
    future = ex.submit(until, 1)
    wait_until(lambda: until.begun(1), 10, "it to begin")
    assert future.cancel(running=True)
    assert future.cancelled()
    assert ex.submit(pow, 2, 2).result(10) == 4


def test_timeout_ends_what_runs_too_long(ex, until):
    future = ex.options(timeout=0.2).submit(until, 1)
    with pytest.raises(TaskOverrun, match="ran longer"):
        future.result(10)
    assert isinstance(future.exception(), TimeoutError)
    assert ex.submit(pow, 2, 2).result(10) == 4


def test_result_waits_no_longer_than_it_may(ex, until):
    future = ex.submit(until, 1)
    with pytest.raises(TimeoutError):
        future.result(0.05)
    with pytest.raises(TimeoutError):
        future.exception(0.05)
    until.go()
    assert future.result(10) == 1


# -- callbacks, waiting


def test_callbacks_run_in_their_own_thread_and_a_bad_one_stops_nobody(ex, caplog):
    heard = []

    def tell(future):
        heard.append((future.result(), threading.current_thread().name))

    future = ex.submit(pow, 2, 3)
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(tell)
    wait_until(lambda: heard, 10, "the callback")
    assert heard[0][0] == 8
    late = []
    future.add_done_callback(lambda f: late.append(f.result()))
    assert late == [8]


def test_a_slow_callback_stalls_no_results(ex):
    go = threading.Event()
    first = ex.submit(pow, 2, 2)
    first.add_done_callback(lambda _: go.wait(10))
    assert [ex.submit(pow, 2, i).result(10) for i in range(5)] == [1, 2, 4, 8, 16]
    go.set()


def test_a_callback_may_submit(ex):
    done = threading.Event()
    found = []

    def more(future):
        found.append(ex.submit(pow, future.result(), 2).result(10))
        done.set()

    ex.submit(pow, 3, 1).add_done_callback(more)
    assert done.wait(10)
    assert found == [9]


def test_wait_and_as_completed(ex, until):
    slow = ex.submit(until, 1)
    quick = [ex.submit(pow, 2, i) for i in range(4)]
    assert {f.result() for f in cf.as_completed(quick, 10)} == {1, 2, 4, 8}
    done, left = cf.wait([slow, *quick], 10, return_when=cf.FIRST_COMPLETED)
    assert left == {slow}
    bad = ex.submit(operator.truediv, 1, 0)
    done, _ = cf.wait([slow, bad], 10, return_when=cf.FIRST_EXCEPTION)
    assert done == {bad}
    until.go()
    assert cf.wait([slow], 10).done == {slow}


def test_asyncio(ex):
    async def all_of_them():
        futures = [asyncio.wrap_future(ex.submit(pow, 2, i)) for i in range(4)]
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*futures, loop.run_in_executor(ex, pow, 3, 3))

    assert asyncio.run(all_of_them()) == [1, 2, 4, 8, 27]


def test_nothing_is_kept_of_what_has_ended(ex):
    class Big:
        pass

    thing = Big()
    gone = weakref.ref(thing)
    future = ex.submit(id, thing)
    future.result(10)
    del thing
    wait_until(lambda: gc.collect() >= 0 and gone() is None, 5, "the argument to go")
    kept = weakref.ref(future)
    del future
    wait_until(lambda: gc.collect() >= 0 and kept() is None, 5, "the future to go")


# -- futures as arguments


def test_futures_as_arguments(ex, until):
    later = ex.submit(until, 5)
    total = ex.submit(sum, [later, ex.submit(pow, 2, 2), 1])
    deeper = ex.submit(dict, a=(total, {"b": later}))
    assert not total.done()
    until.go()
    assert total.result(10) == 10
    assert deeper.result(10) == {"a": (10, {"b": 5})}
    assert ex.submit(pow, total, 2).result(10) == 100


def test_futures_of_another_executor(ex):
    go = threading.Event()
    with cf.ThreadPoolExecutor(1) as threads:
        other = threads.submit(lambda: go.wait(10) and 4)
        future = ex.submit(pow, other, 2)
        assert not future.done()
        go.set()
        assert future.result(10) == 16


def test_the_failure_of_an_argument_is_the_cause(ex, until):
    def fail(x):
        raise KeyError(until(x))

    bad = ex.submit(fail, 1)
    needs = ex.submit(pow, bad, 2)
    until.go()
    with pytest.raises(DependencyError) as caught:
        needs.result(10)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(DependencyError):
        ex.submit(pow, bad, 2).result(10)


def test_long_chains(ex):
    future = ex.submit(int, 0)
    for _ in range(2000):
        future = ex.submit(operator.add, future, 1)
    assert future.result(30) == 2000


# -- map


@pytest.mark.parametrize("chunksize", [1, 7, "auto"])
def test_map_gives_values_in_their_order(ex, chunksize):
    assert list(ex.map(pow, range(50), range(50), chunksize=chunksize)) == list(
        map(pow, range(50), range(50))
    )
    assert list(ex.map(abs, [], chunksize=chunksize)) == []


@pytest.mark.parametrize("chunksize", [1, 4, "auto"])
def test_map_raises_where_the_item_is(ex, chunksize):
    values = ex.map(lambda x: 1 / (x - 5), range(10), chunksize=chunksize)
    assert list(itertools.islice(values, 5)) == [1 / (x - 5) for x in range(5)]
    with pytest.raises(ZeroDivisionError):
        next(values)
    with pytest.raises(StopIteration):
        next(values)


def test_map_has_a_deadline_from_the_call(ex, until):
    values = ex.map(until, [1])
    assert next(iter(ex.map(abs, [-1], timeout=10))) == 1
    with pytest.raises(TimeoutError):
        list(ex.map(until, [2], timeout=0.05))
    until.go()
    assert list(values) == [1]


def test_map_takes_all_items_at_once_or_as_many_as_the_buffer_holds(ex):
    taken = []

    def items():
        for i in itertools.count():
            taken.append(i)
            yield i

    values = ex.map(abs, items(), buffersize=3)
    assert taken == [0, 1, 2]
    assert [next(values) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(taken) == 8
    del values
    taken.clear()
    ex.map(abs, itertools.islice(items(), 10))
    assert len(taken) == 10


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"chunksize": 0}, ValueError),
        ({"chunksize": "some"}, ValueError),
        ({"buffersize": 0}, ValueError),
        ({"buffersize": 2.5}, TypeError),
    ],
)
def test_map_refuses_what_makes_no_sense(ex, options, error):
    with pytest.raises(error):
        ex.map(abs, [1], **options)


def test_leaving_a_map_cancels_what_has_not_begun(ex, until):
    values = ex.map(until, range(20))
    wait_until(lambda: sum(map(until.begun, range(20))) == N, 10, "ranks to be busy")
    del values
    gc.collect()
    until.go()
    assert ex.submit(pow, 2, 2).result(10) == 4
    assert sum(map(until.begun, range(20))) == N


# -- options


def test_priority_goes_first(ex, until):
    order = Path(until.__closure__[0].cell_contents).with_name("order")  # type: ignore[index]

    def note(x):
        with open(order, "a") as file:
            file.write(f"{x}\n")

    one = ex.options(targets="1")
    busy = one.submit(until, 0)
    wait_until(lambda: until.begun(0), 10, "the rank to be busy")
    low = [one.submit(note, "low") for _ in range(10)]
    high = [ex.options(targets="1", priority=5).submit(note, "high") for _ in "123"]
    until.go()
    cf.wait([busy, *low, *high], 10)
    # The rank may hold one of the others already, behind what it runs.
    assert order.read_text().split()[:4].count("high") == 3


def test_retries(ex, tmp_path):
    count = tmp_path / "count"

    def flaky(kind):
        with open(count, "a") as file:
            file.write(".")
        if len(count.read_text()) < 3:
            raise kind("not yet")
        return len(count.read_text())

    assert ex.options(retries=5).submit(flaky, OSError).result(10) == 3
    count.unlink()
    with pytest.raises(KeyError):
        ex.options(retries=5, retry_on=OSError).submit(flaky, KeyError).result(10)
    assert len(count.read_text()) == 1


def test_targets_and_names(ex):
    futures = [ex.options(targets="1").submit(os.getpid) for _ in range(5)]
    assert len({f.result(10) for f in futures}) == 1
    assert {f.engine for f in futures} == {1}
    assert ex.options(name="mine").submit(pow, 1, 1).name == "mine"
    with pytest.raises(ImpossibleDependency, match="no engine 77"):
        ex.options(targets="77").submit(pow, 1, 1).result(10)


def test_memo(ex, tmp_path):
    count = tmp_path / "count"

    def work(x, n=1):
        with open(count, "a") as file:
            file.write(".")
        return x * n

    memo = ex.options(memo=True)
    assert memo.submit(work, 21).result(10) == 21
    wait_until(lambda: memo.submit(work, 21).result(10) and True, 5, "")
    kept = len(count.read_text())
    assert [memo.submit(work, 21).result(10) for _ in range(3)] == [21] * 3
    assert len(count.read_text()) == kept
    assert memo.submit(work, 21, n=2).result(10) == 42
    assert ex.submit(work, 21).result(10) == 21
    assert len(count.read_text()) == kept + 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retrys": 3}, "no option 'retrys'; there are"),
        ({"timeout": "x"}, "number of seconds"),
        ({"timeout": 0}, "more than 0"),
        ({"timeout": float("nan")}, "more than 0"),
        ({"retries": -1}, "0 or more"),
        ({"retries": True}, "whole number"),
        ({"targets": "west"}, "ranks like"),
        ({"retry_on": "OSError"}, "exception classes"),
        ({"gather": "some"}, "'list', 'root', 'dict'"),
        ({"name": 5}, "a text"),
        ({"ranks": 0}, "1 or more"),
        ({"ranks": 2}, "more than the 1 rank"),
    ],
)
def test_wrong_options_are_said_at_once(ex, options, words):
    with pytest.raises(UsageError, match=words):
        ex.options(**options)


# -- life


def test_an_initializer_runs_once_on_each_rank(rc, tmp_path):
    def begin(folder):
        import os

        with open(f"{folder}/{os.getpid()}", "a") as file:
            file.write("x")

    with rc.executor(initializer=begin, initargs=(str(tmp_path),)) as ex:
        pids = {str(pid) for pid in ex.map(lambda _: os.getpid(), range(40))}
    assert {file.name for file in tmp_path.iterdir()} == pids
    assert {file.read_text() for file in tmp_path.iterdir()} == {"x"}


def test_a_failed_initializer_breaks_the_executor(rc):
    def fail():
        raise OSError("no data")

    ex = rc.executor(initializer=fail)
    future = ex.submit(pow, 2, 2)
    with pytest.raises(cf.BrokenExecutor, match="OSError: no data"):
        future.result(10)
    with pytest.raises(cf.BrokenExecutor):
        ex.submit(pow, 2, 2)
    with pytest.raises(TypeError, match="callable"):
        rc.executor(initializer=5)


def test_shutdown(rc, until):
    ex = rc.executor()
    running = [ex.submit(until, i) for i in range(N)]
    wait_until(lambda: all(map(until.begun, range(N))), 10, "ranks to be busy")
    waiting = [ex.submit(until, "never") for _ in range(3)]
    ex.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(RuntimeError, match="cannot schedule new futures"):
        ex.submit(pow, 2, 2)
    with pytest.raises(RuntimeError, match="cannot schedule new futures"):
        ex.map(abs, [1])
    until.go()
    ex.shutdown()
    assert all(future.done() for future in running)
    assert rc.ids == [0, 1, 2]


def test_leaving_the_block_waits(rc):
    with rc.executor() as ex:
        futures = [ex.submit(time.sleep, 0.05) for _ in range(6)]
    assert all(future.done() for future in futures)


@pytest.mark.parametrize("n", [0, -1])
def test_no_workers_are_none(n):
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        steer.Executor(n)


def test_stats_tell_what_goes_on(ex, until):
    futures = [ex.submit(until, i) for i in range(N + 2)]
    wait_until(lambda: ex.stats().held >= N, 10, "ranks to be busy")
    assert ex.stats().submitted >= N + 2
    until.go()
    cf.wait(futures, 10)
    assert ex.stats().held == 0


# -- losses


def test_a_rank_that_dies_takes_only_its_task_along(private_home):
    with Cluster(n=2, engines="local", cluster_id="losses") as rc:
        ex = rc.executor()
        others = [ex.submit(pow, 2, i) for i in range(20)]
        dies = ex.submit(os._exit, 3)
        began = time.monotonic()
        with pytest.raises(EngineError, match="exited with status 3"):
            dies.result(10)
        assert time.monotonic() - began < 5
        assert [f.result(10) for f in others] == [2**i for i in range(20)]
        assert ex.submit(pow, 2, 2).result(10) == 4


def test_an_executor_may_have_its_own_cluster(private_home):
    with steer.Executor(2, engines="local") as ex:
        assert list(ex.map(pow, [1, 2, 3], [2, 2, 2])) == [1, 4, 9]
        cluster = ex._state.cluster
    assert not cluster.controller.running

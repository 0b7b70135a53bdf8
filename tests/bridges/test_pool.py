"""The pool keeps the standard library's manners, on whatever executor is behind it."""

import itertools
import math
import multiprocessing
import multiprocessing.pool
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from steer.bridges.pool import Pool
from steer.errors import UsageError


@pytest.fixture(scope="module")
def executor():
    with ThreadPoolExecutor(3) as pool:
        yield pool


@pytest.fixture(params=["steer", "standard"])
def pool(request, executor):
    """Ours, and the standard library's: what is asked of both is true of both."""
    if request.param == "standard":
        with multiprocessing.pool.ThreadPool(3) as standard:
            yield standard
    else:
        with Pool(executor=executor) as ours:
            yield ours


def fail_at_three(x):
    if x == 3:
        raise KeyError(x)
    return x


def test_apply(pool):
    assert pool.apply(pow, (2, 5)) == 32
    assert pool.apply(int, ("ff",), {"base": 16}) == 255


@pytest.mark.parametrize("chunksize", [None, 1, 3, 100])
def test_map_keeps_the_order(pool, chunksize):
    assert pool.map(abs, range(-10, 0), chunksize) == list(range(10, 0, -1))


def test_map_of_nothing(pool):
    assert pool.map(abs, []) == []
    assert list(pool.imap(abs, [])) == []


def test_starmap_spreads_each_item(pool):
    assert pool.starmap(math.gcd, [(12, 8), (9, 6)]) == [4, 3]
    assert pool.starmap_async(pow, [(2, 3), (3, 2)]).get(5) == [8, 9]


def test_imap_gives_values_in_order_and_unordered_gives_them_all(pool):
    assert list(pool.imap(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
    assert sorted(pool.imap_unordered(abs, range(-5, 0), 2)) == [1, 2, 3, 4, 5]


def test_an_exception_comes_out_of_get_and_of_the_iterator(pool):
    with pytest.raises(KeyError):
        pool.map(fail_at_three, range(6), 2)
    values = pool.imap(fail_at_three, range(6))
    assert [next(values) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(values)
    assert list(values) == [4, 5]


def test_get_and_next_give_up_in_time(pool):
    go = threading.Event()
    result, values = pool.apply_async(go.wait, (20,)), pool.imap(go.wait, [20])

    try:
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(0.01)
        with pytest.raises(multiprocessing.TimeoutError):
            values.next(0.01)
        with pytest.raises(ValueError, match="not ready"):
            result.successful()
    finally:
        go.set()
    assert result.get(5) is True
    assert result.successful()


def test_callbacks_hear_of_values_and_of_errors(pool):
    heard = []
    come = threading.Semaphore(0)

    def hear(what):
        heard.append(what)
        come.release()

    pool.map_async(abs, [-1, -2], callback=hear)
    assert come.acquire(timeout=5)
    result = pool.apply_async(fail_at_three, (3,), callback=hear, error_callback=hear)
    assert come.acquire(timeout=5)

    assert heard[0] == [1, 2]
    assert isinstance(heard[1], KeyError)
    assert not result.successful()


def test_a_closed_pool_takes_no_work_and_can_be_joined(pool):
    result = pool.map_async(abs, range(100))
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    pool.close()
    pool.join()

    assert result.ready()
    for late in (pool.apply_async, pool.map_async, pool.imap):
        with pytest.raises(ValueError, match="not running"):
            late(abs, [1])


def test_imap_reads_no_further_than_it_must(executor):
    numbers = itertools.count()
    pool = Pool(executor=executor)

    values = pool.imap(abs, numbers)

    assert list(itertools.islice(values, 100)) == list(range(100))
    assert next(numbers) < 200


def test_terminate_gives_up_what_has_not_begun(executor):
    go, begun = threading.Event(), threading.Barrier(4)
    pool = Pool(executor=executor)

    def wait():
        begun.wait(5)
        return go.wait(20)

    first = [pool.apply_async(wait) for _ in range(3)]
    begun.wait(5)
    rest = pool.map_async(abs, range(10))

    pool.terminate()
    go.set()
    pool.join()

    assert all(result.get(5) for result in first)
    assert not rest.successful()


def test_the_executor_of_others_is_left_alone(executor):
    with Pool(executor=executor) as pool:
        pool.map(abs, [1])

    assert executor.submit(abs, -1).result() == 1
    with pytest.raises(UsageError, match="initializer"):
        Pool(initializer=print, executor=executor)
    with pytest.raises(ValueError, match="at least 1"):
        Pool(0)

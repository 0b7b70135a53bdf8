"""Tasks that submit tasks and wait for them, on fewer ranks than there are tasks."""

import concurrent.futures
import os
import threading
import time

import pytest

import steer
from steer.bridges.pool import Pool
from steer.errors import UsageError
from steer.testing.waiting import wait_until

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]


def fibonacci(n):
    if n < 2:
        return n
    ex = steer.get_executor()
    futures = [ex.submit(fibonacci, n - 1), ex.submit(fibonacci, n - 2)]
    return sum(future.result() for future in futures)


def test_tasks_of_tasks_end_on_fewer_ranks_than_wait(ex):
    assert ex.submit(fibonacci, 6).result(30) == 8


def fibonacci_on(here, n):
    if n < 2:
        return n
    ex = steer.get_executor().options(targets=[here])
    futures = [ex.submit(fibonacci_on, here, n - i) for i in (1, 2)]
    return sum(future.result() for future in futures)


def test_a_tree_of_tasks_on_one_rank_is_walked_in_its_depth(rc, ex):
    here = rc.ids[0]

    # 287 tasks; in its breadth the stack would be too high.
    assert ex.options(targets=[here]).submit(fibonacci_on, here, 11).result(50) == 89


def nap_twice(here):
    time.sleep(0.3)
    ex = steer.get_executor().options(targets=[here])
    ex.submit(time.sleep, 0.01).result()


def test_a_task_that_waits_has_taken_its_own_time_too(rc, ex):
    here = rc.ids[0]
    future = ex.options(targets=[here]).submit(nap_twice, here)
    future.result(30)
    assert future.took > 0.3


def parent(i):
    return steer.get_executor().submit(pow, i, 2).result()


def test_many_parents_wait_at_once(ex):
    assert list(ex.map(parent, range(60))) == [i * i for i in range(60)]


def by_map(n):
    return sum(steer.get_executor().map(abs, range(-n, 0)))


def by_wait(n):
    futures = [steer.get_executor().submit(abs, -i) for i in range(n)]
    done, rest = concurrent.futures.wait(futures)
    assert not rest
    return sum(future.result() for future in done)


def by_as_completed(n):
    futures = [steer.get_executor().submit(abs, -i) for i in range(n)]
    return sum(f.result() for f in concurrent.futures.as_completed(futures))


def by_pool(n):
    with Pool(executor=steer.get_executor()) as pool:
        assert sorted(pool.imap_unordered(abs, range(n))) == [*range(n)]
        return sum(pool.map(abs, range(n)))


def by_leaving(n):
    with steer.get_executor() as ex:
        futures = [ex.submit(abs, -i) for i in range(n)]
    assert all(future.done() for future in futures)
    return len(futures)


def by_exception(n):
    future = steer.get_executor().submit(divmod, n, 0)
    return type(future.exception())


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (by_map, 55),
        (by_wait, 45),
        (by_as_completed, 45),
        (by_pool, 45),
        (by_leaving, 10),
        (by_exception, ZeroDivisionError),
    ],
)
def test_all_ways_to_wait_give_up_the_turn(ex, way, value):
    # As many as there are ranks, and one more: each rank has one that waits.
    assert [f.result(30) for f in [ex.submit(way, 10) for _ in range(3)]] == [value] * 3


def wait_in_vain(seconds):
    future = steer.get_executor().submit(time.sleep, seconds)
    try:
        future.result(0.05)
    except concurrent.futures.TimeoutError:
        return "late", future.cancel()
    return "done"


def test_a_timeout_in_a_task_is_kept(ex):
    assert ex.submit(wait_in_vain, 0.5).result(30)[0] == "late"


def prints(here):
    print("before")
    child = steer.get_executor().options(targets=[here]).submit(print, "the child")
    child.result()
    print("after")
    return child.printed


def test_each_task_keeps_what_it_printed_also_on_top_of_another(rc, ex):
    here = rc.ids[0]
    future = ex.options(targets=[here]).submit(prints, here)

    assert future.result(30) == "the child\n"
    assert future.printed == "before\nafter\n"


def run_on_top(here, n):
    """Waits for tasks that only this rank may run."""
    ex = steer.get_executor().options(targets=[here])
    futures = [ex.submit(os.getpid) for _ in range(n)]
    return os.getpid(), [future.result() for future in futures]


def test_what_must_run_here_runs_on_top_of_the_one_that_waits(rc, ex):
    here = rc.ids[0]
    me, those = ex.options(targets=[here]).submit(run_on_top, here, 5).result(30)

    assert those == [me] * 5


def sleep_below():
    steer.get_executor().submit(time.sleep, 2).result()


def test_a_task_that_waits_can_be_cancelled(rc, ex):
    future = ex.submit(sleep_below)
    wait_until(lambda: future.running(), 10, "it to wait")

    future.cancel(running=True)

    with pytest.raises(concurrent.futures.CancelledError):
        future.result(20)
    assert len(rc.ids) == 2


def chain(n):
    if n == 0:
        return 0
    return 1 + steer.get_executor().submit(chain, n - 1).result()


def test_a_chain_deeper_than_the_stacks_is_an_error_and_no_hang(ex):
    assert ex.submit(chain, 40).result(30) == 40
    with pytest.raises(RecursionError, match="on top of each other"):
        ex.submit(chain, 200).result(60)
    assert ex.submit(pow, 2, 3).result(10) == 8


def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)


def chain_of_deep(n):
    if n == 0:
        return deep(700)
    return steer.get_executor().submit(chain_of_deep, n - 1).result()


def test_tasks_on_top_may_recurse_as_deep_as_others(ex):
    assert ex.submit(chain_of_deep, 20).result(30) == 700


def fail_below():
    return steer.get_executor().submit(divmod, 1, 0).result()


def test_what_a_task_of_a_task_raises_comes_all_the_way(ex):
    with pytest.raises(ZeroDivisionError):
        ex.submit(fail_below).result(30)


def test_cells_wait_until_a_waiting_task_has_ended(rc, ex):
    future = ex.submit(by_map, 20)
    assert rc[:].apply_sync(pow, 2, 3) == [8, 8]
    assert future.result(30) == 210


def test_a_cell_may_submit_and_wait(rc):
    view = rc[0]
    view.execute(
        "import steer\nvalue = steer.get_executor().submit(pow, 2, 5).result()",
        block=True,
    )
    assert view["value"] == 32


def in_a_thread():
    ex, values = steer.get_executor(), []
    thread = threading.Thread(
        target=lambda: values.append(ex.submit(pow, 2, 4).result())
    )
    thread.start()
    thread.join(20)
    return values


def test_threads_of_a_task_may_wait_too(ex):
    assert ex.submit(in_a_thread).result(30) == [16]


def test_elsewhere_the_client_has_the_executor():
    with pytest.raises(UsageError, match=r"rc\.executor"):
        steer.get_executor()

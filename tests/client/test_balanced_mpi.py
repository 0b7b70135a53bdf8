"""Load-balanced views on real ranks."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED
from pathlib import Path
from typing import Any

import pytest

import steer
from steer.client.balanced import LoadBalancedView
from steer.client.client import Client
from steer.client.cluster import Cluster
from steer.client.dependency import Dependency
from steer.errors import (
    CompositeError,
    HubUnreachable,
    ImpossibleDependency,
    InvalidDependency,
    RemoteError,
    TaskAborted,
    TaskTimeout,
    UnmetDependency,
    UsageError,
)
from steer.testing.waiting import wait_until
from steer.wire.payload import Unpicklable

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

LONG = 20.0
N = 3


@pytest.fixture(scope="module")
def rc(private_home: Path) -> Iterator[Client]:
    """Three ranks for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", tempfile.mkdtemp(dir=private_home))
        cluster = Cluster(n=N, engines="local", shutdown_atexit=False)
        client = cluster.start_and_connect_sync()
        client[:].execute("import os, time", block=True)
        yield client
        client.close()
        cluster.stop_cluster_sync()


@pytest.fixture
def view(rc: Client) -> LoadBalancedView:
    return rc.load_balanced_view()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A file that tasks wait for; in the end they do not."""
    yield tmp_path / "gate"
    (tmp_path / "gate").touch()


def _of_main(f: Any) -> Any:
    """Send it by value: engines do not have this file."""
    f.__module__ = "__main__"
    return f


@_of_main
def here(*_: Any) -> int:
    import os

    return os.getpid()


@_of_main
def wait_for(gate: str, value: Any = None) -> Any:
    import os
    import time

    while not os.path.exists(gate):
        time.sleep(0.002)
    return value


@_of_main
def mark(path: str) -> str:
    """Say that it ran here."""
    import os

    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    return path


@_of_main
def fail_on_three(x: int) -> int:
    if x == 3:
        raise ValueError("three")
    return x * 10


def hold_all(view: LoadBalancedView, gate: Path) -> steer.AsyncResult:
    """Keep all ranks busy until the gate opens."""
    begun = [gate.with_name(f"{gate.name}-{i}") for i in range(N)]

    def hold(path: str, gate: str) -> None:
        open(path, "w").close()
        while not os.path.exists(gate):
            time.sleep(0.002)

    hold.__module__ = "__main__"
    held = view.map_async(hold, map(str, begun), itertools.repeat(str(gate), N))
    wait_until(lambda: all(path.exists() for path in begun), LONG, "all ranks are held")
    return held


# -- calls


def test_a_call_runs_on_one_engine(rc: Client, view: LoadBalancedView) -> None:
    result = view.apply_async(pow, 2, 3)
    assert result.get(LONG) == 8
    assert view.apply_sync(divmod, 7, 2) == (3, 1)
    assert view.apply(dict, f=1, fn=2, self=3).get(LONG) == {"f": 1, "fn": 2, "self": 3}
    view.block = True
    assert view.apply(abs, -1) == 1
    assert repr(result) == "<AsyncResult(pow): finished>"
    assert len(result) == 1
    assert result.get_dict() == {result.engine_id: 8}
    with pytest.raises(TypeError, match="single result are not iterable"):
        iter(result)
    assert len(view) == N


def test_calls_spread_over_engines(rc: Client, view: LoadBalancedView, gate: Path):
    held = hold_all(view, gate)
    gate.touch()
    held.get(LONG)
    assert sorted(held.engine_id) == rc.ids


def test_what_is_known_of_a_task(rc: Client, view: LoadBalancedView) -> None:
    def speak() -> None:
        sys.stdout.write("said\n")
        sys.stderr.write("complained\n")

    speak.__module__ = "__main__"
    speak.__globals__["sys"] = sys
    with view.temp_flags(label="loud"):
        result = view.apply_async(speak)
    result.get(LONG)
    assert result.msg_ids == [f"{rc.link.client}-t{result.msg_id.rpartition('-t')[2]}"]
    assert result.submitted <= result.started <= result.completed <= result.received
    assert result.engine_id in rc.ids
    assert result.engine_uuid == rc.link.core.engines[result.engine_id].uuid
    assert (result.stdout, result.stderr) == ("said\n", "complained\n")
    assert (result.status, result.label, result.error) == ("ok", "loud", None)
    assert (result.after, result.follow) == ([], [])
    assert result["engine_id"] == result.metadata["engine_id"]
    assert result.wall_time >= result.serial_time >= 0
    assert result.progress == 1


def test_an_error_is_of_its_type_and_tells_where(view: LoadBalancedView) -> None:
    result = view.apply_async(fail_on_three, 3)
    with pytest.raises(ValueError, match="three") as caught:
        result.get(LONG)
    assert isinstance(caught.value, RemoteError)
    assert caught.value.engine_info is not None
    assert caught.value.engine_info["engine_id"] == result.engine_id
    assert "fail_on_three" in str(caught.value.__cause__)
    assert not result.successful()
    assert result.status == "error"
    assert isinstance(result.exception(), ValueError)
    assert result.error is result.exception()


def test_what_cannot_be_sent_raises_at_the_call(view: LoadBalancedView) -> None:
    with pytest.raises(Unpicklable, match="Argument 0 of abs cannot be sent"):
        view.apply_async(abs, threading.Lock())
    with pytest.raises(Unpicklable):
        view.map_async(abs, [1, threading.Lock()])
    assert view.apply_sync(abs, -2) == 2


def test_results_can_be_awaited(view: LoadBalancedView) -> None:
    async def both() -> list[Any]:
        return list(
            await asyncio.gather(
                asyncio.wrap_future(view.apply_async(abs, -1)),
                asyncio.ensure_future(_awaited(view.apply_async(abs, -2))),
            )
        )

    async def _awaited(result: Any) -> Any:
        return await result

    assert asyncio.run(both()) == [1, 2]


# -- maps


@pytest.mark.parametrize("chunksize", [1, 2, 4, 100, "auto", None])
def test_map_gives_the_values_in_order(view: LoadBalancedView, chunksize: Any):
    result = view.map_async(
        pow, range(10), itertools.repeat(2, 30), chunksize=chunksize
    )
    assert result.get(LONG) == [x * x for x in range(10)]
    assert list(result) == result.get()
    assert len(result) == 10
    assert result[3] == 9
    assert view.map_sync(abs, (-x for x in range(5)), chunksize=chunksize) == list(
        range(5)
    )
    assert repr(result) == "<AsyncMapResult(pow): finished>"


def test_a_list_as_a_value_is_no_chunk(view: LoadBalancedView) -> None:
    pairs = [[0, 0], [1, 1]]
    assert view.map_sync(list, pairs) == pairs
    assert view.map_sync(list, pairs, chunksize=2) == pairs
    assert list(view.map_async(list, pairs, ordered=False, chunksize=3)) == pairs


def test_a_map_of_nothing(view: LoadBalancedView) -> None:
    result = view.map_async(abs, [])
    assert result.get(LONG) == []
    assert list(result) == []
    assert len(result) == 0
    assert view.map_sync(abs, [], chunksize="auto") == []
    with pytest.raises(TypeError, match="must have some sequences"):
        view.map(abs)
    with pytest.raises(UsageError, match="chunksize is 1 or more, or 'auto', not 0"):
        view.map(abs, [1], chunksize=0)
    with pytest.raises(TypeError, match="doesn't take a `block`"):
        view.map_sync(abs, [1], block=True)
    with pytest.raises(TypeError, match="doesn't take a `block`"):
        view.map_async(abs, [1], block=True)


def test_values_as_they_come(view: LoadBalancedView, gate: Path) -> None:
    @_of_main
    def slow_first(x: int, gate: str) -> int:
        while x == 0 and not os.path.exists(gate):
            time.sleep(0.002)
        return x

    result = view.map_async(
        slow_first, range(6), itertools.repeat(str(gate), 6), ordered=False
    )
    values = iter(result)
    first = [next(values) for _ in range(5)]
    assert sorted(first) == [1, 2, 3, 4, 5]
    assert not result.done()
    gate.touch()
    assert list(values) == [0]
    assert result.get(LONG) == list(range(6))


@pytest.mark.parametrize("chunksize", [1, 4])
def test_errors_of_a_map(view: LoadBalancedView, chunksize: int) -> None:
    result = view.map_async(fail_on_three, range(8), chunksize=chunksize)
    with pytest.raises(CompositeError, match="exceptions raised in: fail_on_three"):
        result.get(LONG)
    values = []
    with pytest.raises(ValueError, match="three"):
        values.extend(result)
    assert values == ([0, 10, 20] if chunksize == 1 else [])
    both = view.map_async(
        fail_on_three, range(8), chunksize=chunksize, return_exceptions=True
    )
    kinds = [type(value) is int for value in both.get(LONG)]
    wanted = [x != 3 for x in range(8)] if chunksize == 1 else [False] + [True] * 4
    assert kinds == wanted
    assert result.status.count("error") == 1


def test_one_by_one_and_together(view: LoadBalancedView) -> None:
    result = view.map_async(abs, [-1, -2, -3])
    parts = result.split()
    assert [part.get(LONG) for part in parts] == [1, 2, 3]
    assert steer.AsyncResult.join(*parts[:2]).get() == [1, 2]
    done, pending = result.wait(LONG, return_when=FIRST_COMPLETED)
    assert (len(done), pending) == (3, set())
    assert result.engine_id == [part.engine_id for part in parts]


def test_a_part_is_ready_before_the_whole(view: LoadBalancedView, gate: Path) -> None:
    result = view.map_async(wait_for, [os.fspath(gate), "/"], [1, 2])
    first, second = result.split()
    assert second.get(LONG) == 2
    assert not first.done()
    assert result.progress == 1
    with pytest.raises(TimeoutError):
        result.get(0.01)
    gate.touch()
    assert result.get(LONG) == [1, 2]
    assert first.done()


# -- imap


def test_imap_gives_values_of_endless_elements(view: LoadBalancedView) -> None:
    values = view.imap(abs, itertools.count(0, -1))
    assert list(itertools.islice(values, 50)) == list(range(50))
    values.cancel()
    rest = list(values)
    assert rest == list(range(50, 50 + len(rest)))
    values = view.imap(abs, itertools.count(0, -1), ordered=False)
    assert len(set(itertools.islice(values, 50))) == 50
    values.cancel()


def test_imap_does_not_take_more_than_it_may(view: LoadBalancedView, gate: Path):
    taken: list[int] = []

    def elements() -> Iterator[str]:
        for i in range(20):
            taken.append(i)
            yield str(gate)

    values = view.imap(wait_for, elements(), max_outstanding=4)
    wait_until(lambda: len(taken) == 5, LONG, "as many elements are taken as may be")
    assert len(values._flow.under_way) == 4  # the fifth waits to be sent
    gate.touch()
    assert list(values) == [None] * 20
    everything = view.imap(abs, range(100), max_outstanding=0)
    assert list(everything) == list(range(100))


def test_imap_takes_no_more_than_somebody_wants(view: LoadBalancedView) -> None:
    from steer.client import lazymap

    taken = itertools.count()
    values = view.imap(abs, (next(taken) for _ in itertools.count()))
    next(values)
    wait_until(
        lambda: values._flow.untaken >= lazymap.UNTAKEN, LONG, "values wait to be taken"
    )
    assert next(taken) <= lazymap.UNTAKEN + 2
    values.cancel()


def test_errors_of_imap(view: LoadBalancedView) -> None:
    values = view.imap(fail_on_three, range(5))
    assert [next(values) for _ in range(3)] == [0, 10, 20]
    with pytest.raises(ValueError, match="three"):
        next(values)
    assert list(values) == [40]
    some = list(view.imap(fail_on_three, range(5), return_exceptions=True))
    assert isinstance(some[3], ValueError)

    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    values = view.imap(abs, broken())
    assert next(values) == 1
    with pytest.raises(LookupError, match="no more"):
        next(values)
    assert list(values) == []
    locks = view.imap(abs, [1, threading.Lock(), 3], return_exceptions=True)
    kinds = [type(value).__name__ for value in locks]
    assert kinds == ["int", "Unpicklable", "int"]
    with pytest.raises(UsageError, match="max_outstanding is 0 or more, or 'auto'"):
        view.imap(abs, [1], max_outstanding=-1)
    with pytest.raises(TypeError, match="must have some sequences"):
        view.imap(abs)


def test_an_imap_that_nobody_has_ends(view: LoadBalancedView) -> None:
    values = view.imap(abs, itertools.count())
    next(values)
    thread, gone = values._thread, weakref.ref(values)
    del values
    gc.collect()
    assert gone() is None
    thread.join(LONG)
    assert not thread.is_alive()


# -- what tasks wait for


def test_after_others(view: LoadBalancedView, gate: Path, tmp_path: Path) -> None:
    first = view.apply_async(wait_for, str(gate))
    with view.temp_flags(after=first):
        second = view.apply_async(mark, str(tmp_path / "ran"))
    assert second.after == first.msg_ids
    assert view.apply_sync(abs, -1) == 1  # the ranks are free
    assert not (tmp_path / "ran").exists()
    assert {*first.msg_ids, *second.msg_ids} <= view.outstanding
    gate.touch()
    assert second.get(LONG) == str(tmp_path / "ran")
    assert second.started >= first.completed
    with view.temp_flags(after=[first, second.msg_id]):  # both have ended
        assert view.apply_async(abs, -3).get(LONG) == 3


@pytest.mark.parametrize("ended", [True, False])
def test_where_others_ran(view: LoadBalancedView, gate: Path, ended: bool) -> None:
    first = view.apply_async(wait_for, str(gate))
    if ended:
        gate.touch()
        first.get(LONG)
    with view.temp_flags(follow=first):
        followers = view.map_async(here, range(6))
    gate.touch()
    followers.get(LONG)
    assert set(followers.engine_id) == {first.engine_id}
    assert followers.follow == [first.msg_ids] * 6


@pytest.mark.parametrize("ended", [True, False])
def test_after_a_failure(view: LoadBalancedView, gate: Path, ended: bool) -> None:
    @_of_main
    def fail(gate: str) -> None:
        while not os.path.exists(gate):
            time.sleep(0.002)
        raise ValueError

    first = view.apply_async(fail, str(gate))
    if ended:
        gate.touch()
        first.wait(LONG)
    with view.temp_flags(after=first):
        never = view.apply_async(abs, -1)
    with view.temp_flags(after=Dependency(first, success=False, failure=True)):
        then = view.apply_async(abs, -2)
    with view.temp_flags(after=Dependency(first, failure=True)):
        anyway = view.apply_async(abs, -3)
    good = view.apply_async(abs, 1)
    with view.temp_flags(after=Dependency([first, good], all=False)):
        any_ = view.apply_async(abs, -4)
    gate.touch()
    with pytest.raises(ImpossibleDependency):
        never.get(LONG)
    assert [then.get(LONG), anyway.get(LONG), any_.get(LONG)] == [2, 3, 4]


def test_a_task_waits_only_so_long(view: LoadBalancedView, gate: Path) -> None:
    first = view.apply_async(wait_for, str(gate))
    with view.temp_flags(after=first, timeout=0.05):
        late = view.apply_async(abs, -1)
    with pytest.raises(TaskTimeout, match=r"0\.05 s"):
        late.get(LONG)
    gate.touch()
    first.get(LONG)


def test_what_is_no_task_cannot_be_waited_for(rc: Client, view: LoadBalancedView):
    mine = f"{rc.link.client}-t999999"
    for unknown in ("nobody-t1", mine, rc[:].apply_async(abs, 1)):
        with (
            view.temp_flags(after=unknown),
            pytest.raises(InvalidDependency, match="no task of this client"),
        ):
            view.apply_async(abs, 1)


# -- flags


def test_flags_are_checked_when_they_are_set(view: LoadBalancedView) -> None:
    with pytest.raises(ValueError, match="timeout is not negative"):
        view.set_flags(timeout=-1)
    with pytest.raises(TypeError, match="timeout is a number"):
        view.set_flags(timeout="soon")
    with pytest.raises(ValueError, match="retries is not negative"):
        view.set_flags(retries=-1)
    with pytest.raises(TypeError, match="retries is a whole number"):
        view.set_flags(retries=1.5)
    with pytest.raises(TypeError, match="Dependencies are msg_ids or AsyncResults"):
        view.set_flags(after=3)
    with pytest.raises(KeyError, match="nonsense"):
        view.set_flags(nonsense=1)
    assert view.set_flags(retries=2, block=False) is view
    with view.temp_flags(retries=0):
        assert view.retries == 0
    assert view.retries == 2


def test_targets(rc: Client, view: LoadBalancedView) -> None:
    some = rc.load_balanced_view([0, 2])
    assert len(some) == 2
    result = some.map_async(here, range(12))
    result.get(LONG)
    assert set(result.engine_id) <= {0, 2}
    with view.temp_flags(targets=1):
        assert set(view.map_async(here, range(5)).get(LONG)) == {rc[1].apply_sync(here)}
    with pytest.raises(IndexError, match="No such engine: 77"):
        rc.load_balanced_view([77])


def test_what_failed_is_tried_again(view: LoadBalancedView, tmp_path: Path) -> None:
    @_of_main
    def third_time(path: str) -> int:
        with open(path, "a+") as file:
            file.write("x")
        if (times := os.path.getsize(path)) < 3:
            raise OSError(f"only {times}")
        return times

    with view.temp_flags(retries=2):
        assert view.apply_async(third_time, str(tmp_path / "a")).get(LONG) == 3
    with view.temp_flags(retries=1), pytest.raises(OSError, match="only 2"):
        view.apply_sync(third_time, str(tmp_path / "b"))
    with pytest.raises(OSError, match="only 1"):
        view.apply_sync(third_time, str(tmp_path / "c"))


# -- functions that say what they need


def test_a_function_that_may_not_run_everywhere(rc: Client, view: LoadBalancedView):
    rc[:].push({"mine": False}, block=True)
    rc[1].push({"mine": True}, block=True)

    @_of_main
    def is_mine(name: str) -> bool:
        return bool(globals()[name])

    @steer.depend(is_mine, "mine")
    @_of_main
    def where() -> int:
        return os.getpid()

    chosen = rc[1].apply_sync(here)
    assert {view.apply_sync(where) for _ in range(6)} == {chosen}
    assert where.__name__ == "where"
    never = steer.dependent(where, lambda: False)
    with pytest.raises(UnmetDependency):
        view.apply_async(never).get(LONG)


def test_a_function_that_needs_modules(view: LoadBalancedView) -> None:
    @steer.require("colorsys", answer=42)
    @_of_main
    def needing() -> Any:
        return colorsys.hls_to_rgb(0, 0, 0), answer  # type: ignore[name-defined]  # noqa: F821

    assert view.apply_sync(needing) == ((0, 0, 0), 42)
    lacking = steer.require("no_such_module")(needing)
    with pytest.raises(UnmetDependency, match="No engine meets what"):
        view.apply_async(lacking).get(LONG)


def test_functions_see_the_variables_of_their_engine(
    rc: Client, view: LoadBalancedView
) -> None:
    rc[:].push({"everywhere": 5}, block=True)

    @_of_main
    def look(x: int) -> int:
        return everywhere + x  # type: ignore[name-defined,no-any-return]  # noqa: F821

    assert view.apply_sync(look, 1) == 6
    assert view.map_sync(look, range(4), chunksize=2) == [5, 6, 7, 8]
    assert view.apply_sync(len, steer.Reference("[everywhere]")) == 1


def test_decorators(view: LoadBalancedView) -> None:
    @view.remote(block=True)
    def double(x: int) -> int:
        return 2 * x

    @view.parallel(block=True, chunksize=3)
    def total(xs: list[int]) -> list[int]:
        return [sum(xs)]

    @view.parallel(ordered=False)
    def negative(x: Any) -> Any:
        return -x

    assert double(4) == 8
    assert total(range(7)) == [3, 12, 6]
    assert total([]) == []
    assert sorted(negative.map(range(3))) == [-2, -1, 0]
    with pytest.raises(ValueError, match="equal length"):
        total([1], [2, 3])


# -- about work


def test_work_can_be_aborted(rc: Client, view: LoadBalancedView, gate: Path) -> None:
    held = hold_all(view, gate)
    waiting = view.map_async(abs, range(5))
    one = view.apply_async(abs, 1)
    assert set(waiting.msg_ids) < view.outstanding
    waiting.abort()
    rc.abort(one.msg_id)
    assert waiting.wait(LONG)
    assert one.wait(LONG)
    with pytest.raises(TaskAborted):
        one.get()
    with pytest.raises(TaskAborted):
        waiting.get()
    assert waiting.status == ["aborted"] * 5
    assert not held.done()
    more = view.apply_async(abs, 2)
    view.abort()
    with pytest.raises(TaskAborted):
        more.get(LONG)
    gate.touch()
    held.get(LONG)
    with pytest.raises(RuntimeError, match="already done"):
        held.abort()
    with pytest.raises(UsageError, match="belongs to another client"):
        rc.abort("someone-t5")


def test_running_work_can_be_interrupted(view: LoadBalancedView, gate: Path) -> None:
    held = hold_all(view, gate)
    ranks = held.interrupt()
    assert held.wait(LONG)
    assert len(ranks) <= N
    assert set(held.status) == {"aborted"}
    assert view.apply_async(abs, -1).get(LONG) == 1


def test_what_a_view_and_a_client_know(rc: Client, view: LoadBalancedView) -> None:
    result = view.map_async(abs, [-1, -2])
    assert view.wait(timeout=LONG)
    assert view.history == result.msg_ids
    assert set(result.msg_ids) <= set(rc.history)
    assert view.outstanding == set()
    assert view.results == dict(zip(result.msg_ids, [1, 2], strict=True))
    assert view.metadata[result.msg_ids[1]]["engine_id"] == result.engine_id[1]
    again = rc.get_result(result.msg_ids)
    assert again.get(LONG) == [1, 2]
    assert rc.get_result(result.msg_ids[1]).get(LONG) == 2
    assert rc.wait(result, LONG)
    view.purge_results(result)
    assert view.results == {}


def test_what_the_hub_knows(rc: Client, view: LoadBalancedView, gate: Path) -> None:
    with view.temp_flags(label="asked"):
        result = view.apply_async(mark, "/dev/null")
    result.get(LONG)
    wait_until(
        lambda: rc.db_query({"label": "asked"}) != [], LONG, "the journal has the task"
    )
    (record,) = rc.db_query({"msg_id": result.msg_id})
    assert record["engine_id"] == result.engine_id
    assert record["completed"] >= record["started"] >= record["submitted"]
    assert result.msg_id in rc.hub_history()
    held = hold_all(view, gate)
    behind = view.apply_async(abs, 1)
    wait_until(lambda: _tasks_held(rc) >= N, LONG, "the ranks have the tasks")
    status = rc.result_status([result.msg_id, *held.msg_ids, behind.msg_id])
    assert status["completed"] == [result.msg_id]
    assert set(status["pending"]) == {*held.msg_ids, behind.msg_id}
    verbose = rc.queue_status(verbose=True)
    known = set(verbose["unassigned"])
    for engine in rc.ids:
        known |= set(verbose[engine]["tasks"])
    assert {*held.msg_ids, behind.msg_id} <= known
    gate.touch()
    assert held.wait(LONG)
    assert behind.wait(LONG)
    assert rc.queue_status(0)["completed"] > 0
    with pytest.raises(UsageError, match="arguments of tasks are not kept"):
        rc.resubmit(result.msg_id)


def _tasks_held(rc: Client) -> int:
    status = rc.queue_status()
    return sum(status[engine]["tasks"] for engine in rc.ids)


def test_another_client_gets_what_was_asked_here(
    rc: Client, view: LoadBalancedView, gate: Path
) -> None:
    result = view.apply_async(wait_for, str(gate), [1, 2])
    ended = view.apply_async(abs, -4)
    ended.get(LONG)
    with Client(rc.link.connection) as other:
        assert other.get_result(ended.msg_id).get(LONG) == 4
        there = other.get_result(result.msg_id)
        assert not there.wait(0.2)
        gate.touch()
        assert there.get(LONG) == [1, 2]
        assert there.engine_id == result.engine_id
        assert there.msg_ids == result.msg_ids


def test_a_result_outlives_its_client(rc: Client) -> None:
    with Client(rc.link.connection) as other:
        result = other.load_balanced_view().map_async(abs, [-1, -2])
        result.get(LONG)
        open_ = other.load_balanced_view().apply_async(time.sleep, 0.3)
    with pytest.raises(HubUnreachable):
        open_.get(LONG)
    assert rc.get_result(result.msg_ids).get(LONG) == [1, 2]
    assert rc.get_result(open_.msg_id).get(LONG) is None


def test_output_is_shown(view: LoadBalancedView, capsys: pytest.CaptureFixture[str]):
    @_of_main
    def speak(x: int) -> None:
        print("this is", x)

    result = view.map_async(speak, range(3))
    with result.stream_output():
        result.get(LONG)
    shown = capsys.readouterr().out
    assert all(f"this is {x}\n" in shown for x in range(3))
    assert f"[stdout:{result.engine_id[0]}]" in shown
    assert result.stdout == [f"this is {x}\n" for x in range(3)]
    result.display_outputs()
    assert "this is 1" in capsys.readouterr().out
    view.apply_async(speak, 7).display_outputs()
    assert capsys.readouterr().out == "this is 7\n"


# -- other faces


def test_the_view_as_an_executor(rc: Client) -> None:
    view = rc.load_balanced_view([1])
    with view.executor as ex:
        assert ex.submit(here).result(LONG) == rc[1].apply_sync(here)
        assert list(ex.map(abs, [-1, -2])) == [1, 2]


def test_joblib_runs_on_the_view(rc: Client) -> None:
    joblib = pytest.importorskip("joblib")
    from steer.bridges.joblib import register

    view = rc.load_balanced_view([0, 2])
    view.register_joblib_backend()
    try:
        for name in ("steer", "ipyparallel"):
            with joblib.parallel_config(backend=name):
                pids = joblib.Parallel(n_jobs=2)(joblib.delayed(here)() for _ in "ab")
            assert set(pids) <= set(rc[[0, 2]].apply_sync(here))
    finally:
        register()  # the name means nobody's ranks again


def test_a_callback_may_ask_for_more(view: LoadBalancedView) -> None:
    heard: list[Any] = []

    def ask(first: Any) -> None:
        second = view.apply_async(abs, first.get() - 3)
        heard.append((threading.current_thread().name, second.get(LONG)))

    view.apply_async(abs, -1).add_done_callback(ask)
    view.map_async(abs, [-1]).split()[0].add_done_callback(ask)
    wait_until(lambda: len(heard) == 2, LONG, "the callbacks ran")
    assert heard == [("steer-callbacks", 2)] * 2


def test_nobody_keeps_what_is_over(view: LoadBalancedView) -> None:
    class Big(bytearray):
        pass

    result = view.apply_async(len, bytes(1 << 20))
    result.get(LONG)
    gone = weakref.ref(result)
    del result
    gc.collect()
    assert gone() is None

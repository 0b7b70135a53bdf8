"""Results: waiting, values, errors, parts, and what happens when the hub is gone."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION

import numpy
import pytest

from steer.client.asyncresult import AsyncResult
from steer.client.client import Client
from steer.errors import CompositeError, EngineError, HubUnreachable, TaskAborted
from steer.testing.waiting import wait_until
from steer.wire.frames import pack
from steer.wire.messages import ErrorInfo, Part

from .acting import ActingLink, acting, raises_composite

Acting = tuple[Client, ActingLink]


@pytest.fixture
def four() -> Iterator[Acting]:
    with acting(4) as pair:
        yield pair


def boom(x):
    raise ValueError(f"no {x}")


def test_one_engine_gives_a_value_and_a_list_of_one_a_list(four: Acting) -> None:
    rc, _ = four
    assert rc[0].apply_sync(abs, -3) == 3
    assert rc[[0]].apply_sync(abs, -3) == [3]


def test_equal_answers_give_each_engine_an_object_of_its_own(four: Acting) -> None:
    rc, _ = four
    values = rc[:].apply_sync(list, [1, 2])
    values[0].append(3)
    assert values == [[1, 2, 3], [1, 2], [1, 2], [1, 2]]


def test_equal_arrays_do_not_share_memory_and_are_writable(four: Acting) -> None:
    rc, _ = four
    arrays = rc[:].apply_sync(numpy.zeros, 10_000)
    for i, array in enumerate(arrays):
        array[0] = i
    assert [array[0] for array in arrays] == [0, 1, 2, 3]


def test_a_value_is_made_once(four: Acting) -> None:
    rc, _ = four
    result = rc[:].apply_async(list, [1])
    assert result.get()[2] is result.get()[2]
    assert result.get()[2] is result.split()[2].get()


def test_errors_of_many_come_together_and_of_one_alone(four: Acting) -> None:
    rc, _ = four
    with pytest.raises(CompositeError) as several:
        rc[:].apply_sync(boom, 7)
    assert str(several.value) == (
        "one or more exceptions raised in: boom\n"
        + "\n".join(f"[{e}:apply]ValueError: no 7" for e in range(4))
    )
    with pytest.raises(ValueError, match=r"\[2:apply\] ValueError: no 7"):
        rc[2].apply_sync(boom, 7)


def test_an_exception_that_was_returned_is_a_value(four: Acting) -> None:
    rc, _ = four
    values = rc[:].apply_sync(ValueError, "mine")
    assert [str(v) for v in values] == ["mine"] * 4
    assert isinstance(rc[0].apply_async(ValueError, "mine").get(), ValueError)


def test_errors_as_values_when_asked_for(four: Acting) -> None:
    rc, _ = four
    result = rc[:].apply_async(boom, 1)
    errors = result.get(return_exceptions=True)
    assert [type(e).__name__ for e in errors] == ["RemoteError"] * 4
    assert not result.successful()
    assert result.status == ["error"] * 4
    assert repr(result) == "<AsyncResult(boom): failed>"


def test_raising_again_does_not_pile_up_tracebacks(four: Acting) -> None:
    rc, _ = four
    result = rc[0].apply_async(boom, 1)
    depths = []
    for _ in range(3):
        with pytest.raises(ValueError, match="no 1") as caught:
            result.get()
        depths.append(len(caught.traceback))
    assert depths[0] == depths[1] == depths[2]


def test_an_abort_is_raised_as_what_it_is(four: Acting) -> None:
    rc, link = four
    link.hold = True
    result = rc[:].apply_async(abs, 1)
    result.abort()
    assert link.aborted == [((result.msg_ids[0].rpartition("_")[0],), "0-3")]
    info = ErrorInfo("TaskAborted", "Task aborted before it started.")
    part = Part("0-3", "aborted", 1, (0.0,) * 4, (0.0,) * 4)
    link.settled()
    (pending,) = link.core.pending.values()
    link._deliver(pending, [(part, [pack(info)])])
    with pytest.raises(TaskAborted):
        result.get(5)
    assert result.status == ["aborted"] * 4
    with pytest.raises(RuntimeError, match="Can't abort, I am already done!"):
        result.abort()


# -- waiting


def test_timeouts_are_pythons_and_the_result_stays_valid(four: Acting) -> None:
    rc, link = four
    link.hold = True
    result = rc[:].apply_async(abs, -1)
    for call in (result.get, result.result, result.exception, result.get_dict):
        with pytest.raises(TimeoutError, match=r"Result not ready\."):
            call(timeout=0.001)
    assert result.wait(0) is False
    assert not result.ready()
    assert repr(result) == "<AsyncResult(abs): pending>"
    with pytest.raises(RuntimeError, match=r"Cannot check successful\(\) if not done"):
        result.successful()
    with pytest.raises(TimeoutError, match="result not ready"):
        _ = result.wall_time
    link.settled()
    link.release()
    assert result.wait(5) is True
    assert result.r == [1, 1, 1, 1]


def test_elements_come_as_soon_as_they_are_here(four: Acting) -> None:
    rc, link = four
    link.hold = link.split_answers = True
    result = rc[:].apply_async(abs, -1)
    link.settled()
    elements = iter(result)
    link.release_one()
    assert next(elements) == 1
    assert not result.done()
    assert wait_until(lambda: result.progress == 1, 5, "one answer")
    link.release()
    assert list(elements) == [1, 1, 1]


def test_the_first_to_finish_and_the_first_to_fail(four: Acting) -> None:
    rc, link = four
    link.hold = link.split_answers = True
    result = rc[:].apply_async(lambda: 1 / 0)
    link.settled()
    link.release_one()
    done, pending = result.wait(5, return_when=FIRST_COMPLETED)
    assert (len(done), len(pending)) == (1, 3)
    assert all(part.done() for part in done)
    with raises_composite("[0:apply]ZeroDivisionError"):
        result.get(5, return_when=FIRST_EXCEPTION)
    (last,) = [p for p in pending if p.engine_id == 3]
    threading.Timer(0.01, link.release).start()
    with pytest.raises(ZeroDivisionError):
        last.get(5)
    with pytest.raises(ValueError, match="return_when is ALL_COMPLETED"):
        result.wait(return_when="soon")


def test_a_part_finishes_with_its_engine_not_with_the_whole(four: Acting) -> None:
    rc, link = four
    link.hold = link.split_answers = True
    parts = rc[:].apply_async(abs, -1).split()
    link.settled()
    link.release_one()
    done, _ = concurrent.futures.wait(parts, 5, FIRST_COMPLETED)
    assert done == {parts[0]}
    assert parts[0].get() == 1
    link.release()
    assert not concurrent.futures.wait(parts, 5).not_done


def test_joined_results_are_one(four: Acting) -> None:
    rc, link = four
    link.hold = True
    joined = AsyncResult.join(rc[:].apply_async(abs, -1), rc[:2].apply_async(abs, -2))
    assert not joined.wait(0)
    link.settled()
    link.release()
    assert joined.get(5) == [1, 1, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="Cannot build dict, 2 jobs ran on engine #0"):
        joined.get_dict()
    with pytest.raises(ValueError, match="at least one AsyncResult to join"):
        AsyncResult.join()


def test_a_lost_hub_wakes_all_who_wait_and_a_later_get_finds_the_result(
    four: Acting,
) -> None:
    rc, link = four
    link.hold = True
    result = rc[:].apply_async(abs, -1)
    joined = AsyncResult.join(result, rc[0].apply_async(abs, -2))
    caught: list[BaseException] = []

    def wait(future: AsyncResult) -> None:
        try:
            future.get(30)
        except HubUnreachable as error:
            caught.append(error)

    waiting = [
        threading.Thread(target=wait, args=[f])
        for f in (result, joined, result.split()[1])
    ]
    for thread in waiting:
        thread.start()
    link.settled()
    began = time.monotonic()
    link.cut()
    for thread in waiting:
        thread.join(10)
    assert len(caught) == 3
    assert time.monotonic() - began < 3
    with pytest.raises(HubUnreachable):
        result.wait(5)
    link.mend()
    link.release()
    assert result.get(5) == [1, 1, 1, 1]
    assert joined.get(5) == [1, 1, 1, 1, 2]


def test_a_dead_engine_fails_its_part_and_says_so(four: Acting) -> None:
    rc, link = four
    link.hold = link.split_answers = True
    result = rc[:].apply_async(abs, -1)
    link.settled()
    link.leave(2, "Engine 2 on node1 was killed by SIGKILL.")
    link.release()
    with pytest.raises(CompositeError) as caught:
        result.get(5)
    assert isinstance(caught.value.exceptions[0], EngineError)
    assert "killed by SIGKILL" in str(caught.value)
    assert result.get(return_exceptions=True)[3] == 1


def test_a_refused_request_raises_what_the_hub_said(four: Acting) -> None:
    rc, link = four
    link.hold = True
    result = rc[:].apply_async(abs, -1)
    (pending,) = link.core.pending.values()
    link.settled()
    pending.sink.refused(ErrorInfo("ProtocolError", "Too large."))
    with pytest.raises(Exception, match=r"Too large\."):
        result.get(5)


# -- as a future


def test_it_is_a_future(four: Acting) -> None:
    rc, _ = four
    results = [rc[:].apply_async(abs, i) for i in range(3)]
    done = list(concurrent.futures.as_completed(results, 5))
    assert sorted(r.result()[0] for r in done) == [0, 1, 2]
    assert results[0].exception() is None
    assert not results[0].cancelled()
    assert not results[0].running()
    called: list[object] = []
    results[0].add_done_callback(called.append)
    assert called == [results[0]]
    failed = rc[:].apply_async(boom, 1)
    assert isinstance(failed.exception(5), CompositeError)


def test_it_can_be_awaited(four: Acting) -> None:
    rc, link = four

    async def main() -> list[object]:
        link.hold = True
        slow = rc[:].apply_async(abs, -1)
        link.settled()
        asyncio.get_running_loop().call_later(0.001, link.release)
        quick = await asyncio.wrap_future(rc[0].apply_async(abs, -2))
        return [await slow, quick]

    assert asyncio.run(main()) == [[1, 1, 1, 1], 2]


def test_awaiting_raises_the_error(four: Acting) -> None:
    rc, _ = four

    async def main() -> None:
        await rc[0].apply_async(boom, 3)

    with pytest.raises(ValueError, match="no 3"):
        asyncio.run(main())


# -- indexing, data and displays


def test_indexing(four: Acting) -> None:
    rc, _ = four
    rc[:].execute("r = rank", block=True)
    result = rc[:].pull("r")
    assert (result[0], result[-1], result[1:3], len(result)) == (0, 3, [1, 2], 4)
    assert list(result) == [0, 1, 2, 3]
    assert result.get_dict() == result.result_dict == {0: 0, 1: 1, 2: 2, 3: 3}
    with pytest.raises(TypeError, match="Invalid key type <class 'float'>"):
        result[1.5]
    with pytest.raises(TypeError, match="with a single result are not iterable"):
        iter(rc[0].pull("r"))


def test_only_the_asked_for_engines_errors_are_raised(four: Acting) -> None:
    rc, _ = four
    result = rc[:].execute("1 / (rank - 2)")
    result.wait(5)
    assert result[0].execution_count == 1
    with raises_composite("[2:execute]ZeroDivisionError"):
        result[1:]


def test_published_data_merges_while_it_runs(four: Acting) -> None:
    rc, link = four
    link.hold = True
    result = rc[0].execute("publish({'a': 1})\npublish({'b': 2})\npublish({'a': 3})")
    wait_until(lambda: result.data == {"a": 3, "b": 2}, 5, "the data")
    assert not result.done()
    link.release()


def test_displays_are_kept_and_updated_in_place(four: Acting) -> None:
    rc, _ = four
    result = rc[0].execute(
        "show({'text/plain': 'a'}, {}, {'display_id': 'd'}, False)\n"
        "show({'text/plain': 'b'}, {}, {}, False)\n"
        "show({'text/plain': 'c'}, {}, {'display_id': 'd'}, True)"
    )
    result.get(5)
    assert [o["data"]["text/plain"] for o in result.outputs] == ["c", "b"]


# -- memory


def test_a_dropped_result_goes_at_once(four: Acting) -> None:
    rc, link = four
    result = rc[:].apply_async(numpy.zeros, 10_000)
    array = weakref.ref(result.get(5)[0])
    link.settled()
    gc.collect()
    gc.disable()
    try:
        del result
        assert array() is None
    finally:
        gc.enable()


def test_arguments_may_be_changed_when_sent_says_so(four: Acting) -> None:
    rc, link = four
    link.hold = True
    result = rc[:].push({"a": 1})
    assert result.sent
    link.shares = False
    assert not result.sent
    with pytest.raises(TimeoutError, match="Still waiting to be sent"):
        result.wait_for_send(0)
    link.settled()
    link.release()
    result.wait_for_send(5)

"""What the tasks of a client promise besides the executor's letter."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import Future, wait
from pathlib import Path

import pytest

from steer.client import link
from steer.client.cluster import Cluster
from steer.errors import EngineError, HubUnreachable, NoEnginesRegistered
from steer.testing import wait_until


@pytest.fixture(scope="module")
def rc(private_home):
    with Cluster(n=2, engines="local", cluster_id="tasks") as client:
        yield client


@pytest.fixture
def ex(rc):
    with rc.executor() as executor:
        yield executor


def test_a_future_can_be_awaited(ex):
    async def main():
        first = await ex.submit(pow, 2, 3)
        with pytest.raises(ZeroDivisionError):
            await ex.submit(divmod, 1, 0)
        return first, await asyncio.gather(*(asyncio.wrap_future(f) for f in more))

    more = [ex.submit(abs, -i) for i in range(3)]
    assert asyncio.run(main()) == (8, [0, 1, 2])


@pytest.mark.parametrize("size", [1, 4_000, 8_000, 40_000, 400_000])
def test_arguments_are_what_they_were_at_the_call(ex, tmp_path, size):
    np = pytest.importorskip("numpy")
    go = tmp_path / "go"

    def wait():
        import time

        while not go.exists():
            time.sleep(0.005)

    busy = [ex.submit(wait) for _ in range(ex.num_workers * 2)]
    numbers = np.zeros(size)
    future = ex.submit(np.sum, numbers)
    numbers[:] = 1
    go.touch()
    assert future.result(10) == 0
    assert [f.result(10) for f in busy] == [None] * len(busy)


def test_what_waits_for_a_future_of_another_kind_can_be_cancelled(ex, tmp_path):
    ran = tmp_path / "ran"
    awaited: Future[object] = Future()
    future = ex.submit(lambda path: path.touch(), awaited)
    assert future.cancel()
    assert future.cancelled()
    awaited.set_result(ran)
    assert ex.submit(pow, 2, 3).result(10) == 8  # it would have run before
    assert not ran.exists()
    assert not ex._state.pending


def test_nothing_is_open_when_all_have_ended(rc, ex):
    futures = [ex.submit(pow, i, 2) for i in range(2_000)]
    assert [f.result(10) for f in futures] == [i * i for i in range(2_000)]
    wait_until(lambda: rc.link.tasks.unfinished == 0, 5, "all tasks to be forgotten")
    assert not rc.link.tasks._list.sent


def run_program(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip


def test_a_program_ends_when_its_calls_have(tmp_path):
    done = run_program(f"""
        import time
        import steer

        def slow(path):
            time.sleep(0.5)
            open(path, "w").close()

        ex = steer.Executor(n=1, engines="local", cluster_id="ends")
        for i in range(3):
            ex.submit(slow, {str(tmp_path)!r} + f"/{{i}}")
    """)
    assert done.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]


def test_nothing_can_be_submitted_when_the_program_has_ended():
    done = run_program("""
        import atexit

        @atexit.register
        def late():
            try:
                ex.submit(pow, 2, 3)
            except RuntimeError as error:
                print(error)

        import steer

        ex = steer.Executor(max_workers=1, engines="local", cluster_id="late")
        print(ex.submit(pow, 2, 3).result())
    """)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "8", "cannot schedule new futures after interpreter shutdown",
    ]  # fmt: skip


def test_a_future_may_wait_for_one_that_waits_for_a_stranger(ex):
    stranger: Future[int] = Future()
    first = ex.submit(pow, stranger, 2)
    second = ex.submit(divmod, first, 4)
    stranger.set_result(3)
    assert second.result(10) == (2, 1)


def test_large_arguments_that_wait_do_not_use_up_descriptors(ex, tmp_path):
    go = tmp_path / "go"

    def wait():
        import time

        while not go.exists():
            time.sleep(0.005)

    def descriptors() -> int:
        """Of shared memory; sockets have others."""
        found = 0
        for file in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found += "/memfd:steer" in str(file.readlink())
        return found

    before = descriptors()
    busy = [ex.submit(wait) for _ in range(ex.num_workers)]
    futures = [ex.submit(len, bytes(1 << 20)) for _ in range(300)]
    assert 0 < descriptors() - before < 200
    assert all(future.cancel() for future in futures[250:])
    go.touch()
    assert [f.result(30) for f in futures[:250]] == [1 << 20] * 250
    assert [f.result(10) for f in busy] == [None] * len(busy)
    wait_until(lambda: descriptors() == before, 10, "descriptors to be closed")


def test_a_memory_knows_futures_by_their_values(ex, tmp_path):
    ran = tmp_path / "ran"

    def f(x):
        with ran.open("a") as file:
            file.write("x")
        return x + 1

    known = ex.options(memo=True)
    assert known.submit(f, ex.submit(pow, 2, 3)).result(10) == 9
    wait_until(lambda: known.submit(f, 8).result(10) == 9, 10, "the value")
    first = ran.read_text()
    assert known.submit(f, ex.submit(pow, 2, 3)).result(10) == 9
    assert known.submit(f, 8).result(10) == 9
    assert ran.read_text() == first


def test_what_cannot_be_pickled_fails_its_future_with_a_memory_too(ex):
    error = ex.options(memo=True).submit(id, threading.Lock()).exception(10)
    assert isinstance(error, TypeError)


def test_who_waits_hears_that_no_engine_is_left(private_home, monkeypatch):
    monkeypatch.setattr(link, "ALONE_AFTER", 0.3)
    with Cluster(n=1, engines="local", cluster_id="alone") as client:
        ex = client.executor()
        lost = ex.submit(os._exit, 3)
        with pytest.raises(EngineError, match="exited with status 3"):
            lost.result(10)
        wait_until(lambda: not client.ids, 10, "the engine to be gone")
        waits = ex.submit(pow, 2, 3)
        with pytest.raises(NoEnginesRegistered, match=r"^No engine is left: .*3\."):
            waits.result(20)
        client.cluster.start_engines_sync(1)
        client.wait_for_engines(1, timeout=20)
        assert waits.result(20) == 8
        ex.submit(os._exit, 3).exception(10)
        wait_until(lambda: not client.ids, 10, "the engine to be gone")
        ex.submit(pow, 2, 3)
        ex.shutdown(wait=True)  # returns: nobody could end it


def test_a_bug_in_the_thread_that_receives_fails_what_waits(private_home, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a bug")

    with Cluster(n=1, engines="local", cluster_id="bug") as client:
        tasks = client.link.tasks
        monkeypatch.setattr(tasks, "heard", fail)
        monkeypatch.setattr(threading, "excepthook", lambda _: None)
        future = client.executor().submit(pow, 2, 3)
        done, _ = wait([future], 10)
        assert done == {future}
        with pytest.raises(HubUnreachable, match=r"I/O thread failed: .*a bug"):
            future.result(0)

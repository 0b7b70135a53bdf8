"""A hub with real engines and tasks: what is killed, and what goes on."""

from __future__ import annotations

import collections
import functools
import os
import signal
import time
from concurrent.futures import wait
from pathlib import Path

import pytest

from steer.client.futures import TaskFuture
from steer.client.link import Link
from steer.errors import EngineError
from steer.testing import wait_until
from steer.wire import payload
from steer.wire.messages import TaskOptions

from .hubs import Cluster, run, wait_gone

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

N = 3


@pytest.fixture
def cluster():
    cluster = Cluster()
    cluster.start("--start", "local", "--n", str(N))
    yield cluster
    cluster.stop()


def append(folder: str, number: int) -> int:
    """Leave a trace: one line, written at once."""
    path = os.path.join(folder, f"{os.getpid()}")
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, b"%d\n" % number)
    os.close(fd)
    time.sleep(0.0005)
    return number


def traces(folder: Path) -> collections.Counter[int]:
    """How often each task ran."""
    text = "".join(path.read_text() for path in folder.iterdir())
    return collections.Counter(map(int, text.split()))


def sleep_long() -> None:
    time.sleep(60)


def values(futures: list[TaskFuture], seconds: float) -> list[object]:
    left = wait(futures, seconds).not_done
    assert not left, f"{len(left)} of {len(futures)} tasks have not ended"
    return [future.result() for future in futures]


def running(link: Link) -> dict[int, list[str]]:
    facts = link.wait(link.ask("tasks"))
    return {e["engine"]: e["tasks"] for e in facts["engines"]}


def test_a_hub_killed_in_the_middle_of_ten_thousand_tasks(cluster, tmp_path):
    link = cluster.link(N)
    call = functools.partial(append, str(tmp_path))
    futures = [link.tasks.submit(call, (i,)) for i in range(10_000)]
    wait_until(lambda: sum(f.done() for f in futures) > 2000, 30, "some outcomes")
    cluster.kill_hub()
    before = sum(f.done() for f in futures)
    cluster.start("--restore")
    assert values(futures, 60) == list(range(10_000))
    assert before < 10_000
    assert traces(tmp_path) == collections.Counter(range(10_000))


def test_what_was_long_running_goes_on_and_large_values_come(cluster):
    link = cluster.link(N)

    def slow(data: bytes) -> bytes:
        import time

        time.sleep(1.0)
        return data[::-1]

    data = bytes(range(256)) * 8000
    futures = [link.tasks.submit(slow, (data,)) for _ in range(N)]
    wait_until(lambda: all(running(link).values()), 10, "all to be busy")
    cluster.kill_hub()
    cluster.start("--restore")
    began = time.monotonic()
    assert values(futures, 20) == [data[::-1]] * N
    assert time.monotonic() - began < 5  # nobody waits once all engines are back


def test_a_killed_engine_loses_what_it_ran_within_a_second(cluster):
    link = cluster.link(N)
    pids = {engine.id: engine.pid for engine in link.core.engines.values()}
    lost = link.tasks.submit(sleep_long, (), None, TaskOptions(targets="1"))
    wait_until(lambda: running(link)[1], 10, "engine 1 to be busy")
    began = time.monotonic()
    os.kill(pids[1], signal.SIGKILL)
    with pytest.raises(EngineError, match="killed by SIGKILL"):
        lost.result(10)
    assert time.monotonic() - began < 1
    assert values([link.tasks.submit(pow, (2, i)) for i in range(50)], 10)


def test_what_a_killed_engine_ran_is_tried_again_elsewhere(cluster, tmp_path):
    link = cluster.link(N)

    def die_once(folder: str) -> int:
        import os
        import signal

        try:
            os.close(os.open(os.path.join(folder, "died"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return 7
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    futures = [link.tasks.submit(pow, (2, 3)) for _ in range(100)]
    futures.append(
        link.tasks.submit(die_once, (str(tmp_path),), None, TaskOptions(retries=1))
    )
    assert values(futures, 20) == [8] * 100 + [7]


@pytest.mark.slow
def test_a_task_over_its_time_is_interrupted_and_if_it_does_not_stop_killed(cluster):
    link = cluster.link(N)

    def stubborn() -> None:
        import time

        while True:
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                pass

    limit = TaskOptions(timeout=0.3)
    began = time.monotonic()
    soft = link.tasks.submit(sleep_long, (), None, limit)
    hard = link.tasks.submit(stubborn, (), None, limit)
    with pytest.raises(TimeoutError, match="longer than"):
        soft.result(10)
    assert time.monotonic() - began < 2
    with pytest.raises(TimeoutError, match="longer than"):
        hard.result(20)
    assert time.monotonic() - began < 8
    assert values([link.tasks.submit(pow, (2, 3))], 10) == [8]


def test_what_a_client_left_can_be_looked_up(cluster):
    link = cluster.link(N)
    future = link.tasks.submit(lambda: "x" * 100_000)
    other = cluster.link(N)
    name = f"{link.client}-t{future.id}"
    link.close()

    def found() -> bool:
        records = other.wait(other.ask("fetch", msg_ids=[name]))["records"]
        return bool(records and records[0]["result_buffers"])

    wait_until(found, 10, "the outcome in the journal")
    (record,) = other.wait(other.ask("fetch", msg_ids=[name]))["records"]
    assert record["status"] == "ok"
    assert payload.loads(record["result_buffers"]) == "x" * 100_000
    facts = other.wait(other.ask("tasks"))
    assert link.client not in facts["clients"]


def test_tasks_and_requests_share_the_engines(cluster):
    link = cluster.link(N)
    futures = [link.tasks.submit(pow, (2, i)) for i in range(500)]
    sink = run(link, "execute", [b"x = 1"]).wait(10)
    assert not sink.errors()
    assert values(futures, 10) == [2**i for i in range(500)]


def test_an_engine_that_dies_is_started_again_if_that_is_wanted():
    cluster = Cluster(respawn=True)
    cluster.start("--start", "local", "--n", "1")
    try:
        link = cluster.link(1)
        future = link.tasks.submit(os._exit, (3,))
        with pytest.raises(EngineError, match="exited with status 3"):
            future.result(10)
        assert link.tasks.submit(pow, (2, 3)).result(15) == 8
        cluster.kill_hub()
        cluster.start("--restore")
        with pytest.raises(EngineError):
            link.tasks.submit(os._exit, (3,)).result(15)
        assert link.tasks.submit(pow, (2, 3)).result(15) == 8
    finally:
        cluster.stop()


def test_the_last_engine_may_die(cluster):
    link = cluster.link(N)
    pids = [engine.pid for engine in link.core.engines.values()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_gone(pids, 5)
    wait_until(lambda: not link.core.engines, 5, "the client to know")
    future = link.tasks.submit(pow, (2, 3))
    link.wait(link.ask("start", recipe="local", n=1))
    assert future.result(15) == 8

"""Real ranks, and what is killed of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest

from steer.client.link import Link
from steer.config import Connection
from steer.hosts import host_name
from steer.testing import wait_until
from steer.wire import payload

from .hubs import Cluster, run, wait_gone

pytestmark = pytest.mark.mpi

N = 3
SLEEP = [b"import time; time.sleep(60)"]


@pytest.fixture
def cluster():
    cluster = Cluster()
    cluster.start("--start", "mpiexec", "--n", str(N))
    yield cluster
    cluster.stop()


def value(link: Link, name: str, targets=None) -> dict[str, object]:
    """A variable's value, by ranks."""
    sink = run(link, "pull", payload.dumps(name), targets).wait(15)
    assert not sink.errors(), sink.errors()
    return {part.ranks: payload.loads(frames) for part, frames in sink.parts}


def busy(link: Link, rank: int) -> None:
    """Wait until a rank owes an answer."""

    def owes() -> bool:
        queues = dict(link.wait(link.ask("queue"))["engines"])
        return bool(queues.get(rank))

    wait_until(owes, 10, f"rank {rank} to be busy")


def test_a_killed_rank_is_named_in_what_it_owed(cluster):
    link = cluster.link(N)
    pids = {engine.id: engine.pid for engine in link.core.engines.values()}
    sink = run(link, "execute", SLEEP, [2])
    busy(link, 2)
    began = time.monotonic()
    os.kill(pids[2], signal.SIGKILL)
    sink.wait(5)
    took = time.monotonic() - began
    name, text = sink.errors()["2"]
    assert name == "EngineError"
    assert text == f"Engine 2 (rank 2 of {N} on {host_name()}) was killed by SIGKILL."
    assert took < 1, f"it took {took:.2f} s"


@pytest.mark.either_mpi
def test_a_restarted_hub_has_lost_nothing(cluster):
    link = cluster.link(N)
    run(link, "execute", [b"x = 42"]).wait(15)
    finished = run(link, "apply", payload.dumps_call(pow, (2, 5), {})).wait(15)
    number = link.core.sent
    large = np.arange(200_000.0)
    run(link, "push", payload.dumps_names({"large": large})).wait(15)
    running = run(link, "execute", [b"import time; time.sleep(0.8); print('done')"])
    busy(link, 0)
    known = f"{link.client}-{number}_0"
    wait_until(
        lambda: link.wait(link.ask("fetch", msg_ids=[known]))["records"], 5, "a record"
    )
    cluster.kill_hub()
    waiting = run(link, "pull", payload.dumps("x"), [0, 1, 2])
    pulling = run(link, "pull", payload.dumps("large"), [1])
    cluster.start("--restore")
    running.wait(15)
    assert not running.errors()
    assert {text for _, text in running.outputs} <= {b"done\n"}
    waiting.wait(15)
    assert {payload.loads(frames) for _, frames in waiting.parts} == {42}
    np.testing.assert_array_equal(payload.loads(pulling.wait(15).parts[0][1]), large)
    assert value(link, "x") == {"0-2": 42}
    assert len(finished.parts[0][1]) == 1
    (record,) = link.wait(link.ask("fetch", msg_ids=[known]))["records"]
    assert payload.loads(record["result_buffers"]) == 32
    assert sorted(link.core.engines) == [0, 1, 2]


CLIENT = """
import sys, time
from steer.client.link import Link
from steer.config import Connection
from steer.wire import payload
class Sink:
    def __getattr__(self, name): return lambda *_: None
link = Link(Connection.read(sys.argv[1]))
with link.changed:
    assert link.changed.wait_for(lambda: len(link.core.engines) == int(sys.argv[2]), 20)
code = b"import time; time.sleep(0.5)"
link.submit("execute", [0, 1], [code], Sink())
pending = link.submit("pull", [1], payload.dumps(["big", "big"]), Sink())
print(pending.submit.id, flush=True)
time.sleep(60)
"""


@pytest.mark.either_mpi
def test_the_results_of_a_killed_client_are_in_the_journal(cluster):
    link = cluster.link(N)
    big = np.arange(100_000.0)
    run(link, "push", payload.dumps_names({"big": big})).wait(15)
    other = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(cluster.files.connection), str(N)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    number = other.stdout.readline().strip()
    busy(link, 1)
    other.kill()
    other.wait(5)
    other.stdout.close()

    def finished() -> list[dict]:
        found = link.wait(link.ask("fetch", msg_ids=[f"{number}_1"]))["records"]
        return [r for r in found if r["status"] == "ok" and r["result_buffers"]]

    (record,) = wait_until(finished, 10, "the result to be in the journal")
    np.testing.assert_array_equal(payload.loads(record["result_buffers"])[1], big)


def test_no_rank_outlives_its_launcher(cluster):
    link = cluster.link(N)
    pids = [engine.pid for engine in link.core.engines.values()]
    sink = run(link, "execute", SLEEP)
    busy(link, 0)
    os.kill(cluster.launcher(), signal.SIGKILL)
    wait_gone(pids, 5)
    sink.wait(5)
    assert {name for name, _ in sink.errors().values()} == {"EngineError"}
    with link.changed:
        assert link.changed.wait_for(lambda: not link.core.engines, 5)


def test_large_arrays_leave_no_memory_behind(cluster):
    link = cluster.link(N)
    hub = cluster.hub.pid

    def held() -> int:
        links = (
            os.readlink(f"/proc/{hub}/fd/{fd}") for fd in os.listdir(f"/proc/{hub}/fd")
        )
        return sum("memfd:steer " in f"{name} " for name in links)

    before = held()
    array = np.arange(100_000.0)
    for _ in range(5):
        run(link, "push", payload.dumps_names({"a": array})).wait(15)
        got = run(link, "pull", payload.dumps("a")).wait(15)
        for _, frames in got.parts:
            mine = payload.loads(frames)
            mine[0] = 1
            assert mine[1] == 1
    wait_until(lambda: held() == before, 5, "the hub to let go of its memory")


@pytest.mark.either_mpi
@pytest.mark.parametrize("text", [r"'\udcff'", r"'\0'", r"'\U0001f40d'"])
def test_text_that_is_hard_to_encode(cluster, text):
    link = cluster.link(N)
    sink = run(link, "execute", [f"raise ValueError({text})".encode()]).wait(15)
    assert {name for name, _ in sink.errors().values()} == {"ValueError"}
    call = payload.dumps_call(eval, (f"int({text})",), {})
    sink = run(link, "apply", call).wait(15)
    assert {name for name, _ in sink.errors().values()} == {"ValueError"}
    for code in (f"print({text})", f"display({text})", f"open({text})", text):
        run(link, "execute", [code.encode()]).wait(15)
    run(link, "execute", [f"x = {text}".encode()]).wait(15)
    assert list(value(link, "x").values()) == [eval(text)]


@pytest.mark.either_mpi
def test_the_connection_file_tells_of_the_hub(cluster):
    cluster.link(N)
    connection = Connection.read(cluster.files.connection)
    assert connection.hub_pid == cluster.hub.pid
    assert msgspec.json.encode(connection.jobs)

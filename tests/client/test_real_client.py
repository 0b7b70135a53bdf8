"""The client with real ranks: collective work, loss of ranks, hub and clients.

Run once with each MPI; the `mpi` mark also counts processes, segments and sockets.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import numpy
import pytest

import steer
from steer.client.client import Client
from steer.errors import (
    CompositeError,
    EngineError,
    HubUnreachable,
    RemoteError,
    TaskAborted,
)
from steer.reference import Reference
from steer.testing.waiting import wait_until

from .acting import raises_composite

pytestmark = pytest.mark.mpi

N = 3


@pytest.fixture
def cluster(make_cluster):
    made = make_cluster(engines="mpi", n=N)
    made.start_cluster_sync()
    return made


@pytest.fixture
def rc(cluster):
    with Client(cluster.cluster_file, cluster=cluster) as client:
        client.wait_for_engines(timeout=30)
        yield client


def test_the_first_minutes_of_a_user(rc, capsys):
    view = rc[:]
    view.execute("from mpi4py import MPI; r = MPI.COMM_WORLD.rank", block=True)
    assert view["r"] == [0, 1, 2]
    add = steer.interactive(lambda x: x + r)  # noqa: F821
    assert view.apply_sync(add, 10) == [10, 11, 12]
    view.scatter("a", range(16), block=True)
    assert view.gather("a", block=True) == list(range(16))
    total = "MPI.COMM_WORLD.allreduce(sum(a))"
    assert view[total] == [120] * N
    result = view.execute("print('rank', r)\nr * 2", silent=False)
    result.display_outputs("type")
    assert capsys.readouterr().out == (
        "[stdout:0]\nrank 0\n[stdout:1]\nrank 1\n[stdout:2]\nrank 2\n"
        "Out[0:1]: 0\nOut[1:1]: 2\nOut[2:1]: 4\n"
    )
    with raises_composite("[1:execute]ZeroDivisionError: division by zero"):
        view.execute("1/0", block=True)


class Interrupts:
    """What it is unpacked in is interrupted: before any code of the request begins."""

    def __reduce__(self):
        return signal.raise_signal, (signal.SIGINT,)


@pytest.mark.either_mpi
def test_an_interrupt_just_before_the_code_begins_is_not_lost(rc):
    rank = rc[0]
    rank.execute("begun = []", block=True)
    with pytest.raises(RemoteError, match="KeyboardInterrupt"):
        rank.apply_sync(
            lambda _, list: list.append(1), Interrupts(), Reference("begun")
        )
    assert rank["begun"] == []
    assert rank.apply_sync(pow, 2, 3) == 8


@pytest.mark.either_mpi
def test_large_arrays_come_back_writable_and_separate(rc):
    field = numpy.arange(500_000.0)
    rc[:].push({"field": field}, block=True)
    ranks = rc[:]["field"]
    for i, array in enumerate(ranks):
        array[0] = i
    assert [array[0] for array in ranks] == [0, 1, 2]
    assert (
        rc[:].apply_sync(lambda f: float(f[-1]), steer.Reference("field"))
        == [499_999.0] * N
    )
    rc[:].scatter("part", field, block=True)
    assert numpy.array_equal(rc[:].gather("part", block=True), field)


def test_output_and_data_come_while_it_runs(rc):
    code = (
        "import time, steer\n"
        "print('begun', flush=True)\n"
        "steer.publish_data({'step': 1})\n"
        "while not globals().get('go'): time.sleep(0.01)\n"
    )
    result = rc[0].execute(code)
    wait_until(lambda: "begun" in result.stdout, 5, "the text")
    wait_until(lambda: result.data == {"step": 1}, 5, "the data")
    assert not result.done()
    rc.send_signal("SIGINT", targets=0)
    with pytest.raises(RemoteError, match="KeyboardInterrupt"):
        result.get(5)


@pytest.mark.either_mpi
def test_functions_with_needs(rc):
    @rc[:].remote(block=True)
    @steer.require("colorsys", number=4)
    @steer.interactive
    def f():
        return colorsys.rgb_to_hsv(0, 0, 0)[0] + number + mine  # noqa: F821

    rc[:].push({"mine": 0.5}, block=True)
    assert f() == [4.5] * N


def test_imports_on_all_ranks(rc, capsys):
    with rc[:].sync_imports():
        import numpy as np
    assert capsys.readouterr().out == "importing numpy on engine(s)\n"
    assert rc[:]["float(np.sqrt(4))"] == [np.sqrt(4)] * N


@pytest.mark.either_mpi
def test_awaiting_many(rc):
    async def main():
        return await asyncio.gather(*(view.apply_async(abs, -1) for view in rc))

    assert asyncio.run(main()) == [1] * N


@pytest.mark.either_mpi
def test_what_has_not_started_can_be_aborted(rc):
    running = rc[:].apply_async(time.sleep, 0.5)
    waiting = rc[:].apply_async(abs, 1)
    rc.abort(waiting)
    with pytest.raises(TaskAborted):
        waiting.get(5)
    assert running.get(5) == [None] * N
    assert rc.queue_status()[0]["queue"] == 0


@pytest.mark.either_mpi
def test_another_client_gets_the_result(rc, cluster):
    result = rc[:].apply_async(time.sleep, 0.3)
    with Client(cluster.cluster_file) as other:
        theirs = other.get_result(result.msg_ids)
        assert isinstance(theirs, steer.AsyncHubResult)
        assert not theirs.ready()
        assert theirs.get(10) == [None] * N
        assert theirs.engine_id == [0, 1, 2]
        wait_until(
            lambda: set(result.msg_ids) <= set(other.hub_history()), 5, "the records"
        )
        again = other.resubmit(result.msg_ids)
        assert again.get(10) == [None] * N
        other.purge_everything()
        assert not set(result.msg_ids) & set(other.hub_history())


@pytest.mark.either_mpi
def test_work_of_a_killed_client_goes_on(rc, cluster):
    program = (
        "import sys, time, steer\n"
        "rc = steer.Client(sys.argv[1])\n"
        "result = rc[:].apply_async(lambda: (time.sleep(0.5), 'kept')[1])\n"
        "rc.queue_status()\n"  # what is answered shows that it has left the process
        "print(*result.msg_ids, flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(cluster.cluster_file)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    with child.stdout:
        msg_ids = child.stdout.readline().split()
    child.kill()
    child.wait()
    assert rc.get_result(msg_ids).get(10) == ["kept"] * N


def test_a_killed_rank_is_told_at_once(rc):
    pid = rc[1].apply_sync(os.getpid)
    result = rc[:].apply_async(time.sleep, 30)
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(CompositeError) as caught:
        result.get(10)
    assert time.monotonic() - began < 3
    assert all(isinstance(e, EngineError) for e in caught.value.exceptions)
    assert "SIGKILL" in str(caught.value)
    wait_until(lambda: rc.ids == [], 5, "the engines to be missed")


def test_a_restart_can_be_waited_for(rc, cluster):
    before = set(rc[:].apply_sync(os.getpid))
    cluster.restart_engines_sync()
    rc.wait_for_engines(N, timeout=30)
    assert not before & set(rc[:].apply_sync(os.getpid))


@pytest.mark.either_mpi
def test_a_lost_hub_is_said_and_its_return_is_enough(rc, cluster):
    rc[:].push({"kept": 7}, block=True)
    result = rc[:].apply_async(
        steer.interactive(lambda: (__import__("time").sleep(0.5), kept)[1])  # noqa: F821
    )
    os.kill(rc.link.connection.hub_pid, signal.SIGKILL)
    for call in (result.get, rc.queue_status, rc.hub_history):
        began = time.monotonic()
        with pytest.raises(HubUnreachable):
            call()
        assert time.monotonic() - began < 4
    cluster.start_controller_sync(restore=True)
    wait_until(lambda: rc.link.trouble is None, 10, "the hub")
    wait_until(lambda: len(rc) == N, 10, "the engines")
    assert result.get(10) == [7] * N
    assert rc[:]["kept"] == [7] * N

"""Calls of MPI that real ranks made: noted, told, drawn, and left no trace when off."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from steer.client.client import Client
from steer.core.tracerows import pairs
from steer.testing.waiting import wait_until

pytestmark = pytest.mark.mpi

RING = """
after, before = (rank + 1) % size, (rank - 1) % size
for step in range(3):
    comm.Sendrecv(np.zeros(100), after, 5, np.zeros(100), before, 5)
if rank == 0:
    comm.Send(np.zeros(10), dest=2, tag=8)
if rank == 2:
    comm.Recv(np.zeros(10), source=0, tag=8)
half = comm.Split(rank // 2)
half.Barrier()
total = comm.allreduce(1)
"""


@pytest.fixture
def traced(ranks: Client):
    view = ranks[:]
    assert "communicators" in view.mpi("on")
    yield view
    view.mpi("off")


def test_calls_are_noted_with_peer_tag_bytes_and_line(traced, tmp_path: Path):
    traced.execute(RING, block=True)
    told = traced.mpi("last", 100)
    ops = [row[0] for row in told.rows[0]]
    assert ops == ["Sendrecv"] * 3 + ["Send", "Barrier", "allreduce"]
    first = told.rows[0][0]
    assert first[3:6] == (1, 5, 800)
    assert first[8] == 4
    assert first[2] > first[1]
    assert told.rows[0][4][6] == "0-1"
    assert told.matrix == {
        (0, 1): (3, 2400), (1, 2): (3, 2400), (2, 0): (3, 2400), (0, 2): (1, 80),
    }  # fmt: skip
    assert "Send(0-2 WORLD, peer=2, tag=8, 80 B)" in told.text
    ElementTree.fromstring(told.svg)
    file = tmp_path / "trace.json"
    assert traced.mpi("save", file).strip() == str(file)
    events = json.loads(file.read_text())["traceEvents"]
    arrows = {e["id"] for e in events if e["ph"] == "s"}
    assert len(arrows) == 10  # one Send, and three times a ring
    assert {e["tid"] for e in events if e["ph"] == "X"} == {0, 1, 2}


ANYBODY = """
if rank:
    comm.send(rank, 0, tag=rank)
else:
    mine = MPI.Status()
    got = [comm.recv(), comm.recv(status=mine)]
    assert mine.Get_source() == got[1]
    comm.Recv(np.zeros(1), MPI.PROC_NULL)
"""


@pytest.mark.either_mpi
def test_of_receives_from_anybody_is_noted_what_came(traced):
    traced.execute(ANYBODY, block=True)
    told = traced.mpi("last", 100)
    assert sorted(row[9:] for row in told.rows[0] if row[0] == "recv") == [
        (1, 1), (2, 2),
    ]  # fmt: skip
    assert len(list(pairs(told.rows))) == 2
    assert "recv(0-2 WORLD, peer=2, tag=2)" in told.text


@pytest.mark.either_mpi
def test_off_puts_back_what_was_there(ranks: Client):
    view = ranks[:]
    kind = "type(comm).__name__, type(MPI.COMM_WORLD).__name__, comm == MPI.COMM_WORLD"
    view.mpi("on")
    assert view.pull(kind, block=True) == [("Traced", "Traced", True)] * 3
    view.mpi("off")
    assert view.pull(kind, block=True) == [("Intracomm", "Intracomm", True)] * 3
    before = len(view.mpi("last").rows[0])
    view.execute("comm.Barrier()", block=True)
    assert len(view.mpi("last").rows[0]) == before


@pytest.mark.either_mpi
def test_ranks_that_hang_while_they_are_traced_come_back(traced, ranks: Client):
    result = traced.execute("comm.recv(source=(rank - 1) % size)", block=False)
    wait_until(lambda: traced.stuck().verdict == "DEADLOCK", 30, "a verdict")
    assert "recv(source=2, comm WORLD)" in traced.stuck().text
    back = traced.unstick()
    assert len(back.ranks) == 3, back.text
    assert result.wait(20)
    traced.execute("total = comm.allreduce(1)", block=True)
    assert traced["total"] == [3, 3, 3]


WAITS = """
mine = MPI.COMM_WORLD.Dup()
box = np.zeros(4)
request = mine.Irecv(box, (rank - 1) % size, 3)
mine.Send(np.ones(4), (rank + 1) % size, 3)
request.Wait()
more = [mine.isend(rank, (rank + 1) % size), mine.irecv(source=(rank - 1) % size)]
MPI.Request.waitall(more)
len(more)
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs sys.monitoring")
def test_waits_for_requests_are_noted_too(traced):
    for _ in range(2):  # the second time all other places are known to be no waits
        traced.execute(WAITS, block=True)
    rows = [row for row in traced.mpi("last", 100).rows[0] if row[0].lower() != "isend"]
    waits = [(row[0], row[8]) for row in rows if row[0].lower().startswith("wait")]
    assert waits == [("Wait", 6), ("waitall", 8)] * 2
    assert all(row[2] > row[1] for row in rows)
    kind = "__import__('sys').monitoring.get_tool"
    tools = f"[{kind}(i) for i in range(6)]"
    assert "steer.mpi" in traced.pull(tools, block=True)[0]
    traced.mpi("off")
    assert "steer.mpi" not in traced.pull(tools, block=True)[0]


COST = """
import time
from steer.engines.tracing import traced
def bcast(comm, n=5000, a=np.zeros(1)):
    began = time.thread_time()
    for _ in range(n):
        comm.Bcast(a)
    return (time.thread_time() - began) / n * 1e6
noting = traced(MPI.Intracomm(MPI.COMM_SELF))
plain = min(bcast(MPI.COMM_SELF) for _ in range(30))
noted = min(bcast(noting) for _ in range(30))
"""


@pytest.mark.either_mpi
def test_what_a_call_costs_while_it_is_noted(traced):
    traced.execute(COST, block=True)
    plain, noted = traced["plain"], traced["noted"]
    print(f"us a call: {plain} plain, {noted} noted")
    assert min(noted) - min(plain) < 2

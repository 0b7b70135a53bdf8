"""Requests that are open where a rank holds. MPI alone in one process is enough."""

from __future__ import annotations

import collections
import gc
import os
import subprocess
import sys
import textwrap

import pytest

HEAD = """
import gc, sys
from mpi4py import MPI
from steer.engines.caution import caution
comm = MPI.COMM_SELF
def hold():
    gc.collect()  # old objects are to be found as well
    print(bool(caution(sys._getframe(1))), flush=True)
"""


def run(python, code):
    """Run it as a world of one, which leaves nothing in /dev/shm."""
    alone = {"OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "self,tcp"}
    return subprocess.run(
        [python, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **alone},
    )


PROGRAMS = {
    "in a variable of the loop": """
def main():
    request = comm.Irecv(bytearray(8), source=0)
    hold()
    comm.Send(bytes(8), dest=0)
    request.Wait()
    hold()
main()
""",
    "in a list of a caller's": """
def step():
    hold()
def main():
    requests = [comm.irecv(source=MPI.ANY_SOURCE)]
    step()
    comm.send(1, dest=0)
    MPI.Request.waitall(requests)
    step()
main()
""",
    "in an object of an object": """
class Halo: pass
class Solver:
    def __init__(self):
        self.halo = Halo()
        self.halo.requests = {"left": [comm.Irecv(bytearray(8), source=0)]}
    def run(self):
        hold()
        comm.Send(bytes(8), dest=0)
        self.halo.requests["left"][0].Wait()
        hold()
solver = Solver()
solver.run()
""",
    "complete, but nobody has waited for it": """
request = comm.Irecv(bytearray(8), source=0)
hold()
comm.Send(bytes(8), dest=0)
while not request.Get_status():
    pass
hold()
request.Wait()
""",
    "persistent": """
request = comm.Recv_init(bytearray(8), source=0)
request.Start()
hold()
comm.Send(bytes(8), dest=0)
request.Wait()
hold()
""",
    "young": """
gc.disable()
def main():
    keep = (lambda request: lambda: request)(comm.Irecv(bytearray(8), source=0))
    print(bool(caution(sys._getframe(1))))
    comm.Send(bytes(8), dest=0)
    keep().Wait()
    hold()
main()
""",
}


@pytest.mark.mpi
@pytest.mark.parametrize("name", PROGRAMS)
def test_open_requests_are_seen_and_only_those(name, mpi_python):
    code = HEAD + PROGRAMS[name]
    done = run(mpi_python, code)
    assert done.stdout.split() == ["True", "False"], done.stderr


@pytest.mark.mpi
def test_objects_that_answer_strangely_are_left_alone(mpi_python):
    code = HEAD + textwrap.dedent("""
    class Proxy:
        @property
        def __class__(self): raise SystemExit("asked for its class")
        def __getattr__(self, name): raise SystemExit("asked for an attribute")
        def __iter__(self): raise SystemExit("asked for its items")
        def __bool__(self): raise SystemExit("asked whether it is true")
        def __len__(self): raise SystemExit("asked for its length")
    class Wide(dict):
        values = items = keys = None
    proxy, wide, loop = Proxy(), Wide(a=Proxy()), []
    loop.append(loop)
    hold()
    """)
    done = run(mpi_python, code)
    assert (done.stdout.split(), done.stderr) == (["False"], "")


def test_without_mpi_there_is_nothing_to_warn_of(monkeypatch):
    from steer.engines.caution import caution

    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    assert caution(sys._getframe()) == ""


def test_it_does_not_look_through_data():
    from steer.engines import caution

    class Found:
        pass

    large = [[1] * 100 for _ in range(100_000)]
    wide = collections.deque([Found()])
    gc.collect()
    seen = list(caution._requests(Found, [{"large": large, "wide": wide}]))
    assert len(seen) == 1

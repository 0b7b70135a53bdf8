"""Main is seen from beside: where it is, what it calls, since when it is still."""

from __future__ import annotations

import ast
import gc
import os
import sys
import threading
import weakref
from contextlib import contextmanager

import pytest

from steer.engines import blocked, looking
from steer.engines.blocked import call_node
from steer.engines.looking import NATIVE_AFTER, Watcher, stack_of, users_frame
from steer.engines.underway import bytes_of, open_operations
from steer.testing.waiting import wait_until


@pytest.fixture
def watcher():
    seen = Watcher()
    seen.still.install()
    yield seen
    seen.still.remove()


@contextmanager
def beside(work):
    """Run something in another thread while main does what stands in the block."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()), name="steer-test")
    thread.start()
    yield found
    thread.join(10)


def test_a_native_call_is_told_from_python(watcher):
    reading, writing = os.pipe()

    def still():
        watcher.still.arm()
        return watcher.still.seconds() > 2 * NATIVE_AFTER

    def look():
        try:
            wait_until(still, 5, "main to be still")
            return watcher.look()
        finally:
            os.write(writing, b"x")

    with beside(look) as found:
        os.read(reading, 1)
    (seen,) = found
    assert seen.native == "os.read"
    assert seen.call is None
    assert seen.still > NATIVE_AFTER
    assert seen.spot.function == "test_a_native_call_is_told_from_python"
    os.close(reading)
    os.close(writing)


def test_main_that_computes_is_seen_to_move_again_and_again(watcher):
    def moved():
        watcher.still.arm()
        return watcher.still.runs > 20

    with beside(lambda: wait_until(moved, 20, "main to move")) as found:
        while not found:
            pass
    assert found == [True]


def test_nobody_armed_means_nothing_is_known(watcher):
    assert watcher.still.seconds() == 0.0


def test_the_engines_own_frames_are_not_shown():
    frame = sys._getframe()
    names = [name for *_, name in stack_of(frame)]
    assert names[-1] == "test_the_engines_own_frames_are_not_shown"


USERS = "/home/ann/sim.py"
OURS = os.path.join(os.path.dirname(looking.__file__), "points.py")
LIBRARY = "/venv/lib/python3.11/site-packages/zmq/poll.py"


@pytest.mark.parametrize(
    ("files", "users"),
    [
        ([OURS, USERS], 1),
        ([OURS, USERS, LIBRARY], 2),  # numpy's, say: the user called it
        ([OURS, USERS, OURS, LIBRARY], 1),  # held at a point
        ([OURS, USERS, OURS, USERS], 3),  # a cell at a hold
        ([OURS, USERS, OURS, "<cell 12>", LIBRARY], 4),
        ([OURS, USERS, OURS, USERS, OURS, LIBRARY], 3),
        ([OURS, LIBRARY], 1),  # a task that is a library's function
    ],
)
def test_which_frame_is_the_users(files, users):
    call = sys._getframe
    for depth, file in reversed(list(enumerate(files))):
        names = {"go": call}
        exec(compile(f"def at_{depth}():\n    return go()", file, "exec"), names)
        call = names[f"at_{depth}"]
    frame = call()
    assert users_frame(frame).f_code.co_name == f"at_{users}"
    stack = [name for _, _, name in stack_of(frame)]
    assert stack[-1] == f"at_{users}"
    assert "at_0" in stack or stack[0] == f"at_{users}"


def test_endless_recursion_travels_bounded():
    def deep(n):
        return stack_of(sys._getframe()) if n == 0 else deep(n - 1)

    assert len(deep(700)) == 400


# -- the source of a call


class Kept:
    """Keeps the frame in which it is called."""

    def __init__(self):
        self.nodes = []

    def Recv(self, *args, **kwargs):
        node = call_node(sys._getframe(1))
        self.nodes.append(None if node is None else ast.unparse(node))
        return self


def test_calls_are_found_in_every_form():
    comm = Kept()
    a = [1]
    comm.Recv(a, source=1, tag=7)
    comm.Recv(
        a,
        source=2,  # a comment
    )
    (
        comm
        .Recv(a, 3)
        .Recv(a, 4)
    )  # fmt: skip
    "ä" and comm.Recv("ü", 5) and comm.Recv(a, 6)
    alias = comm.Recv
    alias(a, 7)
    [comm.Recv(a, source) for source in (8,)]
    more = {"tag": 9}
    comm.Recv(*a, **more)
    assert comm.nodes == [
        "comm.Recv(a, source=1, tag=7)",
        "comm.Recv(a, source=2)",
        "comm.Recv(a, 3)",
        "comm.Recv(a, 3).Recv(a, 4)",
        "comm.Recv('ü', 5)",
        "comm.Recv(a, 6)",
        "alias(a, 7)",
        "comm.Recv(a, source)",
        "comm.Recv(*a, **more)",
    ]


def test_code_without_a_source_says_nothing():
    names = {"comm": Kept()}
    exec("comm.Recv(1)", names)
    assert names["comm"].nodes == [None]
    assert blocked.pending(sys._getframe()) == (None, "blocked.pending")


# -- what is under way


def test_sizes_of_messages():
    numpy = pytest.importorskip("numpy")
    u = numpy.zeros(10)
    assert bytes_of(u) == 80
    assert bytes_of([u, None]) == 80
    assert bytes_of({"a": u, "b": "text"}) == 86
    assert bytes_of(3) == 0
    assert bytes_of(numpy.array([object()])) == -1
    assert bytes_of(Kept()) == -1


def test_threads_of_the_users_count_and_ours_do_not():
    go = threading.Event()
    threads = [
        threading.Thread(target=go.wait, name=name) for name in ("sender", "steer-io")
    ]
    for thread in threads:
        thread.start()
    try:
        assert "sender" in open_operations().threads
        assert "steer-io" not in open_operations().threads
    finally:
        go.set()
        for thread in threads:
            thread.join()


def test_a_look_keeps_nothing_of_the_program_alive(watcher):
    class Field:
        """As large as the memory."""

    fields = []

    def solve():
        field = Field()
        fields.append(weakref.ref(field))
        with beside(lambda: (watcher.look(deep=True), open_operations())) as found:
            wait_until(lambda: found, 5, "a look")

    gc.collect()
    gc.disable()
    try:
        solve()
        assert fields[0]() is None
    finally:
        gc.enable()

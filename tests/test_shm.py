"""Memory without a name: shared, private when written to, and never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from steer import shm
from steer.shm import SHARE_ABOVE, Shelf, can_open, take
from steer.testing import wait_until
from steer.wire.messages import Store

LARGE = SHARE_ABOVE


def memfds(pid: int | str = "self") -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(link))
        except OSError:
            continue
    return [name for name in found if name.startswith("/memfd:steer")]


@pytest.fixture(autouse=True)
def nothing_left():
    before, files = len(memfds()), entries()
    yield
    assert len(memfds()) == before
    assert entries() <= files


def entries():
    """What is in /dev/shm but for MPI's files: ranks of other tests may run beside."""
    mpis = ("mpich_shm_", "sm_segment.")
    return {name for name in os.listdir("/dev/shm") if not name.startswith(mpis)}


def test_small_frames_travel_themselves():
    assert Shelf().put([b"a" * (LARGE - 1)]) == (None, [b"a" * (LARGE - 1)])


def test_large_frames_are_shared_and_small_ones_stay():
    shelf = Shelf()
    array = np.arange(LARGE, dtype=np.uint8)
    store, rest = shelf.put([b"head", array.data, b"tail", bytes(5000)])
    assert [bytes(frame) for frame in rest] == [b"head", b"", b"tail", b""]
    whole = take(store, rest)
    assert [bytes(f) for f in whole] == [b"head", bytes(array), b"tail", bytes(5000)]
    shelf.drop(store)
    assert bytes(whole[1]) == bytes(array), "the map outlives the descriptor"


def test_each_reader_writes_into_its_own_copy():
    shelf = Shelf()
    store, rest = shelf.put([bytes(LARGE)])
    one, other = take(store, rest)[0], take(store, rest)[0]
    one[0] = 7
    assert (one[0], other[0], take(store, rest)[0][0]) == (7, 0, 0)
    shelf.drop(store)


def test_many_frames_below_a_page():
    shelf = Shelf()
    frames = [bytes([i % 256]) * 4000 for i in range(LARGE // 4000 + 1)]
    store, rest = shelf.put(frames)
    assert list(map(bytes, take(store, rest))) == frames
    shelf.drop(store)


def test_adopted_memory_outlives_its_first_holder():
    first, second = Shelf(), Shelf()
    store, rest = first.put([b"x" * LARGE])
    mine = second.adopt(store, rest)
    first.drop(store)
    assert bytes(take(mine, rest)[0]) == b"x" * LARGE
    second.drop(mine)
    with pytest.raises(FileNotFoundError):
        take(mine, rest)


def test_what_is_not_ours_is_not_closed():
    Shelf().drop(Store(1, 0, 0, ()))
    Shelf().drop(None)
    os.fstat(0)


def test_a_truncated_store_raises():
    shelf = Shelf()
    store, rest = shelf.put([bytes(LARGE)])
    os.ftruncate(store.fd, 100)
    with pytest.raises(ValueError, match="shorter"):
        take(store, rest)
    with pytest.raises(ValueError, match="shorter"):
        shelf.adopt(store, rest)
    shelf.drop(store)


@pytest.mark.parametrize(
    "span", [(1, 0, 10), (-1, 0, 10), (0, -1, 10), (0, 0, LARGE + 1), (0, 5, -1)]
)
def test_spans_that_cannot_be_raise(span):
    shelf = Shelf()
    store, rest = shelf.put([bytes(LARGE)])
    lie = Store(store.pid, store.fd, store.size, (span,))
    with pytest.raises(ValueError, match="no frame"):
        take(lie, rest)
    shelf.drop(store)


def test_a_store_of_nobody():
    with pytest.raises(OSError, match="No such file"):
        take(Store(2**40, 5, 10, ()), [])


def test_a_probe_tells_who_may_look_into_whom():
    probe = Shelf().probe()
    other = os.memfd_create("steer-other")
    assert can_open(os.getpid(), probe)
    assert not can_open(os.getpid(), other)
    assert not can_open(os.getpid(), -1)
    assert not can_open(2**40, probe)
    os.close(probe)
    os.close(other)


HOLD = """
import sys, time
from steer.shm import Shelf, take
from steer.wire.messages import Store
import msgspec
if sys.argv[1] == "write":
    store, _ = Shelf().put([b"x" * int(sys.argv[2])])
    print(msgspec.json.encode(store).decode(), flush=True)
else:
    store = msgspec.json.decode(sys.argv[2], type=Store)
    mine = Shelf().adopt(store, [b""]); held = take(mine, [b""])
    print(bytes(held[0][:2]).decode(), flush=True)
sys.stdin.read()
"""


def hold(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_nothing_is_left_when_writer_and_reader_are_killed():
    import msgspec

    writer = hold("write", str(LARGE))
    line = writer.stdout.readline()
    store = msgspec.json.decode(line, type=Store)
    reader = hold("read", line)
    assert reader.stdout.readline() == "xx\n"
    mine = Shelf().adopt(store, [b""])
    for process in (writer, reader):
        process.kill()
        process.wait(5)
        process.stdin.close()
        process.stdout.close()
    wait_until(lambda: not can_open(store.pid, store.fd), 5, "the writer to be gone")
    assert bytes(take(mine, [b""])[0]) == b"x" * LARGE, "it lives with its last holder"
    shm.Shelf().drop(mine)

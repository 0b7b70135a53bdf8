"""What several batches share lies once in memory, and goes when the last one has."""

import gc
import os
import pickle

import numpy as np
import pytest

from steer.bridges.sharing import LARGE, Packed, Shared


class Batch:
    def __init__(self, *arrays):
        self.arrays = arrays

    def __call__(self):
        return [(a.sum(), a.shape) for a in self.arrays]


def through_the_wire(packed):
    return pickle.loads(pickle.dumps(packed, protocol=5))


def memories():
    held = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            held.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:  # that of listdir itself
            pass
    return sum(name.startswith("/memfd:steer") for name in held)


@pytest.fixture
def shared():
    made = Shared()
    yield made
    made.close()


@pytest.mark.parametrize("turned", [False, True])
def test_the_second_batch_with_an_array_finds_it_in_memory(shared, turned):
    array = np.arange(LARGE, dtype=float).reshape(2, -1)
    array = array.T if turned else array
    before = memories()

    packed = [shared.pack(Batch(array)) for _ in range(3)]

    assert [len(p.stores) for p in packed] == [0, 1, 1]
    assert memories() == before + 1
    sizes = [len(pickle.dumps(p, protocol=5)) for p in packed]
    assert sizes[0] > array.nbytes
    assert max(sizes[1:]) < 2000
    for p in packed:
        assert through_the_wire(p)() == Batch(array)()


def test_small_arrays_and_other_arrays_travel(shared):
    small = np.zeros(1000)
    for _ in range(2):
        assert not shared.pack(Batch(small)).stores
    for i in range(5):
        packed = shared.pack(Batch(np.full(LARGE, i, dtype=np.uint8)))
        gc.collect()  # the next one may lie where this one lay

        assert isinstance(packed, Packed)
        assert not packed.stores
        assert through_the_wire(packed)()[0][0] == i * LARGE


def test_read_only_arrays_are_shared_too(shared):
    array = np.ones(LARGE, dtype=np.uint8)
    array.flags.writeable = False

    shared.pack(Batch(array))
    packed = shared.pack(Batch(array, array))

    assert len(packed.stores) == 1  # pickle knows that they are one
    assert through_the_wire(packed)() == Batch(array, array)()


def test_memory_goes_when_the_call_is_over_and_the_last_batch_has_ended():
    array, before = np.ones(LARGE), memories()
    shared = Shared()
    for _ in range(2):
        shared.begun()
        shared.pack(Batch(array))
    assert memories() == before + 1

    shared.ended()
    shared.close()
    assert memories() == before + 1
    shared.ended()

    assert memories() == before

"""The I/O thread looks at a program of which it knows nothing, and goes on whatever it
meets there."""

from __future__ import annotations

import errno
import itertools
import sys
import types
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from steer.core.sightings import LookWish
from steer.engines import blocked, evaluating, freeing
from steer.engines.evaluating import CannotEvaluate
from steer.engines.eyes import BEAT, Eyes
from steer.wire.frames import pack
from steer.wire.messages import Glance, Glanced


class Wire:
    """What the eyes need of it; a cell runs."""

    def __init__(self):
        self.core = SimpleNamespace(running="a-1", engine=0)
        self.desk = SimpleNamespace(core=SimpleNamespace(running=None))
        self.occupied = False
        self.loop = self
        self.timers = []
        self.said = []

    def call_later(self, seconds, job):
        self.timers.append((seconds, job))

    def send(self, message):
        self.said.append(message)


@pytest.fixture
def eyes():
    wire = Wire()
    runner = SimpleNamespace(
        wire=wire,
        was_interrupted=lambda: None,
        failure=None,
        started=0.0,
        ended=0.0,
        namespace=SimpleNamespace(variables={}),
    )
    seen = Eyes(runner)
    seen.watcher.still.install()
    yield seen
    seen.watcher.still.remove()


def broken(**_):
    raise ReferenceError("weakly-referenced object no longer exists")


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_what_cannot_be_seen_is_said_and_ends_nothing(eyes, seconds):
    eyes.watcher.look = broken
    wire = eyes._wire
    eyes.heard(Glance(7, "look", pack(LookWish(seconds=seconds))))
    while not wire.said:  # samples are taken
        _, job = wire.timers.pop()
        job()
    (said,) = wire.said
    assert said == Glanced(7, trouble="it could not be seen: ReferenceError")


def test_it_looks_again_a_second_later_all_the_same(eyes):
    eyes.watcher.look = broken
    eyes.attend()
    ((seconds, job),) = eyes._wire.timers
    assert seconds == BEAT
    job()
    assert len(eyes._wire.timers) == 2


def test_what_is_met_each_second_is_logged_once(eyes, caplog):
    eyes.watcher.look = broken
    for _ in range(3):
        eyes.heard(Glance(7, "look", pack(LookWish())))
    levels = [record.levelname for record in caplog.records]
    assert levels.count("WARNING") == 1
    assert len(eyes._wire.said) == 3


def test_memory_that_is_full_is_no_reason_not_to_answer(eyes, monkeypatch):
    def full(text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(eyes.witness, "note", full)
    eyes.heard(Glance(7, "look", pack(LookWish(stacks=True))))
    for _, job in eyes._wire.timers:  # it wants to look once more
        job()
    (seen,) = eyes._wire.said
    assert not seen.trouble
    assert seen.body


# -- what stands in a call


class Comm:
    """As one of mpi4py's; its call looks at who makes it."""

    def Get_group(self):
        raise AssertionError("nobody shall get that far")

    def allgather(self, thing):
        return blocked.pending(sys._getframe(1))

    def barrier(self, then=None):
        frame = sys._getframe(1)
        if then is not None:  # main goes on while it is looked at
            frame = SimpleNamespace(
                **{n: getattr(frame, n) for n in dir(frame) if n.startswith("f_")}
            )
            self.Get_group = lambda: then(frame)
        return blocked.pending(frame)


Comm.__module__ = "mpi4py.MPI"
MPI = types.ModuleType("mpi4py.MPI")
MPI.Comm = Comm
MPI.Exception = type("Exception", (RuntimeError,), {})
MPI.THREAD_MULTIPLE = 3
MPI.Query_thread = lambda: 0
MPI.ANY_TAG = MPI.ANY_SOURCE = -1


class Nosy:
    asked = 0

    @property
    def __class__(self):
        Nosy.asked += 1
        raise RuntimeError("code of the program has run")


@pytest.fixture
def mpi(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", MPI)
    monkeypatch.setattr(MPI, "Query_thread", lambda: MPI.THREAD_MULTIPLE)


def test_arguments_are_not_asked_what_they_are(mpi, monkeypatch):
    comm, nosy = Comm(), Nosy()
    dead = weakref.proxy(Nosy())
    monkeypatch.setattr(MPI, "Query_thread", lambda: 0)
    for thing in (nosy, dead, [nosy], (dead,)):
        call, _ = comm.allgather(thing)
        assert (call.op, call.size) == ("allgather", -1)
    # Among the arguments a communicator is looked for.
    monkeypatch.setattr(MPI, "Query_thread", lambda: MPI.THREAD_MULTIPLE)
    with pytest.raises(AssertionError, match="that far"):
        comm.allgather(dead)
    assert Nosy.asked == 0


def test_who_is_given_no_core_knows_its_call_all_the_same(mpi, monkeypatch):
    """It takes a moment of a core's time, and may take long by the clock."""
    hours = itertools.count(0, 3600)
    monkeypatch.setattr(MPI, "Query_thread", lambda: 0)
    monkeypatch.setattr(evaluating, "monotonic", lambda: float(next(hours)))
    comm, data = Comm(), [b"xyz", 7]
    call, _ = comm.allgather(data[0] + b"1")
    assert call.size == 4


def test_a_communicator_that_main_frees_meanwhile_is_no_error(mpi):
    def freed(frame):
        frame.f_lasti += 2
        raise MPI.Exception("MPI_ERR_COMM: invalid communicator")

    comm = Comm()
    assert comm.barrier(then=freed) == (None, "comm.barrier")


def test_what_is_large_is_not_written_out_to_see_how_large_it_is(monkeypatch):
    def no(value):
        raise AssertionError("it was")

    cook = object.__new__(freeing._Cook)
    monkeypatch.setattr(freeing.pickle, "dumps", no)
    for value in ("x" * 2**21, [b"x" * 2**20, b"y"], (np.zeros(2**18), 1)):
        cook._value = lambda name, value=value: value
        with pytest.raises(CannotEvaluate, match="too large"):
            cook._object()

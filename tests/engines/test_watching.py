"""What a rank measures at points, and the conditions it looks at."""

from __future__ import annotations

import math

import pytest

from steer.engines.namespace import Namespace
from steer.engines.watching import Watches, is_true, numbers
from steer.errors import UsageError
from steer.wire.frames import unpack
from steer.wire.messages import Fired, Sample
from steer.wire.plans import Watch, encode_deed


class Engine:
    """What an engine does for its watches, at once or when it is told to."""

    def __init__(self, comm=None):
        self.sent = []
        self.later = []
        self.frozen = []
        self.comm = comm

    def freeze(self, why, *, together=False):
        self.frozen.append((why, together))

    def communicator(self):
        return self.comm

    def send(self, message, frames=()):
        self.sent.append((message, [unpack(frame) for frame in frames]))

    def call_later(self, seconds, job):
        self.later.append(job) if seconds else job()

    def io(self):
        jobs, self.later = self.later, []
        for job in jobs:
            job()


class Comm:
    """Some ranks that say the same as this one, or are told what they say."""

    rank, size = 1, 4

    def __init__(self, least=4):
        self.least = least

    def Allreduce(self, mine, least, op):
        least[0] = min(mine[0], self.least)


@pytest.fixture
def engine():
    return Engine(Comm())


@pytest.fixture
def watch(engine):
    namespace = Namespace()
    watches = Watches("sim", namespace, engine)

    def make(expression, **options):
        return watches.load(7, encode_deed(Watch(expression, **options)))

    make.variables = namespace.module.__dict__
    make.watches = watches
    return make


def rows(engine):
    return [tuple(row) for _, frames in engine.sent for row in frames[0]]


def test_numbers_go_to_the_hub_in_bundles(watch, engine):
    measure = watch("residual / 2")
    for point in (3, 4):
        watch.variables["residual"] = point
        measure(point)
    assert engine.sent == []
    assert len(engine.later) == 1
    engine.io()
    assert engine.sent[0][0] == Sample("sim", 7, 4)
    assert rows(engine) == [(3, 1.5, 1.5, 1.5), (4, 2.0, 2.0, 2.0)]
    measure(5)
    engine.io()
    assert rows(engine)[2:] == [(5, 2.0, 2.0, 2.0)]


def test_the_variables_are_those_of_the_loop(watch, engine, tmp_path):
    # A script elsewhere: frames of Steer itself are not the user's.
    source = """
def simulate(measure):
    field, scale = [1.0, 2.0], 3
    def inner():
        return scale
    for step in range(2):
        field = [2 * x for x in field]
        measure(step + 1)
    return inner
"""
    module = {}
    exec(compile(source, str(tmp_path / "sim.py"), "exec"), module)
    module["simulate"](watch("sum(scale * x for x in field)"))
    engine.io()
    assert [row[1] for row in rows(engine)] == [18.0, 36.0]


def test_arrays_have_a_least_a_mean_and_a_most():
    numpy = pytest.importorskip("numpy")
    assert numbers(numpy.array([[1.0, 2.0], [3.0, 6.0]])) == (1.0, 3.0, 6.0)
    assert numbers(numpy.float32(0.5)) == (0.5, 0.5, 0.5)
    assert numbers((1, 2)) == (1.0, 1.5, 2.0)
    assert numbers(True) == (1.0, 1.0, 1.0)
    assert math.isnan(numbers(numpy.array([1.0, math.nan]))[2])
    assert is_true(numpy.array([False, True]))
    assert not is_true(numpy.array([0.0, 0.0]))
    with pytest.raises(UsageError, match="empty"):
        numbers(numpy.zeros(0))


@pytest.mark.parametrize(
    ("value", "what"),
    [("text", "str"), (None, "NoneType"), ([], "empty"), ({}, "dict")],
)
def test_what_is_no_number_is_said(value, what):
    with pytest.raises(UsageError, match=what):
        numbers(value)


def test_an_error_is_said_once_and_is_not_a_number(watch, engine):
    measure = watch("residual")
    with pytest.raises(NameError):
        measure(1)
    measure(2)
    watch.variables["residual"] = 1.0
    measure(3)
    engine.io()
    values = [row[1] for row in rows(engine)]
    assert math.isnan(values[0])
    assert math.isnan(values[1])
    assert values[2] == 1.0


def test_a_condition_fires_when_it_becomes_true(watch, engine):
    trigger = watch("residual < 1", on="freeze")
    for point, residual in enumerate([2.0, 0.5, 0.25, 2.0, 0.5], 1):
        watch.variables["residual"] = residual
        trigger(point)
    assert engine.frozen == [("residual < 1 (residual = 0.5)", False)] * 2
    assert [message.point for message, _ in engine.sent] == [2, 5]


def test_until_fires_once(watch, engine):
    trigger = watch("residual < 1", on="align", once=True)
    for point, residual in enumerate([2.0, 0.5, 2.0, 0.5], 1):
        watch.variables["residual"] = residual
        trigger(point)
    assert engine.frozen == []
    ((fired, _),) = engine.sent
    assert fired == Fired("sim", 7, 2, "residual < 1 (residual = 0.5)", False, True)


def test_ranks_that_ask_each_other_hold_together(watch, engine):
    trigger = watch("x > 3", on="collective")
    watch.variables["x"] = 1
    trigger(1)
    assert engine.frozen == []
    engine.comm.least = 2  # it is true there
    trigger(2)
    trigger(3)
    assert engine.frozen == [("x > 3 is true on rank 2", True)]
    assert engine.sent[0][0].holds


def test_a_rank_with_an_error_still_answers_the_others(watch, engine):
    trigger = watch("x > 3", on="collective")
    engine.comm.least = 0
    with pytest.raises(NameError):
        trigger(1)
    assert engine.frozen == [("x > 3 is true on rank 0", True)]


def test_what_is_no_expression_is_refused(watch):
    with pytest.raises(UsageError, match="no expression"):
        watch("x = 3")

"""Parameters: what they take, and what they say to what they do not."""

from __future__ import annotations

import json
import time
import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.core import params
from steer.core.params import Bool, Choice, Float, Int, Parameters, Str
from steer.errors import UsageError


def declare(**declared):
    return Parameters(declared)


def made():
    return declare(
        dt=Float(0.1, 1e-6, 1.0, depends=lambda p: p.dt * p.speed <= 1 or "dt * speed"),
        speed=Float(1.0, 0.0),
        n=Int(10, 0, 100, doc="how many"),
        out=Bool(True),
        scheme=Choice("rk4", "euler"),
        name=Str("run", 8),
    )


def test_they_are_attributes():
    p = made()
    assert (p.dt, p.n, p.out, p.scheme, p.name) == (0.1, 10, True, "rk4", "run")
    assert list(p) == ["dt", "speed", "n", "out", "scheme", "name"]
    assert repr(p).startswith("params(dt=0.1, speed=1.0")


def test_reading_one_costs_what_an_attribute_costs():
    class Plain:
        pass

    plain = Plain()
    plain.dt = 0.1

    def cost(p):
        names, timer = {"p": p}, time.process_time
        times = timeit.repeat(
            "p.dt", globals=names, number=50_000, repeat=15, timer=timer
        )
        return min(times)

    assert cost(made()) < 3 * cost(plain)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dt": 2}, "dt is from 1e-06 to 1.0, not 2.0."),
        ({"dt": "fast"}, "dt is a number, not 'fast'."),
        ({"dt": float("nan")}, "dt is a number, not nan."),
        ({"speed": -1}, "speed is 0.0 or more, not -1.0."),
        ({"n": 1.5}, "n is a whole number, not 1.5."),
        ({"n": True}, "n is a whole number, not True."),
        ({"n": 101}, "n is from 0 to 100, not 101."),
        ({"n": 1 << 64}, "n is a whole number of 64 bits, not 18446744073709551616."),
        ({"out": "yes"}, "out is True or False, not 'yes'."),
        ({"scheme": "rk5"}, "scheme is one of 'rk4', 'euler', not 'rk5'."),
        ({"name": "far too long"}, "name is a text of at most 8 characters, not"),
        ({"name": 3}, "name is a text, not 3."),
        ({"du": 1}, "There is no parameter du; there are: dt, speed, n, out"),
        ({"dt": 0.5, "speed": 3}, "dt may not be so: dt * speed"),
        ({"speed": 100}, "dt may not be so: dt * speed"),
    ],
)
def test_what_may_not_be_is_a_sentence_and_changes_nothing(change, sentence):
    p = made()
    before = params.values(p)
    assert params.try_change(p, change).startswith(sentence)
    with pytest.raises(UsageError):
        params.change(p, {"n": 5} | change)
    assert params.values(p) == before


def test_several_are_changed_together():
    p = made()
    assert params.change(p, {"dt": 0.01, "speed": 50, "n": 10}) == {
        "dt": 0.1, "speed": 1.0,
    }  # fmt: skip
    assert (p.dt, p.speed) == (0.01, 50.0)
    p.n = 7.0
    assert p.n == 7
    assert type(p.n) is int
    with pytest.raises(UsageError):
        p.other = 3
    with pytest.raises(UsageError):
        del p.n


def test_depends_may_raise_or_say_no():
    p = declare(a=Int(1, depends=lambda p: p.a != 3), b=Int(1, depends=broken))
    assert "together with the others: a=3, b=1" in params.try_change(p, {"a": 3})
    assert "b may not be so: division by zero" in params.try_change(p, {"b": 0})


def broken(p):
    return 1 / p.b


def test_what_they_may_be_is_said_to_people():
    limits = {name: p.limits() for name, p in made()._declared.items()}
    assert limits == {
        "dt": "a number, from 1e-06 to 1.0", "speed": "a number, 0.0 or more",
        "n": "a whole number, from 0 to 100", "out": "True or False",
        "scheme": "one of 'rk4', 'euler'", "name": "a text of at most 8 characters",
    }  # fmt: skip
    assert Float(0.1).limits() == "a number"


def test_one_may_differ_from_rank_to_rank():
    p = declare(a=Int(1), b=Float(1.0, per_rank=True))
    there = params.from_description(params.describe(p))
    assert (there["a"].per_rank, there["b"].per_rank) == (False, True)


def test_several_parts_are_changed_together_or_not_at_all():
    one, two = declare(a=Int(1, 0, 5)), declare(b=Int(1, 0, 5))
    with pytest.raises(UsageError):
        params.change_all([(one, {"a": 2}), (two, {"b": 9})])
    assert (one.a, two.b) == (1, 1)
    params.change_all([(one, {"a": 2}), (two, {"b": 3})])
    assert (one.a, two.b) == (2, 3)


def test_the_checks_travel_as_plain_data():
    p = made()
    p.dt = 0.2
    described = json.loads(json.dumps(params.describe(p)))
    assert described["dt"]["value"] == 0.2
    assert described["n"]["doc"] == "how many"
    there = params.from_description(described)
    assert params.check(there, {"dt": 1, "scheme": "euler"}) == {
        "dt": 1.0, "scheme": "euler",
    }  # fmt: skip
    with pytest.raises(UsageError, match="n is from 0 to 100"):
        params.check(there, {"n": -1})


@pytest.mark.parametrize(
    "nonsense",
    [
        lambda: declare(dt=0.1),
        lambda: declare(_dt=Float(0.1)),
        lambda: Float(3.0, 0.0, 1.0),
        lambda: Choice(),
        lambda: Choice("a", [1]),
        lambda: params.from_description({"a": {"kind": "tensor"}}),
        lambda: declare(a=Int(1, depends=lambda p: False)),
    ],
)
def test_declarations_that_make_no_sense(nonsense):
    with pytest.raises(UsageError):
        nonsense()


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
    st.lists(st.integers()), st.complex_numbers(),
)  # fmt: skip


@given(st.sampled_from(["dt", "n", "out", "scheme", "name"]), ANYTHING)
def test_any_value_is_taken_or_refused_with_a_sentence(name, value):
    p = made()
    said = params.try_change(p, {name: value})
    if said:
        assert said.endswith(".") or "dt * speed" in said
    else:
        params.change(p, {name: value})
        declared = params.from_description(params.describe(p))
        assert params.check(declared, {name: value}) == {name: getattr(p, name)}


def test_numpys_numbers_will_do():
    np = pytest.importorskip("numpy")
    p = made()
    params.change(p, {"dt": np.float32(0.5), "n": np.int64(3), "out": np.bool_(False)})
    assert (p.dt, p.n, p.out) == (0.5, 3, False)
    assert {type(v) for v in (p.dt, p.n, p.out)} == {float, int, bool}


def test_the_public_class():
    assert isinstance(made(), Parameters)

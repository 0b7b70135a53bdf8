"""Changes of parameters, as users write them."""

from __future__ import annotations

import pytest

from steer.client.changes import make, ranks_of
from steer.errors import UsageError
from steer.wire.plans import Change, Changes

FOUR = range(4)


@pytest.mark.parametrize(
    ("wanted", "ranks", "parts", "text"),
    [
        ({"dt": 0.1, "scheme": "euler"}, None,
         (Change({"dt": 0.1, "scheme": "euler"}),), "dt=0.1, scheme='euler'"),
        ({"load": [1, 2, 1, 1]}, None,
         (Change({"load": 1}, "0,2-3"), Change({"load": 2}, "1")),
         "load=1 on ranks 0,2-3, 2 on rank 1"),
        ({"load": {0: 1.5, "2-3": 2.5}, "dt": 0.1}, None,
         (Change({"dt": 0.1}), Change({"load": 1.5}, "0"),
          Change({"load": 2.5}, "2-3")),
         "load=1.5 on rank 0, 2.5 on ranks 2-3, dt=0.1"),
        ({"load": 3}, "1-2", (Change({"load": 3}, "1-2"),), "load=3 on ranks 1-2"),
        ({"load": [3, 4]}, [1, 3],
         (Change({"load": 3}, "1"), Change({"load": 4}, "3")),
         "load=3 on rank 1, 4 on rank 3"),
        ({"out": True, "n": 1}, 2, (Change({"out": True}, "2"), Change({"n": 1}, "2")),
         "out=True, n=1 on rank 2"),
    ],
)  # fmt: skip
def test_what_is_sent(wanted, ranks, parts, text):
    assert make(wanted, FOUR, ranks) == (Changes(parts), text)


def test_numpys_numbers_and_arrays():
    np = pytest.importorskip("numpy")
    deed, _ = make({"dt": np.float64(0.5), "n": np.int32(3)}, FOUR)
    (part,) = deed.parts
    assert part == Change({"dt": 0.5, "n": 3})
    assert [type(v) for v in part.values.values()] == [float, int]
    deed, text = make({"load": np.array([1.0, 1.0, 2.0, 2.0])}, FOUR)
    assert text == "load=1.0 on ranks 0-1, 2.0 on ranks 2-3"


def test_one_is_not_true():
    deed, _ = make({"a": [1, True, 1.0, 1]}, FOUR)
    assert [type(part.values["a"]) for part in deed.parts] == [int, bool, float]


@pytest.mark.parametrize(
    ("wanted", "ranks", "said"),
    [
        ({}, None, "Say which parameters"),
        ({"load": [1, 2]}, None, "load has 2 values, and 4 ranks are to get one each."),
        ({"load": 1}, "2-5", "The run has ranks 0-3, and not ranks 4-5."),
        ({"load": {7: 1}}, None, "and not rank 7."),
        ({"load": 1}, "a few", "Ranks are written 0-3,7, not 'a few'."),
        ({"dt": object}, None, "dt cannot be <class 'object'>: a parameter is"),
        ({"n": 1 << 70}, None, "n cannot be 1180591620717411303424"),
        ({"load": [None, [], 1, 1]}, None, "load cannot be []"),
    ],
)
def test_what_cannot_be(wanted, ranks, said):
    with pytest.raises(UsageError) as raised:
        make(wanted, FOUR, ranks)
    assert said in str(raised.value)


def test_how_ranks_are_named():
    assert ranks_of("0-2,5") == [0, 1, 2, 5]
    assert ranks_of(3) == [3]
    assert ranks_of([2, 0]) == [0, 2]

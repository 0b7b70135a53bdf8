"""What objects held is put back into them."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import io
import random
import re

import pytest

from steer.core.params import Float, Parameters
from steer.engines import copies
from steer.engines.copies import Copies, unseen


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Slotted:
    __slots__ = ("__hidden", "seen")

    def __init__(self):
        self.seen, self.__hidden = 1, [2]

    def hidden(self):
        return self.__hidden


class Both(Slotted):
    pass


@dataclasses.dataclass(frozen=True)
class Frozen:
    inner: list


class Listed(list):
    pass


def changed(thing, change):
    """What becomes of a thing that is changed and put back, twice."""
    for _ in range(2):
        copies = Copies({"thing": thing})
        change(thing)
        copies.restore()
    assert copies.left_out == {}
    return thing


@pytest.mark.parametrize(
    ("thing", "change"),
    [
        ([1, [2]], lambda x: (x[1].append(3), x.clear())),
        ({"a": {"b": 1}}, lambda x: (x["a"].clear(), x.update(c=1), x.pop("a"))),
        ({1, 2}, lambda x: x.add(3)),
        (collections.deque([1, 2], 2), lambda x: x.append(3)),
        (collections.Counter(a=1), lambda x: x.update("aab")),
        (bytearray(b"abc"), lambda x: x.extend(b"d")),
        (array.array("d", [1.0]), lambda x: x.append(2.0)),
        (([1],), lambda x: x[0].append(2)),
        (Frozen([1]), lambda x: x.inner.append(2)),
    ],
)
def test_containers(thing, change):
    before = repr(thing)
    assert repr(changed(thing, change)) == before


def test_objects_and_what_is_in_them():
    thing = Plain(u=[1.0], other=Plain(n=1))

    def change(thing):
        thing.u[0] = 2.0
        thing.other.n = 2
        thing.new = 3
        del thing.other

    other = thing.other
    changed(thing, change)
    assert thing.other is other
    assert vars(thing).keys() == {"u", "other"}
    assert (thing.u, other.n) == ([1.0], 1)


def test_slots_and_private_names():
    thing = Both()

    def change(thing):
        thing.hidden().append(3)
        thing.seen, thing.new = 9, 1

    changed(thing, change)
    assert (thing.seen, thing.hidden(), vars(thing)) == (1, [2], {})


def test_all_names_of_a_thing_stay_names_of_it():
    inner = [1]
    first, second = Plain(inner=inner), {"inner": inner}
    loop = [first, second]
    loop.append(loop)
    copies = Copies({"first": first, "loop": loop})
    inner.append(2)
    first.inner = [3]
    loop.clear()
    copies.restore()
    assert first.inner is second["inner"] is inner
    assert inner == [1]
    assert loop[2] is loop


def test_arrays_and_their_views():
    numpy = pytest.importorskip("numpy")
    u = numpy.arange(6.0)
    view, objects = u[1:-1], numpy.array([[1], None], dtype=object)
    copies = Copies({"u": u, "view": view, "objects": objects, "n": numpy.float64(3)})
    assert copies.size >= u.nbytes
    view *= 5
    objects[0].append(2)
    objects[1] = 4
    copies.restore()
    assert u.tolist() == list(range(6))
    assert view.base is u
    assert objects.tolist() == [[1], None]
    frozen = numpy.arange(3)
    frozen.flags.writeable = False
    Copies({"frozen": frozen}).restore()


def test_random_numbers_come_again():
    numpy = pytest.importorskip("numpy")
    things = {
        "a": numpy.random.default_rng(1),
        "b": numpy.random.RandomState(1),
        "c": random.Random(1),
        "d": Plain(rng=numpy.random.default_rng(2)),
    }
    copies = Copies(things)

    def draw():
        d = things["d"].rng.random()
        return things["a"].random(), things["b"].rand(), things["c"].random(), d

    drawn = draw()
    draw()
    copies.restore()
    assert draw() == drawn
    assert copies.left_out == {}


def test_parameters():
    p = Parameters({"dt": Float(0.1, 0.0, 1.0)})
    copies = Copies({"p": p})
    p.dt = 0.5
    copies.restore()
    assert p.dt == 0.1


def test_what_cannot_be_seen_is_named():
    thing = Plain(numbers=iter([1]), when=datetime.datetime(2026, 1, 1))
    things = {
        "thing": thing, "steps": (n for n in range(3)), "file": io.StringIO(),
        "money": decimal.Decimal(1), "pattern": re.compile("a"), "io": io,
        "function": changed, "method": thing.__repr__, "kind": Plain,
    }  # fmt: skip
    left = Copies(things).left_out
    assert left == {
        "thing.numbers": "list_iterator",
        "steps": "generator",
        "file": "StringIO",
    }
    said = {name: unseen(thing) for name, thing in things.items() if unseen(thing)}
    assert said == {"steps": "generator", "file": "StringIO"}


def test_no_data_are_copied_to_see_whether_they_can_be(monkeypatch):
    np = pytest.importorskip("numpy")
    monkeypatch.setattr(copies, "_look_into", lambda thing: pytest.fail("looked"))
    for thing in (np.zeros(3), [1], {"a": 1}, bytearray(3), Listed([1]), 3):
        assert unseen(thing) == ""


def test_a_list_of_a_class_of_its_own_keeps_its_attributes():
    thing = Listed([1])
    thing.name = "a"

    def change(thing):
        thing.append(2)
        thing.name = "b"

    assert changed(thing, change) == [1]
    assert thing.name == "a"

"""Direct views: names, code, sequences, imports."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from steer.client.client import Client
from steer.errors import UsageError
from steer.reference import Reference
from steer.wire.payload import Unpicklable

from .acting import ActingLink, acting, raises_composite

Acting = tuple[Client, ActingLink]


@pytest.fixture
def four() -> Iterator[Acting]:
    with acting(4) as pair:
        yield pair


def test_one_request_whatever_the_number_of_engines(four: Acting) -> None:
    rc, link = four
    rc[:].push({"a": 1}, block=True)
    rc[:].pull("a", block=True)
    rc[:].execute("a", block=True)
    rc[:].gather("a").wait(5)
    assert [submit.targets for submit in link.submits] == ["0-3"] * 4


def test_push_and_pull(four: Acting) -> None:
    rc, _ = four
    view = rc[:]
    view.push({"a": [1, 2]}, block=True)
    view["b"] = 5
    view.update({"c": Reference("a")})
    assert view["b"] == [5] * 4
    assert view.get("a[1]") == [2] * 4
    assert rc[0].pull(("a", "b"), block=True) == [[1, 2], 5]
    assert view[["b"]] == [[5]] * 4
    assert view.pull("b", targets=2, block=True) == 5
    with raises_composite("NameError: name 'nope' is not defined"):
        _ = view["nope"]
    with pytest.raises(TypeError, match="Must be a dict, not <class 'int'>"):
        view.push(3)
    with pytest.raises(TypeError, match="names must be strs, not 3"):
        view.pull(3)
    with pytest.raises(TypeError, match="keys must be str, not type <class 'int'>"):
        view.pull([3])
    assert view.clear(block=True) is None
    with raises_composite("NameError"):
        _ = view["a"]


def test_what_cannot_be_sent_is_named_and_nothing_is_sent(four: Acting) -> None:
    rc, link = four
    with pytest.raises(Unpicklable, match="Argument 1 of divmod cannot be sent"):
        rc[:].apply(divmod, 1, threading.Lock())
    with pytest.raises(Unpicklable, match="The value of 'a'"):
        rc[:].push({"a": threading.Lock()})
    with pytest.raises(Unpicklable):
        rc[:].scatter("a", [1, 2, 3, threading.Lock()])
    with pytest.raises(Unpicklable):
        rc[:].map(abs, [1, 2, 3, threading.Lock()])
    assert not link.submits
    assert not rc.outstanding


def test_execute(four: Acting, tmp_path: Path) -> None:
    rc, _ = four
    view = rc[:]
    result = view.execute("rank * 2", silent=False, block=True)
    assert repr(result[1]) == "<ExecuteReply[1]: 2>"
    script = tmp_path / "it.py"
    script.write_text("ran = rank")
    view.run(str(script)).get(5)
    assert view["ran"] == [0, 1, 2, 3]
    with pytest.raises(TypeError, match="code must be text, not <class 'int'>"):
        view.execute(3)
    with raises_composite("raised in: execute"):
        view.execute("1/0", block=True)


def test_cells_of_a_notebook_run_on_all_or_none(four: Acting) -> None:
    rc, link = four
    view = rc[:]
    for options in ({}, {"silent": False}, {"silent": False, "on_error": "continue"}):
        view.execute("a = 1", block=True, **options)
    assert [submit.joint for submit in link.submits] == [False, True, False]
    with pytest.raises(UsageError, match=r"is 'stop' or 'continue', not 'go on'\."):
        view.execute("a = 1", on_error="go on")
    assert len(link.submits) == 3


@pytest.mark.parametrize(
    ("dist", "shares"),
    [("b", [[0, 1], [2, 3], [4], [5]]), ("r", [[0, 4], [1, 5], [2], [3]])],
)
def test_scatter_and_gather(four: Acting, dist: str, shares: list[list[int]]) -> None:
    rc, _ = four
    view = rc[:]
    view.scatter("s", list(range(6)), dist=dist).get(5)
    assert view["s"] == shares
    gathered = view.gather("s", dist=dist)
    assert gathered.get(5) == list(gathered) == [0, 1, 2, 3, 4, 5]


def test_scatter_of_arrays_gives_arrays(four: Acting) -> None:
    rc, _ = four
    view = rc[:]
    field = numpy.arange(20.0).reshape(10, 2)
    for dist in "br":
        view.scatter("s", field, dist=dist, block=True)
        assert numpy.array_equal(view.gather("s", dist=dist, block=True), field)


def test_scatter_flattens_and_leaves_text_in_pieces(four: Acting) -> None:
    rc, _ = four
    view = rc[:]
    assert view.scatter("s", [7, 8], flatten=True, block=True) is None
    assert view["s"] == [7, 8, [], []]
    assert view.gather("s", targets=[0, 1], block=True) == [7, 8]
    view.scatter("s", "abcde", block=True)
    assert view.gather("s", block=True) == ["ab", "c", "d", "e"]
    with pytest.raises(UsageError, match="dist is 'b'"):
        view.scatter("s", [1], dist="q")


def test_map(four: Acting) -> None:
    rc, link = four
    view = rc[:]
    assert view.map_sync(lambda x, y: x + y, range(10), range(7)) == list(
        range(0, 14, 2)
    )
    assert view.map(abs, (i for i in (-1, -2)), block=True) == [1, 2]
    assert len(link.submits) == 6
    assert view.map_sync(abs, []) == []
    assert len(link.submits) == 6
    mapped = view.map_async(abs, range(10))
    assert len(mapped) == 10
    assert mapped[3:5] == [3, 4]
    assert mapped.get_dict()[3] == [8, 9]
    assert list(view.imap(abs, [-1, -2, -3])) == [1, 2, 3]
    with pytest.raises(TypeError, match="map_async doesn't take a `block`"):
        view.map_async(abs, [1], block=True)
    with pytest.raises(TypeError, match="must have some sequences"):
        view.map(abs)
    with pytest.warns(UserWarning, match="chunksize is ignored"):
        view.map_sync(abs, [1], chunksize=2)


def test_map_with_errors(four: Acting) -> None:
    rc, _ = four
    view = rc[:]
    with raises_composite("ZeroDivisionError"):
        view.map_sync(lambda x: 1 / x, [1, 0, 2, 4])
    values = view.map_sync(lambda x: 1 / x, [1, 0, 2, 4], return_exceptions=True)
    assert isinstance(values[1], ZeroDivisionError)
    assert [values[0], *values[2:]] == [1, 0.5, 0.25]


def test_map_yields_shares_as_they_come(four: Acting) -> None:
    rc, link = four
    link.hold = True
    elements = rc[:].imap(abs, range(8))
    link.settled()
    link.release_one()
    assert [next(elements), next(elements)] == [0, 1]
    link.release()
    assert list(elements) == [2, 3, 4, 5, 6, 7]


def test_imports_go_to_the_engines_under_all_their_names(
    four: Acting, capsys: pytest.CaptureFixture[str]
) -> None:
    rc, _ = four
    view = rc[:]
    with view.sync_imports():
        import json
        import os.path as p
        from math import e, pi
        from math import tau as number
    assert capsys.readouterr().out == (
        "importing json on engine(s)\n"
        "importing os.path on engine(s)\n"
        "importing e,pi from math on engine(s)\n"
        "importing tau from math on engine(s)\n"
    )
    expected = [json.__name__, p.__name__, "os", e, pi, number, number]
    got = view["[json.__name__, p.__name__, os.__name__, e, pi, number, tau]"]
    assert got == [expected] * 4
    with view.importer, view.sync_imports(quiet=True):
        pass
    with pytest.raises(UsageError), view.sync_imports(local=False):
        pass


def test_picklers(four: Acting) -> None:
    rc, _ = four
    view = rc[:]
    view.use_cloudpickle()
    assert rc._dump is not None
    assert view.apply_sync(abs, -1) == [1] * 4
    view.use_pickle()
    assert rc._dump is None
    assert pickle.loads(pickle.dumps(Reference("a"))).name == "a"


def test_a_broadcast_view_is_one_for_those_who_are_here(four: Acting) -> None:
    rc, link = four
    view = rc.broadcast_view(is_coalescing=True)
    link.join([4])
    assert view.apply_sync(abs, -1) == [1] * 4
    assert repr(view) == "<BroadcastView [0, 1, 2, 3]>"

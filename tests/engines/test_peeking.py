"""Peek reads, and refuses what could change the program or wait."""

from __future__ import annotations

import collections
import resource
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

from steer.engines.peeking import LONGEST, peek
from steer.wire.frames import pack


class Solver:
    kind = "explicit"

    def __init__(self):
        self.dt = 0.1
        self.steps = [1, 2, 3]
        self.calls = 0

    @property
    def energy(self):
        self.calls += 1
        return 1.0

    def advance(self):
        self.calls += 1

    def __add__(self, other):
        self.calls += 1
        return self

    def __getitem__(self, key):
        self.calls += 1
        return key

    def __repr__(self):
        self.calls += 1
        return "Solver()"


class Slots:
    __slots__ = ("left",)

    def __init__(self):
        self.left = 3


@pytest.fixture
def names():
    solver = Solver()
    return {
        "solver": solver,
        "slots": Slots(),
        "u": np.arange(6.0).reshape(2, 3),
        "np": np,
        "left": 2,
        "params": {"dt": 0.5, "names": ["a", "b"]},
        "step": solver.advance,
        "sys": sys,
    }


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("left + 1", "3"),
        ("solver.dt * 2", "0.2"),
        ("solver.kind", "'explicit'"),
        ("slots.left", "3"),
        ("solver.steps[-1]", "3"),
        ("params['names'][0].upper()", "'A'"),
        ("u.mean()", str(np.float64(2.5).__repr__())),
        ("u.shape", "(2, 3)"),
        ("u[0, 1:].tolist()", "[1.0, 2.0]"),
        ("int(np.abs(u).max())", "5"),
        ("bool(np.isnan(u).any())", "False"),
        ("len([x for x in solver.steps if x > 1])", "2"),
        ("{k: len(k) for k in params}", "{'dt': 2, 'names': 5}"),
        ("max(x * y for x, y in zip(solver.steps, range(3)))", "6"),
        ("1 < left <= 2 and not solver.steps == []", "True"),
        ("f'{solver.dt:.3f} {left!r}'", "'0.100 2'"),
        ("'yes' if left else 'no'", "'yes'"),
        ("sorted(params)", "['dt', 'names']"),
        ("solver", "<Solver object>"),
        ("type(solver).__name__", "'Solver'"),
        ("left is None", "False"),
        ("len([solver, solver])", "2"),
        ("isinstance(solver, int)", "False"),
        ("sorted(['b', 'a'], key=len)", "['b', 'a']"),
    ],
)
def test_what_only_looks_is_answered(names, expression, text):
    answer = peek(expression, None, names)
    assert (answer.text, answer.refused) == (text, "")
    assert names["solver"].calls == 0


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("solver.advance()", "nobody knows"),
        ("step()", "nobody knows"),
        ("solver.energy", "property"),
        ("solver + 1", "operators of its own"),
        ("solver[0]", "written in Python"),
        ("solver.steps.append(4)", "may change"),
        ("params.pop('dt')", "may change"),
        ("params.setdefault('x', 1)", "may change"),
        ("u.sort()", "may change the array"),
        ("u.fill(0)", "may change the array"),
        ("np.save('x', u)", "nobody knows"),
        ("open('/etc/passwd')", "nobody knows"),
        ("exec('left = 3')", "nobody knows"),
        ("__import__('os')", "nobody knows"),
        ("sys.exit()", "nobody knows"),
        ("setattr(solver, 'dt', 1)", "nobody knows"),
        ("getattr(solver, 'energy')", "nobody knows"),
        ("sorted(params, key=step)", "nobody"),
        ("(left := 3)", "assignment"),
        ("lambda: 1", "lambda"),
        ("left = 3", "is a statement"),
        ("del left", "is a statement"),
        ("left +", "is not an expression"),
        ("nothing", "not defined"),
        ("9 ** 9 ** 9", "too large"),
        ("1 << 10**9", "too large"),
        ("'a' * 10**9", "too long"),
        ("solver.__class__.__init__(solver)", "nobody knows"),
        ("sum(range(10**12))", "too long"),
        ("max([solver])", "its own"),
        ("solver in [1]", "its own"),
        ("[[solver]] == [[1]]", "its own"),
        ("f'{[solver]}'", "its own"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_could_do_something_is_refused(names, expression, why):
    answer = peek(expression, None, names)
    assert answer.text == ""
    assert why in answer.refused
    assert names["solver"].calls == 0
    assert names["left"] == 2
    assert names["u"][1, 2] == 5.0


def test_the_frame_is_seen_before_the_namespace(names):
    def inner():
        left = 77
        return sys._getframe(), left

    frame, _ = inner()
    assert peek("left", frame, names).text == "77"
    assert peek("u.size", frame, names).text == "6"


def test_an_answer_comes_in_time_and_is_bounded(names):
    began = time.monotonic()
    answer = peek("[x for x in range(10**7) for y in range(10**7)]", None, names)
    assert "time is up" in answer.refused
    assert time.monotonic() - began < 5
    long = peek("'x' * 100000", None, names)
    assert len(long.text) <= LONGEST
    names["u"] = np.zeros((5000, 100))
    assert len(peek("u", None, names).text) < LONGEST


def test_a_large_array_is_not_asked_in_the_io_thread(names):
    names["u"] = np.lib.stride_tricks.as_strided(np.zeros(1), (10**9,), (0,))
    assert "8,000 MB" in peek("u.sum()", None, names).refused
    assert "8,000 MB" in peek("np.abs(u)", None, names).refused
    assert "8,000 MB" in peek("u + 1", None, names).refused
    assert "8,000 MB" in peek("u", None, names).text
    assert peek("float(u[0])", None, names).text == "0.0"


def test_calls_of_mpi_are_refused(names):
    comm = types.new_class("Intracomm", exec_body=lambda ns: ns.update(rank=3))
    comm.__module__ = "mpi4py.MPI"
    comm.barrier = lambda self: None
    names["comm"] = comm()
    answer = peek("comm.barrier()", None, names)
    assert "call of MPI" in answer.refused


class Counts:
    """Whatever is done with it is counted."""

    asked = 0

    @property
    def __class__(self):
        return self._count(int)

    def _count(self, answer):
        Counts.asked += 1
        return answer


def _counting(name, answer):
    setattr(Counts, name, lambda self, *_: self._count(answer))


for _name in ("float", "int", "index", "abs", "sub", "rsub", "neg", "round", "trunc"):
    _counting(f"__{_name}__", 1)
for _name in ("lt", "gt", "le", "ge", "eq", "ne", "bool", "contains"):
    _counting(f"__{_name}__", True)
for _name in ("str", "repr", "format"):
    _counting(f"__{_name}__", "text")
_counting("__hash__", 1)
_counting("__len__", 3)
_counting("__getitem__", 3)
_counting("__call__", 3)
_counting("__getattr__", None)
_counting("__iter__", iter(()))
_counting("__next__", 1)
_counting("__array__", np.zeros(1))


@pytest.mark.parametrize(
    "expression",
    """
    float(c)|abs(c)|c - 1|1 - c|-c|not c|int(c)|round(c)|max(c, c)|max([c])|sum([c])
    sorted([c])|min(1, c)|c < 1|1 < c|c == c|c in [1]|1 in c|c[0]|list(c)|[x for x in c]
    [*c]|len(c)|bool(c)|1 if c else 2|c and 1|str(c)|repr(c)|f"{c}"|f"{[c]}"|c()|c.name
    {c}|{c: 1}|set([c])|dict([(c, 1)])|d[c]|d.get(c)|[1, 2].index(c)|[c].count(1)|u[c]
    u + c|np.sum(c)|np.asarray([c])|np.abs([c])|isinstance(1, c)|zip(c)|c.x.y|q[0] == 1
    sorted([1], key=c)|"".join([c])|"{0.x}".format(c)|"%s" % c|u.sum(c)|d[1]|own[1]
    o + 1|[1, 2][c:]|range(c)|divmod(c, 1)|chr(c)|[[[[c]]]] == 1|type("X", (c,))
    """.strip()
    .replace("\n", "|")
    .split("|"),
)
def test_nothing_asks_what_is_the_programs(expression):
    class Meta(type):
        def __instancecheck__(cls, value):
            Counts.asked += 1
            return True

    things = {
        "c": Counts(), "u": np.arange(3.0), "np": np, "d": {Counts(): 1, 2: 2},
        "q": [Counts()], "own": {Counts(): 1}, "kind": Meta("Kind", (), {}),
        "o": np.array([None], dtype=object),
    }  # fmt: skip
    Counts.asked = 0
    peek(expression.strip(), None, things)
    assert Counts.asked == 0
    assert not peek("isinstance(1, kind)", None, things).text
    assert Counts.asked == 0


def test_what_is_shown_is_not_asked_either():
    Counts.asked = 0
    shown = peek("[c, {1: c}, (c,)]", None, {"c": Counts()})
    assert shown.text.count("<Counts object>") == 3
    assert Counts.asked == 0


def test_no_item_is_taken_away():
    def steps():
        yield from range(3)

    running = steps()
    with Path(__file__).open() as file:
        things = {
            "g": running, "m": map(abs, [1]), "z": zip([1], [2], strict=True),
            "f": file, "s": np.nditer(np.arange(3)),
        }  # fmt: skip
        for name in things:
            for text in (
                "list({})",
                "[x for x in {}]",
                "max({})",
                "sum({})",
                "[*{}]",
                "sorted({})",
                "1 in {}",
                "set({})",
                "dict({})",
                "zip({}, [1])",
            ):
                assert not peek(text.format(name), None, things).text, text
        assert next(running) == 0
        assert next(things["m"]) == 1
        assert next(things["z"]) == (1, 2)
        assert file.readline().startswith('"""Peek reads')


def test_dictionaries_get_no_new_items():
    found = collections.defaultdict(list, a=[1])
    answer = peek("d['b']", None, {"d": found})
    assert "no item" in answer.refused
    assert peek("d['a']", None, {"d": found}).text == "[1]"
    assert list(found) == ["a"]


@pytest.mark.parametrize(
    "expression",
    [
        "bytes(10**11)", "f'{1:>2000000000}'", "'%2000000000d' % 1", "column + row",
        "np.hypot(column, row)", "column < row", "np.where(column, row, 1)",
        "column @ row", "round(5, -10**9)", "[0] * np.int64(10**12)",
        "'a'.replace('', 'b' * 10**6).replace('a', 'b' * 10**6)",
        "'x'.join(['y' * 10**5] * 10**5)", "u.astype('U1000000')",
        "u[np.where(row == row)[1]][np.where(row == row)[1]]", "list(range(10**9))",
        "np.asarray(['x' * 10**6] + [''] * 10**6)", "['x' * 10**6] * 10**4 == []",
        "np.diff(u, 10**9)", "u.reshape(10**30)", "[[0] * 10**6] * 10**6 == 1",
    ],
)  # fmt: skip
def test_nothing_grows_without_bounds(expression):
    row = np.zeros((1, 200_000))
    names = {"np": np, "u": np.zeros(10), "row": row, "column": row.reshape(-1, 1)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    answer = peek(expression, None, names)
    assert answer.text == "", answer
    assert answer.refused
    assert time.monotonic() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.parametrize(
    "expression",
    ["np.abs(u, u)", "np.abs(u, out=u)", "np.sin(u, v)", "u.sum(None, None, v)",
     "np.sum(u, 0, None, v)", "u.cumsum(out=v)", "np.sqrt(u, where=v)", "u.dot(v, v)"],
)  # fmt: skip
def test_nothing_is_written_to(expression):
    names = {"np": np, "u": np.full(3, -7.0), "v": np.full(3, -7.0)}
    assert not peek(expression, None, names).text
    assert set(names["u"]) == set(names["v"]) == {-7.0}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("u.reshape(2, 3).sum(axis=0).tolist()", "[3.0, 5.0, 7.0]"),
        ("np.where(u > 3)[0].tolist()", "[4, 5]"),
        ("u[u > 3].tolist()", "[4.0, 5.0]"),
        ("u[[0, 1]].tolist()", "[0.0, 1.0]"),
        ("float((u * 2 - u).max())", "5.0"),
        ("float(u @ u)", "55.0"),
        ("np.percentile(u, [0, 100]).tolist()", "[0.0, 5.0]"),
        ("float(np.linalg.norm(u[:2]))", "1.0"),
        ("np.allclose(u, u)", "True"),
        ("[i for i, x in enumerate(u) if x > 4]", "[5]"),
        ("dict(zip('ab', range(2)))", "{'a': 0, 'b': 1}"),
        ("p[0] + p[1]", "3"),
        ("len(p)", "2"),
        ("q.get('x', 7)", "7"),
        ("'b' in q", "True"),
        ("sorted(q.items())", "[('a', 1), ('b', 2)]"),
        ("type(u) is np.ndarray", "True"),
        ("isinstance(u, (list, np.ndarray))", "True"),
        ("q", "{'a': 1, 'b': 2}"),
        ("(1,)", "(1,)"),
        ("set()", "set()"),
        ("' '.join(['a', 'b']).upper()", "'A B'"),
    ],
)
def test_what_is_known_is_computed_with(expression, text):
    point = collections.namedtuple("Point", "x y")(1, 2)
    names = {"np": np, "u": np.arange(6.0), "p": point, "q": {"a": 1, "b": 2}}
    answer = peek(expression, None, names)
    assert (answer.text, answer.refused) == (text, "")


def test_halves_of_characters_travel():
    pack(peek("name", None, {"name": "a\udc80"}))
    pack(peek("q[name]", None, {"name": "a\udc80", "q": {}}))

"""What a rank does at points without stopping."""

from __future__ import annotations

import sys

import pytest

import steer
from steer.core import page, params
from steer.core.fences import Fences
from steer.engines import declared
from steer.engines.namespace import Namespace
from steer.engines.planned import OLD, Planned
from steer.wire import payload
from steer.wire.frames import unpack
from steer.wire.plans import Call, Change, Changes, Code, encode_deed, verb_of


@pytest.fixture
def rank(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", None)
    declared.forget()
    yield Rank()
    declared.forget()


class Rank:
    """A rank's plans, its page, and what it said."""

    def __init__(self):
        self.words = [0] * page.WORDS
        base = page.add_family(self.words, "step", False)
        self.fences = Fences(self.words, base)
        self.fences.adopt()
        self.base = base
        self.namespace = Namespace()
        self.told = []
        tell = lambda plan, point, error, seconds: self.told.append(  # noqa: E731
            (plan, point, error)
        )
        self.planned = Planned(self.words, self.namespace, lambda: 2, tell)

    def take(self, plan, deed):
        self.planned.take(plan, verb_of(deed), encode_deed(deed))

    def do(self, plan, deed, point=1):
        self.take(plan, deed)
        self.planned.apply(plan, point)
        return self.told[-1]


def test_parameters_are_set(rank):
    p = steer.params(dt=steer.Float(0.1, 0, 1), n=steer.Int(3, per_rank=True))
    deed = Changes(
        (Change({"dt": 0.2}), Change({"n": 4}, "0-1"), Change({"n": 9}, "2"))
    )
    assert rank.do(5, deed, 413) == (5, 413, "")
    assert (p.dt, p.n) == (0.2, 9)


def test_what_may_not_be_is_told_and_changes_nothing(rank):
    p = steer.params(
        dt=steer.Float(0.1, depends=lambda p: p.dt <= p.dx or "dt is above dx"),
        dx=steer.Float(1.0),
    )
    said = rank.do(1, Changes((Change({"dt": 2.0}),)))
    assert said == (1, 1, "dt may not be so: dt is above dx")
    assert p.dt == 0.1


def test_what_is_not_to_be_checked_is_looked_at_where_it_is_done(rank):
    """A replay plans it before what makes it possible is done."""
    p = steer.params(
        dt=steer.Float(0.1, depends=lambda p: p.dt * p.speed <= 1 or "too fast"),
        speed=steer.Float(1.0),
    )
    changes = (Change({"speed": 500.0}),)
    refused = rank.planned.take(1, "set", encode_deed(Changes(changes)))
    assert refused == "dt may not be so: too fast"
    unchecked = encode_deed(Changes(changes, unchecked=True))
    assert rank.planned.take(2, "set", unchecked) == ""
    rank.planned.apply(2, 50)
    assert rank.told[-1] == (2, 50, refused)
    assert rank.planned.take(3, "set", unchecked) == ""
    assert rank.do(4, Changes((Change({"dt": 0.001}),)), 51) == (4, 51, "")
    rank.planned.apply(3, 51)
    assert (rank.told[-1], p.speed) == ((3, 51, ""), 500.0)


def test_code_runs_in_the_frame_of_the_loop(rank):
    u = 3
    rank.take(1, Code("u = u * 2\nv = [u for _ in range(2)]"))
    rank.planned.apply(1, 1)
    assert u == 6
    assert rank.namespace.variables["v"] == [6, 6]


def test_a_function_that_came_along_sees_the_engines_variables(rank):
    rank.namespace.variables["out"] = []
    source = "def save(name, *, n): out.append((name, n))"
    scope = {"__name__": "__main__"}
    exec(source, scope)
    (pickled,) = payload.dumps_call(scope["save"], ("a",), {"n": 3})
    assert rank.do(1, Call("save", pickled)) == (1, 1, "")
    assert rank.namespace.variables["out"] == [("a", 3)]


def test_an_error_is_told_and_shown_and_the_program_goes_on(rank, capsys):
    assert rank.do(7, Code("1 / zero"), 9) == (
        7,
        9,
        "NameError: name 'zero' is not defined",
    )
    shown = capsys.readouterr().err
    assert shown.startswith("At point 9, in what was planned:\nTraceback")
    assert "1 / zero" in shown
    assert "planned.py" not in shown
    assert rank.do(8, Code("1 / "))[2].startswith("SyntaxError")
    assert rank.do(9, Call("f", b"no pickle"))[2]


def test_what_is_meant_for_the_program_reaches_it(rank):
    rank.take(1, Code("import sys; sys.exit(3)"))
    with pytest.raises(SystemExit):
        rank.planned.apply(1, 5)
    assert rank.told == [(1, 5, "")]
    rank.take(2, Code("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        rank.planned.apply(2, 6)
    assert rank.told[1:] == [(2, 6, "KeyboardInterrupt")]


def test_what_is_over_is_forgotten_and_nothing_else(rank):
    words, planned, fences = rank.words, rank.planned, rank.fences
    rank.take(1, Code("pass"))  # done once
    rank.take(2, Code("pass"))  # again and again
    rank.take(3, Code("pass"))  # taken back
    rank.take(4, Code("pass"))  # not prepared yet
    for plan, every in ((1, 0), (2, 2)):
        fences.confirm(plan, fences.prepare(plan, 5, every))
    planned.forget(3)
    for point in (5, 7, 9):
        for plan in (1, 2) if point == 5 else (2,):
            planned.apply(plan, point)
        words[rank.base + page.Family.C] = words[rank.base + page.Family.DONE] = point
        fences.look()
    rank.take(10, Code("pass"))
    assert [planned.has(plan) for plan in (1, 2, 3, 4, 10)] == [0, 1, 0, 1, 1]
    rank.take(4 + OLD, Code("pass"))
    assert not planned.has(4)
    assert planned.has(2)


def test_a_plan_that_is_due_is_not_forgotten_because_it_was_taken_back(rank):
    rank.take(1, Code("pass"))
    rank.fences.confirm(1, rank.fences.prepare(1, 5, 2))
    rank.planned.forget(1)
    rank.take(2, Code("pass"))
    assert rank.planned.has(1)


def test_questions_about_parameters(rank):
    steer.params(dt=steer.Float(0.1, 0, 1), n=steer.Int(3, 0, 5, per_rank=True))
    described = unpack(rank.planned.answer("params", b""))
    assert described["dt"]["value"] == 0.1
    assert params.from_description(described)["n"].per_rank

    def tried(*parts):
        return rank.planned.take(1, "set", encode_deed(Changes(parts)))

    assert tried(Change({"dt": 0.2})) == ""
    assert tried(Change({"dt": 2})) == "dt is from 0 to 1, not 2.0."
    assert tried(Change({"n": 9}, "0-1")) == ""  # not this one
    assert tried(Change({"n": 9}, "2")) == "n is from 0 to 5, not 9."
    assert tried(Change({"dt": 0.2}, "0")).startswith("dt is the same on all ranks")
    assert declared.values() == {"dt": 0.1, "n": 3}


def test_what_recurs_tells_only_what_is_new(rank):
    source = "if fails: raise OSError(fails)"
    rank.take(1, Code(source))
    for point, fails in enumerate(["", "", "full", "full", "", "", "full"]):
        rank.namespace.variables["fails"] = fails
        rank.planned.apply(1, point)
    error = "OSError: full"
    assert rank.told == [(1, 0, ""), (1, 2, error), (1, 4, ""), (1, 6, error)]


def test_what_a_new_hub_is_told(rank):
    for plan, source in ((1, "a"), (2, "b")):
        deed = Code(source)
        rank.planned.take(plan, "code", encode_deed(deed), f"{source}()")
    rank.fences.confirm(2, rank.fences.prepare(2, 5, 2))
    assert rank.planned.known() == [(2, "code", "b()")]


def test_a_rank_knows_what_does_not_concern_it(rank):
    steer.params("sea", dt=steer.Float(0.1))

    def concerns(*names):
        changes = Changes(tuple(Change({name: 1}, "7") for name in names))
        return rank.planned.concerns("set", encode_deed(changes))

    assert concerns("sea.dt")
    assert concerns("air.dt", "sea.dt")
    assert not concerns("air.dt")
    assert rank.planned.concerns("code", b"")

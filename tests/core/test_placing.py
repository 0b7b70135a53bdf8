"""Where points go that are named: checked by running the program that comes out."""

from __future__ import annotations

import ast
import textwrap

import pytest

from steer.core.placing import NAME, inherits, parse, place
from steer.errors import UsageError


def run(source, spot, module="__main__"):
    """The lines and variables at which the point was, and its places."""
    tree = ast.parse(textwrap.dedent(source).lstrip("\n"), "sim.py")
    places = place(tree, module, parse(spot))
    seen = []
    import sys

    def point():
        frame = sys._getframe(1)
        seen.append((frame.f_lineno, frame.f_locals.get("i"), frame.f_code.co_name))

    variables = {NAME: point, "__name__": module}
    exec(compile(tree, "sim.py", "exec", dont_inherit=True), variables)
    return seen, places, variables


LOOP = """
'''A program.'''
from __future__ import annotations
total = 0
for i in range(3):
    # what is added
    total += (
        i
    )
else:
    total += 100

done = True
"""


@pytest.mark.parametrize(
    ("line", "passes", "where"),
    [
        (1, [None], [1]),  # behind the docstring and the __future__
        (2, [None], [2]),
        (3, [None], [3]),
        (4, [0, 1, 2], [4]),  # the loop's head: each pass
        (5, [0, 1, 2], [4]),  # still its head: a comment
        (6, [0, 1, 2], [6]),
        (7, [0, 1, 2], [6]),  # inside a statement of several lines
        (9, [2], [10]),  # else: what is there next
        (10, [2], [10]),
        (11, [2], [12]),  # an empty line
        (12, [2], [12]),
    ],
)
def test_a_line_is_the_statement_there_or_the_next_one(line, passes, where):
    seen, places, variables = run(LOOP, f"sim.py:{line}")
    assert [i for _, i, _ in seen] == passes
    assert {at for at, _, _ in seen} == set(where)
    assert places == where
    assert variables["total"] == 103
    assert variables["__doc__"] == "A program."


def test_a_line_behind_the_last_one_is_refused():
    with pytest.raises(UsageError, match=r"sim.py:13.*last statement.*on line 12"):
        run(LOOP, "sim.py:13")


HEADS = """
import contextlib
class Solver:
    '''Solves.'''
    @staticmethod
    def step(i):
        '''A step.'''
        while i:
            i -= 1
        try:
            if i: raise ValueError
            elif not i:
                pass
        except ValueError:
            pass
        finally:
            i = 5
        match i:
            case 5:
                return i
async def other(): pass
def short(i): return i
for i in range(2): Solver.step(i); short(i)
"""


@pytest.mark.parametrize(
    ("line", "count", "function"),
    [
        (2, 1, "<module>"),
        (3, 1, "Solver"),
        (4, 2, "step"),  # the decorator is part of the function's head
        (5, 2, "step"),
        (7, 1, "step"),  # passes of the while, of which there is one
        (8, 1, "step"),
        (9, 2, "step"),
        (10, 2, "step"),
        (11, 2, "step"),
        (16, 2, "step"),
        (17, 2, "step"),
        (18, 2, "step"),
        (19, 2, "step"),
        (20, 0, None),
        (21, 2, "short"),
        (22, 2, "<module>"),
    ],
)
def test_heads_of_all_kinds(line, count, function):
    seen, _, variables = run(HEADS, f"sim.py:{line}")
    assert len(seen) == count
    assert {name for _, _, name in seen} == ({function} if function else set())
    assert variables["Solver"].step.__doc__ == "A step."
    assert variables["Solver"].__doc__ in ("Solves.", None)


NAMES = """
def step(): pass
class Solver:
    def step(self): pass
    class Inner:
        def step(self): pass
def make():
    class Solver:
        def step(self): pass
    return Solver
step(); Solver().step(); Solver.Inner().step(); make()().step()
"""


@pytest.mark.parametrize(
    ("name", "module", "places"),
    [
        ("step", "__main__", [1]),
        ("step", "solver", []),  # too many have one
        ("solver.step", "solver", [1]),
        ("solver.step", "package.solver", [1]),
        ("solver.step", "__main__", []),
        ("Solver.step", "__main__", [3]),
        ("Solver.step", "package.solver", [3]),
        ("solver.Solver.step", "package.solver", [3]),
        ("package.solver.Solver.step", "package.solver", [3]),
        ("other.Solver.step", "package.solver", []),
        ("Inner.step", "__main__", []),
        ("Solver.Inner.step", "__main__", [5]),
        ("make.Solver.step", "__main__", [8]),
        ("Solver.stop", "__main__", []),
    ],
)
def test_a_name_is_that_of_a_method_or_of_a_modules_function(name, module, places):
    seen, found, _ = run(NAMES, name, module)
    assert found == places
    assert [line for line, _, _ in seen] == places


def test_two_points_in_one_loop_are_two_calls():
    tree = ast.parse("for i in range(2):\n    a = i\n    b = i\n")
    for line in (1, 2, 3, 3):
        place(tree, "__main__", parse(f"sim.py:{line}"))
    seen = []
    code = compile(tree, "sim.py", "exec")
    exec(code, {NAME: lambda: seen.append(1)})
    assert len(seen) == 8


def test_what_is_compiled_cannot_be_stopped():
    source = "import numba\n@numba.njit(cache=True)\ndef kernel(u):\n    u[0] = 1\n"
    for spot in ("sim.py:4", "sim.py:3", "kernel"):
        with pytest.raises(UsageError, match=r"kernel is compiled by @numba\.njit"):
            place(ast.parse(source), "__main__", parse(spot))


def test_a_class_that_inherits_the_method_says_where_from():
    tree = ast.parse("class Mine(base.Solver):\n    pass\n")
    assert place(tree, "__main__", parse("Mine.step")) == []
    assert "--point base.Solver.step" in inherits(tree, parse("Mine.step"))
    assert inherits(tree, parse("Other.step")) == ""


@pytest.mark.parametrize("text", ["", "sim.py", "sim.py:", "40", "a b", "x.y:z", "a-b"])
def test_what_is_no_place_is_refused(text):
    with pytest.raises(UsageError, match=r"no place in a program"):
        parse(text)
    with pytest.raises(UsageError, match="counted from 1"):
        parse("sim.py:0")


def test_a_file_may_be_named_by_the_end_of_its_path():
    spot = parse("./pack/sim.py:4")
    assert spot.may_be_in("/home/me/pack/sim.py")
    assert not spot.may_be_in("/home/me/other/sim.py")
    assert not spot.may_be_in("/home/me/mypack/sim.py")
    assert parse("Solver.step").may_be_in("/anything.py")

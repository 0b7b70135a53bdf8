"""Cells at a hold: they read and assign what the loop has, wherever it stands."""

from __future__ import annotations

import gc
import sys
import textwrap
import threading
import weakref

import pytest

from steer.engines import inframe
from steer.engines.ipython import SteerShell
from steer.engines.namespace import Namespace
from steer.engines.shell import Shell
from steer.errors import UsageError


class Rank:
    """A namespace, a shell, and programs that hold where they call `hold()`."""

    def __init__(self):
        self.namespace = Namespace()
        self.shown = []
        self.shell = Shell(self.namespace, lambda *shown: self.shown.append(shown))
        self.cells = []
        self.namespace.variables["hold"] = self.hold

    def program(self, source):
        """Run a script; each hold runs the next of the cells."""
        code = compile(textwrap.dedent(source), "sim.py", "exec")
        exec(code, self.namespace.module.__dict__)
        return self.namespace.module.__dict__

    def hold(self):
        cell = self.cells.pop(0)
        with inframe.bound(self.namespace, sys._getframe(1)):
            cell() if callable(cell) else self.run(cell)

    def run(self, cell, silent=True):
        outcome = self.shell.run(textwrap.dedent(cell), silent=silent)
        self.namespace.settle()
        if outcome.error is not None:
            raise outcome.error.exception
        return outcome.result_data


@pytest.fixture
def rank(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    yield Rank()
    # What other tests show depends on whether there is an IPython.
    SteerShell.clear_instance()


LOOP = """
def main(u=1.0, steps=1):
    total = 0.0
    for step in range(steps):
        hold()
        total += u
    return total
"""


@pytest.mark.parametrize("silent", [True, False], ids=["plain", "ipython"])
def test_a_cell_reads_and_assigns_what_the_loop_has(rank, silent):
    def cell():
        rank.run("seen = u, step", silent)
        rank.run("u = u + 41", silent)

    rank.cells = [cell]
    variables = rank.program(f"{LOOP}\nresult = main()")
    assert variables["seen"] == (1.0, 0)
    assert variables["result"] == 42.0
    assert "u" not in variables


def test_at_the_top_level_variables_are_the_engines(rank):
    rank.cells = ["u += 1"]
    variables = rank.program("u = 1\nfor step in range(1):\n    hold()\n")
    assert variables["u"] == 2
    assert rank.namespace.variables is variables


@pytest.mark.parametrize(
    "cell",
    [
        "got = [u + i for i in range(3)]",
        "got = list(u + i for i in range(3))",
        "def f():\n    return [u, u + 1, u + 2]\ngot = f()",
        "got = (lambda: [u + i for i in range(3)])()",
        "class C:\n    got = [u, u + 1, u + 2]\ngot = C.got",
        "got = eval('[u + i for i in range(3)]')",
        "exec('got = [u, u + 1, u + 2]')",
        "got = [globals()['u'], locals()['u'] + 1, vars()['u'] + 2]",
    ],
)
def test_all_parts_of_a_cell_see_it(rank, cell):
    rank.cells = [cell]
    assert rank.program(f"{LOOP}\nmain()")["got"] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "cell",
    [
        "u = 5",
        "u += 4",
        "for u in range(6): pass",
        "def f():\n    global u\n    u = 5\nf()",
        "[u := x for x in (4, 5)]",
        "globals()['u'] = 5",
        "exec('u = 5')",
        "globals().update(u=5)",
        "from types import SimpleNamespace as N\n(u, _) = (5, N)",
    ],
)
def test_all_ways_to_assign_reach_it(rank, cell):
    rank.cells = [cell]
    assert rank.program(f"{LOOP}\nresult = main()")["result"] == 5.0


def test_what_a_cell_has_set_is_seen_by_the_rest_of_it_and_the_next(rank):
    def cells():
        rank.run(
            "u = 5\ndef f():\n    global u\n    u = u + 1\n    return u\ngot = f()"
        )
        rank.run("got2 = u")

    rank.cells = [cells]
    variables = rank.program(f"{LOOP}\nresult = main()")
    assert [variables[name] for name in ("got", "got2", "result")] == [6, 6, 6.0]


def test_a_local_without_a_value_can_be_given_one(rank):
    rank.cells = ["later = 7"]
    variables = rank.program(
        "def main():\n    hold()\n    if False:\n        later = 0\n    return later\n"
        "result = main()"
    )
    assert variables["result"] == 7
    assert "later" not in variables


def test_a_local_without_a_value_is_not_a_name(rank):
    def cell():
        with pytest.raises(NameError, match="later"):
            rank.run("later")

    rank.cells = [cell]
    rank.program("def main():\n    hold()\n    later = 0\nmain()")


def test_variables_that_functions_share(rank):
    source = """
    def main():
        count = 1
        def bump():
            nonlocal count
            count += 1
            return count
        hold()
        return count, bump()
    result = main()
    """
    rank.cells = ["count = 10\nbump()\nseen = count\ncount += 1"]
    variables = rank.program(source)
    assert variables["seen"] == 11
    assert variables["result"] == (12, 13)


def test_variables_of_the_function_around(rank):
    source = """
    def outer(dt):
        def inner():
            hold()
            return dt
        return inner(), dt
    result = outer(0.1)
    """
    rank.cells = ["dt = dt * 2"]
    assert rank.program(source)["result"] == (0.2, 0.2)


@pytest.mark.parametrize("kind", ["[{}]", "list({})", "{{{}}}"])
def test_a_loop_in_a_comprehension_is_part_of_its_function(rank, kind):
    loop = kind.format("(hold(), u, step)[1:] for step in range(1)")
    rank.cells = ["seen = u, step\nu = 5"]
    source = f"def main(u):\n    return list({loop}), u\nresult = main(1)"
    variables = rank.program(source)
    assert variables["seen"] == (1, 0)
    assert variables["result"] == ([(5, 0)], 5)


def test_globals_of_the_loops_module(rank):
    """Of another module than the script's, too; and that one's stay apart."""
    module = type(sys)("solver")
    sys_source = "dt = 0.1\ndef main(hold):\n    hold()\n    return dt\n"
    exec(sys_source, module.__dict__)
    rank.namespace.push({"solver": module, "dt2": 1})
    rank.cells = ["dt = 0.2\nseen = solver.dt\nnew = dt2"]
    variables = rank.program("result = solver.main(hold)")
    assert module.dt == variables["result"] == variables["seen"] == 0.2
    assert variables["new"] == 1
    assert "dt" not in variables
    assert "new" not in vars(module)


def test_new_names_are_there_at_the_next_hold_and_afterwards(rank):
    rank.cells = ["import math\ndef twice(): return 2 * u", "u = twice() + math.pi * 0"]
    variables = rank.program(f"{LOOP}\nresult = main(steps=2)")
    assert variables["result"] == 3.0
    assert "math" in variables


def test_a_function_of_a_cell_finds_the_loop_while_it_runs(rank):
    source = """
    def main():
        for step in range(3):
            if step == 1:
                hold()
            if step:
                seen.append(probe())
    main()
    """
    rank.namespace.push({"seen": []})
    rank.cells = ["def probe(): return step, len('xy')"]
    variables = rank.program(source)
    assert variables["seen"] == [(1, 2), (2, 2)]
    with pytest.raises(NameError, match="step"):
        variables["probe"]()


def test_nothing_is_kept_alive(rank):
    class Array:
        pass

    kept = []
    rank.namespace.push({"make": Array, "kept": kept, "ref": weakref.ref})
    rank.cells = ["def probe(): return u\nv = None", "v = 3"]
    rank.program("""
    def main():
        u = make()
        kept.append(ref(u))
        hold()
        u = make()  # the first is free now
        gone.append(kept[0]() is None)
        kept.append(ref(u))
        hold()
    gone = []
    main()
    """)
    gc.collect()
    assert rank.namespace.variables["gone"] == [True]
    assert kept[1]() is None


def test_deleting(rank):
    """Python takes no variable away from a function that runs: it becomes None."""

    def cell():
        rank.run("new = 1\ndel new\ndel u")
        with pytest.raises(NameError):
            rank.run("new")
        with pytest.raises(NameError):
            rank.run("del never")
        rank.run("got = u\nu = 2")

    rank.cells = [cell]
    variables = rank.program(f"{LOOP}\nresult = main()")
    assert variables["got"] is None
    assert variables["result"] == 2


def test_an_exceptions_name_may_be_a_locals(rank):
    rank.cells = ["try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    pass"]
    source = "def main(e):\n    hold()\n    return e\nresult = main(1)"
    assert rank.program(source)["result"] is None


def test_push_pull_and_functions_of_a_client(rank):
    def cell():
        namespace = rank.namespace
        assert namespace.pull("u") == 1.0
        assert namespace.pull("u + step") == 1.0
        namespace.push({"u": 3.0, "other": 4})
        assert namespace.evaluate("u + other") == 7.0
        code = compile("f = lambda: u * 2", "<client>", "exec")
        brought = {"__name__": "__main__"}
        exec(code, brought)
        assert namespace.bind(brought["f"])() == 6.0

    rank.cells = [cell]
    variables = rank.program(f"{LOOP}\nresult = main()")
    assert variables["result"] == 3.0
    assert variables["other"] == 4


def test_the_scope_is_a_mapping(rank):
    def cell():
        scope = rank.namespace.variables
        assert scope["u"] == scope.get("u") == dict(scope)["u"] == {**scope}["u"] == 1.0
        assert "u" in scope
        assert "nothing" not in scope
        assert scope.get("nothing", 3) == 3
        assert scope.get("nothing") is None
        assert "u" in list(scope) and "u" in scope.keys() and len(scope) > 3  # noqa: SIM118, PT018
        assert dict(scope.items())["total"] == 0.0
        assert scope.copy()["main"] is rank.namespace.module.main
        assert scope.setdefault("u", 3) == 1.0
        assert scope.setdefault("fresh", 3) == scope.pop("fresh") == 3
        assert scope.pop("fresh", 4) == 4
        with pytest.raises(KeyError):
            scope.pop("fresh")
        with pytest.raises(UsageError, match="one by one"):
            scope.clear()
        assert repr(scope) == "<the variables of main>"

    rank.cells = [cell]
    rank.program(f"{LOOP}\nmain()")


def test_completion_and_inspection_know_the_loop(rank):
    from steer.engines import frontend

    def cell():
        found = frontend.complete(rank.shell.warm(), "tota", 4)
        assert "total" in found["matches"]
        found = frontend.inspect(rank.shell.warm(), "total", 5)
        assert "float" in found["data"]["text/plain"]

    rank.cells = [cell]
    rank.program(f"{LOOP}\nmain()")
    assert "total" not in frontend.complete(rank.shell.warm(), "tota", 4)["matches"]


def test_classes_of_a_cell_can_be_pickled(rank):
    import pickle

    rank.cells = ["class Box:\n    pass\n"]
    variables = rank.program(f"{LOOP}\nmain()")
    assert pickle.loads(pickle.dumps(variables["Box"])) is variables["Box"]


def test_the_body_of_a_class_sees_all(rank):
    source = """
    import sys
    def main():
        shared = 3
        def f(): return shared
        hold()
    main()
    """
    rank.cells = [
        "class C:\n    got = shared, sys, probe, f\n    shared: sys.float_info"
    ]
    rank.namespace.push({"probe": 1})
    got = rank.program(source)["C"].got
    assert got[:3] == (3, sys, 1)


def test_what_the_program_changes_meanwhile_is_seen(rank):
    source = """
    count = 0
    def bump():
        global count
        count += 1
    def main():
        hold()
    main()
    """
    rank.cells = ["bump(); got = [count]; got += [(lambda: (bump(), count)[1])()]"]
    assert rank.program(source)["got"] == [1, 2]


def test_an_error_in_a_cell_leaves_the_loop_as_it_is(rank):
    def cell():
        with pytest.raises(ZeroDivisionError):
            rank.run("u = 2\n1 / 0\nu = 3")

    rank.cells = [cell, cell]
    assert rank.program(f"{LOOP}\nresult = main(steps=2)")["result"] == 4.0
    assert rank.namespace.variables is rank.namespace.module.__dict__


def test_recursion_means_the_innermost_loop(rank):
    source = """
    def main(level):
        if level:
            return main(level - 1) + [level]
        hold()
        return [level]
    result = main(2)
    """
    rank.cells = ["seen = level\nlevel = 9"]
    variables = rank.program(source)
    assert variables["seen"] == 0
    assert variables["result"] == [9, 1, 2]


def test_a_loop_that_is_traced(rank):
    """As by a point that was put there (3.11), or by a debugger."""
    source = """
    def main(u):
        shared = 1
        def bump():
            nonlocal shared
            shared += 1
        u = u + 0
        return u, shared
    """
    seen = []

    def trace(frame, event, arg):
        if frame.f_code.co_name != "main":
            return None
        if event == "line" and "bump" in frame.f_locals and not seen:
            seen.append(frame.f_lineno)
            with inframe.bound(rank.namespace, frame):
                rank.run("u = 5\nbump()")
        return trace

    main = rank.program(source)["main"]
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        result = main(1)
    finally:
        sys.settrace(before)
    assert result == (5, 2)


def test_another_thread_may_look_meanwhile(rank):
    """Before Python 3.13 a look makes the copy anew that assigning goes through."""
    frames, over = [], threading.Event()

    def look():
        while not over.is_set():
            for frame in frames:
                frame.f_locals  # noqa: B018  to look is enough

    def cell():
        frames.append(sys._getframe(2))
        for number in range(3000):
            rank.namespace.variables["u"] = number
            assert frames[0].f_locals["u"] == number
        frames.clear()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        rank.cells = [cell]
        assert rank.program(f"{LOOP}\nresult = main()")["result"] == 2999
    finally:
        over.set()
        thread.join(10)


# -- which frame


def test_the_frame_of_the_loop(tmp_path):
    """Not ours, and not that of a bar around the loop."""
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / "bars.py").write_text(
        "def bar(items):\n    for item in items:\n        yield item\n"
    )
    ours = compile(
        "def loop(items):\n    for item in items:\n        found.append(look())\n"
        "        yield item\n",
        inframe.__file__,
        "exec",
    )
    found = []
    names = {"found": found, "look": inframe.loops_frame}
    exec(ours, names)
    bar = {}
    path = str(packages / "bars.py")
    exec(compile((packages / "bars.py").read_text(), path, "exec"), bar)
    script = "def main():\n    for step in bar(loop([1])):\n        pass\nmain()\n"
    exec(compile(script, "/home/me/sim.py", "exec"), {**names, **bar})
    assert inframe.site(found[0]) == "sim.py:2"


def test_site_of_a_package():
    code = compile("import sys\nframe = sys._getframe()", "/x/heat/__init__.py", "exec")
    names = {}
    exec(code, names)
    assert inframe.site(names["frame"]) == "heat/__init__.py:2"
    assert inframe.site(None) == ""

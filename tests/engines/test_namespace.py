"""The user's variables: names, expressions, functions of the client's __main__."""

from __future__ import annotations

import builtins
import functools
import pickle
import subprocess
import sys
import textwrap
import types

import cloudpickle
import pytest

from steer.engines.namespace import Namespace


@pytest.fixture
def namespace(monkeypatch):
    # Takes the place of __main__, and gives it back.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    return Namespace()


def from_client(script: str, name: str = "f"):
    """What arrives of a function that a client defined in its __main__."""
    code = (
        f"{textwrap.dedent(script)}\nimport cloudpickle, sys\n"
        f"sys.stdout.buffer.write(cloudpickle.dumps({name}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, timeout=30
    )
    return pickle.loads(done.stdout)


def test_push_and_pull(namespace):
    namespace.push({"a": 1, "b": [1, 2]})
    assert namespace.pull("a") == 1
    assert namespace.pull(["a", "b"]) == [1, [1, 2]]
    assert namespace.pull(("a",)) == [1]


def test_expressions_can_be_pulled(namespace):
    namespace.push({"a": [1, 2, 3]})
    assert namespace.pull("len(a)") == 3
    assert namespace.pull(["a[1]", "sum(a)", "[i for i in a]"]) == [2, 6, [1, 2, 3]]


def test_dotted_names(namespace):
    thing = types.SimpleNamespace(inner=types.SimpleNamespace())
    namespace.push({"thing": thing})
    namespace.push({"thing.inner.x": 5, "thing.y": 6})
    assert thing.inner.x == 5
    assert namespace.pull(["thing.inner.x", "thing.y"]) == [5, 6]


def test_a_missing_name_is_pythons_error(namespace):
    with pytest.raises(NameError, match="'nobody' is not defined"):
        namespace.pull("nobody")
    with pytest.raises(NameError, match="'nobody' is not defined"):
        namespace.push({"nobody.x": 1})


def test_clear_forgets_the_user_and_nothing_else(namespace):
    put_back = []
    namespace.on_clear.append(lambda: put_back.append(1))
    namespace.push({"a": 1, "len": None})
    namespace.clear()
    with pytest.raises(NameError):
        namespace.pull("a")
    assert namespace.pull("len([1])") == 1
    assert namespace.pull("__name__") == "__main__"
    assert put_back == [1]


def test_variables_are_those_of_the_module_main(namespace):
    exec("class Point:\n    x = 3", namespace.variables)
    point = pickle.loads(pickle.dumps(namespace.pull("Point()")))
    assert type(point) is namespace.variables["Point"]


def test_a_function_sees_the_engines_variables(namespace):
    f = from_client("x = 5\ndef f(y, z=1, *, k=10): return x + y + z + k")
    namespace.push({"x": 700})
    bound = namespace.bind(f)
    assert bound(1) == 712
    assert bound(1, k=0) == 702
    assert bound.__name__ == "f"
    assert bound.__module__ == "__main__"


def test_a_function_can_set_the_engines_variables(namespace):
    namespace.bind(from_client("def f():\n    global a\n    a = 5"))()
    assert namespace.pull("a") == 5


def test_what_the_engine_lacks_is_lent_for_the_call(namespace):
    script = """
    import math
    factor = 2
    def helper(y): return y * factor + own
    def f(y): return [helper(math.floor(y)) for _ in range(2)]
    """
    f = from_client(script)
    namespace.push({"own": 100})
    assert namespace.bind(f)(3.5) == [106, 106]
    assert set(namespace.variables) & {"math", "factor", "helper"} == set()


def test_what_is_lent_does_not_take_away_what_the_call_set(namespace):
    script = "x = 5\ndef f():\n    global x\n    x = x + 1\n    return x"
    f = from_client(script)
    assert namespace.bind(f)() == 6
    assert namespace.pull("x") == 6


def test_a_failing_call_keeps_nothing_lent(namespace):
    with pytest.raises(ZeroDivisionError):
        namespace.bind(from_client("zero = 0\ndef f(): return 1 / zero"))()
    assert "zero" not in namespace.variables


def test_closures_and_decorators(namespace):
    script = """
    import functools
    def twice(g):
        calls = []
        @functools.wraps(g)
        def inner(*args):
            calls.append(1)
            return g(*args) + g(*args) + len(calls)
        return inner
    @twice
    def f(y): return x + y
    """
    namespace.push({"x": 10})
    bound = namespace.bind(from_client(script))
    assert bound(1) == 23
    assert bound(1) == 24


def test_a_function_that_calls_itself(namespace):
    recursive = "def f(n): return n and n + f(n - 1)"
    assert namespace.bind(from_client(recursive))(4) == 10
    inner = """
    def make():
        def g(n): return n and n + x + g(n - 1)
        return g
    f = make()
    """
    namespace.push({"x": 0})
    assert namespace.bind(from_client(inner))(4) == 10


def test_partials_and_lambdas(namespace):
    namespace.push({"x": 10})
    f = from_client("f = lambda y: x + y")
    assert namespace.bind(f)(1) == 11
    assert namespace.bind(functools.partial(f, 2))() == 12


def test_other_functions_are_left_alone(namespace):
    for function in (len, textwrap.dedent, functools.partial, print):
        assert namespace.bind(function) is function
    here = pickle.loads(cloudpickle.dumps(from_client))
    assert namespace.bind(here) is here


def test_what_is_lent_to_one_function_stays_while_another_runs_on_top_of_it():
    namespace = Namespace()
    brought = {"__name__": "__main__", "__builtins__": builtins, "tool": "lent"}
    exec(
        "def outer(run):\n    run()\n    return tool\ndef inner():\n    return tool\n",
        brought,
    )
    outer = namespace.bind(brought["outer"])
    inner = []

    assert outer(lambda: inner.append(namespace.bind(brought["inner"]))) == "lent"
    assert outer(inner[0]) == "lent"
    assert inner[0]() == "lent"
    assert "tool" not in namespace.variables

"""What a call is known by, and values that are kept."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import pytest

from steer.client.memo import Memo, key_of


def program(code: str) -> dict[str, object]:
    """What a user's own program defines."""
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(code, "<program>", "exec"), names)
    return names


def key(names: dict[str, object]) -> bytes:
    return key_of(names["f"], (1,), {})


@pytest.mark.parametrize(
    "change",
    [
        "def f(x): return x + 1",
        "def f(x): return g(x) * 3",
        "def g(x): return x + 2",
        "def f(x, y=2): return g(x)",
        "table['a'] = 2",
        "factor = 3",
        "f = scaled(3)(f)",
    ],
)
def test_a_call_is_another_when_what_it_does_is(change):
    names = program(
        "import functools\n"
        "factor = 2\ntable = {'a': 1}\n"
        "def g(x): return x + 1\n"
        "def f(x): return [g(y) * factor + table['a'] for y in range(x)]\n"
        "def scaled(k):\n"
        "    def wrap(f):\n"
        "        @functools.wraps(f)\n"
        "        def call(x): return k * f(x)\n"
        "        return call\n"
        "    return wrap\n"
    )
    before = key(names)
    assert key(names) == before
    exec(change, names)
    assert key(names) != before


def test_names_in_inner_functions_count():
    names = program("factor = 2\ndef f(x): return (lambda y: y * factor)(x)")
    before = key(names)
    names["factor"] = 3
    assert key(names) != before


def test_decorators_with_other_settings_are_others():
    def scaled(k):
        def wrap(f):
            @functools.wraps(f)
            def call(x):
                return k * f(x)

            return call

        return wrap

    def f(x):
        return x

    assert key_of(scaled(2)(f), (1,), {}) != key_of(scaled(3)(f), (1,), {})
    assert key_of(scaled(2)(f), (1,), {}) == key_of(scaled(2)(f), (1,), {})


def test_arguments_count_and_the_order_of_names_does_not():
    def f(*args, **kwargs):
        return args, kwargs

    assert key_of(f, (1,), {"a": 1, "b": 2}) == key_of(f, (1,), {"b": 2, "a": 1})
    assert key_of(f, (1,), {}) != key_of(f, (2,), {})
    assert key_of(f, (1,), {}) != key_of(f, (), {"a": 1})


def test_functions_that_call_each_other_have_a_key():
    names = program("def f(x): return g(x)\ndef g(x): return f(x)")
    assert key(names) == key(names)


def test_values_stay_for_the_next_program(tmp_path):
    first = Memo(tmp_path / "folder" / "memo.sqlite")
    assert first.find(b"k") is None
    first.keep(b"k", b"value", "f")
    first.close()
    again = Memo(tmp_path / "folder" / "memo.sqlite")
    assert again.find(b"k") == b"value"
    assert again.forget("g") == 0
    assert again.forget("f") == 1
    assert again.find(b"k") is None
    again.close()


def test_nobody_else_may_read_it(tmp_path):
    Memo(tmp_path / "memo.sqlite").close()
    assert (tmp_path / "memo.sqlite").stat().st_mode & 0o777 == 0o600


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    memo = Memo(tmp_path / "memo.sqlite", limit=30)
    for name in (b"a", b"b", b"c"):
        memo.keep(name, bytes(10), "f")
    assert memo.find(b"a") == bytes(10)
    memo.keep(b"d", bytes(10), "f")
    assert [memo.find(name) for name in (b"b", b"a", b"d")] == [
        None, bytes(10), bytes(10),
    ]  # fmt: skip
    memo.close()


def test_threads_may_use_it_at_once(tmp_path):
    memo = Memo(tmp_path / "memo.sqlite")

    def work(i):
        memo.keep(b"%d" % i, b"v%d" % i, "f")
        return memo.find(b"%d" % i)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(40))) == [b"v%d" % i for i in range(40)]
    memo.close()

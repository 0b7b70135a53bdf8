"""Functions are sent once, and forgotten when nobody needs them."""

from __future__ import annotations

from steer.core.functions import KEPT, SENT, Functions


def digest(number):
    return number.to_bytes(4)


def table(called=()):
    return Functions(lambda d: d in called)


def test_an_engine_gets_each_once():
    functions = table()
    functions.came("a", b"f", b"body")
    assert functions.lacking("e", {b"f"}) == [b"f"]
    assert functions.lacking("e", {b"f"}) == []
    assert functions.lacking("other", {b"f"}) == [b"f"]
    functions.engine_gone("e")
    assert functions.lacking("e", {b"f"}) == [b"f"]


def test_an_engine_gets_again_what_it_may_have_forgotten():
    functions = table()
    for number in range(SENT + 1):
        functions.came("a", digest(number), b"")
        functions.lacking("e", {digest(number)})
    assert functions.lacking("e", {digest(0)}) == [digest(0)]
    assert functions.lacking("e", {digest(SENT)}) == []


def test_who_got_a_task_without_its_function_gets_it_when_it_comes():
    functions = table()
    assert functions.lacking("e", {b"f"}) == []
    assert functions.came("a", b"f", b"body") == {"e"}
    assert functions.came("a", b"f", b"body") == set()
    assert functions.lacking("e", {b"f"}) == []


def test_a_bundle_may_call_more_than_are_remembered():
    functions = table()
    many = [digest(number) for number in range(2 * SENT)]
    for name in many:
        functions.came("a", name, b"")
    assert sorted(functions.lacking("e", many)) == many


def test_the_last_ones_are_kept_and_those_that_are_called():
    called = {digest(0)}
    functions = table(called)
    for number in range(KEPT + 10):
        functions.came("a", digest(number), b"")
    assert len(functions.bodies) == KEPT + 1
    called.clear()
    functions.unneeded([digest(0)])
    assert len(functions.bodies) == KEPT
    assert digest(10) in functions.bodies


def test_using_one_again_keeps_it():
    functions = table()
    for number in range(KEPT):
        functions.came("a", digest(number), b"")
    functions.used("a", [digest(0)])
    functions.came("a", digest(KEPT), b"")
    assert digest(0) in functions.bodies
    assert digest(1) not in functions.bodies


def test_what_two_clients_use_stays_until_both_are_gone():
    functions = table()
    functions.came("a", b"f", b"body")
    functions.came("b", b"f", b"body")
    functions.client_gone("a")
    assert functions.bodies == {b"f": b"body"}
    functions.client_gone("b")
    assert functions.bodies == {}

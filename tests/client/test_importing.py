"""Watching the imports of a block."""

from __future__ import annotations

import builtins
import sys
import threading

import pytest

from steer.client.importing import watching


def statements(seen: list[tuple[str, str]]) -> list[str]:
    return [statement for statement, _ in seen]


def test_only_the_blocks_own_imports_are_seen() -> None:
    sys.modules.pop("colorsys", None)
    sys.modules.pop("this", None)
    imported = threading.Event()

    def other() -> None:
        import colorsys  # noqa: F401

        imported.set()

    with watching() as seen:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(5)
        import xml.dom.minidom  # imports much itself
    assert imported.is_set()
    assert statements(seen) == ["import xml.dom.minidom"]
    assert xml


def test_nothing_is_left_behind() -> None:
    before = builtins.__import__
    with pytest.raises(ModuleNotFoundError), watching() as seen:
        import no_such_module  # noqa: F401
    assert builtins.__import__ is before
    assert seen == []


def test_blocks_of_two_threads_end_in_any_order() -> None:
    before = builtins.__import__
    first_in, second_out = threading.Event(), threading.Event()
    found: list[list[str]] = []

    def first() -> None:
        with watching() as seen:
            first_in.set()
            second_out.wait(5)
            import json as j  # noqa: F401
        found.append(statements(seen))

    thread = threading.Thread(target=first)
    thread.start()
    assert first_in.wait(5)
    with watching() as seen:
        from os import path as p  # noqa: F401
    second_out.set()
    thread.join(5)
    assert statements(seen) == ["from os import path, path as p"]
    assert found == [["import json, json as j"]]
    assert builtins.__import__ is before

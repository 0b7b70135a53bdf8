"""Which function a frame calls, by whatever name; and how duplicates are counted."""

from __future__ import annotations

import sys

import pytest

from steer.engines.comms import Origin, called


class Comm:
    def Create_group(self) -> str:
        return called(sys._getframe(1))

    Dup = Create_group


comm = Comm()
short = comm.Create_group


def test_a_method_is_named_as_it_is_called():
    assert comm.Create_group() == "Create_group"
    assert comm.Dup() == "Dup"
    assert Comm().Dup() == "Dup"


def test_another_name_for_it_is_seen_through():
    local = comm.Create_group
    assert local() == "Create_group"
    assert short() == "Create_group"


@pytest.mark.parametrize("source", ["comm.Dup()", "[comm.Dup][0]()"])
def test_without_a_source_nobody_can_tell(source):
    assert eval(source) == ""


def test_duplicates_are_counted_where_all_take_part():
    world = Origin()
    group = world.copied(counts=False)
    first, second = world.copied(), world.copied()
    assert [o.name for o in (group, first, second)] == ["", "#1", "#2"]
    assert second.copied().name == "#2.1"
    assert group.copied().name == ""  # it may have all the ranks of the world too

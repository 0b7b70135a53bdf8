"""Which function a frame calls, by whatever name; and how duplicates are counted."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from steer.engines import comms
from steer.engines.comms import Members, Origin, called


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


class Group(list):
    def Free(self):
        pass


class Named:
    """A communicator of ranks 0 and 1 of three, as this rank has named it."""

    def __init__(self, name, origin=None):
        self.Get_name = lambda: name
        self.Get_attr = lambda keyval: origin
        self.Get_group = lambda: Group([0, 1])
        self.Is_inter = lambda: False


@pytest.fixture
def mpi(monkeypatch):
    monkeypatch.setattr(comms, "_keyval", 1)
    world = Named("MPI_COMM_WORLD")
    world.Get_group = lambda: Group([0, 1, 2])
    return SimpleNamespace(
        COMM_WORLD=world, COMM_SELF=Named("MPI_COMM_SELF"), UNDEFINED=-3,
        Group=SimpleNamespace(Translate_ranks=lambda group, _, world: group),
    )  # fmt: skip


def test_the_name_that_a_rank_gives_it_is_shown_and_proves_nothing(mpi):
    """Each rank may give it another, and a part of the world may be called WORLD."""
    left, right, world = (
        Members(mpi, Named(name)).describe("self.halo")
        for name in ("left", "right", "WORLD")
    )
    assert left.key == right.key == world.key == ("0-1", "")
    assert (left.text, right.text, left.sure) == ("left", "right", False)
    assert Members(mpi, Named("MPI COMM 7")).describe("row").text == "row"
    named = Members(mpi, Named("mine", Origin("#2"))).describe("")
    assert (named.key, named.text, named.sure) == (("0-1", "#2"), "mine", True)
    assert Members(mpi, mpi.COMM_WORLD).describe("x").key == ("0-2", "WORLD")

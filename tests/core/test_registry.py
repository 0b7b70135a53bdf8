"""Ids of engines, and who is here."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from steer.core.registry import Registry
from steer.errors import ProtocolError
from steer.wire.messages import VERSION, Ready, Register

BOOT = "here"


def register(uuid, job="", rank=0, size=1, engine=-1, boot=BOOT, **more) -> Register:
    return Register(
        VERSION, uuid, 100, 5, "host", boot, job, rank, size, engine, **more
    )


def join(registry, *messages):
    return [registry.register(message, 0.0).id for message in messages]


def test_ranks_of_a_world_get_ids_in_rank_order_however_they_come():
    registry = Registry(BOOT)
    world = [register(f"e{rank}", "job", rank, 4) for rank in (2, 0, 3, 1)]
    assert join(registry, *world) == [2, 0, 3, 1]


def test_two_worlds_do_not_mix():
    registry = Registry(BOOT)
    assert join(
        registry,
        register("a1", "a", 1, 2), register("b1", "b", 1, 2),
        register("b0", "b", 0, 2), register("a0", "a", 0, 2),
    ) == [1, 3, 2, 0]  # fmt: skip


def test_singletons_get_the_lowest_free_id():
    registry = Registry(BOOT)
    assert join(registry, *(register(f"e{i}", "job") for i in range(3))) == [0, 1, 2]
    registry.remove("e1")
    assert join(registry, register("e3", "job"), register("e4")) == [1, 3]


def test_the_places_of_a_world_that_lives_are_not_given_away():
    registry = Registry(BOOT)
    join(registry, register("a0", "a", 0, 2), register("a1", "a", 1, 2))
    registry.remove("a0")
    assert join(registry, register("e")) == [2]


def test_the_places_of_a_world_that_is_gone_are():
    registry = Registry(BOOT)
    join(registry, register("a0", "a", 0, 2), register("a1", "a", 1, 2))
    registry.remove("a0")
    registry.remove("a1")
    assert join(registry, register("e")) == [0]


def test_ids_from_before_the_hubs_restart_are_kept():
    registry = Registry(BOOT)
    assert join(
        registry,
        register("b1", "b", 1, 2, engine=5), register("new"),
        register("b0", "b", 0, 2), register("a0", engine=3),
    ) == [5, 0, 4, 3]  # fmt: skip


def test_an_id_that_another_one_has_is_not_given_twice():
    registry = Registry(BOOT)
    assert join(registry, register("a", engine=1), register("b", engine=1)) == [1, 0]


def test_two_ranks_of_one_number_get_two_ids():
    registry = Registry(BOOT)
    ids = join(registry, *(register(f"e{i}", "job", 0, 2) for i in range(3)))
    assert sorted(set(ids)) == sorted(ids)


def test_registering_again_changes_nothing_but_the_description():
    registry = Registry(BOOT)
    join(registry, register("a"), register("b"))
    registry.ready(Ready("b", 0, 1))
    assert join(registry, register("b", engine=7)) == [1]
    assert [engine.id for engine in registry.here()] == [1]


def test_only_processes_of_this_kernel_can_be_watched():
    registry = Registry(BOOT)
    near = registry.register(register("a"), 0.0)
    far = registry.register(register("b", boot="there"), 0.0)
    assert registry.watchable(near)
    assert not registry.watchable(far)
    assert registry.unwatched() == [far]


def test_an_engine_is_described():
    registry = Registry(BOOT)
    engine = registry.register(register("a", "job", 1, 3), 0.0)
    assert engine.describe() == "engine 1 (rank 1 of 3 on host)"
    assert registry.register(register("b"), 0.0).describe() == "engine 3 (on host)"


@pytest.mark.parametrize(
    ("rank", "size", "engine"),
    [(0, 2**40, -1), (2**40, 2**41, -1), (5, 4, -1), (0, 1, 2**40), (0, 0, -1)],
)
def test_numbers_that_cannot_be_are_refused(rank, size, engine):
    with pytest.raises(ProtocolError):
        Registry(BOOT).register(register("a", "job", rank, size, engine), 0.0)


@hypothesis.given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"),
            st.sampled_from(["", "j", "k"]),
            st.integers(-1, 3),
            st.integers(1, 4),
            st.integers(-1, 6),
            st.booleans(),
        )
    )
)
def test_whatever_happens_ids_are_unique(story):
    registry = Registry(BOOT)
    for uuid, job, rank, size, engine, leaves in story:
        if leaves:
            registry.remove(uuid)
        else:
            try:
                registry.register(register(uuid, job, rank, size, engine), 0.0)
            except ProtocolError:
                assert rank >= size
        registry.check()
        assert all(number >= 0 for number in registry.by_id)

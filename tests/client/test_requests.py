"""What comes besides answers: how far loops on ranks are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import steer
from steer.client.client import Client
from steer.testing.waiting import wait_until
from steer.wire.frames import pack
from steer.wire.messages import Piece, Stream

from .acting import acting


def test_the_newest_state_of_each_bar_is_kept():
    with acting(2) as (rc, link):
        link.hold = True
        result = rc[:].apply_async(abs, 1)
        events: list[Any] = []
        result._watchers.append(events.extend)
        sink = result._requests[0]
        for ranks, *state in [
            ("0-1", 0, "steps", 1, 9), ("1", 0, "steps", 4, 9), ("0", 1, "in", 7, None),
        ]:  # fmt: skip
            sink.output(Piece(sink.id, ranks, Stream.PROGRESS), pack(state))
        assert result.progress_bars == {
            0: [("steps", 1, 9), ("in", 7, None)], 1: [("steps", 4, 9)],
        }  # fmt: skip
        assert events[2:] == [
            (1, Stream.PROGRESS, (0, "steps", 4, 9)),
            (0, Stream.PROGRESS, (1, "in", 7, None)),
        ]
        link.release()
        assert result.get() == [1, 1]
        assert result.stdout == ["", ""]


@pytest.fixture(scope="module")
def rc() -> Iterator[Client]:
    cluster = steer.Cluster(n=2, shutdown_atexit=False)
    with cluster.start_and_connect_sync() as client:
        yield client
    cluster.stop_cluster_sync()


LOOP = """
import steer
from mpi4py import MPI

comm = MPI.COMM_WORLD
for step in steer.progress(range({n}), "steps"):
    {body}
"""


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_how_far_ranks_are_is_seen_while_they_work(rc):
    body = "if step == 3: input('go on? ')"
    result = rc[:].execute(LOOP.format(n=5, body=body))
    halfway = {0: [("steps", 3, 5)], 1: [("steps", 3, 5)]}
    wait_until(lambda: result.progress_bars == halfway, 10, "the third step")
    rc.link.prompts.ask_person = lambda text, password: ""
    result.get()
    assert result.progress_bars == {0: [("steps", 5, 5)], 1: [("steps", 5, 5)]}


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_each_rank_is_as_far_as_it_is(rc):
    body = "if comm.rank == 1 and step == 2: break"
    result = rc[:].execute(LOOP.format(n=5, body=body))
    result.get()
    assert result.progress_bars == {0: [("steps", 5, 5)], 1: [("steps", 2, 5)]}


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_a_function_tells_it_too(rc):
    def count(n):
        return sum(steer.progress(range(n), "adding"))

    result = rc[:].apply_async(count, 100_000)
    assert result.get() == [4999950000] * 2
    assert result.progress_bars[1] == [("adding", 100_000, 100_000)]


@pytest.mark.mpi
@pytest.mark.either_mpi
def test_an_interrupted_loop_says_how_far_it_came(rc):
    body = "if step == 2: input('never answered ')"
    result = rc[:].execute(LOOP.format(n=5, body=body))
    wait_until(lambda: len(result.prompts) == 1, 10, "the question")
    rc.send_signal("SIGINT", block=True)
    wait_until(result.done, 10, "the interrupt")
    assert result.progress_bars == {0: [("steps", 2, 5)], 1: [("steps", 2, 5)]}

"""Who may go on without a rank, and how a new process knows its place."""

from __future__ import annotations

import pytest

from steer.engines import shrinking


def test_it_takes_an_mpi_that_was_asked_to_allow_it(monkeypatch):
    monkeypatch.delenv(shrinking.ENABLED, raising=False)
    assert "is lost. Open MPI 5 can" in shrinking.why_not()
    monkeypatch.setenv(shrinking.ENABLED, "1")
    assert not shrinking.why_not()


@pytest.mark.parametrize(("rank", "place"), [("0", (2, 8)), ("1", (5, 8))])
def test_a_new_process_knows_its_place(monkeypatch, rank, place):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", rank)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    assert shrinking.place_of([shrinking.REPLACES, "2,5", "8"]) == place
    assert shrinking.place_of(["--run", "sim"]) is None
    assert shrinking.place_of([]) is None

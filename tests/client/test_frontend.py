"""Completions and descriptions, from real ranks and from none."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import steer
from steer.client.client import Client
from steer.client.frontend import complete, inspect
from steer.testing.waiting import wait_until

from .acting import acting

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

PATIENT = 30.0
"""The first completion imports IPython, on machines as slow as they are."""
EMPTY = {"matches": [], "cursor_start": 4, "cursor_end": 4, "metadata": {}}
CODE = """
from mpi4py import MPI
only_there = MPI.COMM_WORLD.rank

class Solver:
    "What solves it."
    residual_norm = 1.0

    @property
    def broken(self):
        raise RuntimeError("not now")

solver = Solver()

def advance(steps):
    "Go on by some steps."
"""


@pytest.fixture(scope="module")
def rc() -> Iterator[Client]:
    cluster = steer.Cluster(n=2, shutdown_atexit=False)
    with cluster.start_and_connect_sync() as client:
        client[:].execute(CODE).get()
        complete(client[:], "only_", timeout=PATIENT)
        yield client
    cluster.stop_cluster_sync()


def test_a_name_that_only_ranks_know_is_completed(rc):
    answer = complete(rc[:], "x = only_", timeout=PATIENT)
    assert answer["matches"] == ["only_there"]
    assert (answer["cursor_start"], answer["cursor_end"]) == (4, 9)
    (typed,) = answer["metadata"]["_jupyter_types_experimental"]
    assert typed["text"] == "only_there"
    assert (typed["start"], typed["end"]) == (4, 9)


def test_attributes_are_completed_in_the_middle_of_a_cell(rc):
    code = "a = 1\nsolver.resi\nb = 2"
    answer = complete(rc[1], code, code.index("resi") + 4, timeout=PATIENT)
    start, end = answer["cursor_start"], answer["cursor_end"]
    whole = {code[:start] + match + code[end:] for match in answer["matches"]}
    assert "a = 1\nsolver.residual_norm\nb = 2" in whole


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("def f(factor_a):\n    return fact", "factor_a"),
        ("alpha_one = 1\nif alph", "alpha_one"),
        ("x = alph\nalpha_two = 2", "alpha_two"),
    ],
)
def test_names_of_the_cell_itself_are_completed(rc, code, name):
    pos = max(code.find("fact", 20), code.find("alph", 12)) + 4
    pos = code.index("alph") + 4 if name == "alpha_two" else pos
    answer = complete(rc[:], code, pos, timeout=PATIENT)
    assert name in answer["matches"]
    assert answer["cursor_start"] == pos - 4
    assert "alpha_three" not in complete(rc[:], "'alpha_three'\nalp")["matches"]
    assert complete(rc[:], "solver.alp\nalpha = 1", 10)["matches"] == []


def test_what_keeps_a_rank_for_seconds_is_not_used(rc):
    assert complete(rc[1], "only_", timeout=PATIENT)["matches"] == ["only_there"]
    rc[1].execute("import sys").get()
    assert rc[1]["'jedi' in sys.modules"] is False


def test_magics_of_the_ranks_are_completed(rc):
    assert "%timeit" in complete(rc[:], "%timei", timeout=PATIENT)["matches"]


@pytest.mark.parametrize("pos", [-3, 0, 500])
def test_any_position_has_an_answer(rc, pos):
    answer = complete(rc[:], "only_", pos, timeout=PATIENT)
    assert 0 <= answer["cursor_start"] <= answer["cursor_end"] <= 5


def test_a_description_holds_the_docstring(rc):
    answer = inspect(rc[:], "advance(3)", 4, timeout=PATIENT)
    assert answer["found"]
    assert "Go on by some steps." in answer["data"]["text/plain"]
    more = inspect(rc[:], "advance(3)", 4, 1, timeout=PATIENT)
    assert "def advance(steps):" in more["data"]["text/plain"]


@pytest.mark.parametrize("code", ["nowhere", "", "3 +", "solver.nothing", "f(("])
def test_what_is_not_there_is_not_found_and_nothing_breaks(rc, code):
    assert inspect(rc[:], code, timeout=PATIENT)["found"] is False
    complete(rc[:], code, timeout=PATIENT)
    assert rc[0]["only_there"] == 0


def test_an_object_that_raises_is_described_all_the_same(rc):
    inspect(rc[:], "solver.broken", timeout=PATIENT)
    complete(rc[:], "solver.broken.", timeout=PATIENT)
    assert rc[0]["only_there"] == 0


def test_nothing_is_printed_or_shown(rc, capsys):
    complete(rc[:], "solver.", timeout=PATIENT)
    inspect(rc[:], "solver.broken", timeout=PATIENT)
    assert capsys.readouterr() == ("", "")


def test_a_busy_rank_answers_nothing_in_time(rc):
    busy = rc[:].apply_async(time.sleep, 2.0)
    began = time.monotonic()
    assert complete(rc[:], "only", timeout=0.1) == EMPTY
    assert inspect(rc[:], "advance", timeout=0.1)["found"] is False
    assert time.monotonic() - began < 1.8
    busy.get()
    assert complete(rc[:], "only_", timeout=PATIENT)["matches"] == ["only_there"]


def test_they_are_not_in_the_history(rc):
    complete(rc[:], "only_", timeout=PATIENT)
    inspect(rc[:], "advance", timeout=PATIENT)
    rc[0]["only_there"]

    def kinds() -> set[str]:
        return {record["kind"] for record in rc.db_query({}, keys=["kind"])}

    wait_until(lambda: "pull" in kinds(), 5, "the journal")
    assert not kinds() & {"complete", "inspect"}
    assert not rc[0].history


def test_their_results_are_forgotten_everywhere(rc):
    complete(rc[:], "only_", timeout=PATIENT)

    def owed() -> bool:
        return not rc.link.core.pending

    wait_until(owed, 5, "all answers")


def test_without_ranks_or_hub_there_is_an_empty_answer():
    with acting(1) as (rc, link):
        view = rc[:]
        link.cut()
        assert complete(view, "only") == EMPTY
        link.mend()
        link.leave(0, "It died.")
        assert complete(view, "only") == EMPTY
        assert inspect(view, "only") == {"found": False, "data": {}, "metadata": {}}

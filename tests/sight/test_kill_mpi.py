"""What cannot be brought back: requests that nobody fulfils. They are explained, and
killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from steer.client.client import Client
from steer.errors import CompositeError
from steer.testing.waiting import wait_until
from tests.sight.conftest import started
from tests.sight.programs import SETUP

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

LONG = 30.0


@pytest.mark.parametrize(
    ("program", "call"),
    [
        ("requests", "Waitall()"),
        pytest.param("one_request", "Wait()", marks=pytest.mark.slow),
    ],
)
def test_requests_that_nobody_fulfils(
    private_home: Path, program: str, call: str
) -> None:
    with started(private_home, 2) as ranks:
        explained_and_killed(ranks, program, call)


def explained_and_killed(ranks: Client, program: str, call: str) -> None:
    result = ranks[:].execute(f"{program}()", silent=False, block=False)
    wait_until(lambda: ranks[:].stuck().verdict == "DEADLOCK", LONG, "the verdict")
    seen = ranks[:].stuck()
    assert f"[0-1]  {call}" in seen.text
    for rank in (0, 1):
        assert call[:-1] in SETUP.split("\n")[seen.states[rank].spot.line - 1]
    refused = ranks[:].unstick()
    assert not refused.freed
    assert "for what, the call does not say" in refused.text
    killed = ranks[1].kill()
    assert set(killed.ranks) == {1}
    assert "same MPI world" in killed.text
    with pytest.raises(CompositeError) as caught:
        result.get(LONG)
    assert f"in {call}" in "\n".join(caught.value.render_traceback())

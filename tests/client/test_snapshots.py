"""When there can be no snapshot of a run, as its status says."""

from __future__ import annotations

import pytest

from steer.client.snapshots import Snapshots
from steer.errors import UsageError


class Run(Snapshots):
    """One that has two ranks."""

    def __init__(self, **status):
        self.told = {"ranks": "0-1", "lost": {}, "families": []} | status

    def status(self):
        return self.told


FAILED = {"0": "failed with ValueError", "1": "failed with ValueError"}


@pytest.mark.parametrize("act", [Run.snapshot, Run.rewind])
@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({}, "not stopped"),
        ({"lost": {"0": "died"}}, "not stopped"),
        ({"lost": FAILED}, "has failed on all ranks"),
        (
            {"families": [{"phase": "stopped", "ranks": "0", "point": 3}]},
            "not stopped",
        ),
    ],
)
def test_it_has_to_be_stopped_on_ranks_that_go_on(act, status, says):
    with pytest.raises(UsageError, match=says):
        act(Run(**status))

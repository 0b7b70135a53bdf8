"""Tasks on one real engine, played by a fake hub."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from steer.wire.messages import Quit, TaskStatus

from .fakehub import FakeHub, error, start_engine, value

pytestmark = pytest.mark.mpi


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    """A hub with one engine."""
    folder = Path(tempfile.mkdtemp(prefix="steer-"))
    hub = FakeHub(folder)
    engine = start_engine(hub)
    hub.enrol()
    yield hub
    hub.say(Quit("the test is over"), role="work")
    assert engine.wait(10) == 0
    hub.close()
    shutil.rmtree(folder)


def test_a_task_gives_its_value(hub: FakeHub) -> None:
    """The simplest."""
    hub.give({1: (pow, 2, 3)})
    assert value(hub.outcomes(1)[1]) == 8


def test_what_a_task_raises_is_its_outcome(hub: FakeHub) -> None:
    """With the exception itself."""
    hub.give({2: (divmod, 1, 0)})
    outcome = hub.outcomes(1)[2]
    assert outcome.status == TaskStatus.RAISED
    assert error(outcome).ename == "ZeroDivisionError"

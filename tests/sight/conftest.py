"""Real ranks on which programs hang, and come back."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from steer.client.client import Client
from steer.client.cluster import Cluster
from tests.sight.programs import SETUP


@contextlib.contextmanager
def started(home: Path, n: int) -> Iterator[Client]:
    """So many ranks that know the programs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", tempfile.mkdtemp(dir=home))
        cluster = Cluster(n=n, engines="mpi", shutdown_atexit=False)
        client = cluster.start_and_connect_sync()
        client[:].execute(SETUP, block=True)
        client[:].execute("1", silent=False, block=True)  # IPython takes a while
        try:
            yield client
        finally:
            cluster.close_sync()


@pytest.fixture(scope="module")
def ranks(private_home: Path, request: pytest.FixtureRequest) -> Iterator[Client]:
    """As many ranks as the test asks for, or 3: all tests of a module have the same,
    since coming back for the next is what they are about."""
    with started(private_home, getattr(request, "param", 3)) as client:
        yield client

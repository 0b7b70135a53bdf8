"""Clusters for the tests of the client's starting and stopping."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from steer.client.cluster import Cluster


@pytest.fixture
def home(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give profiles of the test's own, so that no other test's cluster is listed."""
    folder = Path(tempfile.mkdtemp(dir=private_home))
    monkeypatch.setenv("IPYTHONDIR", str(folder))
    return folder


@pytest.fixture
def make_cluster(home: Path) -> Iterator[Callable[..., Cluster]]:
    """Make clusters that are stopped at the end, however the test ends."""
    made: list[Cluster] = []

    def make(**options: object) -> Cluster:
        defaults = {"engines": "local", "n": 1, "shutdown_atexit": False}
        made.append(Cluster(**{**defaults, **options}))
        return made[-1]

    yield make
    for cluster in made:
        cluster.stop_cluster_sync()

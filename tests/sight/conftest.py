"""Real ranks on which programs hang, and come back."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from steer.client.client import Client
from steer.client.cluster import Cluster
from tests.sight.programs import SETUP

FAILED = pytest.StashKey[bool]()


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


class Worlds:
    """The ranks of a module's tests, which all have the same, since coming back for the
    next is what they are about. There are new ones for another number of them, and
    after a test that failed."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._stack = contextlib.ExitStack()
        self._client: Client | None = None

    def of(self, n: int) -> Client:
        if self._client is None or len(self._client.ids) != n:
            self.drop()
            self._client = self._stack.enter_context(started(self._home, n))
        return self._client

    def drop(self) -> None:
        self._client = None
        self._stack.close()


@pytest.fixture(scope="module")
def worlds(private_home: Path) -> Iterator[Worlds]:
    kept = Worlds(private_home)
    try:
        yield kept
    finally:
        kept.drop()


@pytest.fixture(scope="class")
def ranks(worlds: Worlds, request: pytest.FixtureRequest) -> Iterator[Client]:
    """As many ranks as the test asks for by its `size`, or 3.

    Each test has its own, as with the scope of a function; but ranks that are started
    for it have to be there before it is noted what was there before it.
    """
    asked = getattr(request.node, "callspec", None)
    yield worlds.of(3 if asked is None else asked.params.get("size", 3))
    if request.node.stash.get(FAILED, False):
        worlds.drop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test failed, until its fixtures end."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report

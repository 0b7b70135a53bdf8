"""CPython's own tests of executors, on ranks: what holds for its pools holds for ours.

They are taken from the Python that runs this, where it brings its tests along; many
distributions leave them out, and then there is nothing to do here.
"""

from __future__ import annotations

import importlib
import unittest
from typing import Any

import pytest

from steer.client.cluster import Cluster
from steer.client.executor import Executor

PACKAGE = "test.test_concurrent_futures"

MIXINS = {
    "ExecutorTest": "executor",
    "WaitTest": "test_wait",
    "AsCompletedTest": "test_as_completed",
    "ExecutorShutdownTest": "test_shutdown",
}
"""Where they are since Python 3.12; before, all were in one file."""

NOT_OURS = (
    # They start a Python that makes a pool of the standard library by its name.
    "test_interpreter_shutdown",
    "test_submit_after_interpreter_shutdown",
    "test_hang_gh83386",
    "test_hang_gh94440",
    # They look at a pool's own threads and processes.
    "test_map_buffersize_when_executor_is_shutdown",
)


class _Mixin:
    """Gives the tests an executor of a cluster that they share."""

    executor_type: Any
    worker_count = 4

    def setUp(self) -> None:
        self.executor = self.executor_type(max_workers=self.worker_count)

    def tearDown(self) -> None:
        self.executor.shutdown(wait=True)
        del self.executor


def _mixins() -> list[type]:
    try:
        whole = importlib.import_module(PACKAGE)
    except ImportError:
        return []
    found = []
    for name, module in MIXINS.items():
        where = whole
        if hasattr(whole, "__path__"):
            where = importlib.import_module(f"{PACKAGE}.{module}")
        mixin = getattr(where, name, None) or getattr(where, f"{name}s", None)
        if mixin is not None:
            found.append(mixin)
    return found


def _cases() -> list[Any]:
    loader = unittest.TestLoader()
    cases = []
    for mixin in _mixins():
        body = {"__module__": __name__}
        case = type(f"On{mixin.__name__}", (mixin, _Mixin, unittest.TestCase), body)
        cases += [
            pytest.param(case, name, id=f"{mixin.__name__}-{name}")
            for name in loader.getTestCaseNames(case)
            if name not in NOT_OURS
        ]
    return cases


@pytest.fixture(scope="module")
def client(private_home):
    with Cluster(n=4, engines="local", cluster_id="conformance") as rc:
        yield rc


@pytest.mark.slow
@pytest.mark.skipif(not _mixins(), reason="this Python comes without its own tests")
@pytest.mark.parametrize(("case", "name"), _cases())
def test_it_is_an_executor_as_pythons_are(client, case, name):
    def make(max_workers: int) -> Executor:
        return client.executor() if max_workers > 0 else Executor(max_workers)

    case.executor_type = staticmethod(make)
    result = unittest.TestResult()
    case(name).run(result)
    assert result.testsRun == 1
    problems = [text for _, text in (*result.errors, *result.failures)]
    assert not problems, problems[0]
    if result.skipped:
        pytest.skip(result.skipped[0][1])

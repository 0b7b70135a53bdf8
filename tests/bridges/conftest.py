"""One cluster for the tests of a module."""

import pytest

import steer


@pytest.fixture(scope="module")
def rc():
    with steer.Cluster(n=2) as client:
        yield client


@pytest.fixture
def ex(rc):
    with rc.executor() as executor:
        yield executor

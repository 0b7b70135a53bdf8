"""Kernels for tests: installed, started and spoken to as Jupyter does it."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

from steer.kernel import spec
from steer.kernel.plan import Plan

TIMEOUT = 30
_NUMBERS = itertools.count(1)


class Said:
    """All that a front end got of one request."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.reply: dict[str, Any] = {}
        self.seconds = 0.0

    def hear(self, message: dict[str, Any]) -> None:
        self.messages.append((message["msg_type"], message["content"]))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [content for name, content in self.messages if name == kind]

    @property
    def text(self) -> str:
        """What a person reads, results too, without the traceback."""
        words = [content["text"] for content in self.of("stream")]
        latest: dict[Any, str] = {}
        for kind in ("display_data", "execute_result", "update_display_data"):
            for content in self.of(kind):
                place = content.get("transient", {}).get("display_id") or object()
                latest[place] = content["data"]["text/plain"]
        return "\n".join([*words, *latest.values()])

    @property
    def error(self) -> str:
        """Its name and text."""
        assert self.reply["status"] == "error", (self.reply, self.text)
        return f"{self.reply['ename']}: {self.reply['evalue']}"

    @property
    def states(self) -> list[str]:
        return [content["execution_state"] for content in self.of("status")]


class Front:
    """A front end with its kernel."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.pid)

    def run(self, code: str, **options: Any) -> Said:
        """Run a cell; everything it gives.

        Who takes no input is a notebook: there the view at the end is folded as a
        whole, whenever ranks spoke.
        """
        said = Said()
        options.setdefault("allow_stdin", False)
        options.setdefault("stop_on_error", False)  # or the next cell may be aborted
        began = time.monotonic()
        message = self.client.execute_interactive(
            code, output_hook=said.hear, timeout=TIMEOUT, **options
        )
        said.seconds = time.monotonic() - began
        said.reply = message["content"]
        return said

    def send(self, code: str, **options: Any) -> str:
        """Run a cell and do not wait."""
        options.setdefault("stop_on_error", False)
        return str(self.client.execute(code, **options))

    def reply(self, msg_id: str) -> dict[str, Any]:
        """The reply to what was sent."""
        while True:
            message = self.client.get_shell_msg(timeout=TIMEOUT)
            if message["parent_header"].get("msg_id") == msg_id:
                return dict(message["content"])

    def hear_until(self, msg_id: str, words: str) -> str:
        """Listen until a cell has printed these words; all that it printed."""
        heard = ""
        while words not in heard:
            message = self.client.get_iopub_msg(timeout=TIMEOUT)
            if message["parent_header"].get("msg_id") == msg_id:
                said = Said()
                said.hear(message)
                heard += said.text
        return heard

    def ask(self, kind: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Send a request of another type; the reply's content."""
        return self.reply(getattr(self.client, kind)(*arguments, **options))

    def end(self) -> None:
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel()
        self.manager.cleanup_resources()


@pytest.fixture(scope="module")
def jupyter(private_home: Path) -> Iterator[Path]:
    """Jupyter's folders, where nobody else's kernels are."""
    home = private_home / "jupyter"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(home / "share" / "jupyter"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(home / "run"))
        patch.setenv("JUPYTER_DATA_DIR", str(home / "data"))
        patch.setenv("JUPYTER_CONFIG_DIR", str(home / "config"))
        patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
        (home / "run").mkdir(parents=True, exist_ok=True)
        yield home


def start(name: str, **options: Any) -> Front:
    """Start an installed kernel."""
    # Jupyter puts the sockets where the connection file is.
    file = Path(os.environ["JUPYTER_RUNTIME_DIR"], f"{next(_NUMBERS)}.json")
    manager = KernelManager(
        kernel_name=name, transport="ipc", connection_file=str(file)
    )
    manager.start_kernel(**options)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=TIMEOUT)
    except BaseException:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        raise
    return Front(manager, client)


@pytest.fixture
def make(jupyter: Path) -> Iterator[Any]:
    """Make kernels that are ended with the test."""
    made: list[Front] = []

    def make_one(plan: Plan, name: str = "one", **options: Any) -> Front:
        spec.install(plan, name=name, prefix=str(jupyter))
        made.append(start(name, **options))
        return made[-1]

    yield make_one
    for front in made:
        front.end()


@pytest.fixture(scope="module")
def front(jupyter: Path) -> Iterator[Front]:
    """A kernel with three ranks, for all tests of a file that leave it whole."""
    spec.install(Plan(n=3), name="shared", prefix=str(jupyter))
    front = start("shared", cwd=os.getcwd())
    yield front
    front.end()

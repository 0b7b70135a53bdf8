"""A notebook front end for tests: a real IPython shell in this process that looks like
a kernel's, and remembers what was published, as a front end shows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

_NO_HISTORY = Config({"HistoryManager": {"enabled": False}})


class Outputs(DisplayPublisher):
    """The outputs of a cell: displays in their order, updated in place."""

    def publish(self, data: Any, metadata: Any = None, **options: Any) -> None:  # type: ignore[override]
        name = (options.get("transient") or {}).get("display_id")
        self.published += 1
        if options.get("update"):
            self.shown[self.names.index(name)] = data
        else:
            self.names.append(name)
            self.shown.append(data)

    def begin(self) -> None:
        """A new cell."""
        self.names: list[Any] = []
        self.shown: list[dict[str, Any]] = []
        self.published = 0

    @property
    def texts(self) -> list[str]:
        """What a front end without HTML shows."""
        return [data.get("text/plain", "") for data in self.shown]

    @property
    def pages(self) -> list[str]:
        """What a front end with HTML shows."""
        return [data.get("text/html", "") for data in self.shown]


class Kernel:
    """What is asked of a kernel: the request that runs."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._request = request

    def get_parent(self, channel: str) -> dict[str, Any]:
        return self._request


LAB = {"content": {"allow_stdin": True}, "metadata": {"cellId": "a"}}
NBCLIENT: dict[str, Any] = {"content": {"allow_stdin": False}, "metadata": {}}
CONSOLE: dict[str, Any] = {"content": {"allow_stdin": True}, "metadata": {}}


@contextmanager
def notebook(request: dict[str, Any] = LAB) -> Iterator[Outputs]:
    """Let this process be a kernel whose cell runs."""
    mine = not InteractiveShell.initialized()
    shell = InteractiveShell.instance(config=_NO_HISTORY)
    before = shell.display_pub
    outputs = shell.display_pub = Outputs()
    outputs.begin()
    shell.kernel = Kernel(request)
    try:
        yield outputs
    finally:
        del shell.kernel
        shell.display_pub = before
        if mine:
            InteractiveShell.clear_instance()

"""The kernel's shell: IPython's, whose cells from the front end run on the ranks.

A cell for the ranks becomes one line of Python, which sends it; so history, counting,
events, payloads and errors stay IPython's own business. What user code here runs by
`get_ipython().run_cell(...)` is not from the front end and stays here.
"""

# IPython and ipykernel are typed here and there.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipykernel.zmqshell import ZMQInteractiveShell
from traitlets import Instance

from steer.client import live
from steer.errors import (
    AlreadyDisplayedError,
    CompositeError,
    RemoteError,
    SteerError,
    UsageError,
)
from steer.kernel import cells
from steer.kernel.ranks import Ranks
from steer.magics.mistakes import Interrupted, MagicError

if TYPE_CHECKING:
    from steer.client.views import DirectView

__all__ = ["KernelShell"]

SEND = "get_ipython().run_on_ranks()\n"
AUTOPX = "Every cell of this kernel runs on the ranks already; %%local runs one here.\n"


@dataclass
class Asked:
    """What the front end has asked to be run."""

    source: str
    silent: bool
    cell: cells.Cell | None = None


class CellFailed(Exception):
    """A cell failed on ranks: its class is named as the error was there."""

    lines: Sequence[str] = ()

    def _render_traceback_(self) -> list[str]:
        return list(self.lines)


class KernelShell(ZMQInteractiveShell):
    """IPython's shell in the kernel's own process."""

    ranks = Instance(Ranks)
    _asked: Asked | None = None
    on_ranks = False
    """Whether the last cell ran on ranks."""

    # -- cells

    @contextlib.contextmanager
    def asked(self, source: str, silent: bool) -> Iterator[None]:
        """Take cells with this source to be the front end's."""
        self._asked = Asked(source, silent)
        self.on_ranks = False
        self.offer()
        try:
            yield
        finally:
            self._asked = None
            self.offer()

    def transform_cell(self, raw_cell: str) -> str:
        """Make a line that sends the cell of one for ranks."""
        asked = self._asked
        if asked is None or raw_cell != asked.source:
            return str(super().transform_cell(raw_cell))
        try:
            asked.cell = cell = cells.read(raw_cell)
        except UsageError as error:
            raise MagicError(str(error)) from None
        if cell.here:
            return str(super().transform_cell(cell.code))
        self.on_ranks = True
        return SEND

    def run_on_ranks(self) -> None:
        """Run the front end's cell, show what it gives, raise what it raised."""
        asked = self._asked
        if asked is None or asked.cell is None:
            raise RuntimeError("Only a cell from the front end is sent to the ranks.")
        failure: BaseException | None = None
        try:
            self._run(asked.cell.code, self.view(asked.cell.targets))
        except SteerError as error:
            failure = _failed(error)
        if failure is not None:
            raise failure  # outside of `except`, so that ours is not its context

    def _run(self, code: str, view: DirectView) -> None:
        from steer.magics import running

        running.run(view, code)

    def view(self, targets: str = "") -> DirectView:
        """The ranks that a cell means, as soon as they are there."""
        waiting = Waiting()
        interrupted = False
        try:
            view = self.ranks.view(targets, waiting.show)
        except KeyboardInterrupt:
            interrupted = True
        if interrupted:
            raise Interrupted("The ranks go on starting; run the cell again.")
        self.offer()
        return view

    def offer(self) -> None:
        """Let %%local cells find `rc`, `view`, `cluster` and %px, once there are
        ranks."""
        client = self.ranks.client
        if client is None or client is self._offered:
            return
        self._offered = client
        view = client.activate()
        magic: Any = _autopx
        self.register_magic_function(magic, "line", "autopx")
        self.push({"rc": client, "view": view, "cluster": self.ranks.cluster})

    _offered: Any = None

    # -- what the front end asks beside cells

    def user_expressions(self, expressions: dict[str, str]) -> dict[str, Any]:
        """Evaluate them where the cell ran; of several ranks on the lowest."""
        client = self.ranks.client
        if not expressions or not self.on_ranks or client is None:
            return dict(super().user_expressions(expressions))
        view = client.direct_view(min(client.ids))
        answers: dict[str, Any] = view.apply_sync(evaluate, expressions)
        return answers


class Waiting:
    """Shows how far a start is."""

    def __init__(self) -> None:
        self._region: live.Region | None = None

    def show(self, text: str) -> None:
        """Show it; an empty text ends it."""
        if text:
            self._region = self._region or live.open_region()
            self._region.update(text)
        elif self._region is not None:
            self._region.close()
            self._region = None


def evaluate(expressions: dict[str, str]) -> dict[str, Any]:
    """What a rank's IPython makes of user expressions; runs there."""
    import builtins

    shell: Any = builtins.get_ipython()  # type: ignore[attr-defined]
    return dict(shell.user_expressions(expressions))


def _autopx(line: str) -> None:
    """Say that nothing is to be switched."""
    print(AUTOPX, end="")  # noqa: T201  a magic speaks


def _failed(error: SteerError) -> BaseException:
    """The error as a notebook shows it: named as on the ranks, without our frames."""
    shown = isinstance(error, AlreadyDisplayedError)
    original = getattr(error, "original_error", error)
    if isinstance(original, CompositeError):
        first = original.exceptions[0]
        lines = original.summary() if shown else original.render_folded()
    elif isinstance(original, RemoteError):
        first, lines = original, original.render_traceback()
    else:
        first, lines = error, [f"{type(error).__name__}: {error}"]
    name = first.ename if isinstance(first, RemoteError) else type(first).__name__
    text = first.evalue if isinstance(first, RemoteError) else str(first)
    failed: BaseException = type(name, (CellFailed,), {"lines": lines})(text)
    return failed

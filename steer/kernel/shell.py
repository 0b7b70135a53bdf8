"""The kernel's shell: IPython's, whose cells from the front end run on the ranks.

A cell for the ranks becomes one line of Python, which sends it; so history, counting,
events, payloads and errors stay IPython's own business. What user code here runs by
`get_ipython().run_cell(...)` is not from the front end and stays here.
"""

# IPython and ipykernel are typed here and there.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import ast
import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.history import HistoryManager
from IPython.display import clear_output
from traitlets import Instance

from steer.client import frontend, live
from steer.errors import HubUnreachable, SteerError, UsageError
from steer.kernel import cells
from steer.kernel.outcome import Given, as_raised_there, given
from steer.kernel.ranks import Ranks
from steer.magics import running
from steer.magics.mistakes import Interrupted, MagicError

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult
    from steer.client.client import Client
    from steer.client.views import DirectView
    from steer.magics.px import PxMagics
    from steer.magics.targets import Targets

__all__ = ["KernelShell"]

SEND = "get_ipython().run_on_ranks()\n"
WAIT = "get_ipython().wait_for_ranks()\n"
AUTOPX = "Every cell of this kernel runs on the ranks already; %%local runs one here.\n"
_QUESTION = re.compile(r"\s*(\?{0,2})\s*([A-Za-z_][\w.]*)\s*(\?{0,2})\s*")


@dataclass
class Asked:
    """What the front end has asked to be run."""

    source: str
    silent: bool
    cell: cells.Cell | None = None


class History(HistoryManager):
    """Keeps what the user typed, not the line that was made of it."""

    def store_inputs(
        self, line_num: int, source: str, source_raw: str | None = None
    ) -> None:
        """Store an input."""
        if source == SEND and source_raw is not None:
            source = source_raw
        super().store_inputs(line_num, source, source_raw)


class KernelShell(ZMQInteractiveShell):
    """IPython's shell in the kernel's own process."""

    ranks = Instance(Ranks)
    on_ranks = False
    """Whether the last cell was for ranks."""
    _asked: Asked | None = None
    _offered: Client | None = None

    def init_history(self) -> None:
        """Make the history."""
        history: Any = History(shell=self, parent=self)
        self.history_manager = history
        self.configurables.append(history)

    def init_environment(self) -> None:
        """Set what local commands need; what colours text is left out: ranks that are
        just being started would inherit it, or not."""
        os.environ["PAGER"] = os.environ["GIT_PAGER"] = "cat"

    # -- cells

    @contextlib.contextmanager
    def asked(self, source: str, silent: bool) -> Iterator[None]:
        """Take cells with this source to be the front end's."""
        self._asked = Asked(source, silent)
        self.on_ranks = False
        self._offer()
        try:
            yield
        finally:
            self._asked = None

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

    def run_on_ranks(self) -> Given | None:
        """Run the front end's cell; what its last line gave, or raise its error."""
        asked = self._asked
        if asked is None or asked.cell is None:
            raise RuntimeError("Only a cell from the front end is sent to the ranks.")
        sent: list[AsyncResult] = []
        failure: BaseException | None = None
        try:
            self._run(asked.cell, asked.silent, sent)
        except HubUnreachable as error:
            failure = as_raised_there(self.ranks.cut_off(error))
        except (SteerError, Interrupted) as error:
            failure = as_raised_there(error, *sent)
        if failure is not None:
            raise failure  # outside of `except`, so that ours is not its context
        return given(*sent) if sent else None

    def _run(self, cell: cells.Cell, silent: bool, sent: list[AsyncResult]) -> None:
        """Run a cell; what was sent is told also if an error ends it."""
        client = self._wait()
        px = self.px
        view = px.view
        targets = self.ranks.targets(cell.targets, view.targets)
        if self._page(cell.code, client.direct_view(targets)):
            return
        options = dataclasses.replace(px.options, block=True, stream=True)
        if cell.targets and px.last is not None and not px.last.done():
            # A cell was left running. What is said to some ranks now shall free the
            # others: it must not wait for them, as cells wait for each other.
            options = dataclasses.replace(options, on_error="continue")
        result: AsyncResult | None
        if silent:
            result = view.execute(cell.code, silent=True, block=False, targets=targets)
        else:
            px.last = result = running.send(view, cell.code, options, targets)
        if result is None:
            return
        if options.fold:
            result.ends_elsewhere = True
            sent.append(result)
        running.finish(result, options)

    def _wait(self) -> Client:
        """The client, as soon as the ranks are there."""
        waiting = Waiting()
        client: Client | None = None
        try:
            client = self.ranks.wait(waiting.show)
        except KeyboardInterrupt:
            waiting.show("")
        if client is None:
            raise Interrupted("The ranks go on starting; run the cell again.")
        self._offer()
        return client

    def transform_ast(self, node: ast.Module) -> ast.Module:
        """Let code that runs here wait first for the ranks that it names."""
        node = super().transform_ast(node)
        if self._offered is None and cells.needs_ranks(node, self.user_ns):
            # A statement of the cell, so that errors and Ctrl-C are the cell's.
            node.body[:0] = ast.parse(WAIT).body
        return node

    def wait_for_ranks(self) -> None:
        """Wait until cells that run here find what is of the ranks."""
        try:
            self._wait()
        except SteerError as error:
            raise MagicError(str(error)) from None

    def _page(self, code: str, view: DirectView) -> bool:
        """Show what `name?` asks for in the front end's pager; whether it did."""
        asked = _QUESTION.fullmatch(code)
        if asked is None or bool(asked[1]) == bool(asked[3]):
            return False
        detail = len(asked[1] or asked[3]) - 1
        found = frontend.inspect(view, asked[2], len(asked[2]), detail)
        if found["found"]:
            page = {"source": "page", "data": found["data"], "start": 0}
            payloads: Any = self.payload_manager
            payloads.write_payload(page)
        return bool(found["found"])

    # -- what the kernel's own process has of the ranks

    @property
    def px(self) -> PxMagics:
        """What %px works with, and with its settings all cells."""
        magic: Any = self.find_line_magic("px")
        px: PxMagics = magic.__self__
        return px

    def _offer(self) -> None:
        """Let cells that run here find what is of the ranks, once they are there."""
        client = self.ranks.client
        if client is None or client is self._offered:
            return
        self._offered = client
        view = client.activate(self.ranks.default_targets(client))
        magic: Any = _autopx
        self.register_magic_function(magic, "line", "autopx")
        self.push({"rc": client, "view": view, "cluster": self.ranks.cluster})

    def user_expressions(self, expressions: dict[str, str]) -> dict[str, Any]:
        """Evaluate them where the cell ran; of several ranks on the lowest."""
        view = self.lowest("")
        if not expressions or not self.on_ranks or view is None:
            return dict(super().user_expressions(expressions))
        answers: dict[str, Any] = view.apply_sync(evaluate, expressions)
        return answers

    def lowest(self, targets: str) -> DirectView | None:
        """The lowest rank of those that a cell means, if it is there."""
        client = self.ranks.client
        if client is None or not client.ids:
            return None
        self._offer()
        named: Targets = self.px.view.targets or "all"
        with contextlib.suppress(SteerError):  # half-typed ranks mean no others
            named = self.ranks.targets(targets, named)
        ids = [rank for rank in client._resolve(named)[0] if rank in client.ids]
        return client.direct_view(min(ids)) if ids else None


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
            if isinstance(self._region, live.Notebook):
                clear_output()  # a notebook would keep an empty output for ever
            else:
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

"""`%px` and its family for one active view: what each magic does with its line.

The views are activated in `extension.py`, the options are in `options.py`, and
`running.py` runs cells.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand

from steer.errors import AlreadyDisplayedError, UsageError
from steer.magics import options as opts
from steer.magics import running
from steer.magics import targets as wanted
from steer.magics.mistakes import as_sentences

if TYPE_CHECKING:
    from steer.client.asyncresult import AsyncResult
    from steer.client.debugging import Debugger
    from steer.client.views import DirectView
    from steer.magics.autopx import AutoPx

INACTIVE = (
    "No view is active for %px{0}: connect to a cluster and activate a view first, as "
    "in `rc = steer.Client(); rc.activate({1})`."
)
SHOWN = ("stream", "fold", "verbose", "progress_after", "signal")
"""Settings that `%pxconfig` shows."""


class PxMagics:
    """The magics of one suffix."""

    def __init__(self, shell: Any, autopx: AutoPx, suffix: str) -> None:
        self._shell = shell
        self._autopx = autopx
        self.suffix = suffix
        self.options = opts.Options()
        self._view: DirectView | None = None
        self.last: AsyncResult | None = None
        """What the last cell gives."""
        self.debugger: Debugger | None = None
        """Where `%pxdebug` was."""

    def activate(self, view: DirectView) -> None:
        """Let the magics work on this view."""
        self._view = view
        self.last = None

    @property
    def view(self) -> DirectView:
        """The view; an error that says how to get one."""
        if self._view is None:
            suffix = f"suffix={self.suffix!r}" if self.suffix else ""
            raise UsageError(INACTIVE.format(self.suffix, suffix))
        return self._view

    def run(self) -> Any:
        """The run that its ranks belong to, if there is one: for the verbs."""
        if self._view is None:
            return None
        client = self._view.client
        if client.run is None:
            from steer.client.run import Run

            with contextlib.suppress(UsageError):
                Run.of(client)  # the client knows it from now on
        return client.run

    # -- the magics

    @no_var_expand
    def px(self, line: str) -> Any:
        """Run a line on the ranks of the active view: `%px u = solver.init(comm)`.

        The whole line is code, and `{x}` and `$x` in it are Python's. Options are
        taken by `%%px` and, for all lines and cells to come, by `%pxconfig`.
        """
        if line.strip() in ("-h", "--help"):
            self._help(self._cell_parser)
            return None
        with as_sentences():
            return self._run(line, self.options)

    def cell(self, line: str, cell: str) -> Any:
        """Run a cell on ranks: `%%px -t 0-3 --timeout 60`."""
        with as_sentences():
            asked = opts.parse(self._cell_parser, line)
            if asked.help:
                return self._help(self._cell_parser)
            options = dataclasses.replace(self.options, **asked.changes)
            return self._run(cell, options, asked)

    def pxresult(self, line: str = "") -> None:
        """Wait for the last cell and show its output, again if need be."""
        with as_sentences():
            asked = opts.parse(self._result_parser, line)
            if asked.help:
                return self._help(self._result_parser)
            result = self.last
            if result is None:
                raise UsageError(
                    f"There is no result: no `%px{self.suffix}` has run on this view."
                )
            options = dataclasses.replace(self.options, **asked.changes, timeout=None)
            self._store(asked.out, result)
            self._finish(result, options)
            return None

    def pxconfig(self, line: str = "") -> None:
        """Set what later cells do if they do not say otherwise; alone, show it."""
        with as_sentences():
            asked = opts.parse(self._config_parser, line)
            if asked.help:
                return self._help(self._config_parser)
            if not line.strip():
                return self._show_config()
            return self._configure(asked)

    def autopx(self, line: str = "") -> None:
        """Run every cell on the ranks, until `%autopx` comes again.

        Cells that start with a magic of this family, or with `%%local`, run here.
        """
        with as_sentences():
            if line.strip():
                raise UsageError(f"%autopx{self.suffix} takes nothing, not {line!r}.")
            enabled = self._autopx.toggle(f"px{self.suffix}", lambda: self.view)
            sys.stdout.write(f"%autopx {'enabled' if enabled else 'disabled'}\n")

    # -- running

    def _run(
        self, code: str, options: opts.Options, asked: opts.Asked | None = None
    ) -> Any:
        asked = asked or opts.Asked({})
        view = self.view
        block = running.blocks(view, options)
        if options.timeout is not None and not block:
            raise UsageError("--timeout is for a cell that blocks: add --block.")
        targets = self.targets(asked.targets) if asked.targets else None
        if options.verbose:
            self._announce(view.targets if targets is None else targets, block)
        result = running.send(view, code, options, targets)
        if result is not None:
            self.last = result
        elif options.when:
            sys.stdout.write(f"{options.when!r} is true on no rank: nothing ran.\n")
        self._store(asked.out, result)
        failed = asked.local and not self._run_here(code)
        if block and result is not None:
            self._finish(result, options)
        if failed:
            raise AlreadyDisplayedError(1)
        return None if block else result

    def _finish(self, result: AsyncResult, options: opts.Options) -> None:
        magic = f"pxresult{self.suffix}"
        running.finish(result, options, magic=magic)

    def _run_here(self, code: str) -> bool:
        """Whether the cell, run here too, did not fail; its error is shown then."""
        return bool(self._shell.run_cell(code).success)

    def _announce(self, targets: Any, block: bool) -> None:
        kind = "Parallel" if block else "Async parallel"
        ranks = wanted.described(targets)
        sys.stdout.write(f"{kind} execution on engine(s): {ranks}\n")

    def _store(self, name: str, result: AsyncResult | None) -> None:
        if name:
            self._shell.user_ns[name] = result

    # -- settings

    def targets(self, text: str) -> wanted.Targets:
        """The ranks that a text names."""
        client = self.view.client
        return wanted.parse(text, client.ids, client.groups, client.link.gone)

    def _configure(self, asked: opts.Asked) -> None:
        view = self.view
        changes = dict(asked.changes)
        for group in asked.groups:
            self._name_group(group)
        if asked.targets:
            view.targets = self.targets(asked.targets)
        if "block" in changes:
            view.block = changes.pop("block")
        self.options = dataclasses.replace(self.options, **changes)

    def _name_group(self, text: str) -> None:
        name, sign, ranks = text.partition("=")
        if not sign or not name.isidentifier() or name == "all":
            raise UsageError(f"{text!r} names no group; write it as --group west=0-3.")
        groups = self.view.client.groups
        if not ranks:
            groups.pop(name, None)
            return
        found = self.targets(ranks)
        ids = self.view.client.ids if found == "all" else found
        groups[name] = [ids] if isinstance(ids, int) else [int(i) for i in ids]

    def _show_config(self) -> None:
        view = self.view
        lines = [
            f"--targets {wanted.described(view.targets)}",
            "--block" if view.block else "--noblock",
            *opts.described(self.options, SHOWN),
        ]
        for name, ranks in view.client.groups.items():
            lines.append(f"--group {name}={wanted.described(list(ranks))}")
        sys.stdout.write("\n".join(lines) + "\n")

    # -- parsers, made when they are needed

    @functools.cached_property
    def _cell_parser(self) -> ArgumentParser:
        return opts.cell_parser(f"%%px{self.suffix}")

    @functools.cached_property
    def _config_parser(self) -> ArgumentParser:
        return opts.config_parser(f"%pxconfig{self.suffix}")

    @functools.cached_property
    def _result_parser(self) -> ArgumentParser:
        return opts.result_parser(f"%pxresult{self.suffix}")

    def _help(self, parser: ArgumentParser) -> None:
        sys.stdout.write(parser.format_help())


PxMagics.cell.__doc__ = (
    f"{PxMagics.cell.__doc__}\n\n{opts.cell_parser('%%px').format_help()}"
)

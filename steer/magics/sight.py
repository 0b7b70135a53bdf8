"""`%pxwhere`, `%pxpeek`, `%pxstatus`, `%pxstuck`: a magic for each verb of sight.

They are made of the table in `steer.client.sightverbs`, and work on the active view.
None of them waits for the ranks' main threads, so they answer while ranks are blocked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand
from IPython.display import display

from steer.client.sightverbs import VERBS, perform
from steer.client.verblines import asks_for_help, help_of, read
from steer.client.verbs import Verb
from steer.magics.mistakes import as_sentences

if TYPE_CHECKING:
    from steer.magics.px import PxMagics


def magics(px: PxMagics, suffix: str) -> dict[str, Callable[..., Any]]:
    """The magics by their names; all take lines."""
    return {f"px{verb.name}": _magic(verb, px, suffix) for verb in VERBS.values()}


def _magic(verb: Verb, px: PxMagics, suffix: str) -> Callable[..., Any]:
    def magic(line: str = "") -> None:
        with as_sentences():
            if asks_for_help(line):
                sys.stdout.write(help_of(verb, "%px"))
                return
            arguments = read(verb, line, None)
            if verb.name == "status":
                _show_run(px)
            if verb.name == "debug":
                _debug(px, arguments)
                return
            value = perform(px.view, verb.name, arguments, px.targets)
            if isinstance(value, str):
                sys.stdout.write(value)
            elif value is not None:
                display(value)  # type: ignore[no-untyped-call]

    magic.__name__ = magic.__qualname__ = f"px{verb.name}{suffix}"
    magic.__doc__ = help_of(verb, "%px")
    return no_var_expand(magic) if verb.code is not None else magic


def _debug(px: PxMagics, arguments: dict[str, Any]) -> None:
    """Do one command, in the frame where the last one left off; or talk."""
    ranks = arguments.get("ranks")
    line = str(arguments.get("command", ""))
    targets = None if ranks is None else px.targets(ranks)
    debugger = px.debugger
    if debugger is None or targets is not None or not line:
        debugger = px.debugger = px.view.debug(targets)
    if line:
        sys.stdout.write(debugger.do(line) or "")
        return
    for shown in debugger.talk():
        sys.stdout.write(shown)


def _show_run(px: PxMagics) -> None:
    run = px.run()
    if run is not None:
        display(run.status())  # type: ignore[no-untyped-call]

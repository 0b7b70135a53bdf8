"""`%pxstop`, `%pxstep 10`, `%pxset dt=0.01`: a magic for each verb of steering.

They are made of the table in `steer.client.verbs`, and work on the run to which the
active view belongs. What a verb says is printed; what can be shown, such as a table, is
shown as any value of a cell is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from IPython.core.magic import no_var_expand

from steer.client.verblines import all_verbs, asks_for_help, help_of, read, verb
from steer.client.verbs import VERBS, Verb, perform, said
from steer.errors import UsageError
from steer.magics.mistakes import as_sentences

NO_RUN = (
    "No run is active for %px{0}{1}: connect to one first, as in "
    '`run = steer.connect("sim")`; `steer list` shows the runs.'
)

Find = Callable[[], Any]
"""Gives the run that the magics work on, or None."""


def magics(find: Find, suffix: str) -> dict[str, tuple[Callable[..., Any], bool]]:
    """The magics by their names, and whether each takes a cell."""
    return {
        f"px{one.name}": (_magic(one, find, suffix), one.code is not None)
        for one in VERBS.values()
    }


def _magic(meant: Verb, find: Find, suffix: str) -> Callable[..., Any]:
    """What IPython calls with the line, and with the cell if there is one."""
    prefix = "%px"

    def magic(line: str = "", cell: str | None = None) -> Any:
        with as_sentences():
            if asks_for_help(line):
                sys.stdout.write(help_of(meant, prefix))
                return None
            arguments = read(meant, line, cell)
            run = find()
            if run is None:
                raise UsageError(NO_RUN.format(meant.name, suffix))
            return show(perform(run, meant.name, arguments))

    magic.__name__ = magic.__qualname__ = f"px{meant.name}{suffix}"
    magic.__doc__ = help_of(meant, prefix)
    # `{x}` and `$x` in code are Python's.
    return no_var_expand(magic) if meant.code is not None else magic


def overview(line: str = "") -> None:
    """Say what there is: `%pxhelp`, or more of one verb: `%pxhelp step`."""
    with as_sentences():
        sys.stdout.write(help_of(verb(line.strip())) if line.strip() else all_verbs())


def show(value: Any) -> Any:
    """Print a sentence; give back what IPython shows as a value."""
    text = said(value)
    if text is None:
        return value
    sys.stdout.write(f"{text}\n")
    return None

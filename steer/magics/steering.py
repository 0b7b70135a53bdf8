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

from steer.client.verblines import asks_for_help, help_of, read
from steer.client.verbs import VERBS, Verb, perform
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
        f"px{verb.name}": (_magic(verb, find, suffix), verb.code is not None)
        for verb in VERBS.values()
    }


def _magic(verb: Verb, find: Find, suffix: str) -> Callable[..., Any]:
    """What IPython calls with the line, and with the cell if there is one."""
    prefix = "%px"

    def magic(line: str = "", cell: str | None = None) -> Any:
        with as_sentences():
            if asks_for_help(line):
                sys.stdout.write(help_of(verb, prefix))
                return None
            arguments = read(verb, line, cell)
            run = find()
            if run is None:
                raise UsageError(NO_RUN.format(verb.name, suffix))
            return show(perform(run, verb.name, arguments))

    magic.__name__ = magic.__qualname__ = f"px{verb.name}{suffix}"
    magic.__doc__ = help_of(verb, prefix)
    # `{x}` and `$x` in code are Python's.
    return no_var_expand(magic) if verb.code is not None else magic


def show(value: Any) -> Any:
    """Print a sentence; give back what IPython shows as a value."""
    text = value if isinstance(value, str) else getattr(value, "text", None)
    if isinstance(text, str):
        sys.stdout.write(f"{text}\n")
        return None
    return value

"""How a view becomes the one that `%px` works on.

The magics are built on the client, so the client must not import them. It asks the
IPython that it runs in to load the extension "steer", as a user does with
`%load_ext steer`; the magics then leave here the function that registers a view.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steer.client.views import DirectView

Register = Callable[[Any, "DirectView", str], None]
"""Gets the shell, the view and the suffix of the magics' names."""

_register: list[Register] = []


def on_activate(register: Register) -> None:
    """Have views registered by this: called by the magics when they are loaded."""
    _register[:] = [register]


def activate(view: DirectView, suffix: str) -> None:
    """Let `%px`, with a suffix, work on a view; outside of IPython only say so."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None:
        warnings.warn(
            "Magics like %px work only within IPython; use `view.execute(code)`.",
            stacklevel=3,
        )
        return
    shell.extension_manager.load_extension("steer")
    _register[0](shell, view, suffix)

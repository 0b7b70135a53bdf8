"""The `%px` magics of IPython and what is behind them; on the public API only."""

from __future__ import annotations

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """Add the magics to a shell."""
    from steer.magics import extension

    extension.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics from a shell."""
    from steer.magics import extension

    extension.unload(shell)

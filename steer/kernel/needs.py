"""What of Jupyter must be installed, said with the extra that brings it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from steer.errors import UsageError

__all__ = ["from_extra"]

_JUPYTERS = ("ipykernel", "jupyter_client", "jupyter_core", "jupyter_console")


@contextlib.contextmanager
def from_extra(extra: str) -> Iterator[None]:
    """Around imports of Jupyter's packages: a sentence if one is not there."""
    missing = ""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _JUPYTERS:
            raise
    if missing:
        raise UsageError(
            f"This needs {missing.replace('_', '-')}. Install it with "
            f"`pip install mpi-steer[{extra}]`."
        )

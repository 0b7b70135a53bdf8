"""The file name of a cell: the same wherever its text is known."""

from __future__ import annotations

import hashlib


def cell_name(source: str) -> str:
    """The file name of a cell: the same on every rank, so that tracebacks fold."""
    digest = hashlib.sha1(source.encode("utf-8", "replace"), usedforsecurity=False)
    return f"<cell {digest.hexdigest()[:10]}>"

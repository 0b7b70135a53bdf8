"""What reads as a sentence or a table, and is shown so: without `Out[5]: `."""

from __future__ import annotations

import sys


class Told:
    """Something whose `repr` is for people."""

    def _ipython_display_(self) -> None:
        """Say it. It can still be given a name: `movie = %pxevery 100 render()`."""
        sys.stdout.write(f"{self!r}\n")

"""What code finds around it besides variables: names in builtins, matplotlib's backend.

They are IPython's, or like IPython's, where cells run: `display`, an `exit` that ends
no rank, figures that come inline. A program has them as Python has them: it may end
itself by `exit(3)`, and asks whether there is a `get_ipython` to learn where it is.
"""

from __future__ import annotations

import builtins
import importlib.abc
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

_BACKEND = "matplotlib_inline.backend_inline"
_VARIABLE = "MPLBACKEND"
_INLINE = f"module://{_BACKEND}"


class Surroundings:
    """Those of this process; at first those of cells."""

    def __init__(self, names: Mapping[str, Any], warm: Callable[[], object]) -> None:
        own = vars(builtins)
        self._names = dict(names)
        self._pythons = {name: own[name] for name in names if name in own}
        self._chosen = _VARIABLE in os.environ
        """Whether the user has chosen a backend, for cells too."""
        self._finder = _BeforeFigures(warm)
        self.for_cells()

    def for_cells(self) -> None:
        """Cells run from now on."""
        vars(builtins).update(self._names)
        if not self._chosen:
            os.environ[_VARIABLE] = _INLINE
        if self._finder.waits and self._finder not in sys.meta_path:
            sys.meta_path.insert(0, self._finder)

    def for_program(self) -> None:
        """A program runs from now on."""
        own = vars(builtins)
        for name in self._names:
            own.pop(name, None)
        own.update(self._pythons)
        if os.environ.get(_VARIABLE) == _INLINE and not self._chosen:
            del os.environ[_VARIABLE]
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)


class _BeforeFigures(importlib.abc.MetaPathFinder):
    """Has IPython ready before matplotlib's inline backend looks for it.

    The backend hooks itself into IPython when it is imported, at the first figure; that
    may well happen in a plain cell.
    """

    def __init__(self, warm: Callable[[], object]) -> None:
        self._warm = warm
        self.waits = True

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Find nothing, but see what is looked for."""
        if fullname == _BACKEND:
            self.waits = False
            sys.meta_path.remove(self)
            self._warm()

"""Points in a program whose source has none: `steer run --point sim.py:40 sim.py`.

Sources with the places that were named are compiled with a call of `steer.point` in
them (`core/placing.py`). The script is compiled by the engine, which asks
`compile_script`; for modules a finder stands first in `sys.meta_path`. It lets the
others find, and changes the loader only of a module that is concerned. Byte code of
such a module is neither read from its cache nor written there.
"""

from __future__ import annotations

import ast
import builtins
import importlib.abc
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from steer.core.placing import NAME, Spot, inherits, parse, place
from steer.errors import UsageError

__all__ = ["Inserter"]


class Inserter:
    """Puts points into what is compiled from now on."""

    def __init__(self, places: Sequence[str]) -> None:
        self._spots = [parse(text) for text in places]
        self._files = {
            spot.text: os.path.realpath(spot.file)
            for spot in self._spots
            if os.path.isfile(spot.file)
        }
        """Files that are where they were said to be: no others of that name."""
        self.placed: dict[str, list[str]] = {spot.text: [] for spot in self._spots}
        """Where the points are, as `file:line`."""
        self.problems: list[str] = []
        """What went wrong, as sentences."""
        self._hints: dict[str, str] = {}
        self._finder = _Finder(self)

    def install(self) -> None:
        """Have modules that are imported from now on looked at."""
        if self._spots:
            from steer.engines import points

            setattr(builtins, NAME, points.point)
            sys.meta_path.insert(0, self._finder)

    def remove(self) -> None:
        """Look at no more modules; points stay where they are."""
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)

    def compile_script(self, source: bytes, path: str) -> CodeType:
        """The code of the program itself; errors in it are the program's."""
        code = self.compiled("__main__", path, source)
        if code is None:
            code = compile(source, path, "exec", dont_inherit=True)
        return code

    def missing(self) -> list[str]:
        """What to tell of points that are nowhere, once the program has ended."""
        sentences = []
        for spot in self._spots:
            if self.placed[spot.text] or any(spot.text in p for p in self.problems):
                continue
            what = "a file" if spot.line else "a function"
            hint = self._hints.get(spot.text) or (
                f"no module with such {what} was imported."
            )
            sentences.append(f"--point {spot.text} was not put anywhere: {hint}")
        return sentences

    # -- for the finder and the loader

    def wants(self, path: str) -> bool:
        """Whether a source may have one of the places."""
        near = self._near(path)
        if not near or not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            source = file.read()
        return any(spot.may_be_of(source) for spot in near)

    def compiled(self, module: str, path: str, source: bytes) -> CodeType | None:
        """The module's code with points in it; None if it gets none."""
        near = [spot for spot in self._near(path) if spot.may_be_of(source)]
        if not near:
            return None
        try:
            tree = ast.parse(source, path)
        except SyntaxError:
            return None  # compiled as it is, it says so better
        found = [self._place(tree, module, path, spot) for spot in near]
        if not any(found):
            return None
        return compile(tree, path, "exec", dont_inherit=True)

    def _near(self, path: str) -> list[Spot]:
        """The spots that can be in this file."""
        real = os.path.realpath(path)
        return [
            spot
            for spot in self._spots
            if spot.may_be_in(real) and self._files.get(spot.text, real) == real
        ]

    def _place(self, tree: ast.Module, module: str, path: str, spot: Spot) -> bool:
        try:
            lines = place(tree, module, spot)
        except UsageError as error:
            self.problems.append(str(error))
            return False
        if not lines and spot.name:
            self._hints.setdefault(spot.text, inherits(tree, spot))
        file = os.path.basename(path)
        self.placed[spot.text] += [f"{file}:{line}" for line in lines]
        return bool(lines)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the others find."""

    def __init__(self, inserter: Inserter) -> None:
        self._inserter = inserter

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
        /,
    ) -> ModuleSpec | None:
        """The spec that would be found without us, perhaps with our loader."""
        for finder in sys.meta_path:
            find: Any = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(fullname, path, target)
            if spec is not None:
                self._take_over(spec)
                return spec
        return None

    def _take_over(self, spec: ModuleSpec) -> None:
        # Exactly: a subclass compiles in a way of its own.
        plain = type(spec.loader) is SourceFileLoader
        if plain and spec.origin and self._inserter.wants(spec.origin):
            spec.loader = _Loader(spec.name, spec.origin, self._inserter)


class _Loader(SourceFileLoader):
    """Loads a module as ever, but for the points in it."""

    def __init__(self, name: str, path: str, inserter: Inserter) -> None:
        super().__init__(name, path)
        self._inserter = inserter

    def get_code(self, fullname: str) -> CodeType | None:
        """The module's code."""
        source = self.get_data(self.path)
        code = self._inserter.compiled(fullname, self.path, source)
        return super().get_code(fullname) if code is None else code

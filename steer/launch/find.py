"""Where recipes are: the user's, the site's, and those that packages bring.

Order, first match wins: a path; the folders in $STEER_LAUNCHERS; the user's folder; the
site's; our own package; the packages named by the entry point group "steer.launchers".
Folders that do not exist are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from steer.errors import LaunchError
from steer.launch.recipe import Recipe, load

__all__ = ["available", "find"]

_SITE = Path("/etc/xdg/steer/launchers")
_OURS = "steer.launchers"


def find(name: str) -> Recipe:
    """Return the recipe of that name, or the one in the file of that path."""
    if os.sep in name or name.endswith(".toml"):
        return load(Path(name).expanduser())
    for folder in _folders():
        file = folder / f"{name}.toml"
        if file.is_file():
            return load(file)
    known = sorted({name for name, _ in available()})
    listed = f"There are: {', '.join(known)}." if known else "There are none at all."
    raise LaunchError(
        f'No recipe is called "{name}". {listed}',
        recipe=name,
        next_step="Use one of them, or give the path of a recipe file."
        if known
        else "Install Steer with pip, which brings its recipes along.",
    )


def available() -> list[tuple[str, str]]:
    """All recipes as (name, file); of several with one name, the one that is used."""
    found: dict[str, str] = {}
    for folder in _folders():
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".toml"):
                found.setdefault(file.name.removesuffix(".toml"), str(file))
    return sorted(found.items())


def _folders() -> Iterator[Traversable]:
    for named in os.environ.get("STEER_LAUNCHERS", "").split(os.pathsep):
        if named:
            yield from _existing(Path(named).expanduser())
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    yield from _existing(Path(config).expanduser() / "steer" / "launchers")
    yield from _existing(_SITE)
    # Ours is an entry point like any other, but those take 30 ms to look up, and mostly
    # it is ours that is wanted.
    yield from _package(_OURS)
    from importlib.metadata import entry_points

    for point in entry_points(group="steer.launchers"):
        if point.value != _OURS:
            yield from _package(point.value)


def _package(name: str) -> Iterator[Traversable]:
    try:
        folder = files(name)
    except ModuleNotFoundError:  # a checkout that was never installed, a broken package
        return
    yield from _existing(folder)


def _existing(folder: Traversable) -> Iterator[Traversable]:
    if folder.is_dir():
        yield folder

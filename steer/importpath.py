"""The folders of a program's own modules, so that its engines can import them too.

A script that lies in another folder than where it was started finds the modules beside
it; engines would not, and functions of those modules could not be sent to them. What is
installed they find by themselves.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import MutableMapping

_NAME = "STEER_PATH"


def tell(environment: MutableMapping[str, str]) -> None:
    """Write ours into the environment of a cluster that is about to start."""
    folders = (os.path.abspath(entry) for entry in sys.path)
    own = [f for f in dict.fromkeys(folders) if os.path.isdir(f) and not _installed(f)]
    environment[_NAME] = os.pathsep.join(own)


def adopt() -> None:
    """Look there too, after all other places; in an engine."""
    for folder in os.environ.get(_NAME, "").split(os.pathsep):
        if folder and folder not in sys.path:
            sys.path.append(folder)


def _installed(folder: str) -> bool:
    paths = sysconfig.get_paths()
    roots = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots.add(paths["scripts"])  # where the command `steer` lies
    return any(f"{folder}/".startswith(f"{root}/") for root in roots)

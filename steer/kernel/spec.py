"""Kernelspecs: what Jupyter reads to know that there is a kernel, and how to start it.

Only the folder `kernels/NAME` of one of Jupyter's data folders is written.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from steer.errors import UsageError
from steer.kernel.plan import Plan, options_of

__all__ = ["Installed", "install", "installed", "remove"]

MODULE = "steer.kernel"
PYTHON_OPTIONS = ("-P", "-Xfrozen_modules=off")
"""A file steer.py beside the notebook must not be taken for us; and ipykernel's
debugger complains of frozen modules in every console."""
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_SPOKES = "".join(
    f'<path d="M32 6v52" transform="rotate({angle} 32 32)"/>'
    for angle in (0, 45, 90, 135)
)
LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" fill="none" '
    'stroke="#1f5f8b" stroke-width="4" stroke-linecap="round">'
    f'{_SPOKES}<circle cx="32" cy="32" r="18" stroke-width="5"/>'
    '<circle cx="32" cy="32" r="5" fill="#fff"/></svg>\n'
)
"""A ship's wheel."""


@dataclass(frozen=True)
class Installed:
    """A kernel of ours that Jupyter finds."""

    name: str
    display_name: str
    folder: str
    options: tuple[str, ...]


def install(
    plan: Plan,
    *,
    name: str = "steer",
    display_name: str = "",
    user: bool = False,
    prefix: str | None = None,
) -> str:
    """Write a kernelspec; returns its folder."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a kernel: letters, digits, dots, hyphens "
            "and underscores can."
        )
    with tempfile.TemporaryDirectory(prefix="steer-kernelspec-") as folder:
        kernel = kernel_json(plan, display_name or _title(plan))
        Path(folder, "kernel.json").write_text(json.dumps(kernel, indent=1) + "\n")
        Path(folder, "logo-svg.svg").write_text(LOGO)
        manager: Any = KernelSpecManager()
        try:
            where = manager.install_kernel_spec(folder, name, user=user, prefix=prefix)
        except PermissionError as error:
            raise UsageError(
                f"The kernel cannot be installed: {error}. Choose a place of your own "
                "with --user or --prefix."
            ) from None
    Path(where).chmod(0o755)  # the temporary folder was ours alone
    return str(where)


def kernel_json(plan: Plan, display_name: str) -> dict[str, Any]:
    """What `kernel.json` says."""
    kernel = get_kernel_dict()
    # What ipykernel can do (encrypted sockets, for one), our kernel can.
    metadata = {**kernel["metadata"], "debugger": False}
    return {
        **kernel,
        "argv": [
            *(sys.executable, *PYTHON_OPTIONS, "-m", MODULE),
            *("-f", "{connection_file}", *options_of(plan)),
        ],
        "display_name": display_name,
        "language": "python",
        "interrupt_mode": "signal",
        "metadata": metadata,
    }


def _title(plan: Plan) -> str:
    if plan.cluster_id is not None:
        return f"Steer (cluster {plan.cluster_id or 'default'})"
    if plan.n is None:
        return "Steer (a rank for each core)"
    return f"Steer ({plan.n} rank{'s' if plan.n > 1 else ''})"


def installed() -> Iterator[Installed]:
    """The kernels of ours that Jupyter finds."""
    manager: Any = KernelSpecManager()
    for name, folder in sorted(manager.find_kernel_specs().items()):
        try:
            kernel = json.loads(Path(folder, "kernel.json").read_text())
        except (OSError, ValueError):
            continue  # Jupyter's own list does not show it either
        argv = kernel.get("argv", [])
        if MODULE in argv:
            options = tuple(argv[argv.index("{connection_file}") + 1 :])
            yield Installed(name, str(kernel.get("display_name")), folder, options)


def remove(name: str) -> str:
    """Remove a kernel of ours; returns where it was."""
    ours = {one.name: one for one in installed()}
    if name not in ours:
        known = f"there are {', '.join(ours)}" if ours else "there is none"
        raise UsageError(f"There is no kernel {name!r} of Steer's; {known}.")
    manager: Any = KernelSpecManager()
    try:
        return str(manager.remove_kernel_spec(name))
    except (NoSuchKernel, PermissionError) as error:
        raise UsageError(f"The kernel {name!r} cannot be removed: {error}.") from None

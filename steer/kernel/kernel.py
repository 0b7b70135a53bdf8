"""The kernel: what Jupyter's front ends talk to.

IPython's kernel does the talking. What is different: cells run on the ranks
(`shell.py`), names are completed and explained by the lowest rank, and the cluster ends
with the kernel. `kernel_info` and `%%local` cells never wait for the ranks.
"""

# IPython and ipykernel are typed here and there.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import re
from importlib.metadata import version
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from traitlets import Instance, Type

from steer.client import frontend
from steer.client.views import DirectView
from steer.errors import SteerError
from steer.kernel import cells
from steer.kernel.ranks import Ranks
from steer.kernel.shell import KernelShell

__all__ = ["SteerKernel"]

PLACES = ("%%local", "%%rank")
_MAGIC = re.compile(r"\s*(%{1,2}\w*)")
TYPES = "_jupyter_types_experimental"
"""Where completions say what each of them is; JupyterLab shows it."""


class SteerKernel(IPythonKernel):
    """A kernel whose cells run on all ranks."""

    implementation = "steer"
    implementation_version = version("mpi-steer")
    shell_class = Type(KernelShell)
    shell: KernelShell
    ranks = Instance(Ranks)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        app: Any = self.parent
        self.ranks = app.ranks
        self.shell.ranks = self.ranks

    @property
    def banner(self) -> str:  # type: ignore[override]
        """What a console says first."""
        plan = self.ranks.plan
        where = f"rank {plan.ranks}" if plan.ranks.isdecimal() else "all ranks"
        if plan.ranks and not plan.ranks.isdecimal():
            where = f"ranks {plan.ranks}"
        return (
            f"Steer {self.implementation_version}: cells run on {where}; "
            "%%local runs one here, %%rank 0-2 on some.\n"
        )

    async def do_execute(
        self, code: str, silent: bool, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Run a cell where it says."""
        with self.shell.asked(code, silent):
            reply: dict[str, Any] = await super().do_execute(
                code, silent, *args, **kwargs
            )
        return reply

    async def do_complete(self, code: str, cursor_pos: int | None) -> dict[str, Any]:
        """Complete names by the lowest rank, or here for a cell that runs here."""
        pos = len(code) if cursor_pos is None else cursor_pos
        cell, view = self._where(code, pos)
        if cell is None or view is None:
            found = dict(super().do_complete(code, pos))
        else:
            found = frontend.complete(view, cell.code, pos - cell.removed)
            found = {"status": "ok", **_moved(found, cell.removed)}
        begun = _MAGIC.fullmatch(code[:pos])
        return self._with_magics(found, begun[1], pos) if begun else found

    def _with_magics(
        self, found: dict[str, Any], begun: str, pos: int
    ) -> dict[str, Any]:
        """Add the magics that say where a cell runs: no rank knows them."""
        lines, blocks = (self.shell.magics_manager.magics[k] for k in ("line", "cell"))
        names = [f"%{name}" for name in lines] + [f"%%{name}" for name in blocks]
        ours = [*PLACES, *(name for name in names if cells.read(name).here)]
        start = pos - len(begun)
        whole = found["cursor_start"] == start
        others = [m for m in found["matches"] if whole and m not in ours]
        matches = [name for name in sorted(ours) if name.startswith(begun)]
        return {**found, "matches": matches + others, "cursor_start": start}

    async def do_inspect(
        self,
        code: str,
        cursor_pos: int | None,
        detail_level: int = 0,
        omit_sections: Any = (),
    ) -> dict[str, Any]:
        """Say what a name is on the lowest rank, or here."""
        pos = len(code) if cursor_pos is None else cursor_pos
        cell, view = self._where(code, pos)
        if cell is None or view is None:
            return dict(super().do_inspect(code, pos, detail_level, omit_sections))
        found = frontend.inspect(view, cell.code, pos - cell.removed, detail_level)
        return {"status": "ok", **found}

    async def do_history(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The history, where this session has one number in all answers."""
        found = dict(super().do_history(*args, **kwargs))
        history: Any = self.shell.history_manager
        found["history"] = [
            (session or history.session_number, *rest)
            for session, *rest in found["history"]
        ]
        return found

    def _where(
        self, code: str, pos: int
    ) -> tuple[cells.Cell | None, DirectView | None]:
        """The cell and the rank that knows its names; None if those are here."""
        try:
            cell = cells.read(code)
        except SteerError:
            return None, None  # half a first line
        if cell.here or pos < cell.removed:
            return None, None
        return cell, self.shell.lowest(cell.targets)

    async def do_shutdown(self, restart: bool) -> dict[str, Any]:
        """End the ranks; a cell that still waits for them fails by that."""
        await asyncio.to_thread(self.ranks.close)
        reply: dict[str, Any] = super().do_shutdown(restart)
        return reply


def _moved(found: dict[str, Any], by: int) -> dict[str, Any]:
    """Completions of a cell whose first line was taken away."""
    metadata = dict(found["metadata"])
    types = metadata.get(TYPES, ())
    metadata[TYPES] = [
        {**one, "start": one["start"] + by, "end": one["end"] + by} for one in types
    ]
    return {
        "matches": found["matches"],
        "cursor_start": found["cursor_start"] + by,
        "cursor_end": found["cursor_end"] + by,
        "metadata": metadata,
    }

"""The kernel: what Jupyter's front ends talk to.

IPython's kernel does the talking. What is different: cells run on the ranks
(`shell.py`), names are completed and explained by the lowest rank, and the cluster ends
with the kernel. `kernel_info` and `%%local` cells never wait for the ranks.
"""

# IPython and ipykernel are typed here and there.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from traitlets import Instance, Type

from steer.kernel.ranks import Ranks
from steer.kernel.shell import KernelShell

__all__ = ["SteerKernel"]


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

    async def do_shutdown(self, restart: bool) -> dict[str, Any]:
        """End the ranks; a cell that still waits for them fails by that."""
        await asyncio.to_thread(self.ranks.close)
        reply: dict[str, Any] = super().do_shutdown(restart)
        return reply

"""The kernel's process: reads its options, starts the ranks, serves the front end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from traitlets import Instance, Type

from steer.kernel.kernel import SteerKernel
from steer.kernel.plan import parse
from steer.kernel.ranks import Ranks

__all__ = ["KernelApp", "main"]


class KernelApp(IPKernelApp):
    """ipykernel's application, with ranks."""

    name = "steer-kernel"
    kernel_class: Any = Type(SteerKernel, klass="ipykernel.kernelbase.Kernel")
    ranks = Instance(Ranks)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until the front end ends it."""
    plan, rest = parse(sys.argv[1:] if argv is None else argv)
    ranks = Ranks(plan)
    ranks.start()
    if plan.profile:
        rest = [*rest, f"--profile={plan.profile}"]
    try:
        app: Any = KernelApp.instance(ranks=ranks)
        app.initialize(rest)
        app.start()
    finally:
        ranks.close()

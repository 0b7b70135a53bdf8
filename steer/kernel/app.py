"""The kernel's process: reads its options, starts the ranks, serves the front end."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ipykernel.kernelapp import IPKernelApp
from traitlets import Instance, Type

from steer.kernel.kernel import SteerKernel
from steer.kernel.plan import Plan, parse
from steer.kernel.ranks import Ranks
from steer.node.watch import Watch

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
        if plan.owner is not None:
            _follow(plan.owner, Path(app.abs_connection_file).parent)
        _announce(plan)
        app.start()
    finally:
        ranks.close()


def _announce(plan: Plan) -> None:
    """Tell whoever started us that we listen."""
    if plan.ready is not None:
        os.write(plan.ready, b"1")
        os.close(plan.ready)


def _follow(owner: int, folder: Path) -> None:
    """End with the owner, who would have removed our folder."""

    def wait() -> None:
        with contextlib.suppress(ProcessLookupError):  # it was quicker than we
            watch = Watch(owner)
            poller = select.poll()
            poller.register(watch.fileno(), select.POLLIN)
            poller.poll()  # as long as the owner lives; we end without it, too
        shutil.rmtree(folder, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="steer-owner", daemon=True).start()
